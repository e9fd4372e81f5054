package transport

import "crypto/tls"

// CertificateRequired has the server ask for a client certificate and end the handshake without one.
func CertificateRequired() Fault {
	return Fault{kind: requestKind{"client certificate required", tls.RequireAndVerifyClientCert}}
}

// CertificateRequested has the server ask for a client certificate and go on without one.
func CertificateRequested() Fault {
	return Fault{kind: requestKind{"client certificate requested", tls.VerifyClientCertIfGiven}}
}

// CertificateNotRequested has the server not ask for a client certificate.
func CertificateNotRequested() Fault {
	return Fault{kind: requestKind{"client certificate not requested", tls.NoClientCert}}
}

type requestKind struct {
	text string
	how  tls.ClientAuthType
}

func (k requestKind) String() string { return k.text }
func (requestKind) needs() layer     { return layerTLS }

func (k requestKind) prepare(p *plan, c *chance) {
	p.hello = append(p.hello, func(config *tls.Config, _ *wire) error {
		if c.strike() {
			config.ClientAuth = k.how
		}
		return nil
	})
}
