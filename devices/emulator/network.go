package emulator

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// sendBuffer is how many bytes a connection takes from the application while they cannot be sent (lwIP's TCP_SND_BUF).
const sendBuffer = 5760

// dial opens a connection over the board's network. Without Wi-Fi there is no way to any host.
func (p *power) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if p.dead() {
		return nil, ErrOff
	}
	if !isClosed(p.board.air()) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	}
	conn, err := p.board.options.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &networkConn{conn: conn, power: p, turn: make(chan struct{}, 1), changed: make(chan struct{})}
	c.turn <- struct{}{}
	p.mu.Lock()
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	return c, nil
}

// networkConn is a connection of the board. It outlives the board's power, and stalls without Wi-Fi: what the
// application sends is kept, as far as there is room, what arrives is held back, and an end waits too.
type networkConn struct {
	conn  net.Conn
	power *power
	turn  chan struct{} // holds a token, which who writes takes

	held    []byte // received and not handed on yet, and the error behind it; for the one task that reads
	failed  error
	waiting []byte // to be sent; for who has the turn

	mu              sync.Mutex
	changed         chan struct{} // closed when closed or a deadline changes
	closed          bool
	readBy, writeBy time.Time
}

var _ net.Conn = (*networkConn)(nil)

// Read reads what arrives.
func (c *networkConn) Read(p []byte) (int, error) {
	if !c.power.begin() {
		return 0, ErrOff
	}
	defer c.power.tasks.Done()
	if len(c.held) == 0 && c.failed == nil {
		n, err := c.conn.Read(p)
		switch {
		case c.power.dead():
			c.held = append(c.held, p[:n]...) // for the life to come to refuse
			return 0, ErrOff
		case c.isClosed():
			return 0, net.ErrClosed
		case n == 0 && errors.Is(err, os.ErrDeadlineExceeded), isClosed(c.power.board.air()):
			return n, err
		}
		c.held, c.failed = append(c.held, p[:n]...), err
	}
	if err := c.await(c.power.board.air(), &c.readBy); err != nil {
		return 0, err
	}
	n := copy(p, c.held)
	if c.held = c.held[n:]; len(c.held) > 0 {
		return n, nil
	}
	err := c.failed
	c.held, c.failed = nil, nil
	return n, err
}

// Write sends p.
func (c *networkConn) Write(p []byte) (int, error) {
	if !c.power.begin() {
		return 0, ErrOff
	}
	defer c.power.tasks.Done()
	if err := c.await(c.turn, &c.writeBy); err != nil {
		return 0, err
	}
	defer c.endTurn()
	taken := 0
	for {
		air := c.power.board.air()
		if isClosed(air) {
			if err := c.sendWaiting(); err != nil {
				return taken, err
			}
			n, err := c.send(p[taken:])
			return taken + n, err
		}
		n := min(len(p)-taken, sendBuffer-len(c.waiting))
		c.waiting = append(c.waiting, p[taken:taken+n]...)
		if taken += n; taken == len(p) {
			return taken, nil
		}
		if err := c.await(air, &c.writeBy); err != nil {
			return taken, err
		}
	}
}

// sendWaiting sends what had to wait for the Wi-Fi. To be called by who has the turn.
func (c *networkConn) sendWaiting() error {
	for len(c.waiting) > 0 {
		n, err := c.send(c.waiting)
		if c.waiting = c.waiting[n:]; err != nil {
			return err
		}
	}
	c.waiting = nil
	return nil
}

// send puts bytes on the network, as far as the board's power reaches.
func (c *networkConn) send(p []byte) (int, error) {
	allowed, burns := c.power.board.spend(len(p))
	n, err := 0, error(nil)
	if allowed > 0 {
		n, err = c.conn.Write(p[:allowed])
	}
	switch {
	case c.power.dead():
		return n, ErrOff
	case n < allowed:
		c.power.board.giveBack(allowed - n)
	case burns:
		c.power.cut()
		return n, ErrOff
	}
	return n, err
}

