package esptransport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lookup finds a program, in the folders of daemons too, or skips the test.
func lookup(t *testing.T, program, packageName string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not on the PATH: install Debian's package %s to run this test", program, packageName)
	}
	return path
}

// mosquitto starts a broker with one listener, whose settings are given, and gives its port.
func mosquitto(t *testing.T, settings string) (port int) {
	t.Helper()
	program := lookup(t, "mosquitto", "mosquitto")
	for range 5 { // the port that is free now may be taken by the time that it is used
		port, ok := tryMosquitto(t, program, settings)
		if ok {
			return port
		}
	}
	t.Fatal("mosquitto does not start")
	return 0
}

func tryMosquitto(t *testing.T, program, settings string) (port int, ok bool) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()

	folder, err := os.MkdirTemp("", "mosquitto") // a test's own folder can have too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	configuration := filepath.Join(folder, "mosquitto.conf")
	// The first listener is there because mosquitto 2.0 does not start with WebSocket listeners alone.
	text := fmt.Sprintf("user root\nallow_anonymous true\nlistener 0 %s\nlistener %d 127.0.0.1\n%s\n",
		filepath.Join(folder, "socket"), port, settings)
	if err := os.WriteFile(configuration, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(program, "-v", "-c", configuration)
	log, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	var output strings.Builder
	ready, gone := make(chan bool, 2), make(chan struct{})
	go func() {
		defer close(gone)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			output.WriteString(lines.Text() + "\n")
			if strings.HasSuffix(lines.Text(), " running") {
				ready <- true
			}
		}
		_ = process.Wait()
		ready <- false
	}()
	t.Cleanup(func() {
		_ = process.Process.Kill()
		<-gone
		if t.Failed() {
			t.Logf("mosquitto says:\n%s", output.String())
		}
	})
	return port, <-ready
}

// pemFile writes text to a file for mosquitto.
func pemFile(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var deviceTemplate = x509.Certificate{Subject: pkix.Name{CommonName: "device"}}

func TestMosquitto(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "bench CA")
	broker := ca.server(named("localhost", "127.0.0.1"))
	caFile := pemFile(t, "ca.pem", inPEM(ca.certificate))
	tlsSettings := "cafile " + caFile + "\ncertfile " + pemFile(t, "broker.pem", inPEM(broker.Leaf)) +
		"\nkeyfile " + pemFile(t, "broker-key.pem", keyInPEM(t, broker.PrivateKey)) + "\n"
	key, _, err := parseKey(readKey(t, "pbes2-aes256-sha256"), []byte("bench"))
	if err != nil {
		t.Fatal(err)
	}
	trusting := TLSOptions{CA: inPEM(ca.certificate)}
	proving := trusting
	proving.ClientCertificate = inPEM(ca.sign(&deviceTemplate, key.Public()))
	proving.ClientKey, proving.ClientKeyPassword = readKey(t, "pbes2-aes256-sha256"), []byte("bench")
	signing := trusting
	signing.ClientCertificate, signing.Signer = proving.ClientCertificate, signer{key}
	secret := bytes.Repeat([]byte{0x5a}, 16)
	pskSettings := "psk_hint bench\npsk_file " + pemFile(t, "psk", []byte("device:"+hex.EncodeToString(secret)+"\n"))
	sharing := TLSOptions{PSK: &PSK{Hint: "device", Key: secret}}
	mistaken := TLSOptions{PSK: &PSK{Hint: "device", Key: bytes.Repeat([]byte{1}, 16)}}
	unknown := TLSOptions{PSK: &PSK{Hint: "nobody", Key: secret}}

	for _, c := range []struct {
		name      string
		settings  string
		host      string
		tls       *TLSOptions
		webSocket bool
		want      Error // zero: it works
	}{
		{name: "tls", settings: tlsSettings, tls: &trusting},
		{name: "tls, by address", settings: tlsSettings, host: "127.0.0.1", tls: &trusting},
		{name: "tls, another name", settings: tlsSettings, host: "elsewhere", tls: &trusting,
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNameMismatch}},
		{name: "mutual tls", settings: tlsSettings + "require_certificate true", tls: &proving},
		{name: "mutual tls with a hidden key", settings: tlsSettings + "require_certificate true", tls: &signing},
		{name: "mutual tls, nothing to prove with", settings: tlsSettings + "require_certificate true", tls: &trusting,
			want: Error{LastError: 0x801A, StackError: 0x7780}},
		{name: "ws", settings: "protocol websockets", webSocket: true},
		{name: "wss", settings: "protocol websockets\n" + tlsSettings, tls: &trusting, webSocket: true},
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
				lookup(t, "stunnel", "stunnel4")
			}
			if c.host == "" {
				c.host = "localhost"
			}
			port := mosquitto(t, c.settings)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			if c.tls != nil {
				conn, err = DialTLS(ctx, conn, c.host, *c.tls)
			}
			if c.webSocket && err == nil {
				conn, err = DialWebSocket(ctx, conn, c.host, port, "/mqtt",
					WebSocketOptions{Random: seeded(), Timeout: 30 * time.Second})
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
	_, err := DialTLS(t.Context(), below, "broker", TLSOptions{PSK: &PSK{Hint: "device", Key: make([]byte, 16)}})
	if !errors.Is(err, ErrNoStunnel) {
		t.Errorf("got %v", err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the server reads %v, want the end", err)
	}
}

func TestPSKThatStunnelCannotTake(t *testing.T) {
	t.Parallel()
	lookup(t, "stunnel", "stunnel4")
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
		_, err := DialTLS(t.Context(), below, "broker", TLSOptions{PSK: &c.psk})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.psk.Hint, err)
		}
	}
}

func TestPSKHandshakeThatStalls(t *testing.T) {
	t.Parallel()
	lookup(t, "stunnel", "stunnel4")
	below, server := pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := DialTLS(ctx, below, "broker", TLSOptions{PSK: &PSK{Hint: "device", Key: make([]byte, 16)}})
	var own *Error
	if !errors.As(err, &own) || own.LastError != 0x8006 {
		t.Errorf("got %v, want 0x8006", err)
	}
	if _, err := io.ReadAll(server); err != nil {
		t.Errorf("the server reads %v", err)
	}
}
