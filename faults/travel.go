package faults

import (
	"fmt"
	"time"

	"mqtthil/harness/timeline"
)

// cutoff ends a connection with FIN, both sides of it, when it comes out of a path.
const cutoff Ending = "cutoff"

// paths are what conditions make of one direction, in the order in which they stand.
type paths struct {
	all     []path
	changed chan struct{} // closed when others are in force
}

// setPaths puts the paths of the conditions that stand now in force. The caller holds the link's mu.
func (f *flow) setPaths(standing []*standing) {
	next := &paths{changed: make(chan struct{})}
	for _, s := range standing {
		if p := s.paths[f.direction]; p != nil {
			next.all = append(next.all, p)
		}
	}
	if len(next.all) == 0 {
		next = nil
	}
	if before := f.paths.Swap(next); before != nil {
		close(before.changed)
	}
}

// carry has the paths say what becomes of a piece.
func (p *paths) carry(pieces []piece) []piece {
	if p == nil {
		return pieces
	}
	for _, path := range p.all {
		var next []piece
		for _, c := range pieces {
			next = path.carry(c, next)
		}
		pieces = next
	}
	return pieces
}

// settle tells the paths how many bytes of what they have carried have arrived.
func (p *paths) settle(arrived int) {
	if p == nil {
		return
	}
	for _, path := range p.all {
		if t, ok := path.(tally); ok {
			t.settle(arrived)
		}
	}
}

// write has a delivery travel the direction, in its manner and as the conditions say, and waits for it. When the
// conditions change on the way, they hold for what is left.
func (f *flow) write(d delivery) error {
	current := f.paths.Load()
	if current == nil && d.manner.Size == 0 {
		return f.arriveAtSink(piece{data: d.data, ending: d.ending}, d.exits)
	}
	sent, whole := 0, d
	for {
		var changed <-chan struct{}
		if current != nil {
			changed = current.changed
		}
		again, before := false, sent
		for _, p := range current.carry(d.manner.pieces(piece{d.at, d.data, d.ending})) {
			switch f.waitUntil(p.at, changed) {
			case waitCut:
				return f.broke(whole, sent)
			case waitChanged:
				again = true
			}
			if again {
				break
			}
			var exits []timeline.Event
			if sent += len(p.data); sent == len(whole.data) {
				exits = d.exits
			}
			if p.ending == cutoff {
				err := f.broke(whole, sent)
				f.link.note(timeline.Event{Kind: timeline.KindFault, Conn: f.link.number,
					Fault: &timeline.Fault{Text: "limit", Action: "cut with FIN"}})
				f.link.end(FIN)
				return err
			}
			if err := f.arriveAtSink(p, exits); err != nil {
				return err
			}
			if d.data = whole.data[sent:]; p.ending != "" {
				d.ending = ""
			}
		}
		if !again {
			current.settle(len(whole.data)) // what another condition has lost on the way counts, too
			return nil
		}
		current.settle(sent - before)
		current = f.paths.Load()
	}
}

// arriveAtSink hands a piece on to the sink.
func (f *flow) arriveAtSink(p piece, exits []timeline.Event) error {
	switch p.ending {
	case FIN:
		f.link.sendFIN(f)
		return nil
	case RST:
		f.link.end(RST)
		return nil
	}
	return f.send(p.data, exits)
}

// broke records how much of a delivery had arrived when the link ended.
func (f *flow) broke(d delivery, sent int) error {
	if sent > 0 && sent < len(d.data) && len(d.exits) > 0 {
		reason := fmt.Sprintf("the first %d of %d bytes", sent, len(d.data))
		f.link.note(f.rawEvent(f.direction.exit(), d.data[:sent], reason))
	}
	return nil
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
