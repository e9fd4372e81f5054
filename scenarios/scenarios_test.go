package scenarios

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mqtthil/devices/console"
	"mqtthil/devices/espmqtt"
	"mqtthil/harness"
	"mqtthil/harness/requirement"
	"mqtthil/harness/timeline"
)

// Environment of TestScenarios: what to run it against. Unset means the emulated device in virtual time.
const (
	deviceVariable    = "MQTTHIL_DEVICE"         // as --device of mqtthil run
	consoleVariable   = "MQTTHIL_CONSOLE"        // as --console of mqtthil run
	transportVariable = "MQTTHIL_TRANSPORT"      // as --transport of mqtthil run
	timeVariable      = "MQTTHIL_TIME"           // virtual or real
	listenVariable    = "MQTTHIL_LISTEN"         // as --listen of mqtthil run
	defectVariable    = "MQTTHIL_DEFECT"         // a planted defect
	quirksVariable    = "MQTTHIL_WITHOUT_QUIRKS" // names of quirks, with commas between them
	labelsVariable    = "MQTTHIL_LABELS"         // a label filter
	outVariable       = "MQTTHIL_OUT"            // folder for the records
)

// TestScenarios plays the scenarios under go test.
func TestScenarios(t *testing.T) {
	options := harness.Options{
		Device:      os.Getenv(deviceVariable),
		Console:     os.Getenv(consoleVariable),
		Transport:   os.Getenv(transportVariable),
		Time:        harness.TimeMode(os.Getenv(timeVariable)),
		Listen:      os.Getenv(listenVariable),
		LabelFilter: os.Getenv(labelsVariable),
		Out:         os.Getenv(outVariable),
		Command:     []string{"go", "test", "./scenarios"},
	}
	if defect := os.Getenv(defectVariable); defect != "" {
		options.Defects = []string{defect}
	}
	if quirks := os.Getenv(quirksVariable); quirks != "" {
		options.WithoutQuirks = strings.Split(quirks, ",")
	}
	if options.Out == "" {
		options.Out = t.TempDir()
	}
	run, err := harness.Prepare(options, silent{})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Play(t); err != nil {
		t.Fatal(err)
	}
	if len(run.Results()) != run.Total() {
		t.Errorf("%d of %d scenarios ended", len(run.Results()), run.Total())
	}
	if (run.ExitCode() == harness.ExitPass) == t.Failed() {
		t.Errorf("exit code %d does not say what the suite says", run.ExitCode())
	}
}

// silent leaves the talking to Ginkgo.
type silent struct{}

func (silent) Started(int, int, string) {}
func (silent) Ended(harness.Result)     {}

// play runs TestScenarios in a process of its own, for a process can run a Ginkgo suite only once, and returns the
// records of the scenarios that ran.
func play(t testing.TB, environment ...string) (records [][]timeline.Event, output string, process *os.ProcessState) {
	t.Helper()
	out := t.TempDir()
	command := exec.Command(os.Args[0], "-test.run=^TestScenarios$", "-ginkgo.no-color")
	command.Env = append(os.Environ(), append(environment, outVariable+"="+out)...)
	printed, _ := command.CombinedOutput() // what it comes to is in the records
	files, err := filepath.Glob(filepath.Join(out, "*-*", "scenarios", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no records (%v):\n%s", err, printed)
	}
	slices.Sort(files)
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		events, err := timeline.Read(file)
		_ = file.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		records = append(records, events)
	}
	return records, string(printed), command.ProcessState
}

// scenarioDefects are the planted defects that scenarios have to find. The others are the business of the transcripts.
func scenarioDefects() []espmqtt.Defect {
	return slices.DeleteFunc(espmqtt.Defects(), func(d espmqtt.Defect) bool { return d.Measure() != espmqtt.Scenarios })
}

// TestStubConsole plays all scenarios over mqtthil's own console.
func TestStubConsole(t *testing.T) {
	t.Parallel()
	records, output, process := play(t, consoleVariable+"=stub")
	if !process.Success() || len(records) != len(harness.List()) {
		t.Fatalf("%d of %d scenarios ran:\n%s", len(records), len(harness.List()), output)
	}
	for _, events := range records {
		if console := events[0].Scenario.Settings["console"]; console != "stub" {
			t.Errorf("%s ran over the console %s", events[0].Scenario.Name, console)
		}
	}
}

