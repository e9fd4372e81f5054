package transport

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mqtthil/faults/internal/form"
)

// Alert is an alert of TLS by its number (RFC 8446, 6).
type Alert byte

// Alerts that servers send to clients.
const (
	CloseNotify           Alert = 0
	HandshakeFailure      Alert = 40
	BadCertificate        Alert = 42
	CertificateExpired    Alert = 45
	CertificateUnknown    Alert = 46
	UnknownAuthority      Alert = 48
	AccessDenied          Alert = 49
	ProtocolVersion       Alert = 70
	InsufficientSecurity  Alert = 71
	InternalError         Alert = 80
	UserCanceled          Alert = 90
	UnrecognizedName      Alert = 112
	CertificateIsRequired Alert = 116
	NoApplicationProtocol Alert = 120
)

func (a Alert) String() string {
	// crypto/tls knows the names of most.
	return fmt.Sprintf("alert %d (%s)", byte(a), strings.TrimPrefix(tls.AlertError(a).Error(), "tls: "))
}

// level is 2, fatal, but for the two alerts that just end a connection.
func (a Alert) level() byte {
	if a == CloseNotify || a == UserCanceled {
		return 1
	}
	return 2
}

// AlertInsteadOfHello has the server answer the ClientHello with an alert and FIN.
func AlertInsteadOfHello(code Alert) Fault {
	return Fault{kind: alertInsteadOfHello(code)}
}

type alertInsteadOfHello Alert

func (k alertInsteadOfHello) String() string { return Alert(k).String() + " instead of ServerHello" }
func (alertInsteadOfHello) needs() layer     { return layerTLS }

func (k alertInsteadOfHello) prepare(p *plan, c *chance) {
	p.hello = append(p.hello, func(_ *tls.Config, w *wire) error {
		if !c.strike() {
			return nil
		}
		if err := w.alert(Alert(k)); err != nil {
			return err
		}
		return fmt.Errorf("fault: %s", k)
	})
}

// AlertAfterHandshake has the server end the connection with an alert and FIN when the handshake has come about. It does
// so in TLS 1.2 with AES-128-GCM, which the device has to have.
func AlertAfterHandshake(code Alert) Fault {
	return Fault{kind: alertAfterHandshake(code)}
}

type alertAfterHandshake Alert

func (k alertAfterHandshake) String() string { return Alert(k).String() + " after the handshake" }
func (alertAfterHandshake) needs() layer     { return layerTLS }

func (k alertAfterHandshake) prepare(p *plan, c *chance) {
	secrets := &strings.Builder{}
	p.hello = append(p.hello, func(config *tls.Config, _ *wire) error {
		if c.may() {
			config.KeyLogWriter = secrets
			config.MaxVersion = tls.VersionTLS12
			config.CipherSuites = []uint16{
				tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			}
		}
		return nil
	})
	p.late = append(p.late, func(w *wire) error {
		if secrets.Len() == 0 || !c.strike() {
			return nil
		}
		if err := sealedAlert(w, secrets.String(), Alert(k)); err != nil {
			return err
		}
		return fmt.Errorf("fault: %s", k)
	})
}

// sealedAlert sends an encrypted alert. crypto/tls has no way to send one of the caller's choice, so this makes the
// record itself, with the keys that the secrets of the handshake give (RFC 5246, 6.3; RFC 5288, 3).
func sealedAlert(w *wire, secrets string, code Alert) error {
	fields := strings.Fields(secrets) // CLIENT_RANDOM, the client's random number, the master secret
	if len(fields) != 3 || len(w.serverRandom) != 32 {
		return fmt.Errorf("%s cannot be sent: the handshake has left no keys behind", code)
	}
	clientRandom, err := hex.DecodeString(fields[1])
	if err != nil {
		return fmt.Errorf("%s cannot be sent: %w", code, err)
	}
	master, err := hex.DecodeString(fields[2])
	if err != nil {
		return fmt.Errorf("%s cannot be sent: %w", code, err)
	}
	// The key block: keys of 16 bytes of client and server, then the constant 4 bytes of their nonces.
	keys := expand(master, append(append([]byte("key expansion"), w.serverRandom...), clientRandom...), 40)
	block, err := aes.NewCipher(keys[16:32])
	if err != nil {
		return fmt.Errorf("%s cannot be sent: %w", code, err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return fmt.Errorf("%s cannot be sent: %w", code, err)
	}
	number := binary.BigEndian.AppendUint64(nil, w.sealed)
	nonce := append(append([]byte(nil), keys[36:40]...), number...)
	plain := []byte{code.level(), byte(code)}
	authenticated := append(append([]byte(nil), number...), recordAlert, 3, 3, 0, byte(len(plain)))
	body := append(number, seal.Seal(nil, nonce, plain, authenticated)...)
	record := append([]byte{recordAlert, 3, 3, 0, byte(len(body))}, body...)
	w.muted = true
	_, err = w.Stream.Write(record)
	return err
}

// expand is the pseudo-random function of TLS 1.2 with SHA-256 (RFC 5246, 5).
func expand(secret, seed []byte, length int) []byte {
	sum := func(text []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write(text)
		return mac.Sum(nil)
	}
	var out []byte
	for a := sum(seed); len(out) < length; a = sum(a) {
		out = append(out, sum(append(append([]byte(nil), a...), seed...))...)
	}
	return out[:length]
}

// alertName is an Alert by its name or its number, as rule files write it.
type alertName Alert

var alertNames = map[string]Alert{
	"close-notify": CloseNotify, "handshake-failure": HandshakeFailure, "bad-certificate": BadCertificate,
	"certificate-expired": CertificateExpired, "certificate-unknown": CertificateUnknown,
	"unknown-authority": UnknownAuthority, "access-denied": AccessDenied, "protocol-version": ProtocolVersion,
	"insufficient-security": InsufficientSecurity, "internal-error": InternalError, "user-canceled": UserCanceled,
	"unrecognized-name": UnrecognizedName, "certificate-required": CertificateIsRequired,
	"no-application-protocol": NoApplicationProtocol,
}

// UnmarshalText reads it.
func (a *alertName) UnmarshalText(text []byte) error {
	if alert, known := alertNames[string(text)]; known {
		*a = alertName(alert)
		return nil
	}
	number, err := strconv.ParseUint(string(text), 10, 8)
	if err != nil {
		return fmt.Errorf("%q is no alert: a number from 0 to 255, or %s", text,
			strings.Join(slices.Sorted(maps.Keys(alertNames)), ", "))
	}
	*a = alertName(number)
	return nil
}

// UnmarshalYAML reads it from a rule file.
func (a *alertName) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, a)
}
