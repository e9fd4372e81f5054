package faults

import (
	"math/rand/v2"
	"time"
)

// Latency lets everything arrive a time later; what varies never overtakes.
func Latency(s Spread) Condition { return Condition{kind: latency{s}} }

type latency struct{ Spread }

func (latency) name() string                  { return "latency" }
func (l latency) String() string              { return "latency " + l.Spread.String() }
func (l latency) path(random *rand.Rand) path { return &delayed{spread: l.Spread, random: random} }

// UnmarshalYAML reads a time alone, or all fields.
func (l *latency) UnmarshalYAML(unmarshal func(any) error) error {
	return l.Spread.unmarshal(unmarshal)
}

// delayed is a direction with latency.
type delayed struct {
	spread Spread
	random *rand.Rand
	last   time.Time // when the piece before arrived
}

func (d *delayed) carry(p piece, on onward) (int, bool) {
	p.at = latest(p.at.Add(d.spread.pick(d.random)), d.last)
	done, goOn := on(p)
	if goOn {
		d.last = p.at
	}
	return done, goOn
}

// latest is the later of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
