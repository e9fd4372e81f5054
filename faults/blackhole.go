package faults

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Blackhole loses everything. Where after is not 0, it ends the connection with FIN after that time.
func Blackhole(after time.Duration) Condition { return Condition{kind: blackhole{Duration(after)}} }

type blackhole struct {
	After Duration `json:"after,omitempty"`
}

func (blackhole) name() string         { return "blackhole" }
func (blackhole) path(*rand.Rand) path { return hole{} }
func (b blackhole) check() error       { return notNegative("after", b.After) }

func (b blackhole) String() string {
	if b.After == 0 {
		return "black hole"
	}
	return fmt.Sprintf("black hole, ends after %s", b.After)
}

func (b blackhole) fuse() (time.Duration, Ending) {
	if b.After == 0 {
		return 0, ""
	}
	return time.Duration(b.After), FIN
}

func notNegative(what string, d Duration) error {
	if d < 0 {
		return fmt.Errorf("%s is negative: %s", what, d)
	}
	return nil
}

// hole is a direction in which nothing arrives.
type hole struct{}

func (hole) carry(p piece, _ onward) (int, bool) { return len(p.data), true }
