package esptransport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Opcodes of frames. From opcodeClose on they are control frames.
const (
	opcodeBinary = 2
	opcodeClose  = 8
	opcodePing   = 9
	opcodePong   = 10
)

// Bits of a frame's first two bytes.
const (
	bitFinal     = 0x80
	bitsReserved = 0x70
	bitMasked    = 0x80
)

const (
	longestControl = 125     // bytes of a control frame's payload
	longestFrame   = 1 << 31 // from here on a length is negative on the board
)

// closeGrace is how long a CLOSE without a read deadline waits for the end of the connection.
const closeGrace = time.Millisecond

// WebSocket is a client's WebSocket with the manners of ESP-IDF's transport. It is a net.Conn, except for what is said
// at Read. One goroutine may read while others write.
type WebSocket struct {
	net.Conn
	options WebSocketOptions
	turn    chan struct{} // holds a token while a frame is written, so that frames do not mix
	early   []byte        // came behind the answer to the handshake
	broken  error         // what ended the WebSocket for its reader

	// The frame whose header was read last.
	opcode    byte
	length    int
	remaining int // bytes of its payload that have not been read
	mask      [4]byte

	mu           sync.Mutex
	readDeadline time.Time
}

// Read reads payload. Frames have no meaning for it: what comes in text, binary and continuation frames is one stream
// (ESP-WS-05).
//
// It gives 0 bytes and no error for an empty frame and for a control frame, which it deals with by the way; a board
// takes that for a time-out (ESP-WS-07), even before its time is over.
//
// A deadline that passes before a frame has begun, or within a payload, is os.ErrDeadlineExceeded, and reading can go
// on. One that passes within a frame's header ends the WebSocket, as on the board (ESP-WS-08). So does, after a control
// frame with a payload, one that passes before the next frame has begun: the board then looks for that payload again.
// Errors of the WebSocket itself are an *Error without codes, and repeat.
func (w *WebSocket) Read(p []byte) (int, error) {
	if w.broken != nil || len(p) == 0 {
		return 0, w.broken
	}
	n, err := w.read(p)
	var own *Error
	if errors.As(err, &own) {
		w.broken = err
	}
	return n, err
}

func (w *WebSocket) read(p []byte) (int, error) {
	if w.remaining == 0 {
		if err := w.begin(); err != nil {
			return 0, err
		}
		if w.opcode >= opcodeClose {
			return 0, w.control()
		}
		if w.length == 0 {
			return 0, nil
		}
	}
	n, err := w.take(p[:min(len(p), w.remaining)])
	w.unmask(p[:n])
	w.remaining -= n
	return n, err
}

// take reads what there is of the stream below the frames.
func (w *WebSocket) take(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	return w.Conn.Read(p)
}

// takeAll reads the rest of p, a part of a frame's header, of which have bytes are there.
func (w *WebSocket) takeAll(p []byte, have int) error {
	for have < len(p) {
		n, err := w.take(p[have:])
		have += n
		switch {
		case have == len(p), err == nil:
		case isTimeout(err):
			w.log('W', "Requested to read %d, actually read %d bytes", len(p), have)
			return w.fail("Error read data(%d)", -1)
		default:
			return err
		}
	}
	return nil
}

// begin reads the header of the next frame.
func (w *WebSocket) begin() error {
	var head [2]byte
	n, err := w.take(head[:])
	switch {
	case n == 0 && isTimeout(err) && w.opcode >= opcodeClose && w.length > 0:
		w.log('W', "Requested to read %d, actually read 0 bytes", w.length)
		return w.fail("Control frame payload read failed (expected=%d, got=-1)", w.length)
	case n == 0 && err != nil:
		return err
	case n == 0:
		return io.ErrNoProgress
	}
	if err := w.takeAll(head[:], n); err != nil {
		return err
	}
	opcode, control := head[0]&0x0f, head[0]&0x0f >= opcodeClose
	switch reserved := head[0] & bitsReserved; {
	case reserved != 0:
		return w.fail("Non-zero RSV bits detected (rsv=0x%02X) - protocol violation, no extensions negotiated", reserved)
	case opcode > opcodeBinary && !control, opcode > opcodePong:
		return w.fail("Reserved opcode detected (opcode=0x%02X) - protocol violation", opcode)
	case control && head[0]&bitFinal == 0:
		return w.fail("Fragmented control frame detected (opcode=0x%02X, fin=0) - protocol violation", opcode)
	}

	length := uint64(head[1] &^ bitMasked)
	if extra := map[uint64]int{126: 2, 127: 8}[length]; extra > 0 {
		var long [8]byte
		if err := w.takeAll(long[8-extra:], 0); err != nil {
			return err
		}
		length = binary.BigEndian.Uint64(long[:])
	}
	switch {
	case control && length > longestControl:
		return w.fail("Control frame with excessive payload detected (opcode=0x%02X, payload_len=%d) - protocol violation",
			opcode, min(length, longestFrame-1))
	case length >= longestFrame:
		return &Error{Err: fmt.Errorf("WebSocket: a frame of %d bytes", length)}
	}
	w.mask = [4]byte{}
	if head[1]&bitMasked != 0 && length > 0 { // where the payload is empty, the board leaves the mask unread
		if err := w.takeAll(w.mask[:], 0); err != nil {
			return err
		}
	}
	w.opcode, w.length, w.remaining = opcode, int(length), int(length)
	return nil
}

