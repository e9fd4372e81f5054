package timeline

import (
	"io"
	"sync"
)

// spoolBytes bounds what a Spool holds of what it has not written yet; what it is writing may be as much again.
const spoolBytes = 4 << 20

// Spool writes on behalf of who must not wait for a disk or a terminal. What it takes it writes soon, in order, many lines
// at a time where they come fast. All methods may be called from any goroutine.
type Spool struct {
	out    io.Writer
	failed func(error)

	mu      sync.Mutex
	changed sync.Cond // for the writer: there is something to do; for Flush: it is done
	pending []byte
	writing bool
	err     error // why nothing is taken any more
	closed  bool
	ended   chan struct{}
}

// NewSpool starts a Spool, which has to be closed. The first error of out is told to failed, on a goroutine of the Spool;
// after that nothing is written.
func NewSpool(out io.Writer, failed func(error)) *Spool {
	s := &Spool{out: out, failed: failed, ended: make(chan struct{})}
	s.changed.L = &s.mu
	go s.run()
	return s
}

// Add takes a line, all of it or nothing. It is false where there is no room because out is too slow, or where nothing is
// written any more.
func (s *Spool) Add(line []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.closed || len(s.pending) > 0 && len(s.pending)+len(line) > spoolBytes {
		return false
	}
	s.pending = append(s.pending, line...)
	s.changed.Broadcast()
	return true
}

// Flush waits until all is written, or nothing is written any more. It returns the first error of writing.
func (s *Spool) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for (len(s.pending) > 0 || s.writing) && s.err == nil {
		s.changed.Wait()
	}
	return s.err
}

// Close is Flush, and ends the Spool.
func (s *Spool) Close() error {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	<-s.ended
	return s.Flush()
}

// run writes until the Spool is closed.
func (s *Spool) run() {
	defer close(s.ended)
	var spare []byte
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.pending) == 0 && !s.closed {
			s.changed.Wait()
		}
		if len(s.pending) == 0 {
			return
		}
		lines := s.pending
		s.pending, s.writing = spare[:0], true
		s.mu.Unlock()
		_, err := s.out.Write(lines)
		if err != nil {
			s.failed(err)
		}
		s.mu.Lock()
		spare, s.writing = lines, false
		if err != nil {
			s.err, s.pending = err, nil
		}
		s.changed.Broadcast()
	}
}
