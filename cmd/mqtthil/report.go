package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mqtthil/harness"
	"mqtthil/reports"
)

func reportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "report FOLDER",
		Short: "Write the report of a run again from its records",
		Long: `Write the report of a run again from the records in its folder, such as out/20260101-120000. Of a run
that was killed, the scenarios that had ended are reported, and of the one that had not, what there is.`,
		Example: "  mqtthil report out/latest",
		Args: func(_ *cobra.Command, arguments []string) error {
			if len(arguments) != 1 {
				return fmt.Errorf("%w: report on which run? name its folder, such as out/latest", harness.ErrUsage)
			}
			return nil
		},
		RunE: func(c *cobra.Command, arguments []string) error {
			if _, err := reports.Load(arguments[0]); err != nil {
				return fmt.Errorf("%w: %w", harness.ErrUsage, err)
			}
			paths, err := reports.Write(arguments[0])
			if err != nil {
				return fmt.Errorf("%w: %w; the report is written into the folder of the run", harness.ErrInfrastructure, err)
			}
			fmt.Fprintf(c.OutOrStdout(), "report  %s\njunit   %s\n", paths.HTML, paths.JUnit)
			return nil
		},
	}
}
