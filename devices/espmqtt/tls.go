package espmqtt

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"

	"mqtthil/devices/esptls"
)

// secure says whether a scheme is TLS.
func secure(scheme string) bool { return scheme == "mqtts" || scheme == "wss" }

// applyTLS takes the settings of TLS over. All but the ALPN list and the password of the key go back to nothing where
// the Config has none (ESP-CFG-06 … 22). Configured says whether one is set that makes no sense without TLS
// (ESP-CFG-40); the certificate bundle does not count.
func (s *settings) applyTLS(config Config, e Environment) (configured bool, err error) {
	v, a := config.Broker.Verification, config.Credentials.Authentication
	o := esptls.Options{
		UseGlobalCAStore:    v.UseGlobalCAStore,
		GlobalCAStore:       e.GlobalCAStore,
		UseBundle:           v.CertificateBundle,
		Bundle:              e.CertificateBundle,
		SkipCommonNameCheck: v.SkipCommonNameCheck,
		CipherSuites:        v.CipherSuites,
		UseSecureElement:    a.UseSecureElement,
		ALPN:                s.tls.ALPN,
		ClientKeyPassword:   s.tls.ClientKeyPassword,
		Build:               e.TLSBuild,
		Log:                 e.Log,
	}
	if v.CommonName != nil {
		o.CommonName = *v.CommonName
	}
	if len(v.ALPN) > 0 {
		o.ALPN = v.ALPN
	}
	if a.KeyPassword != nil && *a.KeyPassword != "" {
		o.ClientKeyPassword = []byte(*a.KeyPassword)
	}
	if a.DSData {
		o.Signer = e.Signer
	}
	if v.PSK != nil {
		key, err := hex.DecodeString(v.PSK.Key)
		if err != nil {
			return false, fmt.Errorf("psk_hint_key: %w: %w", err, ErrInvalidArgument)
		}
		o.PSK = &esptls.PSK{Hint: v.PSK.Hint, Key: key}
	}
	for _, file := range []struct {
		name   string
		text   *string
		length int
		to     *[]byte
	}{
		{"broker.verification.certificate", v.Certificate, v.CertificateLength, &o.CA},
		{"credentials.authentication.certificate", a.Certificate, a.CertificateLength, &o.ClientCertificate},
		{"credentials.authentication.key", a.Key, a.KeyLength, &o.ClientKey},
	} {
		if file.text == nil {
			continue
		}
		*file.to = []byte(*file.text)
		if file.length > 0 {
			if *file.to, err = base64.StdEncoding.DecodeString(*file.text); err != nil {
				return false, fmt.Errorf("%s: with a length it is DER in base64: %w: %w", file.name, err, ErrInvalidArgument)
			}
		}
	}
	s.tls = o
	return o.UseGlobalCAStore || o.CA != nil || o.ClientCertificate != nil || o.PSK != nil || len(o.ALPN) > 0, nil
}

// secure puts TLS on a connection, where the scheme asks for it.
func (c *client) secure(conn net.Conn) (net.Conn, error) {
	if !secure(c.settings.scheme) {
		return conn, nil
	}
	ctx, cancel := c.networkContext()
	defer cancel()
	options := c.settings.tls
	options.Strict = !c.does(QuirkTLSOptionsSkipped)
	return esptls.Connect(ctx, conn, c.settings.host, options)
}