// unmask takes the mask off. A server's frames should have none; the board begins anew with the mask at each read.
func (w *WebSocket) unmask(p []byte) {
	for i := range p {
		p[i] ^= w.mask[i%4]
	}
}

// control deals with a control frame (ESP-WS-06, ESP-WS-09), whose payload has to be there at once.
func (w *WebSocket) control() error {
	payload := make([]byte, w.length)
	if w.length > 0 {
		n, err := w.take(payload)
		w.remaining = 0
		if n < w.length {
			if err != nil && !isTimeout(err) {
				return err
			}
			return w.fail("Control frame (opcode=%d) payload read failed (payload_len=%d, read_len=%d)",
				w.opcode, w.length, n)
		}
		w.unmask(payload)
	}
	switch w.opcode {
	case opcodePing:
		return w.answer(opcodePong, payload)
	case opcodeClose:
		return w.closed(payload)
	}
	return nil
}

// answer sends a control frame in answer to one.
func (w *WebSocket) answer(opcode byte, payload []byte) error {
	w.limit(w.Conn.SetWriteDeadline)
	if _, err := w.frame(opcode, payload); err != nil {
		w.log('E', "Error write header")
		return &Error{Err: fmt.Errorf("WebSocket: answering a control frame: %w", err)}
	}
	return nil
}

// closed answers a CLOSE and waits, as long as the reader would, for the end of the connection. If that comes, the next
// read finds it; otherwise the WebSocket ends here.
func (w *WebSocket) closed(payload []byte) error {
	status := 0
	if len(payload) >= 2 {
		status = int(binary.BigEndian.Uint16(payload))
		w.log('I', "Got CLOSE frame with status code=%d", status)
	}
	if err := w.answer(opcodeClose, nil); err != nil {
		return err
	}
	w.mu.Lock()
	deadline := w.readDeadline
	w.mu.Unlock()
	if deadline.IsZero() {
		if err := w.Conn.SetReadDeadline(time.Now().Add(closeGrace)); err != nil {
			return err
		}
		defer func() { _ = w.Conn.SetReadDeadline(time.Time{}) }()
	}
	n, err := w.take(make([]byte, 1))
	switch {
	case n == 0 && err != nil && !isTimeout(err):
		w.log('I', "Connection terminated gracefully")
		return nil
	case n == 0:
		w.log('W', "Connection cannot be terminated gracefully within timeout=%d", 0)
	default:
		w.log('W', "Connection terminated while waiting for clean TCP close")
	}
	return &Error{Err: fmt.Errorf("WebSocket: the server sent CLOSE with status %d", status)}
}

// Write sends p as one binary frame, header and payload by two writes of the connection below (ESP-WS-04), and counts
// the payload that was sent.
func (w *WebSocket) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return w.frame(opcodeBinary, p)
}

// frame sends a frame under a new mask.
func (w *WebSocket) frame(opcode byte, payload []byte) (int, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	head := []byte{bitFinal | opcode, bitMasked | byte(len(payload))}
	switch {
	case len(payload) > 0xffff:
		head[1] = bitMasked | 127
		head = binary.BigEndian.AppendUint64(head, uint64(len(payload)))
	case len(payload) > 125:
		head[1] = bitMasked | 126
		head = binary.BigEndian.AppendUint16(head, uint16(len(payload)))
	}
	head = binary.BigEndian.AppendUint32(head, w.options.Random.Uint32())
	mask := head[len(head)-4:]
	if _, err := w.Conn.Write(head); err != nil || len(payload) == 0 {
		return 0, err
	}
	masked := make([]byte, len(payload))
	for i := range payload {
		masked[i] = payload[i] ^ mask[i%4]
	}
	return w.Conn.Write(masked)
}

// SetReadDeadline sets the deadline of Read.
func (w *WebSocket) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	w.readDeadline = t
	w.mu.Unlock()
	return w.Conn.SetReadDeadline(t)
}

// SetDeadline sets the deadlines of Read and Write.
func (w *WebSocket) SetDeadline(t time.Time) error {
	w.mu.Lock()
	w.readDeadline = t
	w.mu.Unlock()
	return w.Conn.SetDeadline(t)
}

// SetLinger chooses how Close ends the connection below. Close sends no CLOSE frame (ESP-WS-09).
func (w *WebSocket) SetLinger(seconds int) error { return setLinger(w.Conn, seconds) }
