// Package authority is the bench's own certificate authority. It is made anew for each run, so that no key has to be
// kept anywhere, and issues what both sides of TLS need: certificates of servers and of devices, files to flash to a
// board, and certificates that a client must refuse.
//
//	ca, err := authority.New(authority.Options{})
//	sound, err := ca.Server("bench.local", "192.168.1.10")
//	device, err := ca.Client("device-1")
//	err = ca.WriteFiles("out/flash", device)
//	expired, err := ca.Expired("bench.local")
//
// Sound certificates are valid from 1999 to 2099, which is true on a board whose clock was set as well as in a
// testing/synctest bubble, where time begins in 2000. A board that checks dates without having a clock is in 1970, and
// refuses all of them.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// The validity of a sound certificate.
var (
	longAgo  = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	farAhead = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Options are what an Authority can be made with. The zero value is an ECDSA authority named after the bench.
type Options struct {
	Name string // its common name; empty: "mqtthil bench CA"
	RSA  bool   // keys of RSA with 2048 bits instead of ECDSA with P-256, for boards whose TLS was built without that
}

// Authority issues certificates. All methods may be called from any goroutine.
type Authority struct {
	certificate *x509.Certificate
	chain       [][]byte // its own certificate and those above, without the root, as a server has to send them
	key         crypto.Signer
	useRSA      bool
}

// New makes an authority that is its own root.
func New(options Options) (*Authority, error) {
	if options.Name == "" {
		options.Name = "mqtthil bench CA"
	}
	key, err := newKey(options.RSA)
	if err != nil {
		return nil, fmt.Errorf("authority %q: %w", options.Name, err)
	}
	a := &Authority{key: key, useRSA: options.RSA}
	if a.certificate, err = a.sign(authorityTemplate(options.Name), key.Public()); err != nil {
		return nil, fmt.Errorf("authority %q: %w", options.Name, err)
	}
	return a, nil
}

// PEM is the root, which the device has to trust, in PEM.
func (a *Authority) PEM() []byte { return certificatePEM(a.certificate.Raw) }

// Pool holds the root alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Server issues a certificate of a server, for the host names and IP addresses that devices reach it by.
func (a *Authority) Server(names ...string) (tls.Certificate, error) {
	return a.server("", serverTemplate, names)
}

// Client issues a certificate of a device, with the common name that brokers take for its identity.
func (a *Authority) Client(name string) (tls.Certificate, error) {
	certificate, err := a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate of the device %q: %w", name, err)
	}
	return certificate, nil
}

// server issues a certificate of a server; what is wrong with it goes into the error.
func (a *Authority) server(kind string, template func(names []string) *x509.Certificate, names []string) (
	tls.Certificate, error) {
	if len(names) == 0 {
		return tls.Certificate{}, errors.New("certificate of a server without a name: " +
			"give the host name or the IP address that the device connects to")
	}
	certificate, err := a.issue(template(names))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%scertificate of the server %q: %w", kind, names[0], err)
	}
	return certificate, nil
}

func serverTemplate(names []string) *x509.Certificate {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
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

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// issue makes a key and the certificate for it, with the chain to the root behind it.
func (a *Authority) issue(template *x509.Certificate) (tls.Certificate, error) {
	key, err := newKey(a.useRSA)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := a.sign(template, key.Public())
	if err != nil {
		return tls.Certificate{}, err
	}
	chain := append([][]byte{leaf.Raw}, a.chain...)
	return tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// below makes an authority whose certificate this one signs.
func (a *Authority) below(template *x509.Certificate) (*Authority, error) {
	issued, err := a.issue(template)
	if err != nil {
		return nil, err
	}
	return &Authority{
		certificate: issued.Leaf,
		chain:       issued.Certificate,
		key:         issued.PrivateKey.(crypto.Signer),
		useRSA:      a.useRSA,
	}, nil
}

// sign makes a certificate for a key. Without a certificate of its own yet, the authority signs itself.
func (a *Authority) sign(template *x509.Certificate, key crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("serial number: %w", err)
	}
	template.SerialNumber = serial
	if template.NotBefore.IsZero() {
		template.NotBefore = longAgo
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = farAhead
	}
	parent := a.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return x509.ParseCertificate(der)
}

func newKey(useRSA bool) (crypto.Signer, error) {
	if useRSA {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, fmt.Errorf("RSA key: %w", err)
		}
		return key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ECDSA key: %w", err)
	}
	return key, nil
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
