package faults

import (
	"errors"
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
// taken away is handed on in the end. On panics where the match or an action makes no sense: a scenario that says so is
// wrong and would pass for the wrong reason.
func On(m Match, actions ...Action) Rule {
	r := Rule{match: m, actions: slices.Clone(actions)}
	must(r.check())
	return r
}

// check finds what makes no sense in a rule.
func (r Rule) check() error {
	switch {
	case r.match.form.To == 0:
		return errors.New("on is missing: the packets that the rule is for, such as on: {to: device, type: PUBACK}")
	case len(r.actions) == 0:
		return errors.New("do is missing: what the rule does, such as do: [drop]")
	case r.times < 0:
		return errors.New("times is negative")
	}
	if err := r.match.form.check(); err != nil {
		return err
	}
	for i, a := range r.actions {
		if a == nil {
			return errors.New("an action is nil")
		}
		if i > 0 && takesAway(r.actions[i-1]) {
			return fmt.Errorf("nothing can be done to a packet behind %q, such as %q: it is gone", r.actions[i-1], a)
		}
		if err := check(a); err != nil {
			return fmt.Errorf("%s: %w", a.verb(), err)
		}
	}
	return nil
}

// check asks an action or a kind of condition whether it makes sense.
func check(v any) error {
	if c, ok := v.(interface{ check() error }); ok {
		return c.check()
	}
	return nil
}

// must panics where something makes no sense that Go code says, and no file, which would get the error.
func must(err error) {
	if err != nil {
		panic("faults: " + err.Error())
	}
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
