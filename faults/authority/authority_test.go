package authority_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mqtthil/devices/mosquittotest"
	"mqtthil/faults/authority"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newAuthority(t testing.TB, options authority.Options) *authority.Authority {
	t.Helper()
	ca, err := authority.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// verify checks a certificate as a client does, at a time.
func verify(ca *authority.Authority, certificate tls.Certificate, name string, at time.Time) error {
	between := x509.NewCertPool()
	for _, der := range certificate.Certificate[1:] {
		above, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(above)
	}
	_, err := certificate.Leaf.Verify(x509.VerifyOptions{
		DNSName: name, Roots: ca.Pool(), Intermediates: between, CurrentTime: at,
	})
	return err
}

func TestServers(t *testing.T) {
	t.Parallel()
	for _, options := range []authority.Options{{}, {Name: "RSA CA", RSA: true}} {
		ca := newAuthority(t, options)
		var wrongName x509.HostnameError
		var unknown x509.UnknownAuthorityError
		for _, c := range []struct {
			name  string
			issue func() (tls.Certificate, error)
			want  func(error) bool
		}{
			{"sound", func() (tls.Certificate, error) { return ca.Server("bench.local", "10.0.0.1") },
				func(err error) bool { return err == nil }},
			{"wrong name", ca.WrongName, func(err error) bool { return errors.As(err, &wrongName) }},
			{"unknown CA", func() (tls.Certificate, error) { return ca.UnknownCA("bench.local") },
				func(err error) bool { return errors.As(err, &unknown) }},
			{"expired", func() (tls.Certificate, error) { return ca.Expired("bench.local") }, isExpired},
			{"not yet valid", func() (tls.Certificate, error) { return ca.NotYetValid("bench.local") }, isExpired},
			{"large chain", func() (tls.Certificate, error) { return ca.LargeChain(20_000, "bench.local") },
				func(err error) bool { return err == nil }},
		} {
			certificate, err := c.issue()
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []time.Time{now, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)} { // a bubble begins then
				if err := verify(ca, certificate, "bench.local", at); !c.want(err) {
					t.Errorf("%s, RSA %t, in %d: %v", c.name, options.RSA, at.Year(), err)
				}
			}
			if _, isRSA := certificate.PrivateKey.(*rsa.PrivateKey); isRSA != options.RSA {
				t.Errorf("%s: the key is a %T", c.name, certificate.PrivateKey)
			}
		}
	}
}

func isExpired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

func TestServerByAddress(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, authority.Options{})
	certificate, err := ca.Server("10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(ca, certificate, "10.0.0.1", now); err != nil {
		t.Error(err)
	}
	if err := verify(ca, certificate, "10.0.0.2", now); err == nil {
		t.Error("another address passes")
	}
	if _, err := ca.Server(); err == nil {
		t.Error("a server without a name passes")
	}
}

func TestLargeChain(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, authority.Options{})
	for _, size := range []int{0, 1000, 17_000, 200_000} {
		certificate, err := ca.LargeChain(size, "bench.local")
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for _, der := range certificate.Certificate {
			sum += len(der)
		}
		if sum < size || sum > size+4000 || len(certificate.Certificate) != 5 {
			t.Errorf("%d bytes in %d certificates, want %d and a little more in 5", sum, len(certificate.Certificate), size)
		}
	}
	for _, size := range []int{-1, 1<<20 + 1} {
		if _, err := ca.LargeChain(size, "bench.local"); err == nil {
			t.Errorf("a chain of %d bytes passes", size)
		}
	}
}

// TestFiles has OpenSSL check the files, where it is there; and crypto/tls in any case.
func TestFiles(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, authority.Options{Name: "bench"})
	device, err := ca.Client("device-1")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "flash")
	if err := ca.WriteFiles(folder, device); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(folder, name) }
	pair, err := tls.LoadX509KeyPair(path(authority.CertificateFile), path(authority.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, isECDSA := pair.PrivateKey.(*ecdsa.PrivateKey); !isECDSA || pair.Leaf.Subject.CommonName != "device-1" {
		t.Errorf("the key is a %T, the name %q", pair.PrivateKey, pair.Leaf.Subject.CommonName)
	}
	if info, err := os.Stat(path(authority.KeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	openssl := mosquittotest.Lookup(t, "openssl", "openssl")
	out, err := exec.Command(openssl, "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile",
		path(authority.CAFile), path(authority.CertificateFile)).CombinedOutput()
	if err != nil {
		t.Errorf("openssl: %v: %s", err, out)
	}
	if err := ca.WriteFiles(filepath.Join(path(authority.CAFile), "below"), device); err == nil {
		t.Error("a folder below a file passes")
	}
}
