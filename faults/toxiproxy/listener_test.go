package toxiproxy

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scarce is a listener that fails some times before it accepts.
type scarce struct {
	net.Listener
	left int
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.left--; s.left >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return nil, errors.New("accepted")
}

func (s *scarce) Close() error { return nil }

// TestShortage: a listener goes on when there are file descriptors again.
func TestShortage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := 0
		l := newListener(&scarce{left: 3}, func(err error) {
			if told++; !errors.Is(err, syscall.EMFILE) {
				t.Errorf("told %v", err)
			}
		})
		began := time.Now()
		if _, err := l.Accept(); err.Error() != "accepted" || told != 1 || time.Since(began) != 3*shortageWait {
			t.Errorf("%v after %s, told %d times", err, time.Since(began), told)
		}
	})
}

// TestShortageEnds: closing a listener ends its wait.
func TestShortageEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newListener(&scarce{left: 1 << 30}, func(error) {})
		time.AfterFunc(time.Minute, func() { l.Close() })
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
