package harness

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ginkgotypes "github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"mqtthil/devices"
	"mqtthil/faults"
	"mqtthil/harness/timeline"
)

// performance plays a body as a scenario of its own.
func performance(t *testing.T, ctx context.Context, options Options, body func(*Bench)) (timeline.Verdict, []timeline.Event) {
	t.Helper()
	options, err := options.settle()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlay(options, Description{Name: t.Name()}, body)
	path := filepath.Join(t.TempDir(), "record.jsonl")
	if p.file, err = os.Create(path); err != nil {
		t.Fatal(err)
	}
	defer p.file.Close()
	p.perform(ctx, t)
	verdict, events := p.judge(0)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	written, err := timeline.Read(file)
	if err != nil {
		t.Errorf("reading the record back: %v", err)
	}
	if len(written) == 0 || written[0].Kind != timeline.KindScenario || written[len(written)-1].Kind != timeline.KindVerdict {
		t.Errorf("the record on disk has %d events and is not closed by a verdict", len(written))
	}
	if len(written) > 0 && !written[0].Scenario.Started.Equal(p.started) {
		t.Errorf("the record says that the scenario started at %v, not %v", written[0].Scenario.Started, p.started)
	}
	return verdict, events
}

// appendAfter lets the device report something after a time.
func (b *Bench) appendAfter(d time.Duration, name string) {
	time.AfterFunc(d, func() {
		b.Record.Append(timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{Name: name}})
	})
}

func connectOnly(b *Bench) { b.Connect(b.Config()) }

