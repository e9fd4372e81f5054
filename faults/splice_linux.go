package faults

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// splicer moves bytes from one of the system's connections to another without bringing them into this process. Between
// the two they are in a pipe, of which it holds none while nothing has come.
type splicer struct {
	from, to syscall.RawConn
	pipe     *pipe

	// For the attempts, which are look, in and out.
	look, in, out func(uintptr) bool
	seen          [8]byte
	peeked        int // bytes in seen
	limit         int // bytes that may be taken in
	held          int // bytes in the pipe
	err           error
}

// newSplicer returns nil where one of the connections is none of the system's TCP.
func newSplicer(from, to net.Conn) *splicer {
	source, sourceOK := from.(*net.TCPConn)
	sink, sinkOK := to.(*net.TCPConn)
	if !sourceOK || !sinkOK {
		return nil
	}
	s := &splicer{}
	var err error
	if s.from, err = source.SyscallConn(); err != nil {
		return nil
	}
	if s.to, err = sink.SyscallConn(); err != nil {
		return nil
	}
	s.look, s.in, s.out = s.attemptPeek, s.attemptIn, s.attemptOut
	return s
}

// take waits for bytes and takes at most limit of them in. It returns how many came, or why no more will.
func (s *splicer) take(limit int) (int, error) {
	s.limit = limit
	if err := s.from.Read(s.in); err != nil {
		return 0, err
	}
	return s.held, s.err
}

func (s *splicer) attemptIn(fd uintptr) bool {
	if s.pipe == nil {
		var err error
		if s.pipe, err = takePipe(); err != nil {
			s.held, s.err = 0, fmt.Errorf("%w: %w", errNoPipe, err)
			return true
		}
	}
	n, err := splice(fd, s.pipe.write, s.limit)
	switch {
	case err == unix.EAGAIN:
		s.release()
		return false
	case err == nil && n == 0:
		err = io.EOF
	}
	if s.held, s.err = n, err; err != nil {
		s.release()
	}
	return true
}

// peek waits for bytes and copies the first of them, without taking them in.
func (s *splicer) peek(b []byte) (int, error) {
	if err := s.from.Read(s.look); err != nil {
		return 0, err
	}
	return copy(b, s.seen[:s.peeked]), s.err
}

func (s *splicer) attemptPeek(fd uintptr) bool {
	for {
		n, _, err := unix.Recvfrom(int(fd), s.seen[:], unix.MSG_PEEK)
		if err == unix.EINTR {
			continue
		}
		s.peeked, s.err = max(n, 0), err
		return err != unix.EAGAIN
	}
}

// give hands on all that was taken in.
func (s *splicer) give() error {
	err := s.to.Write(s.out)
	if err == nil {
		err = s.err
	}
	s.release()
	return err
}

func (s *splicer) attemptOut(fd uintptr) bool {
	for s.held > 0 {
		n, err := splice(s.pipe.read, fd, s.held)
		if err == unix.EAGAIN {
			return false
		}
		if s.err = err; err != nil {
			return true
		}
		s.held -= n
	}
	return true
}

// bytes brings what was taken in into this process instead.
func (s *splicer) bytes() ([]byte, error) {
	b := make([]byte, s.held)
	for n := 0; n < len(b); {
		read, err := unix.Read(int(s.pipe.read), b[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return b[:n], err
		}
		n += read
		s.held -= read
	}
	s.release()
	return b, nil
}

// release lets go of the pipe. One that still holds bytes nobody must use again.
func (s *splicer) release() {
	if s.pipe != nil && s.held == 0 {
		pipes.Put(s.pipe)
	}
	s.pipe, s.held = nil, 0
}

func splice(from, to uintptr, n int) (int, error) {
	for {
		moved, err := unix.Splice(int(from), nil, int(to), nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return int(max(moved, 0)), err
		}
	}
}

// pipe is closed when nobody has it any more.
type pipe struct{ read, write uintptr }

// pipeSize is how much a pipe should hold. Where the system allows less it stays as it is.
const pipeSize = 1 << 20

var pipes sync.Pool

func takePipe() (*pipe, error) {
	if p, ok := pipes.Get().(*pipe); ok {
		return p, nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, err
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	p := &pipe{uintptr(fds[0]), uintptr(fds[1])}
	runtime.AddCleanup(p, func(fds [2]int) {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
	}, fds)
	return p, nil
}
