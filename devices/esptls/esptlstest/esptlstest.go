// Package esptlstest makes certificates and keys for tests of TLS.
package esptlstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// The validity of certificates that no test wants otherwise; it holds in a bubble's year 2000 too.
var (
	LongAgo  = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	FarAhead = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Authority signs the certificates of a test.
type Authority struct {
	Certificate *x509.Certificate

	t   testing.TB
	key crypto.Signer
}

// NewAuthority makes an authority that is its own root.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t, key: NewKey(t)}
	a.Certificate = a.Sign(authority(name), a.key.Public())
	return a
}

// Intermediate makes an authority whose certificate this one signs.
func (a *Authority) Intermediate(name string) *Authority {
	a.t.Helper()
	below := &Authority{t: a.t, key: NewKey(a.t)}
	below.Certificate = a.Sign(authority(name), below.key.Public())
	return below
}

func authority(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
}

// Sign makes a certificate for a key.
func (a *Authority) Sign(template x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotBefore.IsZero() {
		template.NotBefore, template.NotAfter = LongAgo, FarAhead
	}
	parent := a.Certificate
	if parent == nil { // it signs itself
		parent = &template
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate
}

// Server makes a server's certificate with a key of its own.
func (a *Authority) Server(template x509.Certificate) tls.Certificate {
	a.t.Helper()
	key := NewKey(a.t)
	certificate := a.Sign(template, key.Public())
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}
}

// SelfSigned makes a server's certificate that no authority has signed.
func SelfSigned(t testing.TB, template x509.Certificate) tls.Certificate {
	t.Helper()
	alone := &Authority{t: t, key: NewKey(t)}
	certificate := alone.Sign(template, alone.key.Public())
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: alone.key, Leaf: certificate}
}

// Named is a server's certificate as servers have it today, for host names and addresses.
func Named(names ...string) x509.Certificate {
	template := x509.Certificate{
		Subject:     pkix.Name{CommonName: "bench"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// Device is a client's certificate.
func Device() x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: "device"}}
}

// NewKey makes a key.
func NewKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// PEM writes certificates in PEM.
func PEM(certificates ...*x509.Certificate) (text []byte) {
	for _, certificate := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
	}
	return text
}

// KeyPEM writes a key in PEM.
func KeyPEM(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Pool holds certificates.
func Pool(certificates ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool
}
