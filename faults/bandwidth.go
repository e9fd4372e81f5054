package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Bandwidth limits each connection, each direction for itself, to a number of bytes per second.
func Bandwidth(bytesPerSecond int) Condition {
	return Condition{kind: bandwidth{Rate: bytesPerSecond}}
}

// SharedBandwidth is Bandwidth for all connections together, each direction for itself.
func SharedBandwidth(bytesPerSecond int) Condition {
	return Condition{kind: bandwidth{Rate: bytesPerSecond, Shared: true}}
}

type bandwidth struct {
	Rate   int  `json:"rate"` // bytes per second
	Shared bool `json:"shared,omitempty"`
}

func (bandwidth) name() string { return "bandwidth" }

func (b bandwidth) String() string {
	text := fmt.Sprintf("bandwidth %d bytes/s", b.Rate)
	if b.Shared {
		text += " shared"
	}
	return text
}

func (b bandwidth) check() error {
	if b.Rate < 1 {
		return errors.New("bandwidth needs a rate in bytes per second, from 1")
	}
	return nil
}

func (b bandwidth) path(*rand.Rand) path { return &narrow{rate: b.Rate, free: time.Now()} }

// sharedPath is what all connections share in one direction.
func (b bandwidth) sharedPath() path {
	if !b.Shared {
		return nil
	}
	return b.path(nil)
}

// portion is the longest that a narrow link works on one piece, so that data trickles instead of coming in lumps.
const portion = 50 * time.Millisecond

// narrow is a direction with a bandwidth.
type narrow struct {
	rate int // bytes per second

	mu   sync.Mutex
	free time.Time // when it has nothing more to do
}

func (n *narrow) carry(p piece, on onward) (int, bool) {
	if p.ending != "" {
		n.mu.Lock()
		p.at = latest(n.free, p.at)
		n.mu.Unlock()
		return on(p)
	}
	most := max(1, n.rate/int(time.Second/portion))
	booked := 0
	return carryParts(p, on, func(data []byte) (int, time.Time) {
		booked = min(most, len(data))
		return booked, n.book(booked, p.at)
	}, func(done int, _ time.Time) { n.book(done-booked, time.Time{}) })
}

// book takes the time for a number of bytes that come at some time, and returns when they are through. A negative number
// gives the time back of bytes that were not sent.
func (n *narrow) book(bytes int, at time.Time) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.free = latest(n.free, at).Add(time.Duration(bytes) * time.Second / time.Duration(n.rate))
	return n.free
}
