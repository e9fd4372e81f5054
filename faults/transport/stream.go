package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Stream is a connection that knows TCP's two ways of ending, as *net.TCPConn does. All connections of this package are
// Streams, and the connections below them have to be.
type Stream interface {
	net.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// patience is how long the end of a connection may take: for its last bytes to go out, and for the other side to answer.
const patience = 5 * time.Second

// asStream looks whether a connection is a Stream, and closes it where it is none.
func asStream(conn net.Conn) (Stream, error) {
	if s, ok := conn.(Stream); ok {
		return s, nil
	}
	_ = conn.Close()
	return nil, fmt.Errorf("a %T has no CloseWrite and SetLinger, so that it cannot tell FIN from RST", conn)
}

// token is a lock that one can wait for in a testing/synctest bubble without holding up its time, which waiting for a
// mutex does. Only one goroutine at a time may do what it guards.
type token chan struct{}

func newToken() token { return make(token, 1) }

func (t token) take() { t <- struct{}{} }

func (t token) tryTake() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t token) give() { <-t }

// farewell ends a connection whose handshake has failed, given why. It first lets the other side read what it was told: a
// connection that is closed with bytes unread is reset, and a reset takes away what the other side has not read yet.
func farewell(ctx context.Context, conn Stream, cause error) {
	if ctx.Err() == nil && !errors.Is(cause, errTooLate) {
		a := allow(ctx, conn, patience)
		if conn.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, conn)
		}
		_ = a.end(nil)
	}
	_ = conn.Close()
}

// errTooLate is what ends a handshake whose time is over.
var errTooLate = errors.New("no handshake in time")

// allowance is the time of a handshake. It holds for all reads and writes of the connection, and the end of the context
// ends it early.
type allowance struct {
	conn    net.Conn
	ctx     context.Context
	timeout time.Duration
	unwatch func() bool

	mu       sync.Mutex
	canceled bool
}

func allow(ctx context.Context, conn net.Conn, timeout time.Duration) *allowance {
	a := &allowance{conn: conn, ctx: ctx, timeout: timeout}
	a.begin()
	a.unwatch = context.AfterFunc(ctx, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.canceled = true
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return a
}

// begin gives the whole time, anew where it was given before.
func (a *allowance) begin() { a.set(time.Now().Add(a.timeout)) }

// suspend lets no time count.
func (a *allowance) suspend() { a.set(time.Time{}) }

func (a *allowance) set(deadline time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.canceled {
		_ = a.conn.SetDeadline(deadline) // it fails where the connection is gone, which the next Read or Write tells
	}
}

// end takes the limit off, given how the handshake went.
func (a *allowance) end(err error) error {
	a.unwatch()
	a.mu.Lock()
	canceled := a.canceled
	a.mu.Unlock()
	var timeout net.Error
	switch {
	case canceled:
		return context.Cause(a.ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%w: %s were not enough", errTooLate, a.timeout)
	case err != nil:
		return err
	}
	return a.conn.SetDeadline(time.Time{})
}
