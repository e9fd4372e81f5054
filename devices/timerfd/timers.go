// Package timerfd has timers that end on time. Those of Go end up to a millisecond late on Linux, for its poller waits in
// whole milliseconds; these are a file that the poller hears of as it hears of sockets.
package timerfd

import (
	"container/heap"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Timers are timers that share one file.
type Timers struct {
	file  *os.File
	ended chan struct{} // no timer ends any more

	mu      sync.Mutex
	running byEnd
}

// New makes timers. It fails where there are no such files, as anywhere but on Linux.
func New() (*Timers, error) {
	file, err := create()
	if err != nil {
		return nil, fmt.Errorf("timers: %w", err)
	}
	if err := file.SetReadDeadline(time.Time{}); err != nil { // the poller does not hear of it
		_ = file.Close()
		return nil, fmt.Errorf("timers: %w", err)
	}
	t := &Timers{file: file, ended: make(chan struct{})}
	go t.run()
	return t, nil
}

// Close gives the file back. Timers that are running then, or are started later and have to wait, never end.
func (t *Timers) Close() error {
	err := t.file.Close()
	<-t.ended
	return err
}

// run ends the timers.
func (t *Timers) run() {
	defer close(t.ended)
	expirations := make([]byte, 8)
	for {
		if _, err := t.file.Read(expirations); errors.Is(err, os.ErrClosed) {
			return
		}
		t.mu.Lock()
		now := time.Now()
		for len(t.running) > 0 && !t.running[0].end.After(now) {
			heap.Pop(&t.running).(*Timer).c <- now
		}
		t.arm()
		t.mu.Unlock()
	}
}

// arm sets the file to the first end.
func (t *Timers) arm() {
	if len(t.running) == 0 {
		return
	}
	wait := max(1, time.Until(t.running[0].end)) // zero would be never
	set(t.file, wait)
}

// Timer is a timer like Go's: see time.Timer. One goroutine at a time may use it.
type Timer struct {
	of    *Timers
	c     chan time.Time
	end   time.Time
	place int // among those that are running; -1: it is not
}

// New makes a timer that is not running.
func (t *Timers) New() *Timer { return &Timer{of: t, c: make(chan time.Time, 1), place: -1} }

// C gets the time when the timer ends.
func (t *Timer) C() <-chan time.Time { return t.c }

// shortest is about what it costs to wait at all, until this goroutine runs again, beside the time to be waited. With that, a
// shorter wait would take more than twice its time; it is over at once.
const shortest = 50 * time.Microsecond

// Reset starts the timer anew, to end after d, or at once where that is less than 50 us. What an earlier start has left in
// C is gone.
func (t *Timer) Reset(d time.Duration) {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.stop()
	if d < shortest {
		t.c <- time.Now()
		return
	}
	t.end = time.Now().Add(d)
	heap.Push(&t.of.running, t)
	if t.place == 0 {
		t.of.arm()
	}
}

// Stop stops the timer. Nothing is in C afterwards.
func (t *Timer) Stop() {
	t.of.mu.Lock()
	defer t.of.mu.Unlock()
	t.stop()
}

func (t *Timer) stop() {
	if t.place >= 0 {
		heap.Remove(&t.of.running, t.place)
		return
	}
	select {
	case <-t.c:
	default:
	}
}

// byEnd is a heap of timers, the first to end on top.
type byEnd []*Timer

func (b byEnd) Len() int           { return len(b) }
func (b byEnd) Less(i, j int) bool { return b[i].end.Before(b[j].end) }

func (b byEnd) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].place, b[j].place = i, j
}

func (b *byEnd) Push(t any) {
	t.(*Timer).place = len(*b)
	*b = append(*b, t.(*Timer))
}

func (b *byEnd) Pop() any {
	last := len(*b) - 1
	t := (*b)[last]
	(*b)[last], *b = nil, (*b)[:last]
	t.place = -1
	return t
}
