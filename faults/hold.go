package faults

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Hold sets the packets aside while what comes behind them goes on, until Armed.Release hands them on. What is still
// held when the connection ends is lost.
func Hold() Action { return hold{} }

type hold struct{ armed *Armed }

func (hold) verb() string           { return "hold" }
func (hold) String() string         { return "hold" }
func (hold) needsWholePacket()      {}
func (h hold) bind(a *Armed) Action { return hold{a} }

func (h hold) apply(p *passage) (bool, error) {
	h.armed.shelve(p)
	return false, nil
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

func (a *Armed) shelve(p *passage) {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	if len(a.held) == cap(a.held) {
		a.forgetLost()
	}
	a.held = append(a.held, shelved{p.flow, p.delivery})
}

// forgetLost lets go of packets whose connection has ended. The caller holds the rules' mu.
func (a *Armed) forgetLost() {
	a.held = slices.DeleteFunc(a.held, func(s shelved) bool { return s.flow.link.hasEnded() })
}

func (a *Armed) release(n int, order func([]shelved)) int {
	a.rules.mu.Lock()
	a.forgetLost()
	if n < 0 || n > len(a.held) {
		n = len(a.held)
	}
	released := append([]shelved(nil), a.held[:n]...)
	a.held = a.held[n:]
	a.rules.mu.Unlock()
	order(released)
	for _, s := range released {
		s.at = time.Now()
		s.flow.queue.insert(s.delivery)
	}
	return n
}
