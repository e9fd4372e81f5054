package faults

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Slice cuts what goes over the link into pieces of about size bytes, give or take variation, each gap after the one
// before.
func Slice(size, variation int, gap time.Duration) Condition {
	return Condition{kind: slicing{size, variation, Duration(gap)}}
}

type slicing struct {
	Size      int      `json:"size"`
	Variation int      `json:"variation,omitempty"`
	Gap       Duration `json:"gap,omitempty"`
}

func (slicing) name() string                  { return "slice" }
func (s slicing) path(random *rand.Rand) path { return &sliced{slicing: s, random: random} }

func (s slicing) String() string {
	text := fmt.Sprintf("slice into %d", s.Size)
	if s.Variation > 0 {
		text += fmt.Sprintf(" ± %d", s.Variation)
	}
	text += " bytes"
	if s.Gap > 0 {
		text += fmt.Sprintf(" %s apart", s.Gap)
	}
	return text
}

func (s slicing) check() error {
	if s.Size < 1 || s.Variation < 0 || s.Gap < 0 || max(s.Size, s.Variation) > mostBytes {
		return fmt.Errorf("slice needs a size from 1 to %d bytes, a variation not larger than that, and no negative gap", mostBytes)
	}
	return nil
}

// sliced is a direction that comes in slices.
type sliced struct {
	slicing
	random *rand.Rand
	last   time.Time // when the slice before arrived
}

func (s *sliced) carry(p piece, on onward) (int, bool) {
	if p.ending != "" {
		p.at = latest(p.at, s.last)
		return on(p)
	}
	return carryParts(p, on, func(data []byte) (int, time.Time) {
		size := s.Size
		if s.Variation > 0 {
			size += s.random.IntN(2*s.Variation+1) - s.Variation
		}
		return min(max(size, 1), len(data)), latest(p.at, s.last.Add(time.Duration(s.Gap)))
	}, func(done int, at time.Time) {
		if done > 0 {
			s.last = at
		}
	})
}
