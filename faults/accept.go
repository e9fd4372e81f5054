package faults

import (
	"fmt"
	"time"

	"mqtthil/faults/internal/form"
)

// Refuse has the proxy listen no more: connecting fails as if no broker ran there. Connections that exist go on.
func Refuse() Condition { return Condition{kind: refuse{}} }

type refuse struct{}

func (refuse) name() string   { return "refuse" }
func (refuse) String() string { return "refuse connections" }

// NeverAnswer accepts connections and leaves it at that: what the device sends is read and thrown away, and nobody answers,
// until the condition is removed or the device gives up.
func NeverAnswer() Condition { return Condition{kind: neverAnswer{}} }

type neverAnswer struct{}

func (neverAnswer) name() string   { return "never-answer" }
func (neverAnswer) String() string { return "accept connections and never answer" }

// SlowAccept lets a time pass between a connection and its way on to the broker. The kernel completes TCP's handshake by
// itself, so that the device finds itself connected at once.
func SlowAccept(by time.Duration) Condition { return Condition{kind: slowAccept{Duration(by)}} }

type slowAccept struct {
	By Duration `json:"by"`
}

func (slowAccept) name() string     { return "slow-accept" }
func (s slowAccept) String() string { return fmt.Sprintf("accept connections %s late", s.By) }
func (s slowAccept) check() error   { return notNegative("by", s.By) }

// UnmarshalYAML reads a time alone, or all fields.
func (s *slowAccept) UnmarshalYAML(unmarshal func(any) error) error {
	if !form.IsMapping(unmarshal) {
		return unmarshal(&s.By)
	}
	type plain slowAccept
	return unmarshal((*plain)(s))
}
