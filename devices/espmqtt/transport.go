package espmqtt

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"mqtthil/devices/esptls"
)

// Codes of esp-tls in ErrorHandle.TLSLastError.
const (
	errCannotResolve   = 0x8001
	errFailedToConnect = 0x8004
	errConnectTimeout  = 0x8006
	errPeerClosed      = 0x8008
)

// transport is a connection with the manners of esp_transport: reads wait for a given time, and a time that passes
// without a byte is no error. One task reads at a time.
type transport interface {
	// poll waits up to wait until there is something to read: bytes, or the end of the connection.
	poll(wait time.Duration) (ready bool)
	// read gives what is there, up to len(p) bytes; with nothing there it waits up to wait and then gives 0.
	read(p []byte, wait time.Duration) (int, error)
	// write sends all of p, each part of it within limit.
	write(p []byte, limit time.Duration) error
	close()
}

// console prints a log line of the part of the board's software that the tag names.
type console func(level byte, tag, format string, arguments ...any)

// Tags of what is below the client.
const (
	tagTLS       = "esp-tls"
	tagMbedTLS   = "esp-tls-mbedtls"
	tagBase      = "transport_base"
	tagWebSocket = "transport_ws"
)

// descriptor is the number of the client's socket: the first one of lwIP, with ESP-IDF's default of ten sockets.
const descriptor = 54

// receiveWindow is how many bytes may lie unread before the other side has to wait. A board has a tenth of that (lwIP's
// TCP_WND), but then chance would decide how large messages are cut into fragments, which are what one read finds.
const receiveWindow = 64 << 10

// socket is the transport over TCP. A goroutine moves bytes from the connection to the board's receive buffer, so that
// one can look there without waiting.
type socket struct {
	conn    net.Conn
	power   <-chan struct{} // closed when the board has lost its power
	print   console
	secured bool          // with TLS on it
	arrived chan struct{} // something new is in held or ended
	room    chan struct{} // held has become shorter
	timer   Timer         // of poll
	errno   int           // of the call that failed last

	mu    sync.Mutex
	held  []byte // received and not yet read
	ended error  // why nothing more will be received
}

// errNoPower ends every operation on a board without power.
var errNoPower = errors.New("the board has no power")

func newSocket(conn net.Conn, timer Timer, power <-chan struct{}, print console) *socket {
	if tcp, ok := conn.(interface{ SetNoDelay(bool) error }); ok {
		_ = tcp.SetNoDelay(false) // Nagle's algorithm is on, as in lwIP (ESP-TCP-01)
	}
	s := &socket{
		conn: conn, power: power, print: print, timer: timer,
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1),
		errno: errnoInProgress, // of connect, which does not wait
	}
	go s.receive()
	return s
}

// Most of what a board receives are small packets, so that a connection keeps no more than a small buffer to read with.
// What does not fit it is read on before the task hears of it; moment is the time, in which no more comes, that is waited
// where the buffer is just full.
const (
	readBuffer = 512 // bytes
	moment     = time.Millisecond
)

// receive fills the receive buffer until the connection ends.
func (s *socket) receive() {
	buffer := make([]byte, readBuffer)
	for {
		s.mu.Lock()
		free := receiveWindow - len(s.held)
		s.mu.Unlock()
		if free == 0 {
			select {
			case <-s.room:
				continue
			case <-s.power:
				return
			}
		}
		n, err := s.conn.Read(buffer[:min(free, readBuffer)])
		var more []byte
		if n == readBuffer && err == nil {
			more, err = s.readOn(free - n)
		}
		s.mu.Lock()
		s.held = append(append(s.held, buffer[:n]...), more...)
		s.ended = err
		s.mu.Unlock()
		signal(s.arrived)
		runtime.Gosched() // to the task: what comes from elsewhere a moment later must not overtake this
		if err != nil {
			return
		}
	}
}

// readOn reads up to limit bytes more, if they are there.
func (s *socket) readOn(limit int) ([]byte, error) {
	if limit == 0 {
		return nil, nil
	}
	buffer := make([]byte, limit)
	_ = s.conn.SetReadDeadline(time.Now().Add(moment))
	n, err := s.conn.Read(buffer)
	_ = s.conn.SetReadDeadline(time.Time{})
	select {
	case <-s.power: // its deadline must not be taken back
		return buffer[:n], errNoPower
	default:
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return buffer[:n], err
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *socket) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held) > 0 || s.ended != nil
}

func (s *socket) poll(wait time.Duration) bool {
	if s.ready() || wait <= 0 {
		return s.ready()
	}
	s.timer.Reset(wait)
	defer s.timer.Stop()
	for !s.ready() {
		select {
		case <-s.arrived:
		case <-s.timer.C():
			return s.ready()
		case <-s.power:
			return true
		}
	}
	return true
}

func (s *socket) read(p []byte, wait time.Duration) (int, error) {
	if !s.poll(wait) {
		return 0, nil
	}
	n, err := s.receiveHeld(p)
	if err != nil && readCode(err) != codeClosed {
		s.complain("read", err)
	}
	return n, err
}

