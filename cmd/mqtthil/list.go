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
	lists := map[string]func(io.Writer){
		"scenarios":    listScenarios,
		"defects":      listDefects,
		"labels":       listLabels,
		"requirements": listRequirements,
	}
	kinds := slices.Sorted(maps.Keys(lists))
	return &cobra.Command{
		Use:   "list " + strings.Join(kinds, "|"),
		Short: "List scenarios, labels, planted defects or requirements",
		Example: `  mqtthil list scenarios
  mqtthil list defects`,
		Args: func(_ *cobra.Command, arguments []string) error {
			if len(arguments) != 1 || lists[arguments[0]] == nil {
				return fmt.Errorf("%w: list what? one of %s", harness.ErrUsage, strings.Join(kinds, ", "))
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
}

func listScenarios(w io.Writer) {
	for _, s := range harness.List() {
		fmt.Fprintf(w, "%s\t%s\n", s.Name, strings.Join(s.Labels, ", "))
	}
}

func listDefects(w io.Writer) {
	for _, d := range espmqtt.Defects() {
		fmt.Fprintf(w, "%s\t%s\n", d, d.Text())
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
