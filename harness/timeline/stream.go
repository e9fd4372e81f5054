package timeline

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// Stream is a record that is written out and not kept: for traffic that goes on for days. Its clock starts with it. What
// it writes is what Recorder writes, and Read reads it.
//
// A Stream never makes anybody wait. Where out is slower than the traffic for so long that megabytes of events have
// gathered, it leaves events out, and an event of KindHarness says how many in their place; those that are left out have
// taken numbers, too, so that Seq goes on to be right where events refer to each other.
type Stream struct {
	start time.Time
	spool *Spool

	mu      sync.Mutex
	next    int // Seq of the next event
	missing int // events that were left out since the last one that was not
}

// NewStream starts a record, which has to be closed. The first error of out is told to failed, at once; the record ends
// there.
func NewStream(out io.Writer, failed func(error)) *Stream {
	return &Stream{start: time.Now(), spool: NewSpool(out, failed)}
}

// Append stamps the event with its position and time and has it written soon. It returns the stamped event.
func (s *Stream) Append(e Event) Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Seq, e.At = s.next, time.Since(s.start)
	var lines []byte
	if s.missing > 0 {
		text := fmt.Sprintf("%d events are missing here: the record could not be written as fast as they came", s.missing)
		lines = encode(nil, Event{Seq: e.Seq, At: e.At, Kind: KindHarness, Text: text})
		e.Seq++
	}
	if s.spool.Add(encode(lines, e)) {
		s.next, s.missing = e.Seq+1, 0
		return e
	}
	e.Seq = s.next
	s.next++
	s.missing++
	return e
}

// encode appends an event's line. Events hold nothing that JSON could not.
func encode(lines []byte, e Event) []byte {
	line, _ := json.Marshal(e)
	return append(append(lines, line...), '\n')
}

// Close ends the record with some last events, when all before is written. It returns the first error of writing.
func (s *Stream) Close(final ...Event) error {
	_ = s.spool.Flush() // Close returns the same error
	for _, e := range final {
		s.Append(e)
	}
	return s.spool.Close()
}
