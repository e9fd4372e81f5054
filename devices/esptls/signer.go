package esptls

import (
	"crypto"
	"fmt"
	"io"
)

// NewSigner makes of a key in PEM or DER one that cannot be read, as a chip's digital signature peripheral holds it: it
// signs, and nothing else can be had of it.
func NewSigner(key, password []byte) (crypto.Signer, error) {
	parsed, _, err := parseKey(key, password)
	if err != nil {
		return nil, fmt.Errorf("key of the digital signature peripheral: %w", err)
	}
	return peripheral{parsed}, nil
}

type peripheral struct{ key crypto.Signer }

func (p peripheral) Public() crypto.PublicKey { return p.key.Public() }

func (p peripheral) Sign(random io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	return p.key.Sign(random, digest, options)
}
