package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// presets are links as they are found in the field. Latency is that of one way, and holds for each.
//
// Figures of gprs, edge, 3g, dsl and satellite, which is one in a low orbit, are those that the README of the tool comcast
// (github.com/tylertreat/comcast) gives for such links in good condition; that of lte is the profile of WebPageTest, whose
// 70 ms are there and back. Jitter, and all of wifi-weak and flapping, are this project's own assumptions: jitter is a
// fifth of the latency, a weak Wi-Fi is one at the edge of its reach, and a link that flaps is one on the move.
var presets = map[string][]Condition{
	"gprs":      linkOf(500*time.Millisecond, 50, 0.02),
	"edge":      linkOf(300*time.Millisecond, 250, 0.015),
	"3g":        linkOf(250*time.Millisecond, 750, 0.015),
	"lte":       linkOf(35*time.Millisecond, 12_000, 0),
	"dsl":       linkOf(40*time.Millisecond, 8_000, 0.005),
	"satellite": {Latency(spread(20 * time.Millisecond)), Loss(0.025)},
	"wifi-weak": {
		Latency(Spread{By: Duration(10 * time.Millisecond), Jitter: Duration(40 * time.Millisecond), Distribution: Pareto}),
		Bandwidth(125_000), Loss(0.05),
	},
	"flapping": {Flapping(30*time.Second, 5*time.Second)},
}

// linkOf is a link with a latency, a bandwidth in kbit/s and a loss of segments.
func linkOf(latency time.Duration, kbit int, lost float64) []Condition {
	conditions := []Condition{Latency(spread(latency)), Bandwidth(kbit * 1000 / 8)}
	if lost > 0 {
		conditions = append(conditions, Loss(lost))
	}
	return conditions
}

func spread(latency time.Duration) Spread {
	return Spread{By: Duration(latency), Jitter: Duration(latency / 5), Distribution: Normal}
}

// Preset returns the conditions of a kind of link, such as gprs; see Presets for their names.
func Preset(name string) ([]Condition, error) {
	conditions, ok := presets[name]
	if !ok {
		return nil, fmt.Errorf("unknown preset %q; there are %s", name, strings.Join(Presets(), ", "))
	}
	return slices.Clone(conditions), nil
}

// Presets returns the names of all presets.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }
