package requirement

import (
	"fmt"
	"slices"

	"mqtthil/harness/timeline"
)

// Deviation is a place where a client is known to break a requirement.
type Deviation struct {
	Requirement string // id of the requirement that is broken
	Scenario    string // full name of the scenario that shows it, or *, for any that may
	Judge       string // name of the judge or check that finds it, or *
	Quirk       string // id of the rule that describes what the client does instead
	Reason      string
}

// anything stands for every scenario, or every judge, in a table of deviations.
const anything = "*"

// Deviations returns the known deviations of a client, such as esp-mqtt; none for a client without a table.
func Deviations(client string) []Deviation {
	data, err := tables.ReadFile("deviations-" + client + ".tsv")
	if err != nil {
		return nil
	}
	deviations, err := parseDeviations(string(data))
	if err != nil { // a test reads every table
		panic(fmt.Sprintf("requirement: deviations of %s: %v", client, err))
	}
	return deviations
}

func parseDeviations(data string) ([]Deviation, error) {
	rows, err := parseTable(data, "requirement", "scenario", "judge", "quirk", "reason")
	if err != nil {
		return nil, err
	}
	deviations := make([]Deviation, len(rows))
	for i, row := range rows {
		deviations[i] = Deviation{
			Requirement: row["requirement"],
			Scenario:    row["scenario"],
			Judge:       row["judge"],
			Quirk:       row["quirk"],
			Reason:      row["reason"],
		}
	}
	return deviations, nil
}

// Apply holds the findings of a scenario against the known deviations of a client, strictly in both directions. Judged
// are the findings, with Deviation set in those that a deviation covers. Missing are the deviations listed for this
// scenario by name that no finding shows: the client has changed, or the scenario no longer provokes it. A deviation
// listed for any scenario is never missing.
func Apply(client, scenario string, findings []timeline.Finding) (judged []timeline.Finding, missing []Deviation) {
	return apply(Deviations(client), scenario, findings)
}

func apply(known []Deviation, scenario string, findings []timeline.Finding) (judged []timeline.Finding, missing []Deviation) {
	judged = slices.Clone(findings)
	for _, byName := range []bool{true, false} { // what is listed by name says it best
		for _, d := range known {
			if byName && d.Scenario != scenario || !byName && d.Scenario != anything {
				continue
			}
			shown := false
			for i, f := range judged {
				if !d.covers(f) {
					continue
				}
				shown = true
				if f.Deviation == "" {
					judged[i].Deviation = d.Quirk + ": " + d.Reason
				}
			}
			if byName && !shown {
				missing = append(missing, d)
			}
		}
	}
	return judged, missing
}

func (d Deviation) covers(f timeline.Finding) bool {
	return d.Requirement == f.Requirement && (d.Judge == anything || d.Judge == f.Judge)
}
