package esptls

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mqtthil/devices/esptls/esptlstest"
	"mqtthil/devices/mosquittotest"
)

func TestMosquitto(t *testing.T) {
	t.Parallel()
	ca := esptlstest.NewAuthority(t, "bench CA")
	broker := ca.Server(esptlstest.Named("localhost", "127.0.0.1"))
	tlsSettings := mosquittotest.TLS(t, ca, broker) + "\n"
	hidden, err := NewSigner(readKey(t, "pbes2-aes256-sha256"), []byte("bench"))
	if err != nil {
		t.Fatal(err)
	}
	trusting := Options{CA: esptlstest.PEM(ca.Certificate)}
	proving := trusting
	proving.ClientCertificate = esptlstest.PEM(ca.Sign(esptlstest.Device(), hidden.Public()))
	proving.ClientKey, proving.ClientKeyPassword = readKey(t, "pbes2-aes256-sha256"), []byte("bench")
	signing := trusting
	signing.ClientCertificate, signing.Signer = proving.ClientCertificate, hidden
	secret := bytes.Repeat([]byte{0x5a}, 16)
	pskSettings := mosquittotest.PSK(t, "device", hex.EncodeToString(secret))
	sharing := Options{PSK: &PSK{Hint: "device", Key: secret}}
	mistaken := Options{PSK: &PSK{Hint: "device", Key: bytes.Repeat([]byte{1}, 16)}}
	unknown := Options{PSK: &PSK{Hint: "nobody", Key: secret}}

	for _, c := range []struct {
		name     string
		settings string
		host     string
		tls      *Options
		want     Error // zero: it works
	}{
		{name: "tls", settings: tlsSettings, tls: &trusting},
		{name: "tls, by address", settings: tlsSettings, host: "127.0.0.1", tls: &trusting},
		{name: "tls, another name", settings: tlsSettings, host: "elsewhere", tls: &trusting,
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNameMismatch}},
		{name: "mutual tls", settings: tlsSettings + mosquittotest.RequireCertificate, tls: &proving},
		{name: "mutual tls with a hidden key", settings: tlsSettings + mosquittotest.RequireCertificate, tls: &signing},
		{name: "mutual tls, nothing to prove with", settings: tlsSettings + mosquittotest.RequireCertificate, tls: &trusting,
			want: Error{LastError: 0x801A, StackError: 0x7780}},
		{name: "psk", settings: pskSettings, tls: &sharing},
		{name: "psk, wrong key", settings: pskSettings, tls: &mistaken, want: Error{LastError: 0x801A, StackError: 0x7780}},
		{name: "psk, unknown identity", settings: pskSettings, tls: &unknown,
			want: Error{LastError: 0x801A, StackError: 0x7780}},
		{name: "psk, and the server has certificates", settings: tlsSettings, tls: &sharing,
			want: Error{LastError: 0x801A, StackError: 0x7780}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.tls != nil && c.tls.PSK != nil {
				mosquittotest.Lookup(t, "stunnel", "stunnel4")
			}
			if c.host == "" {
				c.host = "localhost"
			}
			port := mosquittotest.Start(t, c.settings)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			if c.tls != nil {
				conn, err = Connect(ctx, conn, c.host, *c.tls)
			}
			var own *Error
			if c.want != (Error{}) {
				if !errors.As(err, &own) || own.LastError != c.want.LastError || own.StackError != c.want.StackError ||
					own.CertificateFlags != c.want.CertificateFlags {
					t.Fatalf("got %v, want %#x", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			connect, _ := hex.DecodeString("101800044d51545404020078000c45535033325f313233343536")
			exchange(t, conn, connect, []byte{0x20, 2, 0, 0})
			exchange(t, conn, []byte{0x82, 6, 0, 1, 0, 1, 'a', 0}, []byte{0x90, 3, 0, 1, 0})
			large := append([]byte{0x30, 0xf3, 0x4e, 0, 1, 'a'}, bytes.Repeat([]byte{'x'}, 10096)...)
			exchange(t, conn, large, large) // more than two records
			_, _ = conn.Write([]byte{0xe0, 0})
			if n, err := conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("after DISCONNECT: %d bytes", n)
			}
		})
	}
}

// exchange writes and checks what comes back.
func exchange(t *testing.T, conn net.Conn, out, want []byte) {
	t.Helper()
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes back, error %v; want %d", len(got), err, len(want))
	}
}

func TestPSKWithoutStunnel(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	below, server := pair(t)
	_, err := Connect(t.Context(), below, "broker", Options{PSK: &PSK{Hint: "device", Key: make([]byte, 16)}})
	if !errors.Is(err, ErrNoStunnel) {
		t.Errorf("got %v", err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the server reads %v, want the end", err)
	}
}

func TestPSKThatStunnelCannotTake(t *testing.T) {
	t.Parallel()
	mosquittotest.Lookup(t, "stunnel", "stunnel4")
	for _, c := range []struct {
		psk  PSK
		want string
	}{
		{PSK{"device", make([]byte, 15)}, "none shorter than 16"},
		{PSK{"de:vice", make([]byte, 16)}, "no colons"},
		{PSK{"device\nconnect = elsewhere", make([]byte, 16)}, "hint"},
		{PSK{"", make([]byte, 16)}, "no empty one"},
	} {
		below, _ := pair(t)
		_, err := Connect(t.Context(), below, "broker", Options{PSK: &c.psk})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.psk.Hint, err)
		}
	}
}

func TestPSKHandshakeThatStalls(t *testing.T) {
	t.Parallel()
	mosquittotest.Lookup(t, "stunnel", "stunnel4")
	below, server := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Connect(ctx, below, "broker", Options{PSK: &PSK{Hint: "device", Key: make([]byte, 16)}})
	var own *Error
	if !errors.As(err, &own) || own.LastError != 0x8006 {
		t.Errorf("got %v, want 0x8006", err)
	}
	if _, err := io.ReadAll(server); err != nil {
		t.Errorf("the server reads %v", err)
	}
}
