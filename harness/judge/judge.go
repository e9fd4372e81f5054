// Package judge holds devices to MQTT 3.1.1: a judge is a pure function from a record to what it finds against the
// device. Judges know nothing of scenarios, so all of them judge every record, also an old one or one from the field.
//
// They look at the device alone: at what left it and what reached it, never at the broker's side of the proxy, where
// faults have changed the traffic. They accuse only of what the record proves. Where it leaves a doubt, because a packet
// may have been lost on its way or the board was reset, the device has the benefit of it.
package judge

import (
	"fmt"

	"mqtthil/harness/requirement"
	"mqtthil/harness/timeline"
)

// Judge is one rule, or a few that belong together.
type Judge struct {
	Name         string
	Requirements []string // ids of those that it finds broken
	Check        func(events []timeline.Event) []timeline.Finding
}

// All returns the judges.
func All() []Judge {
	return []Judge{
		newJudge("connect-first-and-once", connectFirstAndOnce, "MQTT-3.1.0-1", "MQTT-3.1.0-2"),
		newJudge("packet-identifiers", packetIdentifiers, "MQTT-2.3.1-1", "MQTT-2.3.1-2", "MQTT-2.3.1-6"),
		newJudge("dup-flag", dupFlag, "MQTT-3.3.1-1", "MQTT-3.3.1-2", "MQTT-3.3.1-3"),
		newJudge("acknowledgements", acknowledgements, "MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-4.3.3-1", "MQTT-4.3.3-2",
			"MQTT-4.6.0-2", "MQTT-4.6.0-3", "MQTT-4.6.0-4"),
		newJudge("keep-alive", keepAlive, "MQTT-3.1.2-23"),
		newJudge("reserved-flags", reservedFlags, "MQTT-2.2.2-1", "MQTT-3.3.1-4", "MQTT-3.6.1-1", "MQTT-3.8.1-1",
			"MQTT-3.10.1-1", "MQTT-3.14.1-1", "MQTT-3.1.2-1", "MQTT-3.1.2-2", "MQTT-3.1.2-3", "MQTT-3.1.2-11",
			"MQTT-3.1.2-13", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-22", "MQTT-3.1.3-7"),
		newJudge("clean-session", cleanSession, "MQTT-3.1.2-6"),
		newJudge("exactly-once-delivery", exactlyOnceDelivery, "MQTT-4.3.3-2"),
	}
}

// Run returns what all judges find in a record.
func Run(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	for _, j := range All() {
		findings = append(findings, j.Check(events)...)
	}
	return findings
}

// newJudge makes a judge of a function that need not set Judge and Profile in its findings.
func newJudge(name string, check func([]timeline.Event) []timeline.Finding, requirements ...string) Judge {
	return Judge{
		Name:         name,
		Requirements: requirements,
		Check: func(events []timeline.Event) []timeline.Finding {
			findings := check(events)
			for i := range findings {
				findings[i].Judge, findings[i].Profile = name, string(requirement.MQTT311)
			}
			return findings
		},
	}
}

// broken is a finding, at the events given by their Seq, the decisive one last.
func broken(id string, events []int, format string, args ...any) timeline.Finding {
	return timeline.Finding{Requirement: id, Events: events, Text: fmt.Sprintf(format, args...)}
}
