// Command mqtthil proves that an ESP32's MQTT client survives a bad network: it drives the device over its console,
// breaks the network at chosen packets, judges what the device did, and writes a report.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mqtthil/harness"
)

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs the command line and returns the exit code.
func execute(arguments []string) int {
	root := &cobra.Command{
		Use:   "mqtthil",
		Short: "Prove that an ESP32's MQTT client survives a bad network",
		Long: `mqtthil drives an ESP32's MQTT client over its serial console, breaks the network between it and the
broker at chosen packets, judges what the client did, and writes a report. Without a board it
drives an emulated ESP32, in virtual time.

Exit codes: 0 pass, 1 the device failed, 2 usage, 3 infrastructure, 4 the harness failed,
130 interrupted.`,
		Example: `  mqtthil run
  mqtthil run --label-filter retransmission --time real
  mqtthil list scenarios
  mqtthil emulate --stdio
  mqtthil proxy --upstream broker.example:1883 --print`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w; see %s --help", harness.ErrUsage, err, c.CommandPath())
	})
	root.AddCommand(runCommand(), listCommand(), reportCommand(), proxyCommand(), emulateCommand(), versionCommand())
	root.SetArgs(arguments)
	err := root.Execute()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mqtthil:", err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return harness.ExitPass
	case errors.Is(err, harness.ErrInfrastructure):
		return harness.ExitInfrastructure
	case errors.Is(err, harness.ErrHarness):
		return harness.ExitHarness
	}
	return harness.ExitUsage // what is left are mistakes in the command line, cobra's own among them
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  mqtthil version",
		Args:    cobra.NoArgs,
		Run:     func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "mqtthil", harness.Version()) },
	}
}
