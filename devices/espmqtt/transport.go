package espmqtt

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Codes of esp-tls in ErrorHandle.TLSLastError.
const (
	errCannotResolve   = 0x8001
	errFailedToConnect = 0x8004
	errConnectTimeout  = 0x8006
	errPeerClosed      = 0x8008
)

// transport is a connection with the manners of esp_transport: reads wait for a given time, and a time that passes
// without a byte is no error.
type transport struct {
	conn  net.Conn
	power <-chan struct{} // closed when the board has lost its power
	held  []byte          // received and not yet read: what poll took from the connection to see if something is there
	room  []byte          // held's memory
	ended error           // why nothing more can be read
}

// errNoPower ends every operation on a board without power.
var errNoPower = errors.New("the board has no power")

func newTransport(conn net.Conn, power <-chan struct{}, size int) *transport {
	return &transport{conn: conn, power: power, room: make([]byte, size)}
}

// poll waits up to wait until there is something to read: bytes, or the end of the connection, which the read that
// follows will find.
func (t *transport) poll(wait time.Duration) (ready bool) {
	if len(t.held) > 0 || t.ended != nil {
		return true
	}
	if err := t.arm(t.conn.SetReadDeadline, wait); err != nil {
		t.ended = err
		return true
	}
	n, err := t.conn.Read(t.room)
	t.held = t.room[:n]
	if n > 0 {
		return true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !t.dead() {
		return false
	}
	t.ended = err
	return true
}

// read gives what is there, up to len(p) bytes; with nothing there it waits up to wait and then gives 0.
func (t *transport) read(p []byte, wait time.Duration) (int, error) {
	if len(t.held) == 0 && t.ended == nil && wait > 0 {
		t.poll(wait) // with no time to wait: what has arrived was taken by the poll before
	}
	if len(t.held) == 0 {
		return 0, t.ended
	}
	n := copy(p, t.held)
	t.held = t.held[n:]
	return n, nil
}

// write sends all of p, each part of it within limit.
func (t *transport) write(p []byte, limit time.Duration) error {
	if err := t.arm(t.conn.SetWriteDeadline, limit); err != nil {
		return err
	}
	_, err := t.conn.Write(p)
	return err
}

// arm sets a deadline, but never over the one that the loss of power has set.
func (t *transport) arm(set func(time.Time) error, wait time.Duration) error {
	if err := set(time.Now().Add(wait)); err != nil {
		return err
	}
	if t.dead() {
		return errNoPower
	}
	return nil
}

func (t *transport) dead() bool {
	select {
	case <-t.power:
		return true
	default:
		return false
	}
}

// powerOff ends what waits on the connection and leaves the connection itself as it is. To be called when power is
// closed.
func (t *transport) powerOff() { _ = t.conn.SetDeadline(time.Unix(1, 0)) }

func (t *transport) close() { _ = t.conn.Close() }

// transportCodes are the codes that a board reports for an error: esp-tls's code and the socket's errno, with the
// numbers that lwIP gives them (newlib).
func transportCodes(err error) (lastError, errno int) {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return errCannotResolve, 0
	case errors.Is(err, io.EOF):
		return errPeerClosed, 0
	case errors.Is(err, syscall.ECONNRESET):
		return 0, 104
	case errors.Is(err, syscall.EPIPE):
		return 0, 32
	case errors.Is(err, syscall.ECONNREFUSED):
		return errFailedToConnect, 111
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errConnectTimeout, 0
	case errors.Is(err, syscall.EHOSTUNREACH):
		return errFailedToConnect, 118
	}
	return errFailedToConnect, 0
}
