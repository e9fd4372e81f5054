package authority

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"
)

// WrongName issues a certificate that is sound but for its name, which is none of a server of this bench.
func (a *Authority) WrongName() (tls.Certificate, error) {
	return a.server("wrong name: ", serverTemplate, []string{"elsewhere.invalid"})
}

// Expired issues a certificate whose time was over in the year 1999.
func (a *Authority) Expired(names ...string) (tls.Certificate, error) {
	return a.server("expired: ", func(names []string) *x509.Certificate {
		template := serverTemplate(names)
		template.NotAfter = time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC)
		return template
	}, names)
}

// NotYetValid issues a certificate whose time begins in the year 2098.
func (a *Authority) NotYetValid(names ...string) (tls.Certificate, error) {
	return a.server("not yet valid: ", func(names []string) *x509.Certificate {
		template := serverTemplate(names)
		template.NotBefore = time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC)
		return template
	}, names)
}

// UnknownCA issues a certificate of another authority, which the device has never heard of.
func (a *Authority) UnknownCA(names ...string) (tls.Certificate, error) {
	stranger, err := New(Options{Name: "unknown CA", RSA: a.useRSA})
	if err != nil {
		return tls.Certificate{}, err
	}
	return stranger.server("unknown CA: ", serverTemplate, names)
}

// LargestChain is the largest chain that there is a use for, in bytes: TLS has 24 bits for its length, and no client takes
// so much.
const LargestChain = 1 << 20

// intermediates are how many a large chain has.
const intermediates = 4

// commentOID names the extension that fills the intermediates up: a comment, which no client has to understand.
var commentOID = asn1.ObjectIdentifier{2, 16, 840, 1, 113730, 1, 13}

// LargeChain issues a sound certificate that comes with four intermediates, size bytes or a little more in all, up to
// 1 MiB. Beyond 16 KiB it takes more than one TLS record.
func (a *Authority) LargeChain(size int, names ...string) (tls.Certificate, error) {
	if size < 0 || size > LargestChain {
		return tls.Certificate{}, fmt.Errorf("a certificate chain of %d bytes: 0 to %d are possible", size, LargestChain)
	}
	filling := make([]byte, size/intermediates)
	if _, err := rand.Read(filling); err != nil { // random, so that nothing on the way can make it small
		return tls.Certificate{}, fmt.Errorf("large chain: %w", err)
	}
	comment, err := asn1.Marshal(filling)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("large chain: %w", err)
	}
	issuer := a
	for i := range intermediates {
		template := authorityTemplate(fmt.Sprintf("intermediate %d", i+1))
		template.ExtraExtensions = []pkix.Extension{{Id: commentOID, Value: comment}}
		if issuer, err = issuer.below(template); err != nil {
			return tls.Certificate{}, fmt.Errorf("large chain: %w", err)
		}
	}
	return issuer.server("large chain: ", serverTemplate, names)
}
