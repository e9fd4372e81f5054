package harness

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	ginkgotypes "github.com/onsi/ginkgo/v2/types"

	"mqtthil/devices"
	"mqtthil/devices/console"
	"mqtthil/devices/espmqtt"
	"mqtthil/harness/requirement"
	"mqtthil/harness/timeline"
)

// TimeMode says which clock a scenario runs by.
type TimeMode string

// The modes.
const (
	Virtual TimeMode = "virtual" // device, network and broker in memory, time passes as fast as it can
	Real    TimeMode = "real"    // TCP, a serial console, and the wall clock
)

// Emulated is the name of the emulated ESP32 in Options.Device.
const Emulated = "emulated"

// Options of a run. The zero value runs everything against the emulated device in virtual time.
type Options struct {
	Device        string   // emulated, exec:COMMAND or serial:PATH
	Console       string   // the language of its console, one of console.Names; default espressif
	Time          TimeMode // default: virtual for the emulated device, real for any other
	Defects       []string // planted in the emulated device
	WithoutQuirks []string // quirks that are switched off in the emulated device
	Transport     string   // between device and proxy, one of Transports; default tcp
	Out           string   // folder that the run's own folder is made in; default out

	Focus, Skip []string // regular expressions over full names, as Ginkgo's
	LabelFilter string   // in Ginkgo's syntax

	KeepAlive time.Duration // that the scenarios ask for; default 120 s in virtual time, 4 s in real time
	Listen    string        // IP address of this machine that the device connects to, in real time; default 127.0.0.1
	Budget    time.Duration // for one scenario on its own clock; default 1 h in virtual time, 5 min in real time

	Quiet   bool      // say nothing on standard output: an Observer does
	Command []string  // for the record
	Started time.Time // default now

	behaviour espmqtt.Behaviour // what WithoutQuirks and Defects come to
	dialect   devices.Dialect   // what Console comes to
	way       *way              // what Transport comes to

	// wallBudget bounds a scenario in virtual time on the wall clock: one that takes longer runs without ever waiting.
	wallBudget time.Duration
	// grace is how long after its budget, on its own clock, a scenario keeps its bench.
	grace time.Duration
}

// settle checks the options and fills in the defaults.
func (o Options) settle() (Options, error) {
	if o.Device == "" {
		o.Device = Emulated
	}
	if o.Console == "" {
		o.Console = console.Names()[0]
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	if o.Out == "" {
		o.Out = "out"
	}
	kind, rest, _ := strings.Cut(o.Device, ":")
	switch {
	case o.Device == Emulated:
	case (kind == "exec" || kind == "serial") && rest != "":
		if o.Time == Virtual {
			return o, fmt.Errorf("%w: device %q lives in real time; leave --time virtual out", ErrUsage, o.Device)
		}
		if len(o.Defects) > 0 {
			return o, fmt.Errorf("%w: a defect can be planted in the emulated device only, not in %q", ErrUsage, o.Device)
		}
		if len(o.WithoutQuirks) > 0 {
			return o, fmt.Errorf("%w: a quirk can be switched off in the emulated device only, not in %q", ErrUsage, o.Device)
		}
		o.Time = Real
	default:
		return o, fmt.Errorf("%w: unknown device %q; it is emulated, exec:COMMAND or serial:PATH", ErrUsage, o.Device)
	}
	var err error
	if o.dialect, err = console.Named(o.Console); err != nil {
		return o, fmt.Errorf("%w: --console: %w", ErrUsage, err)
	}
	if o.Listen == "" && kind == "serial" {
		return o, fmt.Errorf("%w: a board cannot connect to this machine's loopback; name the address that it can reach by "+
			"--listen (127.0.0.1 if %q is an emulator on this machine)", ErrUsage, o.Device)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1"
	}
	if err := checkListen(o.Listen); err != nil {
		return o, err
	}
	switch o.Time {
	case "":
		o.Time = Virtual
	case Virtual, Real:
	default:
		return o, fmt.Errorf("%w: unknown time %q; it is virtual or real", ErrUsage, o.Time)
	}
	if o.Transport == "" {
		o.Transport = Transports()[0]
	}
	if o.way, err = newWay(o); err != nil {
		return o, err
	}
	if o.behaviour, err = Behaviour(o.WithoutQuirks, o.Defects); err != nil {
		return o, err
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 120 * time.Second
		if o.Time == Real {
			o.KeepAlive = 4 * time.Second
		}
	}
	if o.KeepAlive < 2*time.Second || o.KeepAlive > 65535*time.Second || o.KeepAlive%time.Second != 0 {
		return o, fmt.Errorf("%w: keep alive %v; it is whole seconds from 2s to 65535s", ErrUsage, o.KeepAlive)
	}
	if o.Budget == 0 {
		o.Budget = time.Hour + 10*o.KeepAlive
		if o.Time == Real {
			o.Budget = 5*time.Minute + 10*o.KeepAlive
		}
	}
	if o.wallBudget == 0 {
		o.wallBudget = 30 * time.Second
	}
	if o.grace == 0 {
		o.grace = 5 * time.Second
	}
	return o, nil
}

// checkListen refuses what a device could not connect to: the address goes into its configuration as it is.
func checkListen(address string) error {
	ip, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return fmt.Errorf("%w: --listen %q is no IP address; name one of this machine's, such as 192.168.1.10",
			ErrUsage, address)
	case ip.IsUnspecified(), ip.IsMulticast(), ip.Zone() != "":
		return fmt.Errorf("%w: a device cannot connect to --listen %s; name one of this machine's addresses, "+
			"such as 192.168.1.10", ErrUsage, address)
	}
	return nil
}

