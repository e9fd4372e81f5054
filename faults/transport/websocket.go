package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

// webSocket is the stream of the bytes in the binary frames of a WebSocket. Where frames and messages begin and end means
// nothing to MQTT [MQTT-6.0.0-2]; each Write is one frame, unless faults make more of it.
//
// PING is answered by whoever reads, and CLOSE by CloseWrite: what the other side of the proxy still has to say can be
// said until then.
type webSocket struct {
	below Stream
	side  ws.State

	reading   token
	in        []byte // read from below and not looked at yet
	buffer    [4 << 10]byte
	header    ws.Header // of the frame that was begun last
	remaining int64     // bytes of its payload that were not read
	position  int       // in its payload, to unmask
	message   bool      // a message has begun whose last fragment has not come
	ended     error     // why nothing more will be read

	writing token
	faults  *frameFaults // nil: none
	failed  error        // of a write, behind which no other frame can begin
	finSent bool         // by CloseWrite
	closed  bool         // a CLOSE frame has gone out, with which whatever comes behind it is lost

	abrupt atomic.Bool // Close says nothing: linger time 0

	mu   sync.Mutex
	pong []byte // the payload of a PING to be answered; nil: none
}

func newWebSocket(below Stream, side ws.State, early []byte) *webSocket {
	return &webSocket{below: below, side: side, in: early, reading: newToken(), writing: newToken()}
}

// Read gives the payload of data frames as it comes.
func (s *webSocket) Read(p []byte) (int, error) {
	s.reading.take()
	defer s.reading.give()
	for {
		if s.ended != nil || len(p) == 0 {
			return 0, s.ended
		}
		if s.remaining > 0 {
			return s.payload(p)
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
}

// payload reads of the frame that was begun.
func (s *webSocket) payload(p []byte) (n int, err error) {
	if p = p[:min(int64(len(p)), s.remaining)]; len(s.in) > 0 {
		n = copy(p, s.in)
		s.in = s.in[n:]
	} else {
		n, err = s.below.Read(p)
	}
	if s.header.Masked {
		ws.Cipher(p[:n], s.header.Mask, s.position)
	}
	s.position = (s.position + n) % 4
	s.remaining -= int64(n)
	if n > 0 {
		err = nil // what failed fails again
	}
	return n, s.end(err)
}

// end notes an error that ends reading. A deadline does not.
func (s *webSocket) end(err error) error {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		s.ended = err
	}
	return err
}

// fill reads from below until n bytes have come. n is small, and what has come stays when it fails.
func (s *webSocket) fill(n int) error {
	for len(s.in) < n {
		got, err := s.below.Read(s.buffer[:])
		if got > 0 {
			s.in = append(bytes.Clone(s.in), s.buffer[:got]...)
		} else if err != nil {
			return s.end(err)
		}
	}
	return nil
}

// The sizes of a frame's header, in bytes: without and with the length and the mask that the second byte tells of.
const (
	leastHeader  = 2
	shortLength  = 2
	longLength   = 8
	maskSize     = 4
	controlLimit = ws.MaxControlFramePayloadSize
)

// next begins a frame, and deals with it where it is a control frame.
func (s *webSocket) next() error {
	if err := s.fill(leastHeader); err != nil {
		return err
	}
	size := leastHeader
	switch s.in[1] & 0x7f {
	case 126:
		size += shortLength
	case 127:
		size += longLength
	}
	if s.in[1]&0x80 != 0 {
		size += maskSize
	}
	if err := s.fill(size); err != nil {
		return err
	}
	header, err := ws.ReadHeader(bytes.NewReader(s.in[:size]))
	if err != nil {
		return s.refuse(ws.StatusProtocolError, fmt.Errorf("frame header % x: %w", s.in[:size], err))
	}
	state := s.side
	if s.message {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(header, state); err != nil {
		return s.refuse(ws.StatusProtocolError, fmt.Errorf("frame header % x: %w", s.in[:size], err))
	}
	if header.OpCode == ws.OpText {
		return s.refuse(ws.StatusUnsupportedData,
			errors.New("a text frame: MQTT has to be sent in binary frames [MQTT-6.0.0-1]"))
	}
	if header.OpCode.IsControl() {
		if err := s.fill(size + int(header.Length)); err != nil {
			return err
		}
		payload := bytes.Clone(s.in[size : size+int(header.Length)])
		if header.Masked {
			ws.Cipher(payload, header.Mask, 0)
		}
		s.in = s.in[size+int(header.Length):]
		return s.control(header.OpCode, payload)
	}
	s.in = s.in[size:]
	s.header, s.remaining, s.position = header, header.Length, 0
	s.message = !header.Fin
	return nil
}

func (s *webSocket) control(code ws.OpCode, payload []byte) error {
	switch code {
	case ws.OpPing:
		s.mu.Lock()
		s.pong = append([]byte{}, payload...)
		s.mu.Unlock()
		s.sendPong()
	case ws.OpClose:
		if len(payload) == 1 {
			return s.refuse(ws.StatusProtocolError, errors.New("a CLOSE frame with half a status code"))
		}
		if len(payload) > 0 {
			if err := ws.CheckCloseFrameData(ws.ParseCloseFrameData(payload)); err != nil {
				return s.refuse(ws.StatusProtocolError, fmt.Errorf("CLOSE frame % x: %w", payload, err))
			}
		}
		return s.end(io.EOF)
	}
	return nil
}

// refuse ends reading because of what the other side has sent, and tells it so.
func (s *webSocket) refuse(code ws.StatusCode, cause error) error {
	if s.writing.tryTake() { // else a Write is under way, which the other side may be waiting for us to end
		s.sendClose(code, "")
		s.release()
	}
	return s.end(fmt.Errorf("WebSocket: %w", cause))
}

// sendPong answers a PING, or leaves that to the Write that is under way: reading does not wait for writing.
func (s *webSocket) sendPong() {
	s.mu.Lock()
	due := s.pong != nil
	s.mu.Unlock()
	if due && s.writing.tryTake() {
		s.release()
	}
}

// release ends a turn of writing, after the answers that are due.
func (s *webSocket) release() {
	for {
		s.mu.Lock()
		pong := s.pong
		s.pong = nil
		s.mu.Unlock()
		if pong == nil {
			break
		}
		_ = s.put(frame{Frame: ws.NewPongFrame(pong)}) // that it cannot be sent shows elsewhere
	}
	s.writing.give()
	s.sendPong() // for a PING that came in between
}

// Write sends p in one binary frame.
func (s *webSocket) Write(p []byte) (int, error) {
	s.writing.take()
	defer s.release()
	if s.finSent {
		return 0, s.opError(syscall.EPIPE)
	}
	if len(p) == 0 || s.closed {
		return len(p), nil
	}
	if err := s.putAll(s.faults.apply(s, []frame{{Frame: ws.NewBinaryFrame(p)}})); err != nil {
		return 0, err
	}
	return len(p), nil
}

// open sends what faults have to say before the first frame.
func (s *webSocket) open() error {
	s.writing.take()
	defer s.release()
	return s.putAll(s.faults.apply(s, nil))
}

func (s *webSocket) putAll(frames []frame) error {
	for _, f := range frames {
		if err := s.put(f); err != nil {
			return err
		}
	}
	return nil
}

// put sends a frame. The caller has the turn of writing.
func (s *webSocket) put(f frame) error {
	if s.failed != nil || s.closed || s.finSent {
		return s.failed
	}
	if f.Header.OpCode == ws.OpClose {
		s.closed = true
	}
	if s.side.ClientSide() {
		f.Frame = ws.MaskFrame(f.Frame)
	}
	raw, err := ws.CompileFrame(f.Frame)
	if err != nil {
		return fmt.Errorf("WebSocket frame: %w", err)
	}
	header := 0
	if f.slow {
		header = ws.HeaderSize(f.Header)
	}
	for i := range header {
		if _, err := s.below.Write(raw[i : i+1]); err != nil {
			s.failed = err
			return err
		}
	}
	_, s.failed = s.below.Write(raw[header:])
	return s.failed
}

// sendClose says goodbye. The caller has the turn of writing.
func (s *webSocket) sendClose(code ws.StatusCode, reason string) {
	if s.closed || s.finSent {
		return
	}
	_ = s.below.SetWriteDeadline(time.Now().Add(patience))
	_ = s.put(frame{Frame: ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason))})
}