// TestTransports: what holds over TCP holds over all that can be on top of it.
func TestTransports(t *testing.T) {
	t.Parallel()
	for _, transport := range harness.Transports() {
		if transport == "tcp" || transport == "psk" { // which is a process, and real time's: TestPSK
			continue
		}
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			records, output, process := play(t, transportVariable+"="+transport, consoleVariable+"=stub")
			if !process.Success() || len(records) != len(harness.List()) {
				t.Fatalf("%d of %d scenarios ran:\n%s", len(records), len(harness.List()), output)
			}
			for _, events := range records {
				if got := events[0].Scenario.Settings["transport"]; got != transport {
					t.Errorf("%s ran over the transport %s", events[0].Scenario.Name, got)
				}
			}
		})
	}
}

// TestPSK runs scenarios over TLS with a pre-shared key, in real time.
func TestPSK(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("stunnel"); err != nil && os.Getenv("CI") == "" {
		t.Skip("stunnel is not installed; on Debian: apt-get install stunnel4")
	}
	records, output, process := play(t, transportVariable+"=psk", timeVariable+"=real", labelsVariable+"=fragmentation")
	if !process.Success() || len(records) == 0 {
		t.Fatalf("%d scenarios ran:\n%s", len(records), output)
	}
}

// TestDefects plants each defect, and each scenario that names it has to fail, blame the device, and point at an event.
func TestDefects(t *testing.T) {
	for _, console := range console.Names() {
		t.Run(console, func(t *testing.T) { testDefects(t, console) })
	}
}

func testDefects(t *testing.T, console string) {
	for _, defect := range scenarioDefects() {
		t.Run(string(defect), func(t *testing.T) {
			t.Parallel()
			records, output, process := play(t, consoleVariable+"="+console,
				defectVariable+"="+string(defect), labelsVariable+"=defect: containsAny "+string(defect))
			if process.Success() {
				t.Errorf("the suite passed a client with the defect %s", defect)
			}
			for _, events := range records {
				name, verdict := events[0].Scenario.Name, events[len(events)-1].Verdict
				if verdict == nil {
					t.Fatalf("%s: no verdict:\n%s", name, output)
				}
				if verdict.Status != timeline.Failed || verdict.Owner != timeline.OwnerDevice {
					t.Errorf("%s: %s %s %s", name, verdict.Status, verdict.Owner, verdict.Message)
				}
				if !slices.ContainsFunc(verdict.Events, func(seq int) bool {
					return seq < len(events) && (events[seq].Kind == timeline.KindPacket || events[seq].Kind == timeline.KindDevice)
				}) {
					t.Errorf("%s: the verdict points at nothing: %s", name, verdict.Message)
				}
			}
		})
	}
}

// TestWithoutQuirks runs all scenarios without each quirk, and without any. A scenario that shows the quirk is skipped and
// says so, every other one passes, and the run is a success. With a defect on top of that it is none.
func TestWithoutQuirks(t *testing.T) {
	t.Parallel()
	shown := map[string][]string{}
	for _, s := range harness.List() {
		for _, q := range s.Quirks {
			shown[q] = append(shown[q], s.Name)
		}
	}
	var all []string
	for _, q := range espmqtt.Quirks() {
		all = append(all, string(q))
	}
	for _, without := range append([]string{strings.Join(all, ",")}, all...) {
		name := without
		if strings.Contains(without, ",") {
			name = "all"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, output, process := play(t, quirksVariable+"="+without)
			if !process.Success() {
				t.Errorf("the suite failed:\n%s", output)
			}
			var skipped, expected []string
			for _, q := range strings.Split(without, ",") {
				expected = append(expected, shown[q]...)
			}
			for _, events := range records {
				name, verdict := events[0].Scenario.Name, events[len(events)-1].Verdict
				switch {
				case verdict == nil:
					t.Fatalf("%s: no verdict:\n%s", name, output)
				case verdict.Status == timeline.Skipped && strings.Contains(verdict.Message, "the device is said to be without"):
					skipped = append(skipped, name)
				case verdict.Status != timeline.Passed:
					t.Errorf("%s: %s %s", name, verdict.Status, verdict.Message)
				}
			}
			slices.Sort(skipped)
			slices.Sort(expected)
			if expected = slices.Compact(expected); !slices.Equal(skipped, expected) {
				t.Errorf("skipped are %q\nnot %q", skipped, expected)
			}
		})
	}
	t.Run("all, and a defect", func(t *testing.T) {
		t.Parallel()
		_, output, process := play(t, quirksVariable+"="+strings.Join(all, ","), defectVariable+"="+string(espmqtt.NoPuback))
		if process.Success() {
			t.Errorf("the suite passed a client with a defect:\n%s", output)
		}
	})
}

