package transport

import (
	"crypto/tls"
	"fmt"
)

// WrongName has the server show a certificate for a name that is not its own.
func WrongName() Fault {
	return certificateFault("certificate for another name", func(o Options) (tls.Certificate, error) {
		return o.Authority.WrongName()
	})
}

// UnknownCA has the server show a certificate of an authority that the device does not know.
func UnknownCA() Fault {
	return certificateFault("certificate of an unknown CA", func(o Options) (tls.Certificate, error) {
		return o.Authority.UnknownCA(o.Names...)
	})
}

// ExpiredCertificate has the server show a certificate whose time is over.
func ExpiredCertificate() Fault {
	return certificateFault("expired certificate", func(o Options) (tls.Certificate, error) {
		return o.Authority.Expired(o.Names...)
	})
}

// CertificateNotYetValid has the server show a certificate whose time is to come.
func CertificateNotYetValid() Fault {
	return certificateFault("certificate that is not yet valid", func(o Options) (tls.Certificate, error) {
		return o.Authority.NotYetValid(o.Names...)
	})
}

// LargeChain has the server show a sound certificate with intermediates of size bytes in all, up to 1 MiB.
func LargeChain(size int) Fault {
	return certificateFault(fmt.Sprintf("certificate chain of %d bytes", size),
		func(o Options) (tls.Certificate, error) { return o.Authority.LargeChain(size, o.Names...) })
}

func certificateFault(text string, issue func(Options) (tls.Certificate, error)) Fault {
	return Fault{kind: &certificateKind{text: text, issue: issue}}
}

type certificateKind struct {
	text        string
	issue       func(Options) (tls.Certificate, error)
	certificate tls.Certificate
}

func (k *certificateKind) String() string { return k.text }
func (*certificateKind) needs() layer     { return layerTLS }

// issued is the kind with its certificate, which a Front makes when the fault is added: in a handshake the making of an
// RSA key would take too long.
func (k *certificateKind) issued(o Options) (*certificateKind, error) {
	certificate, err := k.issue(o)
	return &certificateKind{text: k.text, issue: k.issue, certificate: certificate}, err
}

func (k *certificateKind) prepare(p *plan, c *chance) {
	p.hello = append(p.hello, func(config *tls.Config, _ *wire) error {
		if c.strike() {
			config.Certificates = []tls.Certificate{k.certificate}
		}
		return nil
	})
}