// CloseWrite sends a CLOSE frame and FIN.
func (s *webSocket) CloseWrite() error {
	s.writing.take()
	defer s.writing.give()
	if s.finSent {
		return nil
	}
	s.sayGoodbye()
	s.finSent = true
	return s.below.CloseWrite()
}

func (s *webSocket) sayGoodbye() {
	_ = s.below.SetWriteDeadline(time.Now().Add(patience))
	_ = s.putAll(s.faults.rest(s))
	if !s.faults.mute() {
		s.sendClose(ws.StatusNormalClosure, "")
	}
}

// Close gives up a Write that is under way, and then cannot say goodbye.
func (s *webSocket) Close() error {
	if s.writing.tryTake() {
		if !s.finSent && !s.abrupt.Load() {
			s.sayGoodbye()
			s.finSent = true
		}
		s.writing.give()
	}
	return s.below.Close()
}

// SetLinger chooses how Close ends the connection, as (*net.TCPConn).SetLinger does.
func (s *webSocket) SetLinger(sec int) error {
	s.abrupt.Store(sec == 0)
	return s.below.SetLinger(sec)
}

// LocalAddr is that of the TCP connection, as the other methods below are.
func (s *webSocket) LocalAddr() net.Addr { return s.below.LocalAddr() }

// RemoteAddr is the other side's.
func (s *webSocket) RemoteAddr() net.Addr { return s.below.RemoteAddr() }

// SetDeadline sets the deadline of Read and Write. A Write that it interrupts is the last one.
func (s *webSocket) SetDeadline(t time.Time) error { return s.below.SetDeadline(t) }

// SetReadDeadline sets the deadline of Read.
func (s *webSocket) SetReadDeadline(t time.Time) error { return s.below.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of Write. A Write that it interrupts is the last one.
func (s *webSocket) SetWriteDeadline(t time.Time) error { return s.below.SetWriteDeadline(t) }

func (s *webSocket) opError(err error) error {
	return &net.OpError{Op: "write", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(),
		Err: os.NewSyscallError("write", err)}
}
