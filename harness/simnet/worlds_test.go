package simnet

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// stream is what *Conn and *net.TCPConn have in common; the tests of TCP's manners know no more of either.
type stream interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

var (
	_ stream = (*Conn)(nil)
	_ stream = (*net.TCPConn)(nil)
)

// world is a way to run one test of TCP's manners: on TCP itself, and on its likeness in real and in virtual time.
type world struct {
	name   string
	host   string
	listen func(address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

func tcp() *world {
	return &world{name: "tcp", host: "127.0.0.1",
		listen: func(address string) (net.Listener, error) { return net.Listen("tcp", address) },
		dial:   new(net.Dialer).DialContext,
	}
}

func simulated(name string) *world {
	n := New()
	return &world{name: name, host: "broker", listen: n.Listen, dial: n.DialContext}
}

// inEachWorld runs one test in every world. It must not take long, which in virtual time is exact: a wait that nobody
// ended but its deadline shows.
func inEachWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	run := func(t *testing.T, w *world) {
		began := time.Now()
		test(t, w)
		if took := time.Since(began); took >= patience {
			t.Errorf("took %v: something that waited was not woken", took)
		}
	}
	t.Run("tcp", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("simnet behaves as TCP on Linux; other systems differ in what an RST leaves to read")
		}
		t.Parallel()
		run(t, tcp())
	})
	t.Run("simnet", func(t *testing.T) {
		t.Parallel()
		run(t, simulated("simnet"))
	})
	t.Run("bubble", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { run(t, simulated("bubble")) })
	})
}

// patience bounds every wait for something that is bound to come.
const patience = 20 * time.Second

// serve listens until the test ends.
func (w *world) serve(t *testing.T) net.Listener {
	t.Helper()
	l, err := w.listen(net.JoinHostPort(w.host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect dials a listener and leaves the connection in its queue.
func (w *world) connect(t *testing.T, l net.Listener) stream {
	t.Helper()
	c, err := w.dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ready(t, c)
}

// pair returns the dialing and the accepting end of a new connection.
func (w *world) pair(t *testing.T) (client, server stream) {
	t.Helper()
	l := w.serve(t)
	client = w.connect(t, l)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, ready(t, c)
}

func ready(t *testing.T, c net.Conn) stream {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if c, ok := c.(*net.TCPConn); ok { // else its buffers grow until they hold megabytes
		if err := errors.Join(c.SetReadBuffer(bufferSize), c.SetWriteBuffer(bufferSize)); err != nil {
			t.Fatal(err)
		}
	}
	return c.(stream)
}

func mustWrite(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := io.WriteString(c, text); n != len(text) || err != nil {
		t.Fatalf("Write(%q) = %d, %v", text, n, err)
	}
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	p := make([]byte, len(want))
	if n, err := io.ReadFull(c, p); string(p[:n]) != want || err != nil {
		t.Fatalf("read %q and error %v, want %q", p[:n], err, want)
	}
}

func mustClose(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func mustCloseWrite(t *testing.T, c stream) {
	t.Helper()
	if err := c.CloseWrite(); err != nil {
		t.Fatalf("CloseWrite: %v", err)
	}
}

// mustReset closes the connection with RST.
func mustReset(t *testing.T, c stream) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Fatalf("SetLinger: %v", err)
	}
	mustClose(t, c)
}

// readFails says that Read must return this error, as a *net.OpError unless it is io.EOF, and no bytes.
func readFails(t *testing.T, c net.Conn, want error) {
	t.Helper()
	n, err := c.Read(make([]byte, 10))
	if n != 0 {
		t.Fatalf("Read returned %d bytes and %v, want none and %v", n, err, want)
	}
	if want == io.EOF {
		if err != io.EOF {
			t.Fatalf("Read: %v, want io.EOF itself", err)
		}
		return
	}
	mustBe(t, err, "read", want)
}

// writeFails says that Write must return this error, if not at once then as soon as the peer's FIN or RST is here.
func writeFails(t *testing.T, c net.Conn, want error) {
	t.Helper()
	for {
		if _, err := c.Write([]byte("x")); err != nil {
			mustBe(t, err, "write", want)
			return
		}
	}
}

// mustBe says that an error must be a *net.OpError of this operation that wraps want.
func mustBe(t *testing.T, err error, op string, want error) {
	t.Helper()
	var wrapped *net.OpError
	if !errors.As(err, &wrapped) || wrapped.Op != op || wrapped.Net != "tcp" || !errors.Is(err, want) {
		t.Fatalf("error %#v (%v), want a *net.OpError of %s that wraps %v", err, err, op, want)
	}
	if number, ok := want.(syscall.Errno); ok && !strings.HasSuffix(err.Error(), ": "+number.Error()) {
		t.Fatalf("error reads %q, want it to end in %q", err, number)
	}
}

// later does something while the test waits in a Read, Write, Accept or dial. Whether the wait has begun by then
// makes no difference to its result, only to what is tested.
func later(t *testing.T, do func()) {
	timer := time.AfterFunc(10*time.Millisecond, do)
	t.Cleanup(func() { timer.Stop() })
}
