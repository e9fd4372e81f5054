package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// Content types of TLS records, and what of their shape matters here (RFC 5246, 6.2).
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordHeaderSize       = 5
)

// wire is the connection below TLS, on which the records of the server can be stopped, split and replaced. During the
// handshake crypto/tls reads and writes it from one goroutine. It hands over whole records.
type wire struct {
	Stream
	limit    *allowance
	finished atomic.Bool // the handshake is over

	muted   bool // what crypto/tls still says goes nowhere
	sent    int  // bytes
	pauses  []*pause
	records *splitting
	tcp     *splitting

	encrypted    bool // ChangeCipherSpec has gone out: what follows cannot be read or split any more
	unfinished   int  // bytes of the handshake message that the next record goes on with
	serverRandom []byte
	sealed       uint64 // records behind ChangeCipherSpec

	early    []byte // read while the handshake was held up
	earlyErr error
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	if w.earlyErr != nil {
		return 0, w.earlyErr
	}
	return w.Stream.Read(p)
}

func (w *wire) Write(p []byte) (int, error) {
	if w.muted {
		return len(p), nil
	}
	if w.finished.Load() {
		return w.send(p)
	}
	var out []byte
	for rest := p; len(rest) > 0; {
		record := rest[:min(len(rest), recordHeaderSize+int(binary.BigEndian.Uint16(rest[3:])))]
		rest = rest[len(record):]
		starts := w.look(record)
		for _, pause := range w.pauses {
			if starts == 0 || pause.point.message != starts {
				continue
			}
			if err := w.flush(out); err != nil {
				return 0, err
			}
			out = nil
			if err := w.hold(pause); err != nil {
				return 0, err
			}
		}
		out = append(out, w.split(record)...)
	}
	return len(p), w.flush(out)
}

// look notes what a record says about the handshake, and tells which message begins with it; 0 for none.
func (w *wire) look(record []byte) (starts Message) {
	body := record[recordHeaderSize:]
	switch {
	case w.encrypted:
		w.sealed++
	case record[0] == recordChangeCipherSpec:
		w.encrypted = true
		return Finished
	case record[0] == recordHandshake && w.unfinished == 0 && len(body) >= 4:
		starts = Message(body[0])
		w.unfinished = 4 + int(body[1])<<16 + int(body[2])<<8 + int(body[3])
		if starts == ServerHello && len(body) >= 38 {
			w.serverRandom = append([]byte(nil), body[6:38]...)
		}
		fallthrough
	case record[0] == recordHandshake:
		w.unfinished = max(0, w.unfinished-len(body))
	}
	return starts
}

// split makes several records of one, where that is to be and the record is neither encrypted nor of another kind.
func (w *wire) split(record []byte) []byte {
	if record[0] != recordHandshake || w.encrypted {
		return record
	}
	var out []byte
	for body := record[recordHeaderSize:]; len(body) > 0; {
		n := w.records.piece(len(body))
		out = append(out, record[:3]...)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
		out = append(out, body[:n]...)
		body = body[n:]
	}
	return out
}

// flush sends bytes of the handshake, and stops where a pause is to be at a byte.
func (w *wire) flush(p []byte) error {
	for _, pause := range w.pauses {
		n := pause.point.byte - w.sent
		if pause.point.message != 0 || pause.done || n < 0 || n >= len(p) {
			continue
		}
		if _, err := w.send(p[:n]); err != nil {
			return err
		}
		p = p[n:]
		if err := w.hold(pause); err != nil {
			return err
		}
	}
	_, err := w.send(p)
	return err
}

// send writes in pieces of TCP.
func (w *wire) send(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var sent int
		sent, err = w.Stream.Write(p[n : n+w.tcp.piece(len(p)-n)])
		n += sent
	}
	w.sent += n
	return n, err
}

// alert sends an alert that is not encrypted, and has crypto/tls say nothing more.
func (w *wire) alert(code Alert) error {
	w.muted = true
	_, err := w.Stream.Write([]byte{recordAlert, 3, 3, 0, 2, code.level(), byte(code)})
	return err
}

// pause is where the handshake is held up, and for how long; 0 stands for as long as the other side stays.
type pause struct {
	point  Point
	length time.Duration
	chance *chance
	done   bool
}

// earlyLimit is how much is read, in bytes, while the handshake is held up. The rest stays in the buffers of TCP.
const earlyLimit = 64 << 10

// hold lets time pass. It reads meanwhile, to learn when the other side leaves.
func (w *wire) hold(p *pause) error {
	if p.done = true; !p.chance.strike() {
		return nil
	}
	w.limit.suspend()
	defer w.limit.begin()
	over, gone, read := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4<<10)
		for len(w.early) < earlyLimit && w.earlyErr == nil {
			n, err := w.Stream.Read(buffer)
			w.early = append(w.early, buffer[:n]...)
			var timeout net.Error
			switch {
			case errors.As(err, &timeout) && timeout.Timeout():
				return // woken up
			case err != nil:
				w.earlyErr = err
				close(gone)
				return
			}
		}
		<-over
	}()
	var end <-chan time.Time
	if p.length > 0 {
		timer := time.NewTimer(p.length)
		defer timer.Stop()
		end = timer.C
	}
	var err error
	select {
	case <-end:
	case <-gone:
		err = fmt.Errorf("the device has left while the handshake was stalled: %w", w.earlyErr)
	case <-w.limit.ctx.Done():
		err = w.limit.ctx.Err()
	}
	close(over)
	_ = w.Stream.SetReadDeadline(time.Unix(1, 0))
	<-read
	return err
}

// splitting cuts what is sent into smaller pieces.
type splitting []cut

type cut struct {
	size   int
	chance *chance
}

// piece says how much of n bytes goes into the next piece.
func (s *splitting) piece(n int) int {
	for _, c := range *s {
		if n > c.size && c.chance.strike() {
			n = c.size
		}
	}
	return n
}