// TestVerdicts shows that whatever goes wrong ends the scenario, soon, and with its owner named.
func TestVerdicts(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		body    func(*Bench)
		status  timeline.Status
		owner   timeline.Owner
		message string // part of it
	}{
		{"a sound scenario passes", Options{}, connectOnly, timeline.Passed, "", ""},
		{"and in real time", Options{Time: Real}, connectOnly, timeline.Passed, "", ""},
		{"a check that does not come true", Options{}, func(b *Bench) {
			b.Connect(b.Config())
			b.Eventually("the device says hello", Reports("HELLO"), Some(), time.Minute)
		}, timeline.Failed, timeline.OwnerDevice, "the device says hello: within 1m0s, of HELLO of the device: expected at least 1, got nothing"},
		{"a check that does not stay true", Options{}, func(b *Bench) {
			b.Connect(b.Config())
			b.Throughout("the device is silent", Packets(faults.FromDevice(faults.PINGREQ)), None(), time.Hour)
		}, timeline.Failed, timeline.OwnerDevice, "the device is silent: during 1h0m0s, of PINGREQ from the device: expected nothing, got 1"},
		{"a matcher of Gomega", Options{}, func(b *Bench) {
			b.Connect(b.Config())
			b.Expect("two CONNECT", Packets(faults.FromDevice(faults.CONNECT)), gomega.HaveLen(2))
		}, timeline.Failed, timeline.OwnerDevice, "to have length 2"},
		{"a judge's finding", Options{Defects: []string{"will-not-sent", "ping-late"}}, func(b *Bench) {
			b.Connect(b.Config())
			b.Pause(3 * b.KeepAlive())
		}, timeline.Failed, timeline.OwnerDevice, "MQTT-3.1.2-23"},
		{"a command that the device refuses", Options{}, func(b *Bench) { b.DUT.Start() },
			timeline.Failed, timeline.OwnerDevice, "refused"},
		{"a fault that never strikes", Options{}, func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBACK), faults.Drop()))
			b.Connect(b.Config())
		}, timeline.Failed, timeline.OwnerHarness, "the fault never struck: on every PUBACK to the device: drop"},
		{"a panic", Options{}, func(*Bench) { panic("oh dear") }, timeline.Failed, timeline.OwnerHarness, "panic: oh dear"},
		{"a bench that breaks down", Options{}, func(b *Bench) {
			b.giveUp(errors.New("the proxy broke down"))
			b.Pause(time.Hour)
		}, timeline.Failed, timeline.OwnerHarness, "the proxy broke down"},
		{"a body that ends its goroutine", Options{Time: Real}, func(*Bench) { runtime.Goexit() },
			timeline.Failed, timeline.OwnerHarness, "the goroutine of the scenario was ended"},
		{"an address of another machine", Options{Time: Real, Listen: "192.0.2.1"}, connectOnly,
			timeline.Failed, timeline.OwnerInfrastructure, "is 192.0.2.1 an address of this machine? see --listen"},
		{"an address of version 6", Options{Time: Real, Listen: "::1"}, connectOnly, timeline.Passed, "", ""},
		{"a check that comes true at the last moment", Options{}, func(b *Bench) {
			b.appendAfter(5*time.Second, "LATE")
			b.Eventually("it comes", Reports("LATE"), Some(), 5*time.Second)
		}, timeline.Passed, "", ""},
		{"a check that fails from its beginning", Options{}, func(b *Bench) {
			b.Connect(b.Config())
			b.Throughout("no CONNECT", Packets(faults.FromDevice(faults.CONNECT)), None(), time.Hour)
		}, timeline.Failed, timeline.OwnerDevice, "expected nothing, got 1"},
		{"a body that waits for nothing", Options{Budget: time.Minute}, func(*Bench) { <-make(chan int) },
			timeline.Failed, timeline.OwnerHarness, "deadlock"},
		{"a goroutine that stays", Options{}, func(*Bench) {
			never := make(chan int)
			go func() { <-never }()
		}, timeline.Failed, timeline.OwnerHarness, "blocked goroutines remain"},
		{"a body over its budget", Options{Budget: time.Minute}, func(b *Bench) { b.Pause(time.Hour) },
			timeline.Failed, timeline.OwnerHarness, "exceeded its time budget"},
		{"a body over its budget in real time", Options{Time: Real, Budget: 300 * time.Millisecond}, func(b *Bench) { b.Pause(time.Hour) },
			timeline.Failed, timeline.OwnerHarness, "exceeded its time budget"},
		{"a body in real time that waits for nothing", Options{Time: Real, Budget: 2 * time.Second, wallBudget: 500 * time.Millisecond},
			func(b *Bench) { <-make(chan int) }, timeline.Failed, timeline.OwnerHarness, "did not come to its end"},
		{"a program that is not there", Options{Device: "exec:/no/such/program"}, connectOnly,
			timeline.Failed, timeline.OwnerInfrastructure, "exit status 127"},
		{"a program that ends by itself", Options{Device: "exec:printf 'mqtt> '; exit 7"}, connectOnly,
			timeline.Failed, timeline.OwnerInfrastructure, "exit status 7"},
		{"a board that resets itself", Options{Device: "exec:printf 'rst:0x1 (POWERON_RESET)\\nmqtt> '; read x; " +
			"printf 'rst:0xf (BROWNOUT_RST)\\nmqtt> '; cat >/dev/null"}, connectOnly,
			timeline.Failed, timeline.OwnerBoard, "the board was reset, not by the bench: BROWNOUT_RST"},
		{"a serial port that is not there", Options{Device: "serial:/dev/no-such-port", Listen: "127.0.0.1"}, connectOnly,
			timeline.Failed, timeline.OwnerInfrastructure, "/dev/no-such-port"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			verdict, _ := performance(t, context.Background(), test.options, test.body)
			if verdict.Status != test.status || verdict.Owner != test.owner || !strings.Contains(verdict.Message, test.message) {
				t.Errorf("got %s %s %q\nwant %s %s %q", verdict.Status, verdict.Owner, verdict.Message,
					test.status, test.owner, test.message)
			}
			if verdict.Owner == timeline.OwnerDevice && test.name != "a command that the device refuses" && len(verdict.Events) == 0 {
				t.Error("the verdict points at no event")
			}
		})
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	for _, mode := range []TimeMode{Virtual, Real} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			verdict, events := performance(t, ctx, Options{Time: mode}, func(b *Bench) {
				b.Connect(b.Config())
				cancel()
				b.Pause(time.Hour)
			})
			want := timeline.Interrupted
			if mode == Virtual { // it takes no time, so it comes to its end
				want = timeline.Passed
			}
			if verdict.Status != want || len(events) == 0 {
				t.Errorf("got %s %q, want %s", verdict.Status, verdict.Message, want)
			}
		})
	}
}

// TestFullDisk writes the record to a device that has no room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no device that is always full: %v", err)
	}
	defer full.Close()
	options, err := Options{}.settle()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlay(options, Description{}, connectOnly)
	p.file = full
	p.perform(context.Background(), t)
	verdict, events := p.judge(0)
	if verdict.Owner != timeline.OwnerInfrastructure || !strings.Contains(verdict.Message, "no space left on device") {
		t.Errorf("got %s %s %q", verdict.Status, verdict.Owner, verdict.Message)
	}
	if len(events) < 10 {
		t.Errorf("only %d events are left in memory", len(events))
	}
}

