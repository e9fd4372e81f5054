package faults

import (
	"fmt"
	"slices"
	"time"

	"mqtthil/harness/timeline"
)

// cutoff ends a connection with FIN, both sides of it, when it comes out of a path.
const cutoff Ending = "cutoff"

// paths are what conditions make of one direction, in the order in which they stand.
type paths struct {
	all     []path
	changed chan struct{} // closed when others are in force
	resumed time.Time     // when the link was there again, where it has been down
}

// setPaths puts the paths of the conditions that stand now in force. The caller holds the link's mu.
func (f *flow) setPaths(standing []*standing) {
	next := &paths{changed: make(chan struct{})}
	for _, s := range standing {
		if p := s.paths[f.direction]; p != nil {
			next.all = append(next.all, p)
		}
	}
	before := f.paths.Load()
	if before != nil {
		if next.resumed = before.resumed; before.down() && !next.down() {
			next.resumed = time.Now()
		}
	}
	if len(next.all) == 0 {
		next = nil
	}
	f.paths.Store(next)
	if before != nil {
		close(before.changed)
	}
}

// down says whether nothing arrives until a condition is removed.
func (p *paths) down() bool {
	return slices.ContainsFunc(p.all, func(each path) bool {
		a, ok := each.(*away)
		return ok && a.For == 0
	})
}

// write has a delivery travel the direction, in its manner and as the conditions say, and waits for it. When the
// conditions change on the way, they hold for what is left.
func (f *flow) write(d delivery) error {
	if f.paths.Load() == nil && d.manner.Size == 0 {
		_, err := f.arriveAtSink(piece{data: d.data, ending: d.ending}, d.exits)
		return err
	}
	t := transit{flow: f, delivery: d}
	for !t.over {
		t.travel()
	}
	t.noteParts()
	if d.ending != "" && !t.ended {
		f.link.loseEnd(f)
	}
	return t.err
}

// transit is a delivery on its way.
type transit struct {
	flow *flow
	delivery
	changed <-chan struct{} // closed when other conditions are in force
	done    int             // bytes that are done with, arrived or lost
	sent    int             // bytes that have arrived
	kept    []byte          // the beginning of these, for the record
	ended   bool            // the stream's end has arrived
	over    bool            // nothing more can arrive
	err     error
}

// travel takes what is left over the paths that are in force, until it has arrived or others are.
func (t *transit) travel() {
	var over []path
	rest := piece{t.at, t.data[t.done:], t.ending}
	t.changed = nil
	if p := t.flow.paths.Load(); p != nil {
		over, t.changed = p.all, p.changed
		rest.at = latest(rest.at, p.resumed) // nothing has travelled while the link was down
	}
	for _, part := range t.manner.pieces(rest) {
		n, goOn := t.carry(part, over)
		if t.done += n; !goOn {
			return
		}
	}
	t.over = true
}

// carry takes a piece over paths, one after the other, each when its time has come: so what one path holds up does not
// keep the next one busy.
func (t *transit) carry(p piece, over []path) (done int, goOn bool) {
	switch t.flow.waitUntil(p.at, t.changed) {
	case waitChanged:
		return 0, false
	case waitCut:
		t.over = true
		return 0, false
	}
	if len(over) > 0 {
		return over[0].carry(p, func(p piece) (int, bool) { return t.carry(p, over[1:]) })
	}
	if p.ending == cutoff {
		t.over = true
		t.flow.link.note(timeline.Event{Kind: timeline.KindFault, Conn: t.flow.link.number,
			Fault: &timeline.Fault{Text: "limit", Action: "cut with FIN"}})
		t.flow.link.end(FIN)
		return 0, false
	}
	var exits []timeline.Event
	if t.sent+len(p.data) == len(t.data) {
		exits = t.exits
	}
	var arrived bool
	if arrived, t.err = t.flow.arriveAtSink(p, exits); arrived {
		if t.sent += len(p.data); len(t.kept) < timeline.MaxRaw {
			t.kept = append(t.kept, p.data...)
		}
	}
	t.ended = p.ending != ""
	t.over = t.err != nil
	return len(p.data), !t.over
}

// noteParts records what has arrived of a delivery that has not arrived as a whole.
func (t *transit) noteParts() {
	if t.sent > 0 && t.sent < len(t.data) && len(t.exits) > 0 {
		e := t.flow.rawEvent(t.flow.direction.exit(), t.kept, fmt.Sprintf("%d of %d bytes", t.sent, len(t.data)))
		t.flow.link.note(e)
	}
}

// arriveAtSink hands a piece on to the sink, and says whether that has taken its data.
func (f *flow) arriveAtSink(p piece, exits []timeline.Event) (arrived bool, err error) {
	if until := f.frozen.Load(); until != nil {
		f.waitUntil(*until, nil)
	}
	switch p.ending {
	case FIN:
		f.link.sendFIN(f)
		return false, nil
	case RST:
		f.link.passRST()
		return false, nil
	}
	return f.send(p.data, exits)
}

// pieces cuts a piece up.
func (s split) pieces(p piece) []piece {
	if s.Size == 0 || p.ending != "" {
		return []piece{p}
	}
	var pieces []piece
	for at, data := latest(p.at, time.Now()), p.data; len(data) > 0; at = at.Add(time.Duration(s.Gap)) {
		part := data[:min(s.Size, len(data))]
		data = data[len(part):]
		pieces = append(pieces, piece{at: at, data: part})
	}
	return pieces
}

// waited says why a wait is over.
type waited int

const (
	waitOver waited = iota
	waitChanged
	waitCut
)

// waitUntil waits for a time, no longer than the link is there and changed is not closed.
func (f *flow) waitUntil(t time.Time, changed <-chan struct{}) waited {
	d := time.Until(t)
	if d <= 0 {
		return waitOver
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return waitOver
	case <-changed:
		return waitChanged
	case <-f.link.ended:
		return waitCut
	}
}
