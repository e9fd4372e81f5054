package simnet

import (
	"os"
	"sync"
	"time"
)

// gate is where the callers of one direction of a connection wait: Read for something to read, Write for room and
// for its turn. The connection's mutex guards it.
//
// The deadline is kept as a time, and a timer runs only while somebody waits. When it fires it does no more than wake
// the waiters, who look at the deadline themselves; a timer that fires too late to matter does no harm.
type gate struct {
	changed  sync.Cond
	waiting  int
	deadline time.Time
	timer    *time.Timer
}

// setDeadline also wakes the waiters, because the new deadline is theirs as well.
func (g *gate) setDeadline(t time.Time) {
	g.deadline = t
	g.wake()
}

// expired returns the error of an operation whose deadline has passed.
func (g *gate) expired() error {
	if !g.deadline.IsZero() && time.Until(g.deadline) <= 0 {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// wait returns when something may have changed or the deadline may have passed; the caller looks again.
func (g *gate) wait() {
	if !g.deadline.IsZero() {
		g.arm(time.Until(g.deadline))
	}
	g.waiting++
	g.changed.Wait()
	g.waiting--
	if g.waiting == 0 && g.timer != nil {
		g.timer.Stop()
	}
}

func (g *gate) arm(d time.Duration) {
	if g.timer != nil {
		g.timer.Reset(d)
		return
	}
	g.timer = time.AfterFunc(d, func() {
		// Under the lock, so that it cannot fall between a waiter's look at the deadline and its wait.
		g.changed.L.Lock()
		defer g.changed.L.Unlock()
		g.wake()
	})
}

func (g *gate) wake() {
	if g.waiting > 0 {
		g.changed.Broadcast()
	}
}
