package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"mqtthil/devices/emulator"
	"mqtthil/devices/espmqtt"
	"mqtthil/devices/port"
	"mqtthil/harness"
)

func emulateCommand() *cobra.Command {
	var stdio bool
	var link string
	var defects []string
	c := &cobra.Command{
		Use:   "emulate",
		Short: "Be an ESP32 that runs Espressif's MQTT conformance application",
		Long: `Be an ESP32 that runs Espressif's MQTT conformance application, in real time and against any broker.
Its serial console is this program's standard input and output, or a pseudo-terminal.`,
		Example: `  mqtthil emulate --stdio
  mqtthil emulate --pty /tmp/esp32
  mqtthil run --device 'exec:mqtthil emulate --stdio'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var dialer net.Dialer
			options := emulator.Options{Dial: dialer.DialContext}
			for _, name := range defects {
				d, err := espmqtt.ParseDefect(name)
				if err != nil {
					return fmt.Errorf("%w: %w; see mqtthil list defects", harness.ErrUsage, err)
				}
				options.Defects = append(options.Defects, d)
			}
			switch {
			case stdio == (link != ""):
				return fmt.Errorf("%w: where is the console to be? either --stdio or --pty LINK", harness.ErrUsage)
			case stdio:
				return emulate(standardStreams{os.Stdin, os.Stdout}, options)
			}
			return emulateOnPty(c.OutOrStdout(), link, options)
		},
	}
	f := c.Flags()
	f.BoolVar(&stdio, "stdio", false, "console on standard input and output; its end ends the program")
	f.StringVar(&link, "pty", "", "console on a pseudo-terminal that this path will link to")
	f.StringArrayVar(&defects, "defect", nil, "plant a defect (see mqtthil list defects); repeatable")
	return c
}

// standardStreams is the console on standard input and output.
type standardStreams struct {
	io.Reader
	io.Writer
}

// emulateOnPty runs the board until the user ends it.
func emulateOnPty(out io.Writer, link string, options emulator.Options) error {
	pty, err := port.OpenPty()
	if err != nil {
		return fmt.Errorf("%w: %w", harness.ErrInfrastructure, err)
	}
	if err := replaceLink(pty.Path(), link); err != nil {
		_ = pty.Close()
		return err
	}
	defer os.Remove(link)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, func() { _ = pty.Close() })()
	fmt.Fprintf(out, "console at %s; Ctrl-C ends it\n", link)
	return emulate(pty, options)
}

// emulate runs the board until its console ends.
func emulate(console io.ReadWriter, options emulator.Options) error {
	if err := emulator.New(console, options).Run(); err != nil {
		return fmt.Errorf("%w: the emulated board: %w", harness.ErrInfrastructure, err)
	}
	return nil
}

// replaceLink makes link point to path. It takes the place of a link that is there, and of nothing else.
func replaceLink(path, link string) error {
	info, err := os.Lstat(link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("%w: --pty: %w", harness.ErrUsage, err)
	case info.Mode()&fs.ModeSymlink == 0:
		return fmt.Errorf("%w: --pty: %s is there and no link; name another path", harness.ErrUsage, link)
	default:
		if err := os.Remove(link); err != nil {
			return fmt.Errorf("%w: --pty: %w", harness.ErrUsage, err)
		}
	}
	if err := os.Symlink(path, link); err != nil {
		return fmt.Errorf("%w: --pty: %w", harness.ErrUsage, err)
	}
	return nil
}
