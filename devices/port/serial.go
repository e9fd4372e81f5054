package port

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"go.bug.st/serial"
)

// Serial is a serial line to a board, such as /dev/ttyUSB0, or the end of a pseudo-terminal.
type Serial struct {
	serial.Port
	path string
}

// BaudRate is the speed of ESP-IDF's console.
const BaudRate = 115200

// OpenSerial opens the serial line at path, at 115200 baud 8N1.
func OpenSerial(path string) (*Serial, error) {
	p, err := serial.Open(path, &serial.Mode{BaudRate: BaudRate})
	if err != nil {
		var kind *serial.PortError
		hint := "is the board plugged in?"
		switch {
		case errors.Is(err, fs.ErrPermission), errors.As(err, &kind) && kind.Code() == serial.PermissionDenied:
			hint = "add yourself to the port's group, dialout on Debian"
		case errors.As(err, &kind) && kind.Code() == serial.PortBusy:
			hint = "another program has it open"
		}
		return nil, fmt.Errorf("serial port %s: %w (%s)", path, err, hint)
	}
	return &Serial{Port: p, path: path}, nil
}

func (s *Serial) String() string { return "serial:" + s.path }

// Reset pulls the board's EN pin for 100 ms by way of RTS; DTR goes first, so that the boot pin stays high and the chip
// starts its application. It gives an error that wraps errors.ErrUnsupported where the port has no such lines, as a
// pseudo-terminal.
func (s *Serial) Reset(ctx context.Context) error {
	for _, step := range []func() error{
		func() error { return s.SetDTR(false) },
		func() error { return s.SetRTS(true) },
		func() error { return pulse(ctx) },
		func() error { return s.SetRTS(false) },
	} {
		err := step()
		if errors.Is(err, syscall.ENOTTY) || errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("reset of %s: %w: the port has no DTR and RTS lines", s, errors.ErrUnsupported)
		}
		if err != nil {
			return fmt.Errorf("reset of %s: %w", s, err)
		}
	}
	return nil
}

// pulse is how long EN is held low: a chip's reset circuit needs it.
func pulse(ctx context.Context) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
