package faults

import "math/rand/v2"

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

// Held returns how many packets the rule's Hold has set aside and not released.
func (a *Armed) Held() int {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	return len(a.held)
}

// Release hands on the first n packets that Hold has set aside, oldest first, all where n is negative. It returns how
// many they were.
func (a *Armed) Release(n int) int {
	return a.release(n, func([]shelved) {})
}

// ReleaseReversed is Release of all, newest first.
func (a *Armed) ReleaseReversed() int {
	return a.release(-1, func(held []shelved) { reverse(held) })
}

// ReleaseShuffled is Release of all, in an order that random chooses.
func (a *Armed) ReleaseShuffled(random *rand.Rand) int {
	return a.release(-1, func(held []shelved) {
		random.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	})
}

func reverse(held []shelved) {
	for i, j := 0, len(held)-1; i < j; i, j = i+1, j-1 {
		held[i], held[j] = held[j], held[i]
	}
}

// shelved is a packet that was set aside, and where it will go on.
type shelved struct {
	flow *flow
	delivery
}

func (a *Armed) shelve(p *passage) {
	a.rules.mu.Lock()
	defer a.rules.mu.Unlock()
	a.held = append(a.held, shelved{p.flow, p.delivery})
}

func (a *Armed) release(n int, order func([]shelved)) int {
	a.rules.mu.Lock()
	if n < 0 || n > len(a.held) {
		n = len(a.held)
	}
	released := append([]shelved(nil), a.held[:n]...)
	a.held = a.held[n:]
	a.rules.mu.Unlock()
	order(released)
	for _, s := range released {
		s.flow.queue.add(s.delivery)
	}
	return n
}