// Behaviour is that of an emulated client without some quirks and with some defects, all by their names.
func Behaviour(without, defects []string) (b espmqtt.Behaviour, err error) {
	for _, name := range without {
		q, err := espmqtt.ParseQuirk(name)
		if err != nil {
			return b, fmt.Errorf("%w: %w; see mqtthil list quirks", ErrUsage, err)
		}
		b.Without = append(b.Without, q)
	}
	for _, name := range defects {
		d, err := espmqtt.ParseDefect(name)
		if err != nil {
			return b, fmt.Errorf("%w: %w; see mqtthil list defects", ErrUsage, err)
		}
		b.Defects = append(b.Defects, d)
	}
	return b, nil
}

// lacks says whether the rule describes a quirk that is switched off, so that nothing of it needs to show.
func (o Options) lacks(rule string) bool {
	return slices.ContainsFunc(o.behaviour.Without, func(q espmqtt.Quirk) bool { return q.Rule() == rule })
}

// lacking is why a scenario that shows quirks cannot be passed by the device, which was said to be without one of them;
// empty where it can.
func (o Options) lacking(quirks []string) string {
	for _, q := range o.behaviour.Without {
		if slices.Contains(quirks, string(q)) {
			return fmt.Sprintf("it shows the quirk %s (%s), which the device is said to be without", q, q.Rule())
		}
	}
	return ""
}

// configure hands the filters to Ginkgo, beside what its own flags say.
func (o Options) configure(suite *ginkgotypes.SuiteConfig) {
	if suite.Timeout == ginkgotypes.NewDefaultSuiteConfig().Timeout {
		suite.Timeout = 0 // each scenario has a budget, and a run with a board and a long keep alive may take hours
	}
	suite.FocusStrings = append(suite.FocusStrings, o.Focus...)
	suite.SkipStrings = append(suite.SkipStrings, o.Skip...)
	if o.LabelFilter != "" {
		suite.LabelFilter = o.LabelFilter
	}
}

// checkFlags refuses what Ginkgo's flags can ask for and a run cannot do: it plays each scenario once, and one after the
// other, for there is one device.
func checkFlags(suite ginkgotypes.SuiteConfig) error {
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"parallel.total (of ginkgo -p)", suite.ParallelTotal > 1},
		{"dry-run", suite.DryRun},
		{"flake-attempts", suite.FlakeAttempts > 0},
		{"must-pass-repeatedly", suite.MustPassRepeatedly > 0},
	} {
		if flag.set {
			return fmt.Errorf("%w: a run plays each scenario once, one after the other; leave Ginkgo's flag %s out",
				ErrUsage, flag.name)
		}
	}
	return nil
}

// Client is the name of the client's profile: its requirements and its known deviations.
const Client = "esp-mqtt"

// info is the environment of the run, for run.json.
func (o Options) info(seed int64, selected []string, requirements map[string]string) timeline.Run {
	host, _ := os.Hostname()
	var profiles []string
	for _, p := range requirement.Profiles() {
		profiles = append(profiles, string(p))
	}
	return timeline.Run{
		Tool:         "mqtthil",
		Version:      Version(),
		Started:      o.Started,
		Command:      o.Command,
		Device:       o.Device,
		Time:         string(o.Time),
		Defects:      append([]string{}, o.Defects...),
		Quirks:       append([]string{}, o.WithoutQuirks...),
		Profiles:     profiles,
		Seed:         &seed,
		Go:           runtime.Version(),
		OS:           runtime.GOOS + "/" + runtime.GOARCH,
		Host:         host,
		Requirements: requirements,
		Selected:     selected,
	}
}

// Version is the version of the module that this program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "vcs.revision" })
	if i >= 0 && (info.Main.Version == "" || info.Main.Version == "(devel)") {
		return "(devel) " + info.Settings[i].Value
	}
	return info.Main.Version
}

// writeInfo writes run.json, whole or not at all.
func (r *Run) writeInfo() error {
	data, err := json.MarshalIndent(r.info, "", "  ")
	if err != nil {
		return fmt.Errorf("run.json: %w", err)
	}
	path := filepath.Join(r.folder, "run.json")
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("%w: %w", ErrInfrastructure, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("%w: %w", ErrInfrastructure, err)
	}
	return nil
}