// TestMissingDeviation shows that a known deviation which no longer happens is not passed over.
func TestMissingDeviation(t *testing.T) {
	t.Parallel()
	options, err := Options{}.settle()
	if err != nil {
		t.Fatal(err)
	}
	p := newPlay(options, Description{Name: "Receiving: a QoS 2 message that comes twice is acknowledged twice"}, connectOnly)
	p.perform(context.Background(), t)
	verdict, _ := p.judge(0)
	if verdict.Owner != timeline.OwnerDevice || !strings.Contains(verdict.Message, "ESP-QRK-10") {
		t.Errorf("got %s %s %q", verdict.Status, verdict.Owner, verdict.Message)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		options Options
		message string // of the error; empty for none
	}{
		{Options{}, ""},
		{Options{Device: "exec:true"}, ""},
		{Options{Device: "toaster"}, `unknown device "toaster"`},
		{Options{Device: "exec:"}, `unknown device "exec:"`},
		{Options{Device: "exec:true", Time: Virtual}, "lives in real time"},
		{Options{Device: "exec:true", Defects: []string{"no-ping"}}, "emulated device only"},
		{Options{Time: "tea"}, `unknown time "tea"`},
		{Options{Defects: []string{"no-such"}}, `unknown defect "no-such"; see mqtthil list defects`},
		{Options{KeepAlive: time.Second}, "whole seconds from 2s"},
		{Options{KeepAlive: 2500 * time.Millisecond}, "whole seconds"},
		{Options{Device: "serial:/dev/ttyUSB0"}, "name the address that it can reach by --listen"},
		{Options{Device: "serial:/dev/ttyUSB0", Listen: "192.168.1.10"}, ""},
		{Options{Listen: "::1"}, ""},
		{Options{Listen: "0.0.0.0"}, "cannot connect to --listen 0.0.0.0"},
		{Options{Listen: "::"}, "cannot connect to --listen ::"},
		{Options{Listen: "fe80::1%eth0"}, "cannot connect to --listen fe80::1%eth0"},
		{Options{Listen: "239.0.0.1"}, "cannot connect to --listen 239.0.0.1"},
		{Options{Listen: "localhost"}, `--listen "localhost" is no IP address`},
		{Options{Listen: "192.168.1.10:1883"}, "is no IP address"},
	} {
		settled, err := test.options.settle()
		switch {
		case test.message == "" && err != nil, test.message != "" && (err == nil || !strings.Contains(err.Error(), test.message)):
			t.Errorf("%+v: got error %v, want %q", test.options, err, test.message)
		case err != nil && !errors.Is(err, ErrUsage):
			t.Errorf("%v is no error of usage", err)
		case err == nil && (settled.Time == "" || settled.KeepAlive == 0 || settled.Budget == 0 || settled.Out == ""):
			t.Errorf("%+v: not settled: %+v", test.options, settled)
		}
	}
}

func TestCheckFlags(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*ginkgotypes.SuiteConfig){
		"":                     func(*ginkgotypes.SuiteConfig) {},
		"parallel.total":       func(c *ginkgotypes.SuiteConfig) { c.ParallelTotal = 2 },
		"dry-run":              func(c *ginkgotypes.SuiteConfig) { c.DryRun = true },
		"flake-attempts":       func(c *ginkgotypes.SuiteConfig) { c.FlakeAttempts = 2 },
		"must-pass-repeatedly": func(c *ginkgotypes.SuiteConfig) { c.MustPassRepeatedly = 2 },
	} {
		suite := ginkgotypes.NewDefaultSuiteConfig()
		change(&suite)
		err := checkFlags(suite)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v", want, err)
		}
	}
}

// TestMakeFolder lets several runs begin in the same second.
func TestMakeFolder(t *testing.T) {
	t.Parallel()
	out, started := t.TempDir(), time.Now()
	const runs = 8
	var mu sync.Mutex
	folders := map[string]bool{}
	var all sync.WaitGroup
	for range runs {
		all.Go(func() {
			folder, err := makeFolder(out, started)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			folders[folder] = true
		})
	}
	all.Wait()
	if len(folders) != runs {
		t.Errorf("%d runs have %d folders", runs, len(folders))
	}
	if _, err := os.Stat(filepath.Join(out, "latest", "scenarios")); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != runs+1 {
		t.Errorf("something was left behind: %v %v", entries, err)
	}
}

