package simnet

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRandomPlays does the same random things to a simulated connection and to a TCP connection and holds every
// result and every state of the one against the other.
func TestRandomPlays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		moves := make([]byte, 24)
		for i := range moves {
			moves[i] = byte(random.Uint32())
		}
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { play(t, moves) })
	}
}

func FuzzPlays(f *testing.F) {
	f.Add([]byte{0x30, 0x31, 0x22, 0x23, 0x04, 0x05}) // write, read and half-close at both ends
	f.Add([]byte{0x30, 0x09, 0x0d, 0x22, 0x22, 0x30}) // close with linger 0, then read and write at the other end
	f.Add([]byte{0x0d, 0x30, 0x30, 0x22, 0x04, 0x0c}) // write to an end that is closed
	f.Fuzz(func(t *testing.T, moves []byte) { play(t, moves[:min(len(moves), 100)]) })
}

// play makes moves, a byte each: the lowest bit chooses the end, the next three what it does, the rest a size.
func play(t *testing.T, moves []byte) {
	sim, kernel := make([]stream, 2), make([]stream, 2)
	sim[0], sim[1] = simulated("simnet").pair(t)
	kernel[0], kernel[1] = tcp().pair(t)
	var story []string
	for _, move := range moves {
		end, size := move&1, int(move>>4)
		var name string
		var do func(c stream) (string, error)
		switch move >> 1 & 7 {
		case 0, 3:
			name = fmt.Sprintf("Write %d bytes", size)
			do = func(c stream) (string, error) {
				n, err := c.Write([]byte("0123456789abcdef")[:size])
				return fmt.Sprint(n), err
			}
		case 1, 7:
			name = fmt.Sprintf("Read %d bytes", size)
			do = func(c stream) (string, error) {
				p := make([]byte, size)
				n, err := c.Read(p)
				return fmt.Sprintf("%q", p[:n]), err
			}
			if wouldWait(sim[end].(*Conn), size) {
				continue
			}
		case 2:
			name = "CloseWrite"
			do = func(c stream) (string, error) { return "", c.CloseWrite() }
		case 4:
			name = "SetLinger 0"
			do = func(c stream) (string, error) { return "", c.SetLinger(0) }
		case 5:
			name = "SetLinger -1"
			do = func(c stream) (string, error) { return "", c.SetLinger(-1) }
		case 6:
			name = "Close"
			do = func(c stream) (string, error) { return "", c.Close() }
		}
		want, wantErr := do(kernel[end])
		got, gotErr := do(sim[end])
		story = append(story, fmt.Sprintf("end %d: %s: %s %v", end, name, want, cause(wantErr)))
		if got != want || cause(gotErr) != cause(wantErr) {
			t.Fatalf("after %q simnet gave %s and %v", story, got, gotErr)
		}
		for i := range sim {
			if err := settle(sim[i].(*Conn), kernel[i].(*net.TCPConn)); err != nil {
				t.Fatalf("after %q end %d: %v", story, i, err)
			}
		}
	}
	for i := range sim {
		sim[i].Close()
		kernel[i].Close()
	}
}

// wouldWait says that a Read would have nothing to return.
func wouldWait(c *Conn, size int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closed && size > 0 && c.received.length == 0 && !c.peer.finSent && !c.reset
}

// cause strips an error of its addresses.
func cause(err error) error {
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return number
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case err == io.EOF:
		return io.EOF
	}
	return err
}

// settle waits until a TCP socket has come to the state that its likeness is in. The kernel delivers over loopback
// within moments, but tells nobody when; that is why this looks again and again.
func settle(c *Conn, socket *net.TCPConn) error {
	c.mu.Lock()
	unread, state, closed := c.received.length, uint8(unix.BPF_TCP_ESTABLISHED), c.closed
	switch {
	case c.over():
		state = unix.BPF_TCP_CLOSE
	case c.finSent:
		state = unix.BPF_TCP_FIN_WAIT2
	case c.peer.finSent:
		state = unix.BPF_TCP_CLOSE_WAIT
	}
	c.mu.Unlock()
	if closed {
		return nil
	}
	control, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(50 * time.Microsecond) {
		var inside *unix.TCPInfo
		var waiting int
		var err1, err2 error
		err := control.Control(func(fd uintptr) {
			inside, err1 = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			waiting, err2 = unix.IoctlGetInt(int(fd), unix.SIOCINQ)
		})
		if err := errors.Join(err, err1, err2); err != nil {
			return err
		}
		if inside.State == state && waiting == unread {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("TCP is in state %d with %d bytes unread, simnet in state %d with %d",
				inside.State, waiting, state, unread)
		}
	}
}
