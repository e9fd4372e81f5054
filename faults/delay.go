package faults

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mqtthil/faults/internal/form"
)

// Delay hands the packets on a time after they arrived. As in any stream of bytes, what comes behind them in the same
// direction waits too; the other direction does not.
func Delay(by time.Duration) Action { return delay{Spread{By: Duration(by)}} }

// DelayBy is Delay by times that vary.
func DelayBy(s Spread) Action { return delay{s} }

type delay struct{ Spread }

func (delay) verb() string     { return "delay" }
func (d delay) String() string { return "delay " + d.Spread.String() }

func (d delay) decide(random *rand.Rand, _ int) Action {
	if d.Jitter == 0 {
		return d
	}
	return Delay(d.pick(random).Round(time.Microsecond))
}

func (d delay) apply(p *passage) (bool, error) {
	p.holdUntil(p.at.Add(time.Duration(d.By)))
	return true, nil
}

// UnmarshalYAML reads a time alone, or all fields.
func (d *delay) UnmarshalYAML(unmarshal func(any) error) error { return d.Spread.unmarshal(unmarshal) }

// Spread is a time that varies by chance.
type Spread struct {
	By           Duration     `json:"by"`
	Jitter       Duration     `json:"jitter,omitempty"`       // how far it varies, see Distribution
	Distribution Distribution `json:"distribution,omitempty"` // uniform where it is empty
}

// Distribution says how a Spread varies.
type Distribution string

// The distributions.
const (
	Uniform Distribution = "uniform" // any time from By-Jitter to By+Jitter is as likely as any other
	Normal  Distribution = "normal"  // a bell curve around By with Jitter as its standard deviation
	Pareto  Distribution = "pareto"  // By or more, with a long tail of which Jitter is the mean
)

// String says it in words, such as: 200ms ± 50ms normal.
func (s Spread) String() string {
	text := time.Duration(s.By).String()
	if s.Jitter > 0 {
		text += fmt.Sprintf(" ± %s", time.Duration(s.Jitter))
		if s.Distribution != "" && s.Distribution != Uniform {
			text += " " + string(s.Distribution)
		}
	}
	return text
}

// unmarshal reads a time alone, or all fields.
func (s *Spread) unmarshal(unmarshal func(any) error) error {
	if !form.IsMapping(unmarshal) {
		return unmarshal(&s.By)
	}
	return unmarshal(s)
}

// check finds what makes no sense in a spread.
func (s Spread) check() error {
	switch {
	case s.By < 0 || s.Jitter < 0:
		return fmt.Errorf("a time is negative: by %s, jitter %s", s.By, s.Jitter)
	case s.Distribution != "" && s.Distribution != Uniform && s.Distribution != Normal && s.Distribution != Pareto:
		return fmt.Errorf("distribution %q is none of uniform, normal and pareto", s.Distribution)
	}
	return nil
}

// pick chooses a time; it is never negative.
func (s Spread) pick(random *rand.Rand) time.Duration {
	by, jitter := float64(s.By), float64(s.Jitter)
	if jitter > 0 {
		switch s.Distribution {
		case Normal:
			by += random.NormFloat64() * jitter
		case Pareto: // with the shape 3, which has a mean of 1.5
			by += jitter * 2 * (paretoShape3(random) - 1)
		default:
			by += (2*random.Float64() - 1) * jitter
		}
	}
	return time.Duration(min(max(by, 0), float64(form.Never)))
}
