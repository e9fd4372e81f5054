package faults

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mqtthil/faults/internal/form"
)

// Loss loses a share of the segments of 1460 bytes, from 0 to 1, as a network below TCP does: TCP sends them again, so that
// they, and what is behind them, arrive later: after 200 ms, after 600 ms where it is lost again, and so on.
func Loss(share float64) Condition { return Condition{kind: loss{share}} }

type loss struct {
	Share float64 `json:"share"`
}

func (loss) name() string                  { return "loss" }
func (l loss) String() string              { return fmt.Sprintf("loss %v", l.Share) }
func (l loss) path(random *rand.Rand) path { return &lossy{share: l.Share, random: random} }

func (l loss) check() error {
	if !(l.Share >= 0 && l.Share <= 1) {
		return fmt.Errorf("loss %v is not between 0 and 1", l.Share)
	}
	return nil
}

// UnmarshalYAML reads the share alone, or all fields.
func (l *loss) UnmarshalYAML(unmarshal func(any) error) error {
	if !form.IsMapping(unmarshal) {
		return unmarshal(&l.Share)
	}
	type plain loss
	return unmarshal((*plain)(l))
}

const (
	segment        = 1460                   // bytes that TCP sends at a time over Ethernet and Wi-Fi
	retransmission = 200 * time.Millisecond // what TCP waits at first; it doubles
	transmissions  = 6                      // of a segment at the most, so that a link of loss alone still moves
)

// lossy is a direction that loses segments.
type lossy struct {
	share  float64
	random *rand.Rand
	last   time.Time // when the segment before arrived
}

func (l *lossy) carry(p piece, on onward) (int, bool) {
	if p.ending != "" {
		p.at = l.arrives(p.at)
		return on(p)
	}
	return carryParts(p, on, func(data []byte) (int, time.Time) {
		return min(segment, len(data)), l.arrives(p.at)
	}, func(done int, at time.Time) {
		if done > 0 {
			l.last = at
		}
	})
}

// arrives says when a segment arrives that is sent at some time.
func (l *lossy) arrives(at time.Time) time.Time {
	wait := retransmission
	for n := 1; n < transmissions && l.random.Float64() < l.share; n++ {
		at = at.Add(wait)
		wait *= 2
	}
	return latest(at, l.last)
}
