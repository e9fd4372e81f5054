package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"go.bug.st/serial"
)

// Serial is a serial line to a board, such as /dev/ttyUSB0, or the end of a pseudo-terminal.
type Serial struct {
	line serial.Port
	path string

	using   chan struct{} // held by who writes or resets, one after the other
	closing sync.Once
	closed  chan struct{}
}

// BaudRate is the speed of ESP-IDF's console.
const BaudRate = 115200

// OpenSerial opens the serial line at path, at 115200 baud 8N1. What had arrived before is dropped.
func OpenSerial(path string) (*Serial, error) {
	line, err := serial.Open(path, &serial.Mode{BaudRate: BaudRate})
	if err != nil {
		return nil, fmt.Errorf("serial port %s: %w (%s)", path, err, hint(err))
	}
	_ = line.ResetInputBuffer() // what cannot be dropped is read: no harm
	return &Serial{line: line, path: path, using: make(chan struct{}, 1), closed: make(chan struct{})}, nil
}

// hint is what to do about an error of opening a serial line.
func hint(err error) string {
	var kind *serial.PortError
	code := serial.PortErrorCode(-1)
	if errors.As(err, &kind) {
		code = kind.Code()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) || code == serial.PortNotFound:
		return "is the board plugged in?"
	case errors.Is(err, fs.ErrPermission) || code == serial.PermissionDenied:
		return "add yourself to the port's group, dialout on Debian"
	case errors.Is(err, syscall.EBUSY) || code == serial.PortBusy:
		return "another program has it open"
	case errors.Is(err, syscall.EISDIR) || code == serial.InvalidSerialPort:
		return "is it a serial port at all?"
	}
	return "is the board still plugged in?"
}

func (s *Serial) String() string { return "serial:" + s.path }

// Read reads what the board prints.
func (s *Serial) Read(b []byte) (int, error) {
	n, err := s.line.Read(b)
	if err != nil {
		err = s.because(err)
	}
	return n, err
}

// Write writes to the board, all of b.
func (s *Serial) Write(b []byte) (int, error) {
	if err := s.use(); err != nil {
		return 0, err
	}
	defer s.release()
	for n := 0; n < len(b); {
		if s.isClosed() {
			return n, s.because(os.ErrClosed)
		}
		written, err := s.line.Write(b[n:]) // which may take a part only
		n += written
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return n, s.because(err)
		case written == 0:
			return n, s.because(io.ErrShortWrite)
		}
	}
	return len(b), nil
}

// use waits until nobody else writes or resets. The port stays open until release, or as good as.
func (s *Serial) use() error {
	select {
	case s.using <- struct{}{}:
	case <-s.closed:
		return s.because(os.ErrClosed)
	}
	if s.isClosed() {
		s.release()
		return s.because(os.ErrClosed)
	}
	return nil
}

func (s *Serial) release() { <-s.using }

// because says why the port cannot be used: it was closed here, or its other end has gone.
func (s *Serial) because(err error) error {
	var kind *serial.PortError
	switch {
	case s.isClosed():
		err = os.ErrClosed
	case errors.As(err, &kind) && kind.Code() == serial.PortClosed, errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENXIO):
		err = fmt.Errorf("the board's end has gone: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("%s: %w", s, err)
}

func (s *Serial) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Close closes the port. A Write or Reset that is under way must not be left with the number of a file that is closed,
// which may be another file's a moment later; so Close waits for it to end. It does not wait for ever, since a board may
// take nothing: by then the call waits in the system, for this file, and does so until the board's end goes.
func (s *Serial) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		late := time.NewTimer(time.Second)
		defer late.Stop()
		select {
		case s.using <- struct{}{}:
			defer s.release()
		case <-late.C:
		}
		_ = s.line.ResetOutputBuffer() // or the system may wait up to 30 s for it to go out
		err = s.line.Close()
	})
	return err
}

// Reset pulls the board's EN pin for 100 ms by way of RTS; DTR goes first, so that the boot pin stays high and the chip
// starts its application. It gives an error that wraps errors.ErrUnsupported where the port has no such lines, as a
// pseudo-terminal.
func (s *Serial) Reset(ctx context.Context) error {
	if err := s.use(); err != nil {
		return fmt.Errorf("reset of %w", err)
	}
	defer s.release()
	err := s.line.SetDTR(false)
	if err == nil {
		err = s.line.SetRTS(true)
	}
	if err == nil {
		// RTS is released whatever happens in between, or the board would stay in reset.
		err = errors.Join(s.pulse(ctx), s.line.SetRTS(false))
	}
	if errors.Is(err, syscall.ENOTTY) || errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("reset of %s: %w: the port has no DTR and RTS lines", s, errors.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("reset of %w", s.because(err))
	}
	return nil
}

// pulse is how long EN is held low: a chip's reset circuit needs it.
func (s *Serial) pulse(ctx context.Context) error {
	enough := time.NewTimer(100 * time.Millisecond)
	defer enough.Stop()
	select {
	case <-enough.C:
		return nil
	case <-s.closed:
		return os.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
