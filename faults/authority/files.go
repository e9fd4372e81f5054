package authority

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
)

// The files that WriteFiles makes.
const (
	CAFile          = "ca.pem"
	CertificateFile = "client.pem"
	KeyFile         = "client-key.pem" // PKCS #8, not encrypted
)

// WriteCA writes the root to trust into a folder, which it makes where it is missing.
func (a *Authority) WriteCA(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("folder for the bench's certificate: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, CAFile), a.PEM(), 0o644); err != nil {
		return fmt.Errorf("writing the bench's certificate: %w", err)
	}
	return nil
}

// WriteFiles writes what a board is flashed with into a folder, which it makes where it is missing: the root to trust,
// and the device's certificate and key. Only the owner can read the key.
func (a *Authority) WriteFiles(folder string, client tls.Certificate) error {
	var certificates []byte
	for _, der := range client.Certificate {
		certificates = append(certificates, certificatePEM(der)...)
	}
	key, err := KeyPEM(client)
	if err != nil {
		return err
	}
	if err := a.WriteCA(folder); err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		text []byte
		mode os.FileMode
	}{
		{CertificateFile, certificates, 0o644},
		{KeyFile, key, 0o600},
	} {
		if err := os.WriteFile(filepath.Join(folder, file.name), file.text, file.mode); err != nil {
			return fmt.Errorf("writing the device's certificates: %w", err)
		}
	}
	return nil
}

// KeyPEM is a certificate's key in PEM, as PKCS #8.
func KeyPEM(certificate tls.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("writing the key in PEM: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
