package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mqtthil/harness/timeline"
)

// Hold sets the packets aside while what comes behind them goes on, until Armed.Release hands them on. What is still
// held when the connection ends is lost.
func Hold() Action { return hold{} }

type hold struct{ armed *Armed }

func (hold) verb() string           { return "hold" }
func (hold) String() string         { return "hold" }
func (hold) needsWholePacket()      {}
func (h hold) bind(a *Armed) Action { return hold{a} }

// heldBytes bounds what a rule holds. Packets beyond that it leaves alone.
const heldBytes = 16 << 20

func (h hold) apply(p *passage) (bool, error) {
	if h.armed.shelve(p) {
		return false, nil
	}
	p.flow.link.note(timeline.Event{Kind: timeline.KindFault, Conn: p.flow.link.number, Fault: &timeline.Fault{
		Rule: h.armed.number, Text: h.armed.String(), Action: "left alone, for the rule holds enough",
	}})
	return true, nil
}

// Held returns how many packets the rule's Hold has set aside that can still be released.
func (a *Armed) Held() int {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	a.forgetLost()
	return len(a.held)
}

// Release hands on the first n packets that Hold has set aside, oldest first, all where n is negative. It returns how
// many they were.
func (a *Armed) Release(n int) int {
	return a.release(n, func([]shelved) {})
}

// ReleaseReversed is Release of all, newest first.
func (a *Armed) ReleaseReversed() int {
	return a.release(-1, slices.Reverse)
}

// ReleaseShuffled is Release of all, in an order that random chooses.
func (a *Armed) ReleaseShuffled(random *rand.Rand) int {
	return a.release(-1, func(held []shelved) {
		random.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	})
}

// shelved is a packet that was set aside, and where it will go on.
type shelved struct {
	flow *flow
	delivery
}

// shelve is false where the rule holds too much already.
func (a *Armed) shelve(p *passage) bool {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	if len(a.held) == cap(a.held) {
		a.forgetLost()
	}
	bytes := len(p.data)
	for _, s := range a.held {
		bytes += len(s.data)
	}
	if bytes > heldBytes || len(a.held) >= heldBytes/1024 {
		return false
	}
	a.held = append(a.held, shelved{p.flow, p.delivery})
	return true
}

// forgetLost lets go of packets whose direction has ended. The caller holds the rules' mu.
func (a *Armed) forgetLost() {
	a.held = slices.DeleteFunc(a.held, func(s shelved) bool { return s.flow.takesNothing() })
}

func (a *Armed) release(n int, order func([]shelved)) int {
	a.rules.mu.Lock()
	a.forgetLost()
	if n < 0 || n > len(a.held) {
		n = len(a.held)
	}
	released := slices.Clone(a.held[:n])
	a.held = slices.Delete(a.held, 0, n)
	a.rules.noteRule(a, fmt.Sprintf("release of %d held", n))
	a.rules.mu.Unlock()
	order(released)
	for _, s := range released {
		s.at = time.Now()
		s.flow.queue.insert(s.delivery)
	}
	return n
}
