package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mqtthil/harness/timeline"
)

// standing is what a run says about a requirement.
type standing string

const (
	violated  standing = "violated"
	deviating standing = "known deviation"
	unproved  standing = "not proved" // nothing that covers it ran to its end
	satisfied standing = "satisfied"
)

// requirement is one row of the table of requirements.
type requirement struct {
	ID        string
	Standing  standing
	Reason    string
	CoveredBy []int // numbers of scenarios, from 1
	FoundIn   []int // numbers of scenarios with a finding or a failure that counts against it
}

// requirements judges every requirement that a scenario covers, a finding cites or the run names, in natural order.
func (r *Report) requirements() []requirement {
	byID := map[string]*ledger{}
	entry := func(id string) *ledger {
		if byID[id] == nil {
			byID[id] = &ledger{}
		}
		return byID[id]
	}
	for id := range r.Run.Requirements {
		entry(id)
	}
	for i, s := range r.Scenarios {
		number := i + 1
		open := false // whether a finding says what a failure was about
		for _, e := range s.Findings() {
			l := entry(e.Finding.Requirement)
			if e.Finding.Deviation != "" {
				l.deviations = append(l.deviations, number)
				continue
			}
			l.findings = append(l.findings, number)
			open = true
		}
		for _, id := range s.Info.Covers {
			l := entry(id)
			l.covered = append(l.covered, number)
			switch {
			case s.Status == timeline.Passed:
				l.passed = append(l.passed, number)
			case s.Status == timeline.Failed && s.Owner == timeline.OwnerDevice && !open:
				l.failed = append(l.failed, number)
			}
		}
	}
	var all []requirement
	for id, l := range byID {
		q := l.judge()
		q.ID = id
		all = append(all, q)
	}
	slices.SortFunc(all, func(a, b requirement) int { return naturally(a.ID, b.ID) })
	return all
}

// ledger gathers what counts for and against a requirement, as numbers of scenarios.
type ledger struct {
	covered, passed, failed, findings, deviations []int
}

func (l *ledger) judge() requirement {
	q := requirement{CoveredBy: slices.Compact(l.covered)}
	switch {
	case len(l.findings) > 0:
		q.Standing, q.FoundIn = violated, slices.Compact(l.findings)
		q.Reason = "a judge's finding"
	case len(l.failed) > 0:
		q.Standing, q.FoundIn = violated, slices.Compact(l.failed)
		q.Reason = "a scenario that covers it failed"
	case len(l.deviations) > 0:
		q.Standing, q.FoundIn = deviating, slices.Compact(l.deviations)
		q.Reason = "the device is known for it"
	case len(l.passed) > 0:
		q.Standing = satisfied
		if n := len(q.CoveredBy) - len(slices.Compact(l.passed)); n > 0 {
			q.Reason = fmt.Sprintf("%d of these did not pass, for another reason", n)
		}
	case len(l.covered) > 0:
		q.Standing, q.Reason = unproved, "no scenario that covers it came to a result about it"
	default:
		q.Standing, q.Reason = unproved, "no scenario that covers it has run"
	}
	return q
}

// naturally orders ids as people do: MQTT-3.3.1-2 before MQTT-3.3.1-10.
func naturally(a, b string) int {
	restA, restB := a, b
	for restA != "" && restB != "" {
		var partA, partB string
		partA, restA = part(restA)
		partB, restB = part(restB)
		if partA == partB {
			continue
		}
		if digit(partA[0]) && digit(partB[0]) {
			numberA, numberB := strings.TrimLeft(partA, "0"), strings.TrimLeft(partB, "0")
			if c := cmp.Or(cmp.Compare(len(numberA), len(numberB)), cmp.Compare(numberA, numberB)); c != 0 {
				return c
			}
			continue
		}
		return cmp.Compare(partA, partB)
	}
	return cmp.Or(cmp.Compare(len(restA), len(restB)), cmp.Compare(a, b))
}

// part splits off the longest beginning that is all digits or has none.
func part(s string) (first, rest string) {
	i := 1
	for i < len(s) && digit(s[i]) == digit(s[0]) {
		i++
	}
	return s[:i], s[i:]
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
