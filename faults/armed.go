package faults

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"mqtthil/harness/timeline"
)

// Armed is a rule at work in a proxy.
type Armed struct {
	rules  *rules
	rule   Rule
	number int
	types  uint32 // a bit for each type that fits

	// All are guarded by rules.
	matched int // packets that fitted, whatever was done to them
	fired   int // packets that the rule acted on
	held    []shelved
}

// Number is the rule's number in the proxy and in its record, counted from 1.
func (a *Armed) Number() int { return a.number }

// Rule is what was armed.
func (a *Armed) Rule() Rule { return a.rule }

// Matched returns how many packets have fitted the rule, apart from Nth, From, Times and chance.
func (a *Armed) Matched() int {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	return a.matched
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
	before := len(a.rules.armed)
	a.rules.armed = slices.DeleteFunc(a.rules.armed, func(other *Armed) bool { return other == a })
	a.rules.setWanted()
	if len(a.rules.armed) < before {
		a.rules.noteRule(a, "removed")
	}
}

// String says the rule in words.
func (a *Armed) String() string {
	return a.rule.String()
}

// rules are those that are armed, in the order in which they were added.
type rules struct {
	rec    Record // may be nil
	seed   uint64
	wanted [BrokerToDevice + 1]atomic.Uint32 // by direction: the types of packets that some rule wants to see

	mu    sync.Mutex
	armed []*Armed
	added int // ever, to number them
}

func (r *rules) add(rule Rule) *Armed {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.added++
	a := &Armed{rules: r, rule: rule, number: r.added, types: rule.match.types()}
	r.armed = append(r.armed, a)
	r.setWanted()
	r.noteRule(a, "")
	return a
}

// noteRule records what becomes of a rule: that it is armed, where action is empty. The caller holds mu.
func (r *rules) noteRule(a *Armed, action string) {
	if r.rec != nil {
		r.rec.Append(timeline.Event{Kind: timeline.KindRule,
			Fault: &timeline.Fault{Rule: a.number, Text: a.String(), Action: action}})
	}
}

// setWanted is for who holds mu.
func (r *rules) setWanted() {
	var wanted [BrokerToDevice + 1]uint32
	for _, a := range r.armed {
		wanted[a.rule.match.form.To] |= a.types
	}
	for direction, types := range wanted {
		r.wanted[direction].Store(types)
	}
}

func (r *rules) all() []*Armed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.armed)
}

// arrival is where a packet stands when rules are asked about it.
type arrival struct {
	event    int  // its position in the record
	nth      int  // its number in its direction on its connection, from 1
	streamed bool // it is too large to be held
}

// choose returns what to do to a packet, in order; nothing to just hand it on. Every rule that the packet fits counts it,
// so that the 2nd of something is the 2nd on the wire, and has its actions done unless an earlier rule takes the packet
// away. What is done goes into the record.
func (r *rules) choose(s *sight, at arrival) []Action {
	r.mu.Lock()
	defer r.mu.Unlock()
	var chosen []Action
	taken := false
	for _, a := range r.armed {
		if a.types&(1<<s.kind) == 0 || !a.rule.match.fits(s) {
			continue
		}
		a.matched++
		if taken || !a.rule.match.span().contains(a.matched) || a.rule.times > 0 && a.fired >= a.rule.times {
			continue
		}
		var random *rand.Rand
		if a.rule.needsChance() {
			random = chance(r.seed, whetherRuleActs, a.number, s.connection, s.direction, at.nth)
		}
		if p := a.rule.match.form.Probability; p != nil && random.Float64() >= *p {
			continue
		}
		actions, left := a.decide(random, s.size, at.streamed)
		if len(actions) > 0 {
			a.fired++
		}
		r.note(a, s, at, actions, left)
		chosen = append(chosen, actions...)
		taken = slices.ContainsFunc(actions, takesAway)
	}
	return chosen
}

func (r Rule) needsChance() bool {
	return r.match.form.Probability != nil || slices.ContainsFunc(r.actions, func(a Action) bool {
		_, ok := a.(chancy)
		return ok
	})
}

// decide returns the rule's actions as they befall one packet, and those that cannot.
func (a *Armed) decide(random *rand.Rand, length int, streamed bool) (actions, left []Action) {
	for _, action := range a.rule.actions {
		if _, ok := action.(wholesome); ok && streamed {
			left = append(left, action)
			continue
		}
		if c, ok := action.(chancy); ok {
			action = c.decide(random, length)
		}
		if b, ok := action.(bound); ok {
			action = b.bind(a)
		}
		actions = append(actions, action)
	}
	return actions, left
}

// note writes what a rule does to a packet into the record.
func (r *rules) note(a *Armed, s *sight, at arrival, actions, left []Action) {
	if r.rec == nil {
		return
	}
	note := func(text string, do []Action) {
		r.rec.Append(timeline.Event{Kind: timeline.KindFault, Conn: s.connection, Fault: &timeline.Fault{
			Rule:   a.number,
			Text:   a.String(),
			Action: text,
			Packet: at.event,
			Point:  s.direction.entry(),
			Nth:    at.nth,
			Do:     marshalActions(do),
		}})
	}
	if len(actions) > 0 {
		note(actionsText(actions), actions)
	}
	if len(left) > 0 {
		note("left alone, for the packet is too large to "+actionsText(left), nil)
	}
}
