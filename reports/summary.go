package reports

import (
	"fmt"
	"strings"

	"mqtthil/harness/timeline"
)

// Summary counts what the scenarios of a run came to.
type Summary struct {
	Passed      int
	Failed      map[timeline.Owner]int
	Skipped     int
	Interrupted int
	Recorded    int // not to be judged
	NotFinished int
	NotRun      int

	KnownDeviations int // requirements that the device is known to break, and broke
}

// Summary counts the scenarios of the report.
func (r *Report) Summary() Summary {
	sum := Summary{Failed: map[timeline.Owner]int{}}
	deviations := map[string]bool{}
	for _, s := range r.Scenarios {
		switch s.Status {
		case timeline.Passed:
			sum.Passed++
		case timeline.Failed:
			sum.Failed[s.Owner]++
		case timeline.Skipped:
			sum.Skipped++
		case timeline.Interrupted:
			sum.Interrupted++
		case timeline.Recorded:
			sum.Recorded++
		case NotRun:
			sum.NotRun++
		default:
			sum.NotFinished++
		}
		for _, e := range s.Findings() {
			if e.Finding.Deviation != "" {
				deviations[e.Finding.Requirement] = true
			}
		}
	}
	sum.KnownDeviations = len(deviations)
	return sum
}

// AllFailed counts the failed scenarios of all owners.
func (s Summary) AllFailed() int {
	n := 0
	for _, count := range s.Failed {
		n += count
	}
	return n
}

// Total counts all scenarios, those that did not run included.
func (s Summary) Total() int {
	return s.Passed + s.AllFailed() + s.Skipped + s.Interrupted + s.Recorded + s.NotFinished + s.NotRun
}

// owners lists all owners of a failure, the one that a reader asks for first in front.
var owners = []timeline.Owner{
	timeline.OwnerDevice, timeline.OwnerBoard, timeline.OwnerInfrastructure, timeline.OwnerHarness,
}

// String says the counts in words, such as: 1 of 3 scenarios failed (1 device), 2 passed.
func (s Summary) String() string {
	if s.Recorded > 0 && s.Recorded == s.Total() {
		return count(s.Recorded, "record") + " of traffic, not judged"
	}
	var parts []string
	if n := s.AllFailed(); n > 0 {
		var by []string
		for _, owner := range owners {
			if s.Failed[owner] > 0 {
				by = append(by, fmt.Sprintf("%d %s", s.Failed[owner], owner))
			}
		}
		parts = append(parts, fmt.Sprintf("%d of %s failed (%s)", n, count(s.Total(), "scenario"), strings.Join(by, ", ")))
		parts = append(parts, fmt.Sprintf("%d passed", s.Passed))
	} else {
		parts = append(parts, fmt.Sprintf("%d of %s passed", s.Passed, count(s.Total(), "scenario")))
	}
	for _, part := range []struct {
		n    int
		what string
	}{
		{s.Skipped, "skipped"}, {s.Interrupted, "interrupted"}, {s.NotFinished, "not finished"}, {s.NotRun, "not run"},
		{s.Recorded, "recorded"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if s.KnownDeviations > 0 {
		parts = append(parts, count(s.KnownDeviations, "known deviation"))
	}
	return strings.Join(parts, ", ")
}

// outcome is the run's verdict in a word. A run is passed only if everything that was to run did, to its end.
func (r *Report) outcome() string {
	sum := r.Summary()
	switch {
	case sum.AllFailed() > 0:
		return "failed"
	case sum.Interrupted > 0 || r.Run.Interrupted:
		return "interrupted"
	case sum.NotFinished > 0 || sum.NotRun > 0:
		return "not finished"
	case sum.Passed > 0:
		return "passed"
	case sum.Recorded > 0:
		return "recorded"
	}
	return "nothing was run"
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
