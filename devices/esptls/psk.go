package esptls

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
	"syscall"
)

// ErrNoStunnel is why a pre-shared key cannot be used: the program that knows such cipher suites is not there.
var ErrNoStunnel = errors.New("TLS with a pre-shared key needs stunnel, which is not on the PATH: " +
	"install Debian's package stunnel4")

// leastKey is how short a key may be for stunnel, in bytes.
const leastKey = 16

// pskConn is a connection through stunnel, which runs as a process with one end of a socket pair as its input and
// output. It reaches the server through conn: what it sends and receives is carried between conn and a Unix socket that
// it takes for the server. So the TLS stays on the connection that was given, with all that happens to that.
type pskConn struct {
	net.Conn          // our end of the socket pair
	below    net.Conn // to the server
	stop     func()
	stopped  sync.Once
}

func dialPSK(ctx context.Context, conn net.Conn, name string, o *Options) (net.Conn, *Error) {
	c, err := startPSK(ctx, conn, name, o.PSK)
	var refused *refusal
	switch {
	case err == nil:
		return c, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, &Error{Err: err}
	case ctx.Err() != nil:
		return nil, &Error{LastError: CodeTimeout, Err: err}
	case errors.As(err, &refused):
		code := stackConnectionEOF
		if refused.alert {
			code = stackFatalAlert
		}
		o.log('E', tagMbedTLS, fmt.Sprintf("mbedtls_ssl_handshake returned -0x%04X", code))
		return nil, &Error{CodeHandshake, code, 0, err}
	}
	return nil, &Error{LastError: CodePSK, Err: err}
}

// refusal is a handshake that did not come about, with what stunnel said last.
type refusal struct {
	alert bool
	text  string
}

func (r *refusal) Error() string {
	return "TLS handshake with a pre-shared key failed; stunnel says: " + r.text
}

func startPSK(ctx context.Context, conn net.Conn, name string, psk *PSK) (_ *pskConn, err error) {
	program, err := exec.LookPath("stunnel")
	if err != nil {
		return nil, ErrNoStunnel
	}
	if len(psk.Key) < leastKey {
		return nil, fmt.Errorf("a pre-shared key of %d bytes: stunnel takes none shorter than %d", len(psk.Key), leastKey)
	}
	if psk.Hint == "" || strings.ContainsAny(psk.Hint, ":\r\n") || strings.TrimSpace(psk.Hint) != psk.Hint {
		return nil, fmt.Errorf("pre-shared key's hint %q: stunnel takes no empty one, no colons, no space around it",
			psk.Hint)
	}
	if strings.ContainsAny(name, "\r\n") {
		return nil, fmt.Errorf("server name %q has a line break", name)
	}

	// Undo in reverse order whatever was begun, unless all goes well.
	var undo []func()
	stop := func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()

	folder, err := os.MkdirTemp("", "psk")
	if err != nil {
		return nil, fmt.Errorf("folder for stunnel: %w", err)
	}
	undo = append(undo, func() { _ = os.RemoveAll(folder) })
	secrets, settings := filepath.Join(folder, "psk"), filepath.Join(folder, "conf")
	door := filepath.Join(folder, "server")
	if err := os.WriteFile(secrets, []byte(psk.Hint+":"+hex.EncodeToString(psk.Key)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("key file for stunnel: %w", err)
	}
	configuration := strings.Join([]string{
		"client = yes", "foreground = yes", "syslog = no", "debug = info", "sslVersion = TLSv1.2", "ciphers = PSK",
		"connect = " + door, "sni = " + name, "PSKsecrets = " + secrets, "PSKidentity = " + psk.Hint,
		"TIMEOUTclose = 0", "",
	}, "\n")
	if err := os.WriteFile(settings, []byte(configuration), 0o600); err != nil {
		return nil, fmt.Errorf("configuration for stunnel: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: door, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket for stunnel: %w", err)
	}
	undo = append(undo, func() { _ = listener.Close() })

	ours, theirs, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("socket pair for stunnel: %w", err)
	}
	undo = append(undo, func() { _ = ours.Close() })
	said, saying, err := os.Pipe()
	if err != nil {
		_ = theirs.Close()
		return nil, fmt.Errorf("pipe for stunnel's log: %w", err)
	}
	process := exec.Command(program, settings)
	process.Stdin, process.Stdout, process.Stderr = theirs, theirs, saying
	err = process.Start()
	_ = theirs.Close()
	_ = saying.Close()
	if err != nil {
		_ = said.Close()
		return nil, fmt.Errorf("starting stunnel: %w", err)
	}
	var running sync.WaitGroup
	undo = append(undo, func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		running.Wait()
	})

	// What stunnel says tells how the handshake went. Its log ends with it.
	outcome := make(chan error, 1)
	running.Go(func() {
		defer said.Close()
		outcome <- handshakeOutcome(said)
		_, _ = io.Copy(io.Discard, said)
	})
	running.Go(func() { carry(listener, conn) })
	undo = append(undo, func() {
		_ = listener.Close()
		_ = conn.Close()
	})

	select {
	case err := <-outcome:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, fmt.Errorf("TLS handshake with a pre-shared key: %w", ctx.Err())
	}
	return &pskConn{Conn: ours, below: conn, stop: stop}, nil
}

// socketPair makes two sockets that are connected to each other, one for this program and one to hand to another.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(pair[0]), "to stunnel")
	defer file.Close()
	theirs = os.NewFile(uintptr(pair[1]), "from stunnel")
	if ours, err = net.FileConn(file); err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// handshakeOutcome reads stunnel's log until it tells how the handshake went.
func handshakeOutcome(log io.Reader) error {
	failed := &refusal{text: "nothing"}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		_, text, ok := strings.Cut(lines.Text(), "]: ")
		if !ok {
			text = lines.Text()
		}
		switch lower := strings.ToLower(text); {
		case strings.HasPrefix(text, "TLS connected"):
			return nil
		case strings.Contains(lower, "alert"):
			failed.alert = true
			failed.text = text
		case strings.Contains(lower, "error"), strings.Contains(lower, "failed"), strings.Contains(lower, "closed"):
			if !failed.alert {
				failed.text = text
			}
		}
	}
	return failed
}

// carry takes stunnel's connection to the server and moves bytes both ways until either ends.
func carry(listener *net.UnixListener, conn net.Conn) {
	inside, err := listener.Accept()
	if err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { // the server's end of stream is stunnel's; what stunnel still sends goes on
		_, _ = io.Copy(inside, conn)
		if half, ok := inside.(*net.UnixConn); ok {
			_ = half.CloseWrite()
		}
	})
	both.Go(func() {
		_, _ = io.Copy(conn, inside)
		_ = conn.Close() // stunnel is gone
	})
	both.Wait()
	_ = inside.Close()
}

// Read gives what stunnel has decrypted. Why stunnel has ended is not to be known from it: that is the end.
func (c *pskConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// Close closes the connection to the server first, so that no close_notify reaches it, then ends stunnel.
func (c *pskConn) Close() error {
	err := c.below.Close()
	c.stopped.Do(c.stop)
	return err
}

// SetLinger chooses how Close ends the connection to the server.
func (c *pskConn) SetLinger(seconds int) error { return setLinger(c.below, seconds) }

// LocalAddr is that of the connection to the server.
func (c *pskConn) LocalAddr() net.Addr { return c.below.LocalAddr() }

// RemoteAddr is the server's.
func (c *pskConn) RemoteAddr() net.Addr { return c.below.RemoteAddr() }
