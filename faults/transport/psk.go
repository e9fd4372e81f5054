package transport

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// ErrNoStunnel is why TLS with a pre-shared key cannot be had: the program that knows such cipher suites is not there.
var ErrNoStunnel = errors.New("TLS with a pre-shared key needs stunnel, which is not on the PATH: " +
	"install Debian's package stunnel4")

// leastKey is how short a key may be for stunnel, in bytes.
const leastKey = 16

// PSK is a key that the device and the bench share.
type PSK struct {
	Identity string // ESP-IDF calls it the hint
	Key      []byte // 16 bytes or more
}

// Check says what stunnel would not take.
func (p PSK) Check() error {
	switch {
	case len(p.Key) < leastKey:
		return fmt.Errorf("pre-shared key of %d bytes: stunnel takes none shorter than %d", len(p.Key), leastKey)
	case p.Identity == "", strings.ContainsAny(p.Identity, ":\r\n"), strings.TrimSpace(p.Identity) != p.Identity:
		return fmt.Errorf("identity %q of a pre-shared key: stunnel takes no empty one, no colons, no space around it",
			p.Identity)
	}
	return nil
}

// Stunnel terminates TLS 1.2 with a pre-shared key in front of the proxy, since crypto/tls knows no such cipher suites. It
// is a process of the program of that name. It works in real time only, and the faults of a Front do not reach its
// handshake. When one side of a connection ends, stunnel ends the other, by FIN or RST as it sees fit: there is no
// half-close.
type Stunnel struct {
	address net.Addr
	process *exec.Cmd
	folder  string
	gone    chan struct{} // the process has ended, and its log was read
	once    sync.Once
}

// StartStunnel has stunnel listen on an address, where port 0 chooses a free one, and connect to the address of the
// proxy, which is plain TCP. It returns when devices can connect. Ctx bounds the start alone.
func StartStunnel(ctx context.Context, listen, proxy string, keys ...PSK) (_ *Stunnel, err error) {
	program, err := exec.LookPath("stunnel")
	if err != nil {
		return nil, ErrNoStunnel
	}
	if len(keys) == 0 {
		return nil, errors.New("stunnel without a pre-shared key: give an identity and its key")
	}
	var secrets strings.Builder
	for _, key := range keys {
		if err := key.Check(); err != nil {
			return nil, err
		}
		fmt.Fprintf(&secrets, "%s:%s\n", key.Identity, hex.EncodeToString(key.Key))
	}
	if _, _, err := net.SplitHostPort(proxy); err != nil || strings.ContainsAny(proxy, "\r\n") {
		return nil, fmt.Errorf("address of the proxy %q: it has to be host:port", proxy)
	}

	// The socket is made here and handed over, by the protocol of systemd's socket activation. So the system can pick the
	// port, and nobody else can take it in between.
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listening for stunnel: %w", err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, fmt.Errorf("listening for stunnel: %w", err)
	}
	defer socket.Close()

	s := &Stunnel{address: listener.Addr(), gone: make(chan struct{})}
	if s.folder, err = os.MkdirTemp("", "psk"); err != nil {
		return nil, fmt.Errorf("folder for stunnel: %w", err)
	}
	log, err := s.start(program, socket, proxy, secrets.String())
	if err != nil {
		_ = os.RemoveAll(s.folder)
		return nil, err
	}
	ready := make(chan error, 1)
	go func() {
		defer close(s.gone)
		ready <- s.awaitReady(log)
		_, _ = io.Copy(io.Discard, log)
		_ = s.process.Wait()
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = fmt.Errorf("starting stunnel: %w", ctx.Err())
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// start starts the process and returns its log.
func (s *Stunnel) start(program string, socket *os.File, proxy, secrets string) (io.Reader, error) {
	secretsFile, settingsFile := filepath.Join(s.folder, "psk"), filepath.Join(s.folder, "conf")
	if err := os.WriteFile(secretsFile, []byte(secrets), 0o600); err != nil {
		return nil, fmt.Errorf("key file for stunnel: %w", err)
	}
	settings := strings.Join([]string{
		"foreground = yes", "syslog = no", "pid =", "debug = info",
		"socket = l:TCP_NODELAY=1", "socket = r:TCP_NODELAY=1",
		"[psk]", "accept = 127.0.0.1:0", "connect = " + proxy, "PSKsecrets = " + secretsFile, "sslVersion = TLSv1.2",
		// Without those of finite-field Diffie-Hellman, for which stunnel would look for large primes as long as it runs.
		"ciphers = PSK:!kDHEPSK:!kRSAPSK", "TIMEOUTclose = 0", "",
	}, "\n")
	if err := os.WriteFile(settingsFile, []byte(settings), 0o600); err != nil {
		return nil, fmt.Errorf("configuration for stunnel: %w", err)
	}
	// The number of the process has to be in its environment, which only the process itself can say.
	s.process = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$1"`, program, settingsFile)
	s.process.Env = append(os.Environ(), "LISTEN_FDS=1")
	s.process.ExtraFiles = []*os.File{socket}
	log, err := s.process.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("stunnel's log: %w", err)
	}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("starting stunnel: %w", err)
	}
	return log, nil
}

// awaitReady reads stunnel's log until it listens.
func (s *Stunnel) awaitReady(log io.Reader) error {
	_, port, _ := net.SplitHostPort(s.address.String())
	said := "nothing"
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		line := lines.Text()
		if _, address, bound := strings.Cut(line, " bound to "); bound {
			if !strings.HasSuffix(address, ":"+port) {
				return fmt.Errorf("stunnel listens on %s instead of %s: it was built without systemd's socket activation, "+
					"which Debian's package stunnel4 has", address, s.address)
			}
			return nil
		}
		if _, text, isError := strings.Cut(line, "LOG3[ui]: "); isError {
			said = text
		} else if text, isError := strings.CutPrefix(line, "[!] "); isError {
			said = text
		}
	}
	return fmt.Errorf("stunnel has ended at its start; it says: %s", said)
}

// Addr is what devices connect to.
func (s *Stunnel) Addr() net.Addr { return s.address }

// Close ends stunnel, and with it its connections.
func (s *Stunnel) Close() error {
	s.once.Do(func() {
		_ = s.process.Process.Kill()
		<-s.gone
		_ = os.RemoveAll(s.folder)
	})
	return nil
}
