package broker

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// connection is what mochi takes for the network connection of a client. It differs from the real one in three ways.
//
// Writing never waits: bytes are queued, and a goroutine hands them to the network. Mochi writes while it holds locks,
// so a client that does not read would hold up everybody who publishes to it, and inside a synctest bubble it would
// stop time, because a goroutine that waits for a mutex is not durably blocked.
//
// The deadline is one and a half times the keep alive to the millisecond. Mochi rounds it down to whole seconds, which
// for a keep alive of 1 s leaves the client no time at all, and overflows above 43690 s.
//
// Close lets what is queued go out first, so that a refused client still gets its CONNACK.
type connection struct {
	net.Conn

	// These belong to the goroutine in which mochi serves the connection.
	stage     stage
	client    string // client identifier
	emptyWill bool   // the CONNECT has a will message of no bytes
	handover  bool   // the connection holds Broker.handover
	retaining bool   // the connection holds Broker.retaining

	mu        sync.Mutex
	changed   *sync.Cond // queued, closing
	queued    []byte
	closing   bool
	failure   error // of the network's Write
	keepAlive time.Duration
	onExpiry  func() // called when the deadline has passed
}

// stage is how far a connection has come in the eyes of the client.
type stage int

const (
	awaiting    stage = iota // no answer to CONNECT yet
	refused                  // CONNACK with an error, or closed on purpose
	established              // CONNACK with success
	over                     // its end is recorded
)

// flushTime bounds how long Close waits for a client that does not read.
const flushTime = time.Second

func newConnection(network net.Conn) *connection {
	c := &connection{Conn: network}
	c.changed = sync.NewCond(&c.mu)
	return c
}

// setKeepAlive sets what SetDeadline goes by; 0 turns it off.
func (c *connection) setKeepAlive(keepAlive time.Duration, onExpiry func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepAlive, c.onExpiry = keepAlive, onExpiry
}

// SetDeadline is called by mochi before each packet that it reads. Writing needs no deadline.
func (c *connection) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	if !t.IsZero() && c.keepAlive > 0 {
		t = time.Now().Add(c.keepAlive * 3 / 2)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.mu.Lock()
		closing, onExpiry := c.closing, c.onExpiry
		c.mu.Unlock()
		if closing {
			return n, net.ErrClosed
		}
		if onExpiry != nil {
			onExpiry()
		}
	}
	return n, err
}

func (c *connection) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return 0, c.failure
	}
	if c.closing {
		return 0, net.ErrClosed
	}
	c.queued = append(c.queued, p...)
	c.changed.Signal()
	return len(p), nil
}

// Close does not wait. Reading ends at once, the network connection is closed when the queue is empty.
func (c *connection) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return net.ErrClosed
	}
	c.closing = true
	c.changed.Signal()
	now := time.Now()
	return errors.Join(c.Conn.SetReadDeadline(now), c.Conn.SetWriteDeadline(now.Add(flushTime)))
}

// write hands what is queued to the network until Close, and closes the network connection in the end.
func (c *connection) write() {
	defer c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if len(c.queued) > 0 && c.failure == nil {
			batch := c.queued
			c.queued = nil
			c.mu.Unlock()
			_, err := c.Conn.Write(batch)
			c.mu.Lock()
			c.failure = err
			continue
		}
		if c.closing {
			return
		}
		c.changed.Wait()
	}
}

// writeFailure returns the error of the network's Write, nil if there was none.
func (c *connection) writeFailure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}
