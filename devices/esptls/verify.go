package esptls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"slices"
	"strings"
	"time"
)

// verifier judges a server's certificate as mbedTLS does in ESP-IDF's build. That differs from crypto/x509 in what
// servers for boards rely on: dates count only where the build has them, the common name counts where the certificate
// has no alternative names, and a self-signed server certificate may itself be what is trusted.
type verifier struct {
	trusted []*x509.Certificate
	bundle  bool           // trust pool instead
	pool    *x509.CertPool // nil: the roots of this machine
	name    string         // empty: not checked
	dates   bool
}

// judge gives what is wrong with the server's certificate, as mbedTLS's flags.
func (v *verifier) judge(state tls.ConnectionState) (flags int) {
	leaf := state.PeerCertificates[0]
	chain := v.chain(state.PeerCertificates)
	if chain == nil {
		flags |= FlagNotTrusted
		chain = []*x509.Certificate{leaf}
	}
	for _, certificate := range chain {
		switch now := time.Now(); {
		case !v.dates:
		case now.After(certificate.NotAfter):
			flags |= FlagExpired
		case now.Before(certificate.NotBefore):
			flags |= FlagFuture
		}
	}
	if v.name != "" && !matches(leaf, v.name) {
		flags |= FlagNameMismatch
	}
	needed := x509.KeyUsageDigitalSignature
	if strings.HasPrefix(tls.CipherSuiteName(state.CipherSuite), "TLS_RSA_") {
		needed = x509.KeyUsageKeyEncipherment
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&needed == 0 {
		flags |= FlagKeyUsage
	}
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		flags |= FlagExtendedKeyUsage
	}
	return flags
}

// chain leads from the server's certificate to one that is trusted, whatever the date; nil where there is none.
func (v *verifier) chain(presented []*x509.Certificate) []*x509.Certificate {
	leaf := presented[0]
	selfIssued := bytes.Equal(leaf.RawSubject, leaf.RawIssuer)
	options := x509.VerifyOptions{
		Roots:         v.pool,
		Intermediates: x509.NewCertPool(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, certificate := range presented[1:] {
		options.Intermediates.AddCert(certificate)
	}
	if !v.bundle {
		options.Roots = x509.NewCertPool()
		for _, certificate := range v.trusted {
			if selfIssued || !certificate.Equal(leaf) { // a server's certificate is trusted for itself if it is self-signed
				options.Roots.AddCert(certificate)
			}
		}
	}
	// x509 must be given a date. A chain that holds at any time holds when the youngest of its certificates begins.
	for _, certificate := range slices.Concat(presented, v.trusted) {
		for _, options.CurrentTime = range []time.Time{certificate.NotBefore, certificate.NotAfter} {
			chains, err := leaf.Verify(options)
			if err != nil {
				continue
			}
			for _, chain := range chains {
				if root := chain[len(chain)-1]; len(chain) == 1 || root.IsCA || root.Version < 3 {
					return chain
				}
			}
		}
	}
	return nil
}

var oidSubjectAlternativeName = asn1.ObjectIdentifier{2, 5, 29, 17}

// matches says whether a certificate is for a host of that name. The common name counts only where there are no
// alternative names.
func matches(certificate *x509.Certificate, name string) bool {
	for _, extension := range certificate.Extensions {
		if extension.Id.Equal(oidSubjectAlternativeName) {
			address := net.ParseIP(name)
			return slices.ContainsFunc(certificate.DNSNames, func(pattern string) bool { return fits(pattern, name) }) ||
				address != nil && slices.ContainsFunc(certificate.IPAddresses, address.Equal)
		}
	}
	return fits(certificate.Subject.CommonName, name)
}

// fits compares a host's name to one of a certificate, whose first label may be a star.
func fits(pattern, name string) bool {
	if strings.EqualFold(pattern, name) {
		return true
	}
	rest, wild := strings.CutPrefix(pattern, "*.")
	label, domain, dotted := strings.Cut(name, ".")
	return wild && dotted && label != "" && strings.EqualFold(rest, domain)
}

// parseCertificates reads certificates in PEM, or one in DER. Those that cannot be read are counted.
func parseCertificates(data []byte) (certificates []*x509.Certificate, failed int) {
	if !bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
		if certificate, err := x509.ParseCertificate(data); err == nil {
			return []*x509.Certificate{certificate}, 0
		}
		return nil, 1
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, certificate)
		} else {
			failed++
		}
	}
	return certificates, failed
}

// describe says in words what flags hold against a certificate.
func describe(flags int) string {
	var words []string
	for _, reason := range []struct {
		flag int
		text string
	}{
		{FlagExpired, "it has expired"},
		{FlagFuture, "it is not valid yet"},
		{FlagNameMismatch, "it is for another name"},
		{FlagNotTrusted, "no trusted authority has signed it"},
		{FlagKeyUsage, "its key is not for this use"},
		{FlagExtendedKeyUsage, "it is not for servers"},
	} {
		if flags&reason.flag != 0 {
			words = append(words, reason.text)
		}
	}
	return strings.Join(words, ", ")
}