// complain prints that a call on the socket has failed.
func (s *socket) complain(call string, err error) {
	name := "tcp_" + call
	if s.secured {
		name = "esp_tls_conn_" + call
	}
	if tls := (*esptls.Error)(nil); errors.As(err, &tls) {
		s.print('E', tagMbedTLS, "%s error :-0x%04X:", call, tls.StackError)
	}
	s.print('E', tagBase, "%s error, errno=%s", name, Strerror(s.errno))
}

// note keeps the errno of an error, where it or its cause below TLS has one.
func (s *socket) note(err error) {
	if tls := (*esptls.Error)(nil); errors.As(err, &tls) {
		err = tls.Err
	}
	if errno := transportCodes(err).SocketErrno; errno != 0 {
		s.errno = errno
	}
}

// What esp_transport_read returns instead of a count.
const (
	codeClosed = -1 // the other side has closed the connection; a WebSocket says so of all that it finds wrong
	codeFailed = -2
)

// readCode is what esp_transport_read returns for an error.
func readCode(err error) int {
	if errors.Is(err, io.EOF) || errors.Is(err, errProtocol) {
		return codeClosed
	}
	return codeFailed
}

// receiveHeld reads what has been received already.
func (s *socket) receiveHeld(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.held) == 0 {
		if s.ended == nil {
			return 0, errNoPower
		}
		err := s.tell()
		s.note(err)
		return 0, err
	}
	n := copy(p, s.held)
	s.held = s.held[n:]
	signal(s.room)
	return n, nil
}

// tell says why nothing more will be received. A reset is told once, to who reads or writes first; after it there is just
// nothing more, and the connection gives a writer an error of its own.
func (s *socket) tell() error {
	err := s.ended
	if errors.Is(err, syscall.ECONNRESET) {
		s.ended = io.EOF
	}
	return err
}

func (s *socket) write(p []byte, limit time.Duration) error {
	err := s.send(p, limit)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		logWriteTimeout(s.print, s.errno, descriptor, limit)
	case err != nil:
		s.complain("write", err)
	}
	return err
}

// logWriteTimeout prints that a socket had no room to write to in time.
func logWriteTimeout(print console, errno, descriptor int, limit time.Duration) {
	print('W', tagBase, "Poll timeout or error, errno=%s, fd=%d, timeout_ms=%d", Strerror(errno), descriptor, limit.Milliseconds())
}

// send does the work of write, without a word.
func (s *socket) send(p []byte, limit time.Duration) (err error) {
	defer func() { s.note(err) }()
	s.mu.Lock()
	if errors.Is(s.ended, syscall.ECONNRESET) {
		defer s.mu.Unlock()
		return s.tell()
	}
	s.mu.Unlock()
	for {
		if err := s.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		select {
		case <-s.power: // its deadline must not be over this one
			return errNoPower
		default:
		}
		var n int
		n, err = s.conn.Write(p)
		if p = p[n:]; len(p) > 0 && n > 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			continue // each attempt has its own limit (ESP-PUB-07)
		}
		return err
	}
}

// powerOff ends what waits on the connection and leaves the connection itself as it is, for the other side to find out.
// To be called when the power is gone.
func (s *socket) powerOff() { _ = s.conn.SetDeadline(time.Unix(1, 0)) }

// close closes the connection. Where something is unread, the other side gets a reset (ESP-RX-08).
func (s *socket) close() {
	s.mu.Lock()
	unread := len(s.held) > 0
	s.held = nil
	s.mu.Unlock()
	if abrupt, ok := s.conn.(interface{ SetLinger(int) error }); ok && unread {
		_ = abrupt.SetLinger(0)
	}
	_ = s.conn.Close()
	signal(s.room)
}

// errProtocol is an error of a layer above TCP, for which a board reports no codes.
var errProtocol = errors.New("protocol error")

// transportCodes are the codes that a board reports for an error: those of esp-tls, and the socket's errno with the
// numbers that lwIP gives them (newlib).
func transportCodes(err error) ErrorHandle {
	lastError, errno := errFailedToConnect, 0
	var dns *net.DNSError
	var tls *esptls.Error
	switch {
	case errors.As(err, &tls):
		return ErrorHandle{Type: ErrorTCPTransport, TLSLastError: tls.LastError, TLSStackError: tls.StackError,
			CertificateFlags: tls.CertificateFlags}
	case errors.Is(err, errProtocol):
		lastError = 0
	case errors.As(err, &dns):
		lastError = errCannotResolve
	case errors.Is(err, io.EOF):
		lastError = errPeerClosed
	case errors.Is(err, syscall.ECONNRESET):
		lastError, errno = 0, 104
	case errors.Is(err, syscall.EPIPE):
		lastError, errno = 0, 32
	case errors.Is(err, net.ErrClosed):
		lastError, errno = 0, 9 // EBADF
	case errors.Is(err, syscall.ECONNREFUSED):
		errno = 111
	case errors.Is(err, os.ErrDeadlineExceeded):
		lastError = errConnectTimeout
	case errors.Is(err, syscall.EHOSTUNREACH):
		errno = 118
	case errors.Is(err, syscall.ENETUNREACH):
		errno = 114
	}
	return ErrorHandle{Type: ErrorTCPTransport, TLSLastError: lastError, SocketErrno: errno}
}
