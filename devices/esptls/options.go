package esptls

import (
	"crypto"
	"crypto/x509"
)

// Options are the settings of a TLS connection, those of esp_mqtt_client_config_t and those of the firmware's build.
// Certificates and keys are in PEM or DER.
type Options struct {
	// How the server is verified. The first of these that is set counts, in this order; with none there is no connection
	// (ESP-TLS-01). An empty global store is an error even where others are set.
	UseGlobalCAStore bool
	GlobalCAStore    []byte
	UseBundle        bool           // the certificate bundle of ESP-IDF
	Bundle           *x509.CertPool // what is in it; nil: the roots of the machine that the board is emulated on
	CA               []byte         // the text NULL counts as none, as in esp-mqtt
	PSK              *PSK

	CommonName          string // instead of the host
	SkipCommonNameCheck bool   // no name is checked, none is sent either (SNI)
	ALPN                []string
	CipherSuites        []uint16 // of TLS 1.2, by their IANA numbers; those that crypto/tls lacks are left out

	ClientCertificate []byte
	ClientKey         []byte
	ClientKeyPassword []byte
	// Signer is a key that cannot be read: that of the digital signature peripheral or the ECDSA peripheral. It needs a
	// client certificate and goes before ClientKey.
	Signer           crypto.Signer
	UseSecureElement bool // no ESP-IDF of today has it: an error in the log, and settings go missing (ESP-TLS-03)

	// Strict ends an attempt to connect where a setting cannot be had in the build, other than esp-mqtt, which goes on
	// without it and what is behind it (ESP-QRK-50).
	Strict bool

	Build Build
	Log   Log // may be nil
}

// PSK is a key that client and server share. crypto/tls has no such cipher suites, so Connect starts stunnel (Debian's
// package stunnel4) and talks through it: real connections only, in real time only. stunnel wants a key of 16 bytes or
// more, and how it cuts what is written into TLS records is its own affair.
type PSK struct {
	Hint string // the identity
	Key  []byte
}

// Build holds the options of ESP-IDF's build (Kconfig) that TLS depends on. The zero value is ESP-IDF's default, except
// that PSK counts as compiled in: who sets one wants it used.
type Build struct {
	NoCertificateBundle    bool // CONFIG_MBEDTLS_CERTIFICATE_BUNDLE=n
	NoPSK                  bool // CONFIG_ESP_TLS_PSK_VERIFICATION=n
	NoALPN                 bool // CONFIG_MBEDTLS_SSL_ALPN=n
	NoDigitalSignature     bool // CONFIG_ESP_TLS_USE_DS_PERIPHERAL=n
	SkipServerVerification bool // CONFIG_ESP_TLS_SKIP_SERVER_CERT_VERIFY=y
	TLS13                  bool // CONFIG_MBEDTLS_SSL_PROTO_TLS1_3=y; without it TLS 1.2 is all there is
	CertificateDates       bool // CONFIG_MBEDTLS_HAVE_TIME_DATE=y; without it certificates never expire
}

func (o *Options) log(level byte, tag, text string) {
	if o.Log != nil {
		o.Log(level, tag, text)
	}
}

// present says whether a certificate or key is set.
func present(data []byte) bool { return len(data) > 0 && string(data) != "NULL" }

// applied gives the settings that reach the transport. They are handed over one by one; the first that the build cannot
// do stops the rest, and the connection is tried with what there is by then (ESP-TLS-03). Complete says that none did.
func (o Options) applied() (a Options, complete bool) {
	a = Options{Build: o.Build, Log: o.Log}
	const tag = "mqtt_client"

	switch { // one kind of verification only
	case o.UseGlobalCAStore:
		a.UseGlobalCAStore, a.GlobalCAStore = true, o.GlobalCAStore
	case o.UseBundle && o.Build.NoCertificateBundle:
		o.log('E', tag, "Certificate bundle is not enabled for mbedTLS in menuconfig")
		return a, false
	case o.UseBundle:
		a.UseBundle, a.Bundle = true, o.Bundle
	case present(o.CA):
		a.CA = o.CA
	}
	a.CipherSuites = o.CipherSuites
	if o.PSK != nil {
		if o.Build.NoPSK {
			o.log('E', tag, "PSK authentication configured but not enabled in menuconfig: "+
				"Please enable ESP_TLS_PSK_VERIFICATION option")
			return a, false
		}
		a.PSK = o.PSK
	}
	if len(o.ALPN) > 0 {
		if o.Build.NoALPN {
			o.log('E', tag, "APLN configured but not enabled in menuconfig: "+
				"Please enable MBEDTLS_SSL_ALPN or WOLFSSL_HAVE_ALPN option")
			return a, false
		}
		a.ALPN = o.ALPN
	}
	a.SkipCommonNameCheck, a.CommonName = o.SkipCommonNameCheck, o.CommonName
	if o.UseSecureElement {
		o.log('E', tag, "Secure element not enabled for esp-tls in menuconfig")
		return a, false
	}
	if o.Signer != nil {
		if o.Build.NoDigitalSignature {
			o.log('E', tag, "Digital Signature not enabled for esp-tls in menuconfig")
			return a, false
		}
		a.Signer = o.Signer
	}
	if present(o.ClientCertificate) {
		a.ClientCertificate = o.ClientCertificate
	}
	if present(o.ClientKey) {
		a.ClientKey = o.ClientKey
	}
	a.ClientKeyPassword = o.ClientKeyPassword
	return a, true
}
