package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"mqtthil/devices/console"
	"mqtthil/harness"
	"mqtthil/reports"
	_ "mqtthil/scenarios" // declares the scenarios
)

func runCommand() *cobra.Command {
	var options harness.Options
	var mode string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run scenarios against a device and write the report",
		Long: `Run scenarios against a device and write the report.

The device is the emulated ESP32 unless --device names another:
  emulated        the emulated ESP32 with its model of esp-mqtt
  exec:COMMAND    a program that has its console on its standard input and output
  serial:PATH     a board on a serial port

The console is that of Espressif's MQTT conformance application. With --console stub it is mqtthil's own:
numbered frames with a checksum, of which a damaged one is sent again; firmware-stub/README.md
describes both.

The device reaches the bench over plain TCP, or as --transport says: with tls and wss it is given the certificate
of an authority that is made for the run, with mutual-tls one of its own and a key, too, and with psk (by stunnel, in real
time) a key that it shares with the bench. The proxy takes the transport off, so that faults and report see packets.

The emulated device runs in virtual time, where minutes of keep alive take milliseconds, unless
--time real asks for the wall clock, TCP and a pseudo-terminal. Any other device runs in real time.`,
		Example: `  mqtthil run
  mqtthil run --focus 'last will'
  mqtthil run --label-filter 'fragmentation || covers: containsAny MQTT-3.3.1-1'
  mqtthil run --defect no-retransmit
  mqtthil run --without-quirk qos2-delivered-again
  mqtthil run --time real --keep-alive 2s
  mqtthil run --device 'exec:./build/mqtt_conformance.elf'
  mqtthil run --device serial:/dev/ttyUSB0 --listen 192.168.1.10
  mqtthil run --console stub
  mqtthil run --transport wss`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			options.Time = harness.TimeMode(mode)
			options.Command = os.Args
			options.Quiet = true
			return run(options)
		},
	}
	f := c.Flags()
	f.StringVar(&options.Device, "device", harness.Emulated, "the device under test: emulated, exec:COMMAND or serial:PATH")
	f.StringVar(&options.Console, "console", console.Names()[0],
		"what the device speaks on its console: "+strings.Join(console.Names(), " or "))
	f.StringVar(&options.Transport, "transport", harness.Transports()[0],
		"how the device reaches the bench: "+strings.Join(harness.Transports(), ", "))
	f.StringVar(&mode, "time", "", "virtual or real (default virtual for the emulated device)")
	f.StringArrayVar(&options.Defects, "defect", nil, "plant a defect in the emulated device (see mqtthil list defects); repeatable")
	f.StringArrayVar(&options.WithoutQuirks, "without-quirk", nil,
		"switch a quirk of the emulated device's client off (see mqtthil list quirks); repeatable")
	f.StringVar(&options.Out, "out", "out", "folder for the results; the run makes a folder of its own in it")
	f.StringArrayVar(&options.Focus, "focus", nil, "run only scenarios whose full name fits this regular expression; repeatable")
	f.StringArrayVar(&options.Skip, "skip", nil, "leave out scenarios whose full name fits this regular expression; repeatable")
	f.StringVar(&options.LabelFilter, "label-filter", "", "run only scenarios whose labels fit, in Ginkgo's syntax")
	f.DurationVar(&options.KeepAlive, "keep-alive", 0, "keep alive that scenarios ask for (default 120s in virtual, 4s in real time)")
	f.StringVar(&options.Listen, "listen", "",
		"IP address of this machine that the device connects to (default 127.0.0.1, but to be named for a serial port)")
	return c
}

// run plays the scenarios and writes the report. It leaves the program where virtual time needs a test around it: then
// the exit code is given there.
func run(options harness.Options) error {
	// A reader that has gone, as in mqtthil run | head, must not end the run before its report is written: with this,
	// writing to it is an error as any other.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	progress := newProgress(os.Stdout)
	r, err := harness.Prepare(options, progress)
	if err != nil {
		return err
	}
	inTest(func(t *testing.T) int {
		err := errors.Join(r.Play(t), conclude(r, progress))
		if err != nil {
			fmt.Fprintln(os.Stderr, "mqtthil:", err)
		}
		if code := r.ExitCode(); code != harness.ExitPass {
			return code // what the scenarios came to stands, whatever else went wrong
		}
		return exitCode(err)
	})
	return nil
}

// inTest calls f in a test and ends the program with the exit code that it returns. Virtual time is the testing
// package's, which has no other door for a program that is not made by go test.
func inTest(f func(*testing.T) int) {
	os.Args = os.Args[:1] // the testing package would read the command line as its own
	testing.Main(
		func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "mqtthil", F: func(t *testing.T) { os.Exit(f(t)) }}},
		nil, nil)
}

// conclude says how the run went and writes the report.
func conclude(r *harness.Run, progress *progress) error {
	progress.summary(r)
	paths, err := reports.Write(r.Folder())
	if err != nil {
		return fmt.Errorf("%w: the report: %w; when the folder can be written, run mqtthil report %s",
			harness.ErrInfrastructure, err, r.Folder())
	}
	fmt.Printf("report  %s\njunit   %s\nrecord  %s\n", paths.HTML, paths.JUnit, r.Folder())
	return nil
}
