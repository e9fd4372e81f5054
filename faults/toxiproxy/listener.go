package toxiproxy

import (
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// listener tells when the proxy has taken it over: it accepts, or it has been closed by a condition that refuses
// connections. It outlives a shortage of file descriptors and the like, in which connections wait to be accepted.
type listener struct {
	net.Listener
	short func(error) // told of a shortage, once

	takeOver, closing func()
	taken, closed     chan struct{}
}

func newListener(l net.Listener, short func(error)) *listener {
	w := &listener{Listener: l, taken: make(chan struct{}), closed: make(chan struct{})}
	var once sync.Once
	w.short = func(err error) { once.Do(func() { short(err) }) }
	w.takeOver = sync.OnceFunc(func() { close(w.taken) })
	w.closing = sync.OnceFunc(func() { close(w.closed) })
	return w
}

// shortages are errors of accepting that go over.
var shortages = []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED}

// shortageWait is how long a shortage is waited out before the next try.
const shortageWait = 100 * time.Millisecond

// Accept implements net.Listener.
func (w *listener) Accept() (net.Conn, error) {
	w.takeOver()
	for {
		conn, err := w.Listener.Accept()
		if err == nil || !slices.ContainsFunc(shortages, func(s error) bool { return errors.Is(err, s) }) {
			return conn, err
		}
		w.short(err)
		again := time.NewTimer(shortageWait)
		select {
		case <-again.C:
		case <-w.closed:
			again.Stop()
			return nil, net.ErrClosed
		}
	}
}

// Close implements net.Listener.
func (w *listener) Close() error {
	defer w.takeOver()
	w.closing()
	return w.Listener.Close()
}
