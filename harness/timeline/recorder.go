package timeline

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Recorder keeps the record of one scenario in memory and writes it out as it grows. Its clock starts with it.
// All methods may be called from any goroutine.
type Recorder struct {
	start time.Time

	mu      sync.Mutex
	events  []Event
	changed chan struct{} // closed by the next Append
	sealed  bool
	out     io.Writer
	err     error
}

// NewRecorder starts a record. Each event is written to out as one JSON line, by one call of Write; out may be nil.
func NewRecorder(out io.Writer) *Recorder {
	return &Recorder{start: time.Now(), changed: make(chan struct{}), out: out}
}

// Append stamps the event with its position and time, keeps it and writes it out. It returns the stamped event.
// An error of the writer is kept for Err: a record that cannot be written must not change what the device sees.
// After Seal, Append keeps nothing, so that a part left behind by a hung scenario cannot spoil its record.
func (r *Recorder) Append(e Event) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return e
	}
	e = r.add(e, time.Since(r.start))
	close(r.changed)
	r.changed = make(chan struct{})
	return e
}

// Seal ends the record with events that nobody waits for, such as the verdict. They have the time of the last event
// before them. Unlike Append, it may be called from outside the synctest bubble that the Recorder was made in.
func (r *Recorder) Seal(final ...Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return
	}
	r.sealed = true
	var at time.Duration
	if len(r.events) > 0 {
		at = r.events[len(r.events)-1].At
	}
	for _, e := range final {
		r.add(e, at)
	}
}

// add keeps an event and writes it out. The caller holds mu.
func (r *Recorder) add(e Event, at time.Duration) Event {
	e.Seq, e.At = len(r.events), at
	r.events = append(r.events, e)
	if r.out != nil && r.err == nil {
		line, err := json.Marshal(e)
		if err == nil {
			_, err = r.out.Write(append(line, '\n'))
		}
		if err != nil {
			r.err = fmt.Errorf("event %d: %w", e.Seq, err)
		}
	}
	return e
}

// Events returns the record so far. The caller must not change it.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

// Changed returns a channel that is closed by the next Append. To wait for something without missing it, take the
// channel first and look at Events then.
func (r *Recorder) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// Err returns the first error of writing the record out; what came after it is in memory only.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