// TestQueries picks from a record that grows.
func TestQueries(t *testing.T) {
	t.Parallel()
	packet := func(seq int, kind string, id uint16) timeline.Event {
		return timeline.Event{Seq: seq, Kind: timeline.KindPacket, Point: timeline.LeftDevice, Conn: 1,
			Packet: &timeline.Packet{Type: kind, ID: id}}
	}
	report := timeline.Event{Seq: 3, Kind: timeline.KindDevice, Device: &timeline.Device{
		Name: "MQTT_EVENT_PUBLISHED", Fields: map[string]string{"msg_id": "7"},
	}}
	record := Events{packet(0, "CONNECT", 0), packet(1, "PUBLISH", 7), packet(2, "PUBLISH", 7), report,
		{Seq: 4, Kind: timeline.KindClose, Point: timeline.LeftDevice},
		{Seq: 5, Kind: timeline.KindBroker, Broker: &timeline.Broker{Hook: "message", Topic: "a"}},
		packet(6, "PUBLISH", 8)}
	published := faults.FromDevice(faults.PUBLISH)
	for _, test := range []struct {
		query Query
		want  []int
	}{
		{Packets(published), []int{1, 2, 6}},
		{Packets(faults.FromDevice()), []int{0, 1, 2, 6}},
		{Packets(published.Nth(2)), []int{2}},
		{Packets(published.From(2)), []int{2, 6}},
		{Packets(published).Since(record[1]), []int{2, 6}},
		{Packets(published.Nth(2)).Since(record[2]), nil}, // the second of all, not of the later ones
		{Packets(published).Since(record[1]).Since(record[4]), []int{6}},
		{Packets(faults.ToDevice()), nil},
		{Reports("MQTT_EVENT_PUBLISHED"), []int{3}},
		{Reports("MQTT_EVENT_PUBLISHED", "msg_id", 7), []int{3}},
		{Reports("MQTT_EVENT_PUBLISHED", "msg_id", 8), nil},
		{BrokerHooks("message", ""), []int{5}},
		{BrokerHooks("message", "b"), nil},
		{Closes(), []int{4}},
	} {
		w, looks := watch{Query: test.query}, 0
		w.fits = func(e *timeline.Event) bool { looks++; return test.query.fits(e) }
		for n := range record {
			w.look(record[:n])
		}
		if got := w.look(record).seqs(); !slices.Equal(got, test.want) {
			t.Errorf("%s: picked %v, want %v", test.query, got, test.want)
		}
		if looks != len(record) {
			t.Errorf("%s: looked %d times at %d events", test.query, looks, len(record))
		}
	}
}

