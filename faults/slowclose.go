package faults

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mqtthil/faults/internal/form"
)

// SlowClose hands FIN on a time after it came.
func SlowClose(by time.Duration) Condition { return Condition{kind: slowClose{Duration(by)}} }

type slowClose struct {
	By Duration `json:"by"`
}

func (slowClose) name() string           { return "slow-close" }
func (s slowClose) String() string       { return fmt.Sprintf("slow close by %s", s.By) }
func (s slowClose) path(*rand.Rand) path { return s }
func (s slowClose) check() error         { return notNegative("by", s.By) }

func (s slowClose) carry(p piece, on onward) (int, bool) {
	if p.ending == FIN {
		p.at = p.at.Add(time.Duration(s.By))
	}
	return on(p)
}

// UnmarshalYAML reads a time alone, or all fields.
func (s *slowClose) UnmarshalYAML(unmarshal func(any) error) error {
	if !form.IsMapping(unmarshal) {
		return unmarshal(&s.By)
	}
	type plain slowClose
	return unmarshal((*plain)(s))
}
