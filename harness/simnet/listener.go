package simnet

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
)

// backlog bounds the connections that wait to be accepted.
const backlog = 128

// listener is one address that connections are made to.
type listener struct {
	address addr
	release func() // gives back the address
	queue   chan *Conn
	closing sync.Once
	closed  chan struct{}
}

// enqueue establishes a connection, given by its accepting end.
func (l *listener) enqueue(ctx context.Context, c *Conn) error {
	select {
	case l.queue <- c:
	case <-l.closed:
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.isClosed() { // perhaps only after Close emptied the queue
		l.resetQueued()
	}
	return nil
}

// Accept returns the connection that has been waiting longest.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		if !l.isClosed() {
			return c, nil
		}
		refuse(c)
	case <-l.closed:
	}
	return nil, l.opError("accept", net.ErrClosed)
}

// Close ends listening. Connections that were not accepted are reset, those that were are none of its business.
func (l *listener) Close() error {
	err := l.opError("close", net.ErrClosed)
	l.closing.Do(func() {
		l.release()
		close(l.closed)
		l.resetQueued()
		err = nil
	})
	return err
}

func (l *listener) Addr() net.Addr { return l.address }

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func (l *listener) resetQueued() {
	for {
		select {
		case c := <-l.queue:
			refuse(c)
		default:
			return
		}
	}
}

// refuse resets a connection that nobody is going to accept. Nobody else holds this end, so neither call can fail.
func refuse(c *Conn) {
	c.SetLinger(0)
	c.Close()
}

func (l *listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.address, Err: err}
}
