package faults

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// Sizes of buffers. The largest is for a connection on which much comes, for a system call costs as much as a copy of many
// kilobytes.
const (
	largestBuffer = 256 << 10
	largeBuffer   = 32 << 10
	smallBuffer   = 4 << 10
)

// Buffers that nobody uses.
var (
	largestBuffers = newPool(largestBuffer)
	largeBuffers   = newPool(largeBuffer)
)

func newPool(size int) *sync.Pool {
	return &sync.Pool{New: func() any { b := make([]byte, size); return &b }}
}

// input reads a connection into a buffer. While nothing has come it holds no buffer, where the system can tell it that
// something has; so a connection that is idle costs next to nothing.
type input struct {
	conn net.Conn
	raw  syscall.RawConn // nil where the connection is none of the system's

	buffer     []byte
	pooled     *[]byte    // the buffer, where it is one of a pool's
	pool       *sync.Pool // that it is of
	start, end int        // of what has come and was not taken
	filled     bool       // the last read took all the room

	// For attempt, which is attempted.
	attempted func(uintptr) bool
	n         int
	err       error
}

func newInput(conn net.Conn) input {
	in := input{conn: conn}
	if c, ok := conn.(*net.TCPConn); ok && canAttempt {
		in.raw, _ = c.SyscallConn()
	}
	return in
}

// pending is what has come and was not taken.
func (in *input) pending() []byte { return in.buffer[in.start:in.end] }

// fill waits for bytes and adds them to those that are pending. It returns how many came, and why no more will.
func (in *input) fill() (int, error) {
	var n int
	var err error
	if in.raw != nil {
		if in.attempted == nil {
			in.attempted = in.attempt
		}
		if err = in.raw.Read(in.attempted); err == nil {
			n, err = in.n, in.err
		}
	} else {
		in.makeRoom()
		n, err = in.conn.Read(in.buffer[in.end:])
	}
	in.filled = in.end+n == len(in.buffer)
	in.end += n
	return n, err
}

// attempt reads what is there; it is false where nothing is.
func (in *input) attempt(fd uintptr) bool {
	in.makeRoom()
	in.n, in.err = readFD(fd, in.buffer[in.end:])
	switch {
	case in.err == syscall.EAGAIN:
		in.giveUp()
		return false
	case in.err != nil:
		in.n = 0
	case in.n == 0:
		in.err = io.EOF
	}
	return true
}

// makeRoom makes room behind what is pending.
func (in *input) makeRoom() {
	in.giveUp()
	switch pending := in.end - in.start; {
	case in.buffer == nil && in.filled:
		in.borrow(largestBuffers)
	case in.buffer == nil && in.raw != nil:
		in.borrow(largeBuffers)
	case in.buffer == nil:
		in.buffer = make([]byte, smallBuffer)
	case in.end == len(in.buffer) && in.start > len(in.buffer)/2:
		copy(in.buffer, in.pending())
		in.start, in.end = 0, pending
	case in.end == len(in.buffer):
		larger := make([]byte, max(2*len(in.buffer), largeBuffer))
		copy(larger, in.pending())
		in.release()
		in.buffer, in.start, in.end = larger, 0, pending
	}
}

func (in *input) borrow(pool *sync.Pool) {
	in.pool, in.pooled = pool, pool.Get().(*[]byte)
	in.buffer = *in.pooled
}

// giveUp gives a buffer back in which nothing is. A small one it keeps, unless a larger one is called for.
func (in *input) giveUp() {
	if in.start < in.end {
		return
	}
	in.start, in.end = 0, 0
	if len(in.buffer) > smallBuffer || in.filled {
		in.release()
	}
}

func (in *input) release() {
	if in.pooled != nil {
		in.pool.Put(in.pooled)
	}
	in.buffer, in.pooled, in.pool = nil, nil, nil
}
