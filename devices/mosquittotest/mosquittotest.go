// Package mosquittotest runs a real broker for tests: Debian's mosquitto.
package mosquittotest

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mqtthil/devices/esptls/esptlstest"
)

// Lookup finds a program. A machine that lacks it skips the test; in a CI (CI=true in the environment) that is a failure,
// for there a test that does not run goes unnoticed.
func Lookup(t testing.TB, program, debianPackage string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil { // where Debian has its daemons, and a user's PATH does not lead
		path, err = exec.LookPath(filepath.Join("/usr/sbin", program))
	}
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not on the PATH, and CI=true makes that a failure: install Debian's package %s", program, debianPackage)
	default:
		t.Skipf("%s is not on the PATH: install Debian's package %s to run this test", program, debianPackage)
	}
	return path
}

// Start runs a broker until the test ends. It has one TCP listener on 127.0.0.1, to which the settings belong that are
// given, as lines of mosquitto.conf.
func Start(t testing.TB, settings ...string) (port int) {
	t.Helper()
	program := Lookup(t, "mosquitto", "mosquitto")
	for range 5 { // the port that is free now may be taken by the time that it is used
		if port, ok := try(t, program, settings); ok {
			return port
		}
	}
	t.Fatal("mosquitto does not start")
	return 0
}

func try(t testing.TB, program string, settings []string) (port int, ok bool) {
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
		filepath.Join(folder, "socket"), port, strings.Join(settings, "\n"))
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

// File writes a file for a setting that names one.
func File(t testing.TB, name string, text []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TLS is the settings of a listener with TLS: the authority whose certificates it takes, and its own certificate.
func TLS(t testing.TB, ca *esptlstest.Authority, own tls.Certificate) string {
	t.Helper()
	return "cafile " + File(t, "ca.pem", esptlstest.PEM(ca.Certificate)) +
		"\ncertfile " + File(t, "broker.pem", esptlstest.PEM(own.Leaf)) +
		"\nkeyfile " + File(t, "broker-key.pem", esptlstest.KeyPEM(t, own.PrivateKey))
}

// PSK is the settings of a listener with TLS by a key that client and broker share, in hexadecimal digits.
func PSK(t testing.TB, identity, key string) string {
	t.Helper()
	return "psk_hint bench\npsk_file " + File(t, "psk", []byte(identity+":"+key+"\n"))
}

// The settings of a listener that wants a certificate of its clients, and of one for WebSocket.
const (
	RequireCertificate = "require_certificate true"
	WebSocket          = "protocol websockets"
)

// Password is the settings of a broker that lets in one user alone.
func Password(t testing.TB, username, password string) string {
	t.Helper()
	const iterations = 101
	salt := []byte("twelve bytes") // no other length is one to mosquitto
	hash, err := pbkdf2.Key(sha512.New, password, salt, iterations, sha512.Size)
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s:$7$%d$%s$%s\n", username, iterations, base64.StdEncoding.EncodeToString(salt),
		base64.StdEncoding.EncodeToString(hash))
	return "allow_anonymous false\npassword_file " + File(t, "passwords", []byte(line))
}
