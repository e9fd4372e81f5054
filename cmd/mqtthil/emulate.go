package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"mqtthil/devices/console"
	"mqtthil/devices/emulator"
	"mqtthil/devices/espmqtt"
	"mqtthil/devices/port"
	"mqtthil/devices/timerfd"
	"mqtthil/harness"
)

// emulation is what the command line asks for.
type emulation struct {
	stdio       bool
	link        string
	consolePort string
	controlPort string
	chip        string
	kconfig     []string
	count       int
	console     string
	baud        int
	seed        uint64
	defects     []string
	without     []string
	with        []string
	firmware    firmwareFlags
}

func emulateCommand() *cobra.Command {
	var e emulation
	c := &cobra.Command{
		Use:   "emulate",
		Short: "Be an ESP32 that runs Espressif's MQTT conformance application, or mqtthil's",
		Long: `Be an ESP32, or many of them, that runs Espressif's MQTT conformance application, in real time and
against any broker. Its serial console is this program's standard input and output, a
pseudo-terminal, or a TCP port. With --console stub it runs mqtthil's own application instead,
which speaks frames that survive a bad serial line, as firmware-stub/README.md describes them.

A control port takes a command a line, such as reset, panic, power off or wifi down, and
answers each with ok or error; its command help lists them. Ports are on the loopback
interface unless the address says otherwise; port 0 lets the system choose. Of several
boards the first has the address that is given, and each other one the next port.

A board runs one of these applications, the last ones of which are examples of ESP-IDF:
` + appList(),
		Example: `  mqtthil emulate --stdio
  mqtthil emulate --pty /tmp/esp32 --control-tcp 4000
  mqtthil emulate --uart-tcp :3333 --chip esp32-c3 --baud 115200
  mqtthil emulate --stdio --kconfig MQTT_PROTOCOL_5=y --kconfig MQTT_BUFFER_SIZE=512
  mqtthil emulate --pty /tmp/esp32-%d --count 8 --seed 1
  mqtthil emulate --stdio --app ssl --uri mqtts://localhost:8883 --ca ca.pem
  mqtthil emulate --pty /tmp/esp32 --console stub
  mqtthil run --device 'exec:mqtthil emulate --stdio'
  mqtthil run --console stub --device 'exec:mqtthil emulate --stdio --console stub'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return e.run(c) },
	}
	f := c.Flags()
	f.BoolVar(&e.stdio, "stdio", false, "console on standard input and output; its end ends the program")
	f.StringVar(&e.link, "pty", "", "console on a pseudo-terminal that this path will link to; %d in it is the board's number")
	f.StringVar(&e.consolePort, "uart-tcp", "", "console on a TCP port, for one client at a time: [HOST:]PORT")
	f.StringVar(&e.controlPort, "control-tcp", "", "control protocol on a TCP port: [HOST:]PORT")
	f.StringVar(&e.chip, "chip", emulator.ESP32.String(), "the board's chip: "+chipNames())
	f.StringArrayVar(&e.kconfig, "kconfig", nil, "set a build option of the firmware: NAME=VALUE; repeatable")
	f.IntVar(&e.count, "count", 1, "number of boards, whose MACs are counted up")
	f.StringVar(&e.console, "console", "", "what a board that takes commands speaks on its console: "+
		strings.Join(console.Names(), " or ")+" (default espressif)")
	e.firmware.add(c)
	f.IntVar(&e.baud, "baud", 0, "speed of the console; 0: without limit")
	f.Uint64Var(&e.seed, "seed", 0, "of the boards' random numbers; 0 takes one from the time")
	f.StringArrayVar(&e.defects, "defect", nil, "plant a defect (see mqtthil list defects --all); repeatable")
	f.StringArrayVar(&e.without, "without-quirk", nil, "switch a quirk of esp-mqtt off (see mqtthil list quirks); repeatable")
	f.StringArrayVar(&e.with, "with-quirk", nil, fmt.Sprintf("switch a quirk of the conformance application on, one of %v; repeatable",
		emulator.Quirks()))
	return c
}

func chipNames() string {
	var names []string
	for _, c := range emulator.Chips() {
		names = append(names, c.String())
	}
	return strings.Join(names, ", ")
}

func usage(format string, arguments ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{harness.ErrUsage}, arguments...)...)
}

func infrastructure(err error) error { return fmt.Errorf("%w: %w", harness.ErrInfrastructure, err) }

// run runs the boards until their consoles end or the user ends them.
func (e *emulation) run(c *cobra.Command) error {
	options, err := e.options()
	if err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	if e.stdio {
		return e.runBoards(c.Context(), c.ErrOrStderr(), options) // standard output is the console's
	}
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return e.runBoards(ctx, c.OutOrStdout(), options)
}

// conformanceApp is the application that a board runs where no other is asked for.
const conformanceApp = "conformance"

// options are those of the first board.
func (e *emulation) options() (emulator.Options, error) {
	options := emulator.Options{Baud: e.baud, Seed: e.seed, Powered: processStart()}
	chip, err := emulator.ParseChip(e.chip)
	if err != nil {
		return options, usage("--chip: %w", err)
	}
	options.Chip = chip
	if options.Behaviour, err = harness.Behaviour(e.without, e.defects); err != nil {
		return options, err
	}
	if err := e.chooseApp(); err != nil {
		return options, err
	}
	for _, name := range e.with {
		quirk, err := emulator.ParseQuirk(name)
		if err != nil {
			return options, usage("--with-quirk: %w", err)
		}
		if app := e.firmware.app; app != "" && app != conformanceApp {
			return options, usage("--with-quirk %s is of the application %s, not of %s", name, conformanceApp, app)
		}
		options.Quirks = append(options.Quirks, quirk)
	}
	if options.Firmware, err = e.firmware.firmware(); err != nil {
		return options, err
	}
	kconfig := options.DefaultKconfig()
	for _, assignment := range e.kconfig {
		if err := setKconfig(&kconfig, assignment); err != nil {
			return options, usage("--kconfig %s: %w", assignment, err)
		}
	}
	options.Kconfig = &kconfig
	if err := options.Validate(); err != nil {
		return options, usage("--kconfig: %w", err)
	}
	return options, nil
}

// chooseApp makes the board run what has the console that is asked for.
func (e *emulation) chooseApp() error {
	if e.console == "" {
		return nil
	}
	app, err := emulator.AppOf(e.console)
	switch {
	case err != nil:
		return usage("--console: %w", err)
	case e.firmware.app == "":
		e.firmware.app = app.Name
	case e.firmware.app != app.Name:
		return usage("--console %s is that of the application %s, not of %s; leave out --app or --console",
			e.console, app.Name, e.firmware.app)
	}
	return nil
}

// check finds what does not go together.
func (e *emulation) check() error {
	places := 0
	for _, given := range []bool{e.stdio, e.link != "", e.consolePort != ""} {
		if given {
			places++
		}
	}
	switch {
	case places != 1:
		return usage("where is the console to be? one of --stdio, --pty LINK and --uart-tcp ADDRESS")
	case e.count < 1 || e.count > 1<<16:
		return usage("--count %d: it is 1 to %d", e.count, 1<<16)
	case e.count > 1 && e.stdio:
		return usage("--count %d: standard input and output are the console of one board; use --pty or --uart-tcp", e.count)
	case e.count > 1 && e.link != "" && !strings.Contains(e.link, "%d"):
		return usage("--count %d: each board needs a link of its own; put %%d for its number into --pty, as in %s-%%d",
			e.count, e.link)
	case e.baud < 0 || e.baud > 0 && e.baud < 300:
		return usage("--baud %d: it is 0, for no limit, or at least 300", e.baud)
	}
	for flag, address := range map[string]string{"--uart-tcp": e.consolePort, "--control-tcp": e.controlPort} {
		if address == "" {
			continue
		}
		if _, err := portAddress(address, e.count-1); err != nil {
			return usage("%s: %w", flag, err)
		}
	}
	return nil
}

// portAddress is the address of board i where that of the first board is given as [HOST:]PORT.
func portAddress(first string, i int) (string, error) {
	host, port, err := net.SplitHostPort(first)
	if err != nil && !strings.Contains(first, ":") {
		host, port, err = "", first, nil
	}
	if err != nil {
		return "", fmt.Errorf("%q is no address such as 127.0.0.1:3333: %w", first, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < 0 || number > 65535 {
		return "", fmt.Errorf("%q is no port: it is 0 to 65535", port)
	}
	if number != 0 {
		if number += i; number > 65535 {
			return "", fmt.Errorf("from port %s on there are not enough ports for %d boards", port, i+1)
		}
	}
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), strconv.Itoa(number)), nil
}

// consoleLine is a board's console.
type consoleLine struct {
	io.Reader
	io.Writer
	close func()
}

// runBoards runs all boards, and returns when the last of them has ended.
func (e *emulation) runBoards(ctx context.Context, out io.Writer, options emulator.Options) error {
	var consoles []consoleLine
	var controls []net.Listener
	closeAll := func() {
		for _, c := range consoles {
			c.close()
		}
		for _, l := range controls {
			_ = l.Close()
		}
	}
	defer closeAll()
	for i := range e.count {
		c, err := e.openConsole(out, i)
		if err != nil {
			return err
		}
		consoles = append(consoles, c)
		if e.controlPort != "" {
			l, err := listen(e.controlPort, i)
			if err != nil {
				return err
			}
			controls = append(controls, l)
			fmt.Fprintf(out, "control at %s\n", l.Addr())
		}
	}
	if !e.stdio {
		fmt.Fprintln(out, "Ctrl-C ends it")
		defer context.AfterFunc(ctx, closeAll)()
	}
	if timers, err := timerfd.New(); err == nil { // else the boards do with Go's
		defer timers.Close()
		options.NewTimer = func() espmqtt.Timer { return timers.New() }
	}
	var running, serving sync.WaitGroup
	failures := make(chan error, 2*e.count)
	for i, c := range consoles {
		board := emulator.New(c, boardOptions(options, i))
		board.PowerOn() // so that whoever controls it finds it running
		if controls != nil {
			serving.Go(func() { failures <- board.ServeControl(controls[i]) })
		}
		running.Go(func() { failures <- board.Run() })
	}
	running.Wait()
	closeAll()
	serving.Wait()
	close(failures)
	var failed []error
	for err := range failures {
		failed = append(failed, err)
	}
	if err := errors.Join(failed...); err != nil {
		return infrastructure(fmt.Errorf("the emulated board: %w", err))
	}
	return nil
}

// boardOptions are the options of board i: a MAC and a seed of its own.
func boardOptions(options emulator.Options, i int) emulator.Options {
	tail := 0x123456 + uint32(i)
	options.MAC = [6]byte{0x24, 0x0a, 0xc4, byte(tail >> 16), byte(tail >> 8), byte(tail)}
	if options.Seed != 0 {
		options.Seed += uint64(i)
	}
	return options
}

// openConsole makes the console of board i.
func (e *emulation) openConsole(out io.Writer, i int) (consoleLine, error) {
	switch {
	case e.stdio:
		return consoleLine{pollable(os.Stdin), os.Stdout, func() {}}, nil
	case e.consolePort != "":
		l, err := listen(e.consolePort, i)
		if err != nil {
			return consoleLine{}, err
		}
		line := emulator.NewTCPConsole(l)
		fmt.Fprintf(out, "console at %s\n", l.Addr())
		return consoleLine{line, line, func() { _ = line.Close() }}, nil
	}
	link := strings.ReplaceAll(e.link, "%d", strconv.Itoa(i))
	pty, err := port.OpenPty()
	if err != nil {
		return consoleLine{}, infrastructure(err)
	}
	if err := replaceLink(pty.Path(), link); err != nil {
		_ = pty.Close()
		return consoleLine{}, err
	}
	fmt.Fprintf(out, "console at %s\n", link)
	return consoleLine{pty, pty, sync.OnceFunc(func() {
		_ = os.Remove(link)
		_ = pty.Close()
	})}, nil
}

// listen opens a port of board i.
func listen(first string, i int) (net.Listener, error) {
	address, err := portAddress(first, i)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, infrastructure(err)
	}
	return l, nil
}

// kconfigNames are the build options that espmqtt.Kconfig knows, but for those that change nothing.
func kconfigNames() (names []string) {
	for _, o := range espmqtt.KconfigOptions() {
		if !o.Silent {
			names = append(names, o.Name)
		}
	}
	return names
}

// setKconfig sets a build option as a line of sdkconfig does, with or without CONFIG_: y, n or a number.
func setKconfig(k *espmqtt.Kconfig, assignment string) error {
	name, value, found := strings.Cut(assignment, "=")
	if !found {
		return errors.New("it is NAME=VALUE")
	}
	name = strings.TrimPrefix(name, "CONFIG_")
	set := func(value string) error { return k.Apply(map[string]json.RawMessage{name: json.RawMessage(value)}) }
	before := *k
	asSwitch, asNumber := set("true"), set("1")
	*k = before
	switch {
	case asSwitch != nil && asNumber != nil:
		return fmt.Errorf("there is no such option; known are %s", strings.Join(kconfigNames(), ", "))
	case asSwitch == nil:
		word, known := map[string]string{"y": "true", "n": "false", "": "false"}[value]
		if !known {
			return errors.New("its values are y and n")
		}
		return set(word)
	}
	if _, err := strconv.Atoi(value); err != nil {
		return errors.New("its value is a number")
	}
	return set(value)
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
