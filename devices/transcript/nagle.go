package transcript

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// acknowledgeDelay is how long Linux waits with an acknowledgement for data to send along with it.
const acknowledgeDelay = 40 * time.Millisecond

// segment is what a segment holds on the loopback interface, in bytes.
const segment = 65483

// Nagle makes a network in memory deliver as the machine's TCP did when the transcripts were recorded. The client sends
// with Nagle's algorithm: while something is not acknowledged, small pieces wait. The broker's side acknowledges with its
// answer or late, so a piece that follows another one without an answer in between arrives some 40 ms later, together
// with all that has been written meanwhile.
func Nagle(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context,
	network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &nagleConn{Conn: conn}
		c.late = time.AfterFunc(time.Hour, c.acknowledgeLate)
		c.late.Stop()
		return c, nil
	}
}

// nagleConn is the client's end of a connection.
type nagleConn struct {
	net.Conn
	late *time.Timer // the broker's acknowledgement, when no answer takes it along

	mu          sync.Mutex
	interactive bool      // the broker's side expects to answer, and delays acknowledgements
	sent        time.Time // when something was last sent
	inFlight    bool      // something is not acknowledged
	held        []byte    // waits for that
	reset       error     // met what was held back, and is yet to be told
	closed      bool
}

// Write sends p, or holds it back where it does not fill a segment. What goes wrong later with what was held back shows in
// a later call, as on a socket.
func (c *nagleConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.reset; err != nil {
		c.reset = nil
		return 0, err
	}
	if c.inFlight && !c.closed && len(p) < segment {
		c.held = append(c.held, p...)
		return len(p), nil
	}
	if err := c.release(); err != nil {
		return 0, err
	}
	return c.send(p)
}

// release sends what was held back.
func (c *nagleConn) release() (err error) {
	if len(c.held) > 0 {
		_, err = c.send(c.held)
		c.held = nil
	}
	return err
}

func (c *nagleConn) send(p []byte) (int, error) {
	c.sent = time.Now()
	if c.interactive {
		c.inFlight = true
		c.late.Reset(acknowledgeDelay)
	}
	return c.Conn.Write(p)
}

// acknowledged lets go what was held back.
func (c *nagleConn) acknowledged() {
	c.inFlight = false
	c.late.Stop()
	if err := c.release(); errors.Is(err, syscall.ECONNRESET) {
		c.reset = err
	}
}

// acknowledgeLate is the broker's acknowledgement without an answer. It does not wait with the next one.
func (c *nagleConn) acknowledgeLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight && !c.closed {
		c.interactive = false
		c.acknowledged()
	}
}

// Read takes acknowledgements off what comes, the end of the stream included. That the broker's side answers is what it
// takes itself to do when it sends something soon after it has received something.
func (c *nagleConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if (n > 0 || err == io.EOF) && !c.closed {
		c.interactive = c.interactive || n > 0 && time.Since(c.sent) < acknowledgeDelay
		c.acknowledged()
	}
	if n == 0 && err != nil && c.reset != nil {
		err, c.reset = c.reset, nil
	}
	return n, err
}

// SetLinger chooses how Close ends the connection. With 0 nothing that is held back goes out any more.
func (c *nagleConn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seconds == 0 {
		c.held = nil
	}
	if abrupt, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return abrupt.SetLinger(seconds)
	}
	return nil
}

// Close sends what was held back, and closes.
func (c *nagleConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.late.Stop()
	if len(c.held) > 0 {
		_, _ = c.Conn.Write(c.held)
		c.held = nil
	}
	return c.Conn.Close()
}
