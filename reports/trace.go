package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mqtthil/harness/timeline"
)

// trace follows packets, other bytes and the ends of connections through the proxy. The record tells of each twice,
// as it came in and as it went out, and leaves it to the reader to see that the two belong together.
type trace struct {
	events []timeline.Event

	exit    map[int]int   // Seq of what came in: Seq of its first going out; none where it was swallowed
	source  map[int]int   // Seq of what went out: Seq of its coming in; none where the proxy made it
	changed map[int]bool  // Seq of what went out: not the bytes that came in
	again   map[int]bool  // Seq of what went out: not the first copy
	faults  map[int][]int // Seq of a packet: Seq of the fault events that refer to it

	inside map[stream][]*waiting // what came in and was not yet seen going out
	copied map[copied]int        // what went out and a rule duplicates: Seq of its coming in
}

// stream is one direction of one connection.
type stream struct {
	conn     int
	toBroker bool
}

type waiting struct {
	seq       int
	key       string
	overtaken bool // something behind it has gone out already
}

type copied struct {
	way stream
	key string
}

func follow(events []timeline.Event) *trace {
	t := &trace{
		events: events,
		exit:   map[int]int{}, source: map[int]int{}, changed: map[int]bool{}, again: map[int]bool{},
		faults: map[int][]int{}, inside: map[stream][]*waiting{}, copied: map[copied]int{},
	}
	for _, e := range events {
		if e.Fault != nil && e.Fault.Packet > 0 && e.Fault.Packet < len(events) {
			t.faults[e.Fault.Packet] = append(t.faults[e.Fault.Packet], e.Seq)
		}
	}
	for i := range events {
		e := &events[i]
		key := identity(e)
		way, out, ok := direction(e)
		switch {
		case key == "" || !ok:
		case out:
			t.leave(e, way, key)
		case !t.hasFault(e.Seq, "drop", "answer"):
			t.inside[way] = append(t.inside[way], &waiting{seq: e.Seq, key: key})
		}
	}
	return t
}

// leave finds what came in as the thing that now goes out.
func (t *trace) leave(e *timeline.Event, way stream, key string) {
	inside := t.inside[way]
	// The proxy keeps the order, so of equal packets the earliest is meant. One that was overtaken was lost without a
	// word; it stands for a packet that was held back only if nothing else fits.
	found := slices.IndexFunc(inside, func(w *waiting) bool { return w.key == key && !w.overtaken })
	if found < 0 {
		found = slices.IndexFunc(inside, func(w *waiting) bool { return w.key == key })
	}
	if source, ok := t.copied[copied{way, key}]; ok && found < 0 {
		t.source[e.Seq], t.again[e.Seq] = source, true
		return
	}
	if found < 0 && e.Kind == timeline.KindPacket {
		found = slices.IndexFunc(inside, t.rewritten)
		t.changed[e.Seq] = found >= 0
	}
	if found < 0 {
		return
	}
	w := inside[found]
	t.exit[w.seq], t.source[e.Seq] = e.Seq, w.seq
	if t.hasFault(w.seq, "dup") {
		t.copied[copied{way, key}] = w.seq
	}
	for _, before := range inside[:found] {
		before.overtaken = true
	}
	t.inside[way] = slices.Delete(inside, found, found+1)
}

// rewritten tells whether a rule has touched a packet otherwise than by moving, copying or swallowing it.
func (t *trace) rewritten(w *waiting) bool { return t.hasFault(w.seq, "rewrite", "corrupt") }

// whole tells whether what came in as seq is drawn as one arrow across the proxy: it went out as it came and, unless
// it is just the link that is slow, at once.
func (t *trace) whole(seq int) bool {
	out, ok := t.exit[seq]
	if !ok || t.changed[out] {
		return false
	}
	return len(t.faults[seq]) == 0 || sameTime(t.events[seq].At, t.events[out].At)
}

// hasFault tells whether one of these actions was done to a packet.
func (t *trace) hasFault(packet int, actions ...string) bool {
	return slices.ContainsFunc(t.faults[packet], func(seq int) bool { return acts(t.events[seq].Fault, actions...) })
}

// acts tells whether one of the actions is among those of the fault, which are listed with commas.
func acts(f *timeline.Fault, actions ...string) bool {
	return slices.ContainsFunc(strings.Split(f.Action, ", "), func(done string) bool {
		return slices.ContainsFunc(actions, func(action string) bool { return strings.HasPrefix(done, action) })
	})
}

// sameTime tells whether a reader of milliseconds needs only one of two times.
func sameTime(a, b time.Duration) bool { return (b - a).Abs() < time.Millisecond }

// identity is what the two sightings of one thing have in common. It is empty for what does not pass the proxy.
func identity(e *timeline.Event) string {
	switch {
	case e.Kind == timeline.KindPacket && e.Packet != nil:
		return fmt.Sprintf("packet %s %d %d", e.Packet.Type, e.Packet.Length, e.Packet.Sum)
	case e.Kind == timeline.KindRaw:
		return "raw " + string(e.Data)
	case e.Kind == timeline.KindOpen:
		return "open"
	case e.Kind == timeline.KindClose:
		return "close " + e.Text
	}
	return ""
}

// direction reads an event's point: the stream it belongs to and whether it was seen going out of the proxy.
func direction(e *timeline.Event) (way stream, out, ok bool) {
	switch e.Point {
	case timeline.LeftDevice, timeline.ReachedBroker:
		return stream{e.Conn, true}, e.Point == timeline.ReachedBroker, true
	case timeline.LeftBroker, timeline.ReachedDevice:
		if e.Kind == timeline.KindOpen {
			// Connections are made towards the broker, whatever name the record has for their sides.
			return stream{e.Conn, true}, e.Point == timeline.LeftBroker, true
		}
		return stream{e.Conn, false}, e.Point == timeline.ReachedDevice, true
	}
	return stream{}, false, false
}
