package reports

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mqtthil/harness/timeline"
)

func TestRequirements(t *testing.T) {
	t.Parallel()
	scenario := func(status timeline.Status, owner timeline.Owner, covers string, findings ...timeline.Finding) *Scenario {
		s := &Scenario{Status: status, Owner: owner, Info: timeline.Scenario{Covers: strings.Fields(covers)}}
		for i := range findings {
			s.Events = append(s.Events, timeline.Event{Seq: i, Kind: timeline.KindFinding, Finding: &findings[i]})
		}
		return s
	}
	report := &Report{
		Run: timeline.Run{Requirements: map[string]string{"never-run": "text"}},
		Scenarios: []*Scenario{
			scenario(timeline.Passed, "", "good good-once doubled-10 found-in-passed deviating"),
			scenario(timeline.Passed, "", "good doubled-2", timeline.Finding{Requirement: "deviating", Deviation: "known"},
				timeline.Finding{Requirement: "found-in-passed"}),
			scenario(timeline.Failed, timeline.OwnerDevice, "good-once broken suspect", timeline.Finding{Requirement: "broken"}),
			scenario(timeline.Failed, timeline.OwnerDevice, "failed-check",
				timeline.Finding{Requirement: "deviating", Deviation: "known"}),
			scenario(timeline.Failed, timeline.OwnerHarness, "good-once only-harness"),
			scenario(timeline.Skipped, "", "only-skipped"),
		},
	}
	var got []string
	for _, q := range report.requirements() {
		got = append(got, fmt.Sprintf("%s %s, covered by %v, found in %v", q.ID, q.Standing, q.CoveredBy, q.FoundIn))
	}
	want := []string{
		"broken violated, covered by [3], found in [3]",
		"deviating known deviation, covered by [1], found in [2 4]",
		"doubled-2 satisfied, covered by [2], found in []",
		"doubled-10 satisfied, covered by [1], found in []",
		"failed-check violated, covered by [4], found in [4]",
		"found-in-passed violated, covered by [1], found in [2]",
		"good satisfied, covered by [1 2], found in []",
		"good-once satisfied, covered by [1 3 5], found in []",
		"never-run not proved, covered by [], found in []",
		"only-harness not proved, covered by [5], found in []",
		"only-skipped not proved, covered by [6], found in []",
		"suspect not proved, covered by [3], found in []",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the requirements are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	page := words(render(t, report).ids["requirements"])
	for _, text := range []string{"violated broken", "known deviation deviating", "satisfied good",
		"not proved never-run text"} {
		if !strings.Contains(page, text) {
			t.Errorf("the table reads %q and not %q", page, text)
		}
	}
}

func TestNaturally(t *testing.T) {
	t.Parallel()
	sorted := []string{"", "007", "7", "8", "10", "A", "ESP-RETX-01", "ESP-RETX-2", "MQTT-3.3.1-2", "MQTT-3.3.1-2a",
		"MQTT-3.3.1-10",
		"MQTT-3.10.1-1", "MQTT-99999999999999999999999", "MQTT-100000000000000000000000"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := naturally(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("naturally(%q, %q) is %d", a, b, got)
			}
		}
	}
}