// SetKeepAliveConfig sets TCP's keep alive, where the network below has it.
func (c *networkConn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	tcp, ok := c.conn.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	})
	if !ok {
		return nil
	}
	return tcp.SetKeepAliveConfig(config)
}

// catchUp does, when the Wi-Fi is back, what the application had asked for: to send, and to close.
func (c *networkConn) catchUp() {
	select {
	case <-c.power.off:
		return
	case <-c.turn:
	}
	if len(c.waiting) > 0 {
		c.limitWrite(func() time.Time { return time.Time{} }) // the limit was that of an earlier call
		_ = c.sendWaiting()                                   // an error shows to the next who reads or writes
		c.limitWrite(func() time.Time { return c.writeBy })
	}
	c.endTurn()
	if c.isClosed() {
		_ = c.hangUp()
	}
}

// limitWrite sets the deadline of the write under way, and leaves that of later ones alone.
func (c *networkConn) limitWrite(by func() time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.power.dead() {
		_ = c.conn.SetWriteDeadline(by())
	}
}

func (c *networkConn) endTurn() { c.turn <- struct{}{} }

// await waits for ready, until a deadline, and no longer than the connection is open and the board has power.
func (c *networkConn) await(ready <-chan struct{}, by *time.Time) error {
	for {
		c.mu.Lock()
		closed, changed, limit := c.closed, c.changed, *by
		c.mu.Unlock()
		if closed {
			return net.ErrClosed
		}
		select { // mostly there is nothing to wait for, and no need of a timer
		case <-ready:
			return nil
		default:
		}
		var expired <-chan time.Time
		if !limit.IsZero() {
			timer := time.NewTimer(time.Until(limit))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case <-c.power.off:
			return ErrOff
		case <-ready:
			return nil
		case <-changed:
		case <-expired:
			return os.ErrDeadlineExceeded
		}
	}
}

// Close closes the connection; without Wi-Fi, as soon as that is back. Without power nothing is closed.
func (c *networkConn) Close() error {
	c.mu.Lock()
	if c.closed || c.power.dead() {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	close(c.changed)
	_ = c.conn.SetReadDeadline(time.Unix(1, 0)) // nobody reads any more
	c.mu.Unlock()
	if !isClosed(c.power.board.air()) {
		return nil
	}
	return c.hangUp()
}

func (c *networkConn) hangUp() error {
	c.power.mu.Lock()
	delete(c.power.conns, c)
	dead := c.power.dead()
	c.power.mu.Unlock()
	if dead {
		return nil
	}
	return c.conn.Close()
}

func (c *networkConn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// endWait ends, when the power has gone, what waits on the connection.
func (c *networkConn) endWait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetDeadline(time.Unix(1, 0))
}

// setDeadline sets a deadline, unless the power is gone: what waits then must not wait any longer.
func (c *networkConn) setDeadline(set func(time.Time) error, by *time.Time, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.power.dead():
		return ErrOff
	case c.closed:
		return net.ErrClosed
	}
	*by = t
	close(c.changed)
	c.changed = make(chan struct{})
	return set(t)
}

// SetReadDeadline is that of net.Conn.
func (c *networkConn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(c.conn.SetReadDeadline, &c.readBy, t)
}

// SetWriteDeadline is that of net.Conn.
func (c *networkConn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(c.conn.SetWriteDeadline, &c.writeBy, t)
}

// SetDeadline is that of net.Conn.
func (c *networkConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetNoDelay is that of net.TCPConn, where the network has it.
func (c *networkConn) SetNoDelay(on bool) error {
	if tcp, ok := c.conn.(interface{ SetNoDelay(bool) error }); ok {
		return tcp.SetNoDelay(on)
	}
	return nil
}

// SetLinger is that of net.TCPConn, where the network has it.
func (c *networkConn) SetLinger(seconds int) error {
	if tcp, ok := c.conn.(interface{ SetLinger(int) error }); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// LocalAddr is that of net.Conn.
func (c *networkConn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr is that of net.Conn.
func (c *networkConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// isClosed says whether a channel is closed that never carries anything.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
