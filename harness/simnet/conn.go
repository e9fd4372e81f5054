package simnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is one end of a connection, with the methods of *net.TCPConn that a program needs to be rude or polite in
// TCP's own ways. It is a net.Conn; all methods may be called from any goroutine.
//
// How a connection ends, as on Linux:
//
//   - CloseWrite, and Close where nothing is unread, send FIN: the peer reads what is left, then io.EOF.
//   - Close with received bytes unread, or after SetLinger(0), sends RST. The peer still reads what had arrived; then
//     one Read or Write, whichever comes first, gets ECONNRESET, and from then on Read gives io.EOF and Write EPIPE.
//   - An RST that follows a FIN shows only on writing, as EPIPE; reading ends with io.EOF.
//   - The first Write to a peer that has closed completely succeeds and its bytes are lost, because the peer's RST
//     comes back only in answer to it.
//   - Once FIN has gone both ways the connection is over: nothing more is sent, whatever way it is closed.
type Conn struct {
	mu            *sync.Mutex // shared with peer: an RST concerns both directions at once
	peer          *Conn
	local, remote addr
	release       func() // gives back the dialer's port; nil at the accepting end

	received ring
	reads    gate
	writes   gate
	writing  bool // a Write is under way; others wait, so that their bytes do not mix
	abort    bool // Close sends RST: linger time 0

	closed  bool  // by Close
	finSent bool  // by CloseWrite or Close
	reset   bool  // the peer sent RST
	failure error // what the RST means to the next Read or Write; nil once it has been told
}

var _ net.Conn = (*Conn)(nil)

// newPair returns the two ends of a new connection.
func newPair(client, server addr, release func()) (dialed, accepted *Conn) {
	var link struct {
		mu   sync.Mutex
		ends [2]Conn
	}
	dialed, accepted = &link.ends[0], &link.ends[1]
	*dialed = Conn{mu: &link.mu, peer: accepted, local: client, remote: server, release: release}
	*accepted = Conn{mu: &link.mu, peer: dialed, local: server, remote: client}
	for _, c := range []*Conn{dialed, accepted} {
		c.reads.changed.L = c.mu
		c.writes.changed.L = c.mu
	}
	return dialed, accepted
}

// Read returns the bytes that are there, at most len(p) of them, and waits where there are none.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch err := c.reads.expired(); {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case len(p) == 0:
			return 0, nil
		case err != nil:
			return 0, c.opError("read", err)
		case c.received.length > 0:
			n := c.received.read(p)
			c.peer.writes.wake()
			return n, nil
		case c.peer.finSent:
			return 0, io.EOF
		case c.failure != nil:
			return 0, c.opError("read", c.takeFailure("read"))
		case c.reset:
			return 0, io.EOF
		}
		c.reads.wait()
	}
}

// Write hands all of p to the peer's receive buffer and waits while that is full. With an error it returns how many
// bytes the peer had room for.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing { // whatever ends the Write under way, Close and the deadline included, ends this wait too
		c.writes.wait()
	}
	c.writing = true
	defer c.endTurn()
	for {
		switch err := c.writes.expired(); {
		case c.closed:
			return n, c.opError("write", net.ErrClosed)
		case err != nil:
			return n, c.opError("write", err)
		case c.failure != nil:
			return n, c.opError("write", c.takeFailure("write"))
		case c.reset || c.finSent:
			return n, c.opError("write", os.NewSyscallError("write", syscall.EPIPE))
		case n == len(p):
			return n, nil
		case c.peer.closed:
			c.peer.sendReset()
			return len(p), nil
		}
		if sent := c.peer.received.write(p[n:]); sent > 0 {
			n += sent
			c.peer.reads.wake()
		}
		if n == len(p) {
			return n, nil
		}
		c.writes.wait()
	}
}

// endTurn lets the next Write begin.
func (c *Conn) endTurn() {
	c.writing = false
	c.writes.wake()
}

// CloseWrite sends FIN; reading goes on. A Write that waits for room gives up with EPIPE.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.opError("close", net.ErrClosed)
	case c.over():
		return c.opError("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.sendFIN()
	c.writes.wake()
	return nil
}

// Close ends the connection, with RST where the peer must learn that it was not heard out (see Conn), else with FIN.
// Reads and Writes that wait give up with net.ErrClosed. Close itself never waits: what was written has arrived.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if c.abort || c.received.length > 0 {
		c.sendReset()
	} else {
		c.sendFIN()
	}
	c.closed = true
	c.received = ring{}
	c.reads.wake()
	c.writes.wake()
	if c.release != nil {
		c.release() // locks the network, which never locks a connection
	}
	return nil
}

// SetLinger chooses how Close ends the connection: with 0 it sends RST. Any other number of seconds changes nothing,
// since no byte is ever left on the way.
func (c *Conn) SetLinger(sec int) error {
	return c.set(func() { c.abort = sec == 0 })
}

// SetDeadline sets the deadline of Read and Write; the zero time takes it away.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.set(func() { c.reads.setDeadline(t); c.writes.setDeadline(t) })
}

// SetReadDeadline sets the deadline of Read, one that is waiting included.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.set(func() { c.reads.setDeadline(t) })
}

// SetWriteDeadline sets the deadline of Write, one that is waiting included.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.set(func() { c.writes.setDeadline(t) })
}

func (c *Conn) set(change func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	change()
	return nil
}

// LocalAddr returns this end's host:port. The dialing end's host is "dialer", its port is its own while it is open.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the other end's host:port.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// over says that nothing more can be sent, because of an RST or because FIN has gone both ways.
func (c *Conn) over() bool {
	return c.reset || c.finSent && c.peer.finSent
}

func (c *Conn) sendFIN() {
	c.finSent = true
	c.peer.reads.wake()
}

func (c *Conn) sendReset() {
	if c.over() {
		return
	}
	c.peer.reset = true
	c.peer.failure = syscall.ECONNRESET
	if c.finSent { // the peer knew that nothing more would come; what it is told is that its own bytes are lost
		c.peer.failure = syscall.EPIPE
	}
	c.peer.reads.wake()
	c.peer.writes.wake()
}

// takeFailure returns the error that an RST left behind, as the named system call does, and forgets it.
func (c *Conn) takeFailure(call string) error {
	err := c.failure
	c.failure = nil
	return os.NewSyscallError(call, err)
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
