package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"mqtthil/devices/espmqtt"
	"mqtthil/harness"
	"mqtthil/harness/requirement"
)

func listCommand() *cobra.Command {
	var all bool
	lists := map[string]func(io.Writer){
		"scenarios": listScenarios,
		"defects": func(w io.Writer) {
			if listDefects(w); all {
				listOtherDefects(w)
			}
		},
		"quirks":       listQuirks,
		"labels":       listLabels,
		"requirements": listRequirements,
	}
	kinds := slices.Sorted(maps.Keys(lists))
	c := &cobra.Command{
		Use:   "list " + strings.Join(kinds, "|"),
		Short: "List scenarios, labels, quirks, planted defects or requirements",
		Long: `List scenarios, labels, quirks, planted defects or requirements.

Each planted defect that is listed makes mqtthil run --defect NAME fail. --all lists others behind them,
marked with what finds them: a comparison with transcripts of the real client, but not for sure a scenario.

A quirk is what the real client does against the standard, or to one's surprise. mqtthil run and
mqtthil emulate switch it off by --without-quirk NAME.`,
		Example: `  mqtthil list scenarios
  mqtthil list defects
  mqtthil list defects --all`,
		Args: func(_ *cobra.Command, arguments []string) error {
			if len(arguments) != 1 || lists[arguments[0]] == nil {
				return fmt.Errorf("%w: list what? one of %s", harness.ErrUsage, strings.Join(kinds, ", "))
			}
			if all && arguments[0] != "defects" {
				return fmt.Errorf("%w: --all is for mqtthil list defects", harness.ErrUsage)
			}
			return nil
		},
		ValidArgs: kinds,
		RunE: func(c *cobra.Command, arguments []string) error {
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 8, 2, ' ', 0)
			lists[arguments[0]](w)
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&all, "all", false, "of defects: those, too, that scenarios need not find")
	return c
}

func listScenarios(w io.Writer) {
	for _, s := range harness.List() {
		fmt.Fprintf(w, "%s\t%s\n", s.Name, strings.Join(s.Labels, ", "))
	}
}

// listDefects lists those that the scenarios find.
func listDefects(w io.Writer) {
	for _, d := range espmqtt.Defects() {
		if d.Measure() == espmqtt.Scenarios {
			fmt.Fprintf(w, "%s\t%s\n", d, d.Text())
		}
	}
}

// listOtherDefects lists the others, and who finds them.
func listOtherDefects(w io.Writer) {
	for _, d := range espmqtt.Defects() {
		if d.Measure() != espmqtt.Scenarios {
			fmt.Fprintf(w, "%s\t%s (found by %s)\n", d, d.Text(), d.Measure())
		}
	}
}

func listQuirks(w io.Writer) {
	for _, q := range espmqtt.Quirks() {
		fmt.Fprintf(w, "%s\t%s\t%s; without: %s\n", q, q.Rule(), q.Text(), q.Without())
	}
}

func listLabels(w io.Writer) {
	count := map[string]int{}
	for _, s := range harness.List() {
		for _, label := range s.Labels {
			count[label]++
		}
	}
	for _, label := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(w, "%s\t%d scenarios\n", label, count[label])
	}
}

func listRequirements(w io.Writer) {
	covered := map[string]int{}
	for _, s := range harness.List() {
		for _, id := range s.Covers {
			covered[id]++
		}
	}
	for _, r := range requirement.All() {
		fmt.Fprintf(w, "%s\t%s\t%d scenarios\t%s\n", r.ID, r.Profile, covered[r.ID], r.Text)
	}
}