// TestDeclarations checks what the scenarios declare against the lists that they refer to.
func TestDeclarations(t *testing.T) {
	all := harness.List()
	names, defects := map[string]bool{}, map[string]int{}
	for _, s := range all {
		if names[s.Name] {
			t.Errorf("two scenarios are called %q", s.Name)
		}
		names[s.Name] = true
		if len(s.Defects) == 0 {
			t.Errorf("%s: no planted defect makes it fail, so it proves nothing", s.Name)
		}
		for _, d := range s.Defects {
			defects[d]++
		}
		if len(s.Covers) == 0 {
			t.Errorf("%s: covers no requirement", s.Name)
		}
		for _, q := range s.Quirks {
			if _, err := espmqtt.ParseQuirk(q); err != nil {
				t.Errorf("%s: shows no quirk: %v", s.Name, err)
			}
		}
		for _, id := range s.Covers {
			if _, ok := requirement.Lookup(id); !ok {
				t.Errorf("%s: covers %s, which is in no list", s.Name, id)
			}
		}
	}
	for _, d := range scenarioDefects() {
		if defects[string(d)] == 0 {
			t.Errorf("no scenario fails on the defect %s", d)
		}
	}
	for d := range defects {
		if espmqtt.Defect(d).Measure() != espmqtt.Scenarios {
			t.Errorf("a scenario fails on the defect %s, which is not one for scenarios", d)
		}
	}
	for _, d := range requirement.Deviations(harness.Client) {
		if d.Scenario != "*" && !names[d.Scenario] {
			t.Errorf("the known deviation %s names a scenario that is not there: %q", d.Quirk, d.Scenario)
		}
	}
	for topic, least := range map[string]int{"Retransmission": 4, "Last will": 4, "Fragmentation": 4, "Connect": 1, "Keep alive": 1} {
		n := 0
		for _, s := range all {
			if s.Topic == topic {
				n++
			}
		}
		if n < least {
			t.Errorf("%s: %d scenarios, want at least %d", topic, n, least)
		}
	}
}

// BenchmarkSuite plays all scenarios in virtual time, each time in a process of its own as a user would.
func BenchmarkSuite(b *testing.B) {
	var scenarios int
	var virtual, wall, cpu time.Duration
	for b.Loop() {
		started := time.Now()
		records, output, process := play(b)
		wall += time.Since(started)
		if !process.Success() {
			b.Fatalf("the suite failed:\n%s", output)
		}
		cpu += process.UserTime() + process.SystemTime()
		for _, events := range records {
			scenarios++
			virtual += events[len(events)-1].At
		}
	}
	b.ReportMetric(float64(scenarios)/wall.Seconds(), "scenarios/s")
	b.ReportMetric(virtual.Seconds()/cpu.Seconds(), "virtual-s/cpu-s")
	b.ReportMetric(0, "ns/op") // of no meaning: it would be the time of a whole suite
}

// TestRealTime plays one scenario of each kind of wait over TCP and a pseudo-terminal; all of them take minutes and are
// the business of make test.
func TestRealTime(t *testing.T) {
	t.Parallel()
	records, output, process := play(t, timeVariable+"=real", labelsVariable+"=receiving")
	if !process.Success() {
		t.Fatalf("failed in real time:\n%s", output)
	}
	for _, events := range records {
		if mode := events[0].Scenario.Settings["time"]; mode != "real" {
			t.Errorf("%s ran in %s time", events[0].Scenario.Name, mode)
		}
	}
	if strings.Contains(output, "harness:") {
		t.Error(output)
	}
}
