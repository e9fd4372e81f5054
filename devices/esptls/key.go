package esptls

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/ecdsa"
	"crypto/pbkdf2"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// clientCertificate is what the client proves itself with; nil where nothing is set. It takes a certificate and a key,
// or a certificate and a key that cannot be read (ESP-TLS-04).
func clientCertificate(o *Options) (*tls.Certificate, *Error) {
	switch {
	case o.ClientCertificate == nil && o.ClientKey == nil && o.Signer == nil:
		return nil, nil
	case o.ClientCertificate == nil && o.Signer != nil:
		o.log('E', tagMbedTLS, "Client certificate is also required with the DS parameters")
		return nil, &Error{LastError: CodeInvalidState, Err: errors.New("a signer is set, but no client certificate")}
	case o.ClientCertificate == nil, o.ClientKey == nil && o.Signer == nil:
		o.log('E', tagMbedTLS, "You have to provide both clientcert_buf and clientkey_buf for mutual authentication")
		return nil, &Error{LastError: CodeInvalidState,
			Err: errors.New("a client certificate needs a key, and a key a certificate")}
	}
	failed := func(code, stack int, what string, err error) *Error {
		o.log('E', tagMbedTLS, fmt.Sprintf("%s returned -0x%04X", what, stack))
		o.log('E', tagMbedTLS, "Failed to set client pki context")
		return &Error{code, stack, 0, err}
	}
	chain, _ := parseCertificates(o.ClientCertificate)
	if len(chain) == 0 {
		return nil, failed(CodeCertificate, stackInvalidFormat, "mbedtls_x509_crt_parse of public cert",
			errors.New("the client certificate is neither PEM nor DER"))
	}
	own := &tls.Certificate{Leaf: chain[0], PrivateKey: o.Signer}
	for _, certificate := range chain {
		own.Certificate = append(own.Certificate, certificate.Raw)
	}
	if o.Signer == nil {
		key, stack, err := parseKey(o.ClientKey, o.ClientKeyPassword)
		if err != nil {
			return nil, failed(CodeKey, stack, "mbedtls_pk_parse_keyfile", fmt.Errorf("the client key: %w", err))
		}
		own.PrivateKey = key
	}
	return own, nil
}

// parseKey reads a private key in PEM or DER, and in case of error gives mbedTLS's code for it.
func parseKey(data, password []byte) (key crypto.Signer, stack int, err error) {
	der := data
	encrypted := false
	if block := privateKeyBlock(data); block != nil {
		der = block.Bytes
		//lint:ignore SA1019 boards are given such keys, and this only reads them
		if x509.IsEncryptedPEMBlock(block) {
			if len(password) == 0 {
				return nil, stackPasswordRequired, errors.New("it is encrypted and there is no password for it")
			}
			//lint:ignore SA1019 as above
			if der, err = x509.DecryptPEMBlock(block, password); err != nil {
				return nil, stackPasswordMismatch, fmt.Errorf("decrypting it: %w", err)
			}
			encrypted = true
		}
	}
	if sealed, ok := parseEncryptedKey(der); ok {
		if len(password) == 0 {
			return nil, stackPasswordRequired, errors.New("it is encrypted and there is no password for it")
		}
		if der, err = sealed.open(password); err != nil {
			return nil, stackPasswordMismatch, fmt.Errorf("decrypting it: %w", err)
		}
		encrypted = true
	}
	parsed, err := parsePlainKey(der)
	if err != nil {
		if encrypted { // a wrong password can look as if it were right
			return nil, stackPasswordMismatch, fmt.Errorf("decrypting it: %w", err)
		}
		return nil, stackInvalidKey, err
	}
	switch key := parsed.(type) {
	case *rsa.PrivateKey:
		return key, 0, nil
	case *ecdsa.PrivateKey:
		return key, 0, nil
	}
	return nil, stackUnknownKeyAlgorithm, fmt.Errorf("mbedTLS knows no keys of type %T", parsed)
}

// privateKeyBlock finds the private key in PEM text; nil where it is none.
func privateKeyBlock(data []byte) *pem.Block {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			return block
		}
	}
	return nil
}

func parsePlainKey(der []byte) (any, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("it is no private key in PKCS #8, PKCS #1 or SEC 1")
}

// encryptedKey is EncryptedPrivateKeyInfo (RFC 5958).
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// The parameters of PBES2 (RFC 8018).
type pbes2 struct {
	Derivation, Encryption pkix.AlgorithmIdentifier
}

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// hashes are the PRFs of PBKDF2 (HMAC with these), ciphers what the key may be encrypted with, all in CBC mode.
var (
	hashes = map[string]func() hash.Hash{
		"":                    sha1.New, // the default
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.8":  sha256.New224,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
	ciphers = map[string]struct {
		keyLength int
		make      func([]byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)

// mostIterations keeps a hostile key file from costing minutes.
const mostIterations = 1_000_000

func parseEncryptedKey(der []byte) (sealed encryptedKey, ok bool) {
	rest, err := asn1.Unmarshal(der, &sealed)
	return sealed, err == nil && len(rest) == 0
}

func (k encryptedKey) open(password []byte) ([]byte, error) {
	if !k.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("encryption %v is not supported: use PBES2 (openssl pkcs8 -topk8)", k.Algorithm.Algorithm)
	}
	var scheme pbes2
	if _, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, fmt.Errorf("parameters of PBES2: %w", err)
	}
	var derivation pbkdf2Parameters
	if !scheme.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("key derivation %v is not supported: use PBKDF2", scheme.Derivation.Algorithm)
	}
	if _, err := asn1.Unmarshal(scheme.Derivation.Parameters.FullBytes, &derivation); err != nil {
		return nil, fmt.Errorf("parameters of PBKDF2: %w", err)
	}
	newHash, known := hashes[derivation.PRF.Algorithm.String()]
	if !known || derivation.Iterations < 1 || derivation.Iterations > mostIterations {
		return nil, fmt.Errorf("PBKDF2 with %v and %d iterations is not supported",
			derivation.PRF.Algorithm, derivation.Iterations)
	}
	encryption, known := ciphers[scheme.Encryption.Algorithm.String()]
	if !known {
		return nil, fmt.Errorf("cipher %v is not supported: use AES-CBC", scheme.Encryption.Algorithm)
	}
	var vector []byte
	if _, err := asn1.Unmarshal(scheme.Encryption.Parameters.FullBytes, &vector); err != nil {
		return nil, fmt.Errorf("initialization vector: %w", err)
	}
	key, err := pbkdf2.Key(newHash, string(password), derivation.Salt, derivation.Iterations, encryption.keyLength)
	if err != nil {
		return nil, err
	}
	block, err := encryption.make(key)
	if err != nil {
		return nil, err
	}
	size := block.BlockSize()
	if len(vector) != size || len(k.Data) == 0 || len(k.Data)%size != 0 {
		return nil, errors.New("the encrypted data is cut off")
	}
	plain := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, vector).CryptBlocks(plain, k.Data)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > size || !bytes.HasSuffix(plain, bytes.Repeat([]byte{byte(padding)}, padding)) {
		return nil, errors.New("the password is wrong")
	}
	return plain[:len(plain)-padding], nil
}