func TestCheckLabels(t *testing.T) {
	t.Parallel()
	all := []Description{{Labels: []string{"last-will"}, Covers: []string{"MQTT-3.3.1-1"}, Defects: []string{"no-ping"}}}
	for filter, unknown := range map[string]string{
		"":                                    "",
		"last-will":                           "",
		"!last-will":                          "",
		"last-will || /.*ping/":               "",
		"covers: containsAny MQTT-3.3.1-1":    "",
		"covers: isSubsetOf {MQTT-3.3.1-1}":   "",
		"defect:no-ping && !(last-will)":      "",
		"lost-will":                           "lost-will",
		"last-will && covers: containsAny X9": "X9",
	} {
		err := checkLabels(filter, all)
		if (err == nil) != (unknown == "") || err != nil && !strings.Contains(err.Error(), unknown) {
			t.Errorf("%q: got %v, want %q to be unknown", filter, err, unknown)
		}
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	if got := fileName(7, "Last will: CONNECT carries / the will"); got != "007-last-will-connect-carries-the-will.jsonl" {
		t.Error(got)
	}
	if got := fileName(1, strings.Repeat("very ", 100)); len(got) > 100 {
		t.Errorf("%d characters", len(got))
	}
}

func TestMatchers(t *testing.T) {
	t.Parallel()
	publish := func(at time.Duration, id uint16, dup bool, payload uint32) timeline.Event {
		return timeline.Event{At: at, Packet: &timeline.Packet{Type: "PUBLISH", ID: id, DUP: dup, QoS: 1, PayloadSum: payload}}
	}
	data := func(offset, length, total string) timeline.Event {
		return timeline.Event{Device: &timeline.Device{Fields: map[string]string{"offset": offset, "len": length, "total": total}}}
	}
	sound := Events{publish(0, 7, false, 1), publish(time.Second, 7, true, 1)}
	for _, test := range []struct {
		name    string
		matcher interface{ Match(any) (bool, error) }
		events  Events
		want    bool
	}{
		{"one packet again", OnePacketAgain(), sound, true},
		{"other id", OnePacketAgain(), Events{publish(0, 7, false, 1), publish(0, 8, true, 1)}, false},
		{"other payload", OnePacketAgain(), Events{publish(0, 7, false, 1), publish(0, 7, true, 2)}, false},
		{"no packet is not one", OnePacketAgain(), nil, false},
		{"DUP on the second", DUPOnAllButTheFirst(), sound, true},
		{"DUP on the first", DUPOnAllButTheFirst(), Events{publish(0, 7, true, 1)}, false},
		{"DUP missing", DUPOnAllButTheFirst(), Events{publish(0, 7, false, 1), publish(0, 7, false, 1)}, false},
		{"apart", Apart(time.Second, time.Second), sound, true},
		{"too close", Apart(2*time.Second, time.Minute), sound, false},
		{"too far", Apart(0, time.Millisecond), sound, false},
		{"in sequence", InSequence(5), Events{data("0", "3", "5"), data("3", "2", "5")}, true},
		{"a gap", InSequence(5), Events{data("0", "2", "5"), data("3", "2", "5")}, false},
		{"the end missing", InSequence(5), Events{data("0", "3", "5")}, false},
		{"not a number", InSequence(5), Events{data("0", "x", "5")}, false},
		{"exactly", Times(2), sound, true},
		{"not exactly", Times(1), sound, false},
		{"some", Some(), sound, true},
		{"none", None(), sound, false},
		{"every packet fits", WithPacket("x", func(p *timeline.Packet) bool { return p.ID == 7 }), sound, true},
		{"one does not", WithPacket("x", func(p *timeline.Packet) bool { return p.DUP }), sound, false},
		{"no packet at all", WithPacket("x", func(*timeline.Packet) bool { return true }), nil, false},
	} {
		if got, err := test.matcher.Match(test.events); err != nil || got != test.want {
			t.Errorf("%s: %v %v", test.name, got, err)
		}
	}
	if _, err := Some().Match(3); err == nil {
		t.Error("a number matches as events")
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	failed := func(owner timeline.Owner) Result {
		return Result{Verdict: timeline.Verdict{Status: timeline.Failed, Owner: owner}}
	}
	passed := Result{Verdict: timeline.Verdict{Status: timeline.Passed}}
	for _, test := range []struct {
		results     []Result
		selected    int
		interrupted bool
		want        int
	}{
		{[]Result{passed}, 1, false, ExitPass},
		{[]Result{passed}, 2, false, ExitHarness}, // a scenario is missing and nobody knows why
		{[]Result{failed(timeline.OwnerDevice), failed(timeline.OwnerHarness)}, 2, false, ExitDevice},
		{[]Result{passed, failed(timeline.OwnerHarness)}, 2, false, ExitHarness},
		{[]Result{failed(timeline.OwnerInfrastructure), failed(timeline.OwnerHarness)}, 2, false, ExitHarness},
		{[]Result{passed, failed(timeline.OwnerInfrastructure)}, 2, false, ExitInfrastructure},
		{[]Result{passed, failed(timeline.OwnerBoard)}, 2, false, ExitInfrastructure},
		{[]Result{passed, failed(timeline.OwnerDevice)}, 3, true, ExitInterrupted},
	} {
		r := &Run{results: test.results, interrupted: test.interrupted}
		r.info.Selected = make([]string, test.selected)
		if got := r.ExitCode(); got != test.want {
			t.Errorf("%+v: exit code %d, want %d", test, got, test.want)
		}
	}
}

// TestBenchPublish carries a message each way.
func TestBenchPublish(t *testing.T) {
	t.Parallel()
	verdict, events := performance(t, context.Background(), Options{}, func(b *Bench) {
		b.Connect(b.Config())
		b.Subscribe("a/b", devices.QoS2)
		b.Listen("up")
		b.Publish("a/b", "down it goes", devices.QoS2, false)
		b.Eventually("it arrives", Reports("MQTT_EVENT_DATA_PAYLOAD"), Payload("down it goes"), time.Second)
		b.DUT.Publish("up", `with "quotes" and \ blanks`, devices.QoS2)
		b.Eventually("and back", BrokerHooks("message", "up"), WithBroker("the payload", func(m *timeline.Broker) bool {
			return string(m.Payload) == `with "quotes" and \ blanks`
		}), time.Second)
	})
	if verdict.Status != timeline.Passed {
		t.Errorf("%s: %s", verdict.Owner, verdict.Message)
	}
	if len(events) == 0 {
		t.Error("no events")
	}
}
