package espmqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
)

// inSocket runs a test with a socket and the far end of its connection.
func inSocket(t *testing.T, run func(t *testing.T, s *socket, far net.Conn, powerOff func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New()
		l, err := network.Listen("10.0.0.1:1883")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		near, err := network.DialContext(context.Background(), "tcp", "10.0.0.1:1883")
		if err != nil {
			t.Fatal(err)
		}
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		power := make(chan struct{})
		s := newSocket(near, NewTimer(), power, silent)
		defer s.close()
		defer far.Close()
		run(t, s, far, func() { close(power); s.powerOff() })
	})
}

// TestSocketReadsAllThatIsThere: what the other side sends at once, one read finds, up to the receive window, whatever
// the size of the buffer below.
func TestSocketReadsAllThatIsThere(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, readBuffer - 1, readBuffer, readBuffer + 1, 2 * readBuffer, 10_000, receiveWindow, 3*receiveWindow + 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			inSocket(t, func(t *testing.T, s *socket, far net.Conn, _ func()) {
				sent := bytes.Repeat([]byte("0123456789a"), size/11+1)[:size]
				go func() {
					_, _ = far.Write(sent)
					_ = far.Close()
				}()
				var got []byte
				for p := make([]byte, receiveWindow); len(got) < size; {
					began := time.Now()
					n, err := s.read(p, time.Hour)
					if err != nil || n != min(size-len(got), receiveWindow) {
						t.Fatalf("behind %d bytes: read %d, %v", len(got), n, err)
					}
					if took := time.Since(began); took > moment {
						t.Errorf("behind %d bytes: took %v", len(got), took)
					}
					got = append(got, p[:n]...)
					synctest.Wait()
				}
				if !bytes.Equal(got, sent) {
					t.Error("not what was sent")
				}
				if n, err := s.read(make([]byte, 1), time.Hour); n != 0 || !errors.Is(err, io.EOF) {
					t.Errorf("at the end: %d, %v", n, err)
				}
			})
		})
	}
}

// TestSocketReset: a reset is told once, to who reads or writes first. What came before it is read all the same.
func TestSocketReset(t *testing.T) {
	t.Parallel()
	write := func(s *socket) error { return s.write([]byte("x"), time.Second) }
	read := func(s *socket) error {
		_, err := s.read(make([]byte, 4), time.Second)
		return err
	}
	for _, test := range []struct {
		name  string
		sent  string
		calls []func(s *socket) error
		want  []error
	}{
		{"read, write", "", []func(*socket) error{read, write, read}, []error{syscall.ECONNRESET, syscall.EPIPE, io.EOF}},
		{"write, read", "", []func(*socket) error{write, read, write}, []error{syscall.ECONNRESET, io.EOF, syscall.EPIPE}},
		{"behind bytes", "abcd", []func(*socket) error{write, read, read}, []error{syscall.ECONNRESET, nil, io.EOF}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inSocket(t, func(t *testing.T, s *socket, far net.Conn, _ func()) {
				if _, err := io.WriteString(far, test.sent); err != nil {
					t.Fatal(err)
				}
				if err := far.(*simnet.Conn).SetLinger(0); err != nil {
					t.Fatal(err)
				}
				_ = far.Close()
				synctest.Wait()
				for i, call := range test.calls {
					if err := call(s); !errors.Is(err, test.want[i]) {
						t.Errorf("call %d: %v, not %v", i+1, err, test.want[i])
					}
				}
			})
		})
	}
}

// TestSocketPowerOff: whatever the socket waits for, it waits no longer when the power is gone; a goroutine that did
// would keep the bubble from ending.
func TestSocketPowerOff(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, readBuffer, receiveWindow, receiveWindow + 1} {
		for _, after := range []time.Duration{0, moment / 2, moment, 2 * moment} {
			inSocket(t, func(t *testing.T, s *socket, far net.Conn, powerOff func()) {
				if _, err := far.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(after)
				powerOff()
				synctest.Wait()
				if took := s.poll(time.Hour); !took {
					t.Errorf("%d bytes, %v: waits without power", size, after)
				}
			})
		}
	}
}
