package faults

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is a fault: packets, and what is done to each of them. Make one with On and arm it with Proxy.Add. A Rule is a
// value and can be added more than once; each Armed counts for itself.
type Rule struct {
	match   Match
	actions []Action
	times   int // 0 for no limit
}

// On makes a rule that does the actions, one after the other, to each packet that fits. A packet that no action has
// taken away is handed on in the end.
func On(m Match, actions ...Action) Rule {
	return Rule{match: m, actions: slices.Clone(actions)}
}

// Times limits the rule to n packets; it leaves alone the packets after that.
func (r Rule) Times(n int) Rule {
	mustCount("Times", n)
	r.times = n
	return r
}

// String says the rule in words, such as: on 1st-2nd PUBACK to the device: drop. Where an earlier rule takes a packet
// away, the packets that the rule acts on in fact may be later ones.
func (r Rule) String() string {
	return fmt.Sprintf("on %s %s: %s", r.match.span().limit(r.times), r.match.packets(), actionsText(r.actions))
}

func actionsText(actions []Action) string {
	texts := make([]string, 0, len(actions))
	for _, a := range actions {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}
