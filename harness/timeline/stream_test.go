package timeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// out is a writer that can be held up, and fail.
type out struct {
	mu     sync.Mutex
	text   bytes.Buffer
	writes int
	fail   error
	hold   chan struct{} // nil: writes go through
}

func (o *out) Write(b []byte) (int, error) {
	if o.hold != nil {
		<-o.hold
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes++
	if o.fail != nil {
		return 0, o.fail
	}
	return o.text.Write(b)
}

func noFailure(t *testing.T) func(error) {
	return func(err error) { t.Errorf("failed: %v", err) }
}

func read(t *testing.T, o *out) []Event {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	events, err := Read(bytes.NewReader(o.text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &out{}
		s := NewStream(o, noFailure(t))
		time.Sleep(time.Second)
		if e := s.Append(Event{Kind: KindStep, Text: "one"}); e.Seq != 0 || e.At != time.Second {
			t.Errorf("%+v", e)
		}
		synctest.Wait()
		if events := read(t, o); len(events) != 1 {
			t.Errorf("an event is not written as soon as there is nothing else to do: %+v", events)
		}
		s.Append(Event{Kind: KindPacket, Packet: &Packet{Type: "PINGREQ"}})
		if err := s.Close(Event{Kind: KindVerdict, Verdict: &Verdict{Status: Passed}}); err != nil {
			t.Error(err)
		}
		s.Append(Event{Kind: KindStep, Text: "too late"})
		events := read(t, o)
		if len(events) != 3 || events[0].Text != "one" || events[1].Packet.Type != "PINGREQ" || events[2].Kind != KindVerdict {
			t.Errorf("%+v", events)
		}
	})
}

// TestStreamFails: a full disk is told once, and nobody waits for it.
func TestStreamFails(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left on device")
	o := &out{fail: full}
	told := make(chan error, 10)
	s := NewStream(o, func(err error) { told <- err })
	s.Append(Event{Kind: KindStep})
	if err := <-told; !errors.Is(err, full) {
		t.Errorf("told %v", err)
	}
	for i := range 100 {
		if e := s.Append(Event{Kind: KindStep}); e.Seq != i+1 {
			t.Errorf("event %d after the failure has number %d", i, e.Seq)
		}
	}
	if err := s.Close(Event{Kind: KindVerdict}); !errors.Is(err, full) {
		t.Errorf("closed with %v", err)
	}
	if o.writes != 1 || len(told) != 0 {
		t.Errorf("%d writes, told %d more times", o.writes, len(told))
	}
}

// TestStreamTooSlow: while nothing can be written, memory stays bounded, and the record says what it lacks.
func TestStreamTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &out{hold: make(chan struct{})}
		s := NewStream(o, noFailure(t))
		big := strings.Repeat("x", 100<<10)
		const all = 100 // of 100 KiB each
		for range all {
			s.Append(Event{Kind: KindStep, Text: big})
			synctest.Wait() // so that the first one is being written
		}
		if n := cap(s.spool.pending); n > 2*spoolBytes {
			t.Errorf("it holds %d bytes", n)
		}
		close(o.hold)
		if err := s.Close(Event{Kind: KindVerdict}); err != nil {
			t.Fatal(err)
		}
		events := read(t, o)
		written := len(events) - 2
		gap, last := events[written], events[written+1]
		if written == all || gap.Kind != KindHarness || last.Kind != KindVerdict {
			t.Fatalf("%d events, at last %+v, %+v", len(events), gap, last)
		}
		for i := range written {
			if events[i].Seq != i {
				t.Errorf("event %d has number %d", i, events[i].Seq)
			}
		}
		if want := fmt.Sprintf("%d events are missing here", all-written); gap.Seq != all || !strings.HasPrefix(gap.Text, want) {
			t.Errorf("%d of %d are written, and event %d says: %s", written, all, gap.Seq, gap.Text)
		}
	})
}

// TestSpoolManyAtATime: what gathers while a write runs goes out in one.
func TestSpoolManyAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &out{hold: make(chan struct{})}
		s := NewSpool(o, noFailure(t))
		for range 1000 {
			if !s.Add([]byte("line\n")) {
				t.Fatal("no room")
			}
			synctest.Wait()
		}
		close(o.hold)
		if err := s.Close(); err != nil || o.writes != 2 || strings.Count(o.text.String(), "line\n") != 1000 {
			t.Errorf("%v, %d writes, %d bytes", err, o.writes, o.text.Len())
		}
	})
}

func BenchmarkStream(b *testing.B) {
	s := NewStream(io.Discard, func(err error) { b.Error(err) })
	e := Event{Kind: KindPacket, Conn: 1, Point: LeftDevice, Packet: &Packet{Type: "PUBLISH", Topic: "bench/up", Raw: make([]byte, 64)}}
	b.ReportAllocs()
	for b.Loop() {
		s.Append(e)
	}
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}
