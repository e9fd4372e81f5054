package faults

import (
	"slices"
	"sync"

	"mqtthil/harness/timeline"
)

// Armed is a rule at work in a proxy.
type Armed struct {
	rules  *rules
	rule   Rule
	number int

	// Both are guarded by rules.
	matched int // packets that fitted, whatever was done to them
	fired   int // packets that the rule acted on
}

// Fired returns how often the rule has acted.
func (a *Armed) Fired() int {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	return a.fired
}

// Remove takes the rule out. What it began goes on: a packet that it holds back stays held.
func (a *Armed) Remove() {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	a.rules.armed = slices.DeleteFunc(a.rules.armed, func(other *Armed) bool { return other == a })
}

// String says the rule in words.
func (a *Armed) String() string {
	return a.rule.String()
}

// rules are those that are armed, in the order in which they were added.
type rules struct {
	rec *timeline.Recorder

	mu    sync.Mutex
	armed []*Armed
	added int // ever, to number them
}

func (r *rules) add(rule Rule) *Armed {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.added++
	a := &Armed{rules: r, rule: rule, number: r.added}
	r.armed = append(r.armed, a)
	return a
}

func (r *rules) all() []*Armed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.armed)
}

// choose returns what to do to a packet, given the event of its arrival; nil to just hand it on. The first rule that
// the packet fits and that has actions left gets it, and that goes into the record; all rules that it fits count it, so
// that the 2nd of something is the 2nd on the wire.
func (r *rules) choose(arrival timeline.Event, direction Direction) action {
	r.mu.Lock()
	defer r.mu.Unlock()
	var chosen *Armed
	for _, a := range r.armed {
		if !a.rule.match.Matches(arrival.Conn, direction, arrival.Packet) {
			continue
		}
		a.matched++
		if chosen == nil && a.rule.match.span.contains(a.matched) && (a.rule.times == 0 || a.fired < a.rule.times) {
			chosen = a
		}
	}
	if chosen == nil {
		return nil
	}
	chosen.fired++
	r.rec.Append(timeline.Event{Kind: timeline.KindFault, Conn: arrival.Conn, Fault: &timeline.Fault{
		Rule:   chosen.number,
		Text:   chosen.String(),
		Action: chosen.rule.action.String(),
		Packet: arrival.Seq,
	}})
	return chosen.rule.action
}
