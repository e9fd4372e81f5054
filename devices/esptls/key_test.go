package esptls

import (
	"crypto/ecdsa"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// The keys in testdata are one key in several wrappings, made for these tests by OpenSSL; their password is "bench".
func readKey(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestKeyInEveryWrapping(t *testing.T) {
	t.Parallel()
	reference, _, err := parseKey(readKey(t, "plain-sec1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain-pkcs8", "pbes2-aes256-sha256", "pbes2-aes192-sha384", "pbes2-aes128-sha1",
		"pbes2-3des-sha512", "legacy-aes128", "legacy-3des"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, _, err := parseKey(readKey(t, name), []byte("bench"))
			if err != nil {
				t.Fatal(err)
			}
			if !reference.(*ecdsa.PrivateKey).Equal(key) {
				t.Error("another key came out")
			}
		})
	}
	for _, name := range []string{"plain-sec1", "plain-pkcs8", "pbes2-aes256-sha256"} {
		block, _ := pem.Decode(readKey(t, name))
		if key, _, err := parseKey(block.Bytes, []byte("bench")); err != nil || !reference.(*ecdsa.PrivateKey).Equal(key) {
			t.Errorf("%s in DER: %v", name, err)
		}
	}
}

func TestKeyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		data     []byte
		password string
		stack    int
	}{
		{"PKCS #8 without a password", readKey(t, "pbes2-aes256-sha256"), "", stackPasswordRequired},
		{"PKCS #8 with a wrong one", readKey(t, "pbes2-aes256-sha256"), "wrong", stackPasswordMismatch},
		{"legacy without a password", readKey(t, "legacy-aes128"), "", stackPasswordRequired},
		{"legacy with a wrong one", readKey(t, "legacy-aes128"), "wrong", stackPasswordMismatch},
		{"no key", []byte("hello"), "", stackInvalidKey},
		{"a kind that mbedTLS has not", readKey(t, "ed25519"), "", stackUnknownKeyAlgorithm},
	} {
		if _, stack, err := parseKey(c.data, []byte(c.password)); err == nil || stack != c.stack {
			t.Errorf("%s: 0x%04X, %v; want 0x%04X and an error", c.name, stack, err, c.stack)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, name := range []string{"plain-sec1", "plain-pkcs8", "pbes2-aes128-sha1", "legacy-3des"} {
		data := readKey(f, name)
		f.Add(data)
		block, _ := pem.Decode(data)
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		key, stack, err := parseKey(data, []byte("bench"))
		if (key == nil) == (err == nil) || (stack == 0) != (err == nil) {
			t.Fatalf("key %v, code 0x%X, error %v", key, stack, err)
		}
		_, _ = parseCertificates(data)
	})
}
