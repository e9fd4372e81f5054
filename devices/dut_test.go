package devices_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices"
	"mqtthil/devices/console"
	"mqtthil/devices/port"
	"mqtthil/harness/simnet"
	"mqtthil/harness/timeline"
)

// rig is a DUT whose board is the test itself: it reads what is typed, line by line, and prints what it likes.
type rig struct {
	*devices.DUT
	record *timeline.Recorder
	board  net.Conn
	typed  chan string // lines
	failed error       // of Options.Fail
}

// options of the tests: the times are long, for they pass only where something does not happen.
var usual = devices.Options{BootTimeout: 10 * time.Second, AnswerTimeout: 30 * time.Second}

// memory is the bench's end of the console.
type memory struct{ net.Conn }

func (memory) String() string { return "memory" }

// open makes a DUT. The port is made from the bench's end of the console.
func open(t *testing.T, options devices.Options, wrap func(memory) port.Port) *rig {
	t.Helper()
	n := simnet.New()
	l, err := n.Listen("uart:0")
	if err != nil {
		t.Fatal(err)
	}
	near, err := n.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	r := &rig{record: timeline.NewRecorder(nil), board: far, typed: make(chan string, 100)}
	options.Fail = func(err error) { r.failed = err; panic(failure{err}) }
	var p port.Port = memory{near}
	if wrap != nil {
		p = wrap(memory{near})
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	r.DUT = devices.Open(ctx, p, console.Espressif{}, r.record, options)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		defer close(r.typed)
		var text []byte
		buffer := make([]byte, 1000)
		for {
			n, err := far.Read(buffer)
			text = append(text, buffer[:n]...)
			for {
				line, rest, found := bytes.Cut(text, []byte("\n"))
				if !found {
					break
				}
				r.typed <- string(line)
				text = rest
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel(nil)
		_ = r.Close()
		_ = far.Close()
		<-reading
	})
	return r
}

// failure is what Options.Fail panics with.
type failure struct{ error }

// failing calls f and returns the error that it fails with; nil if it does not.
func failing(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = f.error
		}
	}()
	f()
	return nil
}

// prints prints as a board does.
func (r *rig) prints(text string) { _, _ = io.WriteString(r.board, text) }

// answers waits for each of the lines to be typed, echoes it and prints the answer. A line may be left open with "…".
func (r *rig) answers(dialogue ...string) {
	for i := 0; i < len(dialogue); i += 2 {
		line, more := <-r.typed
		if !more {
			return
		}
		if want, open := strings.CutSuffix(dialogue[i], "…"); line != want && !(open && strings.HasPrefix(line, want)) {
			r.prints(fmt.Sprintf("the test expected %q, not %q\r\n", dialogue[i], line))
			return
		}
		r.prints(line + "\r\n" + dialogue[i+1])
	}
}

const (
	prompt  = "mqtt> "
	banner  = "ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
	failed  = "Command returned non-zero error code: 0x1 (ERROR)\r\n"
	started = "I (5) mqtt_conformance: Mqtt client started\r\n"
	stopped = "I (5) mqtt_conformance: Mqtt client stopped\r\n"
)

// inBothTimes runs a test in virtual and in real time.
func inBothTimes(t *testing.T, test func(t *testing.T)) {
	t.Parallel()
	t.Run("virtual", func(t *testing.T) { t.Parallel(); synctest.Test(t, test) })
	t.Run("real", func(t *testing.T) { t.Parallel(); test(t) })
}

// texts are the texts of the record's events of a kind.
func (r *rig) texts(kind timeline.Kind) []string {
	var texts []string
	for _, e := range r.record.Events() {
		if e.Kind == kind {
			if e.Device != nil {
				texts = append(texts, e.Device.Name)
			} else {
				texts = append(texts, e.Text+string(e.Data))
			}
		}
	}
	return texts
}

func (r *rig) has(kind timeline.Kind, part string) bool {
	return strings.Contains(strings.Join(r.texts(kind), "\n"), part)
}

func TestBoot(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		go r.prints("\x00\xff\xfe" + banner + "I (30) boot: hello\r\n\x1b[32m" + prompt + "\x1b[0m")
		r.AwaitBoot()
		if got := r.texts(timeline.KindDevice); strings.Join(got, " ") != "BOOT PROMPT" {
			t.Errorf("events %q", got)
		}
		if got := r.texts(timeline.KindLine); len(got) != 3 {
			t.Errorf("lines %q", got)
		}
		if got := r.texts(timeline.KindReset); got != nil {
			t.Errorf("the first boot counts as a reset: %q", got)
		}
	})
}

func TestNoBoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, usual, nil)
		start := time.Now()
		go r.prints(banner + "waiting for download\r\n")
		err := failing(r.AwaitBoot)
		if !errors.Is(err, devices.ErrPort) || errors.Is(err, devices.ErrNoAnswer) ||
			!strings.Contains(err.Error(), "memory printed no prompt") {
			t.Errorf("failed with %v", err)
		}
		if took := time.Since(start); took != usual.BootTimeout {
			t.Errorf("gave up after %v", took)
		}
	})
}

func TestCommands(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		const log = "I (5) mqtt_conformance: "
		var all sync.WaitGroup
		all.Go(func() {
			r.prints(prompt)
			r.answers(
				"init …", "I (4) mqtt_client: chatter\r\n"+log+"Mqtt client initialized\r\n"+prompt,
				"start", log+"MQTT_EVENT_CONNECTED session_present=0\r\n"+started+prompt,
				"subscribe a/# 1", log+"Subscribe requested, msg_id=11\r\n"+log+"MQTT_EVENT_SUBSCRIBED, msg_id=11\r\n"+prompt,
				"unsubscribe a/#", log+"Unsubscribe requested, msg_id=12\r\n"+prompt,
				`publish a "b c" 2 2 0 0`, log+"Publish requested, msg_id=13\r\n"+prompt,
				"publish a hello 1 1 0 1", log+"Publish requested, msg_id=14\r\n"+prompt,
				"disconnect", log+"Mqtt client disconnected\r\n"+prompt,
				"reconnect", log+"Mqtt client will reconnect\r\n"+prompt,
				"stop", stopped+prompt,
				"destroy", log+"mqtt client for tests destroyed\r\n"+prompt,
				"destroy", prompt, // says nothing where there is no client
			)
		})
		r.AwaitBoot()
		r.Init(devices.Config{Broker: "bench:1883"})
		r.Start()
		ids := []int{
			r.Subscribe("a/#", devices.QoS1), r.Unsubscribe("a/#"),
			r.Publish("a", "b cb c", devices.QoS2), r.Enqueue("a", "hello", devices.QoS1),
		}
		if fmt.Sprint(ids) != "[11 12 13 14]" {
			t.Errorf("packet identifiers %v", ids)
		}
		r.Disconnect()
		r.Reconnect()
		r.Stop()
		r.Destroy()
		r.Destroy()
		all.Wait()
		if !r.has(timeline.KindConsoleOut, "publish a hello 1 1 0 1\n") || !r.has(timeline.KindLine, "publish a hello 1 1 0 1") {
			t.Error("what is typed and its echo are not in the record")
		}
	})
}

// TestRefused: a command that fails says so twice. The second time must not be taken for the next one's answer.
func TestRefused(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		refusal := "E (5) mqtt_conformance: MQTT client not initialized, call init first\r\n"
		go func() {
			r.prints(prompt)
			r.answers("start", refusal+failed+prompt, "stop", stopped+prompt,
				"publish a b 1 0 0 0", "publish: unexpected argument\r\n"+failed+prompt, "stop", stopped+prompt,
				"start", "Unrecognized command\r\n"+prompt, "stop", stopped+prompt)
		}()
		r.AwaitBoot()
		result, err := r.Do(devices.Request{Action: devices.ActionStart})
		if err != nil || result.OK || result.Text != "MQTT client not initialized, call init first" {
			t.Errorf("start: %+v, %v", result, err)
		}
		r.Stop()
		err = failing(func() { r.Publish("a", "b", devices.QoS0) })
		if !errors.Is(err, devices.ErrRefused) || !strings.Contains(err.Error(), "publish") {
			t.Errorf("publish failed with %v", err)
		}
		r.Stop()
		if err := failing(r.Start); !errors.Is(err, devices.ErrRefused) || !strings.Contains(err.Error(), "Unrecognized command") {
			t.Errorf("start failed with %v", err)
		}
		r.Stop()
	})
}

// TestUntypable: nothing is typed.
func TestUntypable(t *testing.T) {
	t.Parallel()
	r := open(t, usual, nil)
	_, err := r.Do(devices.Request{Action: devices.ActionPublish, Topic: "a\nb"})
	if err == nil || errors.Is(err, devices.ErrPort) || !strings.Contains(err.Error(), "publish: topic") {
		t.Errorf("error %v", err)
	}
	if got := r.texts(timeline.KindConsoleOut); got != nil {
		t.Errorf("typed %q", got)
	}
}

// TestNoAnswer: the device keeps silent, then speaks after all. What it says late is not the next command's answer.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, usual, nil)
		published := func(id int) string {
			return fmt.Sprintf("I (5) mqtt_conformance: Publish requested, msg_id=%d\r\n", id)
		}
		go func() {
			r.prints(prompt)
			r.answers("publish a b 1 1 0 0", "")
			time.Sleep(40 * time.Second)
			r.prints(published(1) + prompt)
			r.answers("publish a c 1 1 0 0", published(2)+prompt, "stop", "")
		}()
		r.AwaitBoot()
		start := time.Now()
		err := failing(func() { r.Publish("a", "b", devices.QoS1) })
		if !errors.Is(err, devices.ErrNoAnswer) || errors.Is(err, devices.ErrPort) ||
			!strings.Contains(err.Error(), "publish: memory: no answer within 30s") {
			t.Errorf("failed with %v", err)
		}
		if took := time.Since(start); took != usual.AnswerTimeout {
			t.Errorf("gave up after %v", took)
		}
		if id := r.Publish("a", "c", devices.QoS1); id != 2 || time.Since(start) != 40*time.Second {
			t.Errorf("packet identifier %d after %v", id, time.Since(start))
		}
		if err := failing(r.Stop); !errors.Is(err, devices.ErrNoAnswer) {
			t.Errorf("stop failed with %v", err)
		}
		err = failing(r.Start) // and it never comes back
		if !errors.Is(err, devices.ErrNoAnswer) || !strings.Contains(err.Error(), "command before") {
			t.Errorf("start failed with %v", err)
		}
		if got := r.texts(timeline.KindConsoleOut); got[len(got)-1] != "stop\n" {
			t.Errorf("typed while the console was busy: %q", got)
		}
	})
}

// TestNoPromptAfterTheAnswer is a device that hangs at the end of a command.
func TestNoPromptAfterTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, usual, nil)
		go func() { r.prints(prompt); r.answers("start", started) }()
		r.AwaitBoot()
		err := failing(r.Start)
		if !errors.Is(err, devices.ErrNoAnswer) || !strings.Contains(err.Error(), "Mqtt client started") {
			t.Errorf("failed with %v", err)
		}
	})
}

func TestPortVanishes(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		go func() {
			r.prints(prompt)
			r.answers("start", "I (5) mqtt_cl")
			_ = r.board.Close()
		}()
		r.AwaitBoot()
		start := time.Now()
		err := failing(r.Start)
		if !errors.Is(err, devices.ErrPort) || errors.Is(err, devices.ErrNoAnswer) || !strings.Contains(err.Error(), "start: ") {
			t.Errorf("failed with %v", err)
		}
		if took := time.Since(start); took >= usual.AnswerTimeout {
			t.Errorf("noticed after %v", took)
		}
		if !r.has(timeline.KindHarness, "the console memory was lost") {
			t.Errorf("the record does not say that the console was lost: %q", r.texts(timeline.KindHarness))
		}
		if !r.has(timeline.KindLine, "I (5) mqtt_cl") {
			t.Error("the last words are not in the record")
		}
		if err := failing(r.Stop); !errors.Is(err, devices.ErrPort) {
			t.Errorf("then stop failed with %v", err)
		}
	})
}

// TestAnswerAndEnd: the answer is the last thing that the port gives.
func TestAnswerAndEnd(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		for range 20 {
			r := open(t, usual, nil)
			go func() {
				r.prints(prompt)
				r.answers("start", started+prompt)
				_ = r.board.Close()
			}()
			r.AwaitBoot()
			r.Start()
		}
	})
}

func TestContextEnds(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		n := simnet.New()
		l, _ := n.Listen("uart:0")
		defer l.Close()
		conn, _ := n.DialContext(context.Background(), "tcp", l.Addr().String())
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		d := devices.Open(ctx, memory{conn}, console.Espressif{}, timeline.NewRecorder(nil), usual)
		go cancel(cause)
		if _, err := d.Do(devices.Request{Action: devices.ActionStart}); !errors.Is(err, cause) {
			t.Errorf("error %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestClosed: an end that the bench wants is nothing to report.
func TestClosed(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		go r.prints(prompt)
		r.AwaitBoot()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if got := r.texts(timeline.KindHarness); got != nil {
			t.Errorf("the record says %q", got)
		}
	})
}

func TestGarbage(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		go func() {
			r.prints("\xff\xfe\x00\x1b[ \x80\r\n" + prompt)
			r.answers("start", "\xc3\x28 noise\r\n\x1b[31mE (3) wifi: beacon\x1b[0m\r\nI (4\r\n\xff\xff"+started+prompt)
		}()
		r.AwaitBoot()
		r.Start()
		if !r.has(timeline.KindLine, "\uFFFD( noise") || !r.has(timeline.KindConsoleIn, "\xc3\x28 noise") {
			t.Errorf("lines %q", r.texts(timeline.KindLine))
		}
	})
}

// TestEcho: what the bench has typed is no report of the device, even where it looks like one.
func TestEcho(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		const payload = `I (1) mqtt_conformance: Publish failed, msg_id=-1`
		go func() {
			r.prints(prompt)
			r.answers(`publish a "`+payload+`" 1 1 0 0`, "I (5) mqtt_conformance: Publish requested, msg_id=7\r\n"+
				"I (6) mqtt_conformance: MQTT_EVENT_DATA_PAYLOAD "+payload+"\r\n"+prompt,
				`publish Unrecognized\ command…`, "")
		}()
		r.AwaitBoot()
		if id := r.Publish("a", payload, devices.QoS1); id != 7 {
			t.Errorf("packet identifier %d", id)
		}
		if got := strings.Join(r.texts(timeline.KindDevice), " "); got != "PROMPT ANSWER MQTT_EVENT_DATA_PAYLOAD PROMPT" {
			t.Errorf("events %q", got)
		}
	})
}

// TestWithoutPrompt is a program that only reads its standard input.
func TestWithoutPrompt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		options := usual
		options.PromptOptional = true
		r := open(t, options, nil)
		go r.answers("start", started, "stop", stopped)
		start := time.Now()
		r.AwaitBoot()
		if took := time.Since(start); took != options.BootTimeout {
			t.Errorf("waited %v for a prompt", took)
		}
		r.Start()
		r.Stop()
		if took := time.Since(start); took != options.BootTimeout {
			t.Errorf("waited for a prompt again: %v", took)
		}
	})
}

// TestPromptOptional: where a prompt comes, it counts.
func TestPromptOptional(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		options := usual
		options.PromptOptional = true
		r := open(t, options, nil)
		go func() { r.prints(prompt); r.answers("start", started) }()
		r.AwaitBoot()
		if err := failing(r.Start); !errors.Is(err, devices.ErrNoAnswer) {
			t.Errorf("failed with %v", err)
		}
	})
}

// switched is a port with a reset button and a power switch, which do what the test says.
type switched struct {
	memory
	reset, off, on func() error
}

func (p switched) Reset(context.Context) error    { return p.reset() }
func (p switched) PowerOff(context.Context) error { return p.off() }
func (p switched) PowerOn(context.Context) error  { return p.on() }

func TestResetAndPower(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		var r *rig
		boots := func() error { go r.prints(prompt + "half a li" + banner + prompt); return nil } // the first prompt is a late one
		r = open(t, usual, func(m memory) port.Port {
			return switched{m, boots, func() error { return nil }, boots}
		})
		go r.prints(banner + prompt)
		r.AwaitBoot()
		r.Reset()
		check := func(events string) {
			t.Helper()
			if got := strings.Join(r.texts(timeline.KindDevice), " "); got != events {
				t.Errorf("events %q, want %q", got, events)
			}
		}
		check("BOOT PROMPT PROMPT BOOT PROMPT")
		r.PowerOff()
		r.PowerOn()
		check("BOOT PROMPT PROMPT BOOT PROMPT PROMPT BOOT PROMPT")
		go r.answers("start", started+prompt)
		r.Start()
		if got := strings.Join(r.texts(timeline.KindReset), ", "); got != "reset by the bench, power off, power on" {
			t.Errorf("the record says %q", got)
		}
	})
}

func TestResetFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("button is broken")
	fails := func() error { return broken }
	r := open(t, usual, func(m memory) port.Port { return switched{m, fails, fails, fails} })
	for what, do := range map[string]func(){"Reset": r.Reset, "PowerOff": r.PowerOff, "PowerOn": r.PowerOn} {
		if err := failing(do); !errors.Is(err, devices.ErrPort) || !errors.Is(err, broken) {
			t.Errorf("%s failed with %v", what, err)
		}
	}
	r = open(t, usual, nil)
	if err := failing(r.PowerOff); !errors.Is(err, devices.ErrPort) || !strings.Contains(err.Error(), "memory cannot switch") {
		t.Errorf("without a switch it failed with %v", err)
	}
}

// TestResetUnsupported: the client is destroyed instead, if there is one, and the record says so.
func TestResetUnsupported(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		const log = "I (5) mqtt_conformance: "
		for name, wrap := range map[string]func(memory) port.Port{
			"no button": nil,
			"a button that does nothing": func(m memory) port.Port {
				return switched{memory: m, reset: func() error { return fmt.Errorf("%w: no lines", errors.ErrUnsupported) }}
			},
		} {
			r := open(t, usual, wrap)
			go r.answers("", prompt, "destroy", log+"mqtt client for tests destroyed\r\n"+prompt,
				"", "Unrecognized command\r\n"+prompt, "destroy", prompt, "start", started+prompt)
			r.Reset()
			r.Reset()
			r.Start()
			if got := r.texts(timeline.KindHarness); len(got) != 2 || !strings.Contains(got[0], "the client is destroyed instead") {
				t.Errorf("%s: the record says %q", name, got)
			}
		}
	})
}

// TestFoundBooting: a board that cannot be reset and boots when the bench comes has not been reset unasked. When it boots
// again, it has.
func TestFoundBooting(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		go func() {
			<-r.typed
			r.prints(banner + prompt)
			r.answers("destroy", prompt, "start", banner+prompt)
		}()
		r.Reset()
		if got := r.texts(timeline.KindReset); len(got) != 1 {
			t.Errorf("the record says %q", got)
		}
		if err := failing(r.Start); !errors.Is(err, devices.ErrNoAnswer) {
			t.Errorf("start: %v", err)
		}
		if got := r.texts(timeline.KindReset); len(got) != 2 || !strings.HasPrefix(got[1], devices.UnwantedReset) {
			t.Errorf("the record says %q", got)
		}
	})
}

func TestResetUnsupportedAndSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, usual, nil)
		start := time.Now()
		err := failing(r.Reset)
		if !errors.Is(err, devices.ErrPort) || !strings.Contains(err.Error(), "no prompt") || time.Since(start) != usual.BootTimeout {
			t.Errorf("failed after %v with %v", time.Since(start), err)
		}
	})
}

// TestUnwantedReset: the record says that the board was reset and by whom not, and no command is waited for any longer.
func TestUnwantedReset(t *testing.T) {
	inBothTimes(t, func(t *testing.T) {
		r := open(t, usual, nil)
		go func() {
			r.prints(banner + prompt)
			r.answers("start", "\r\nBrownout detector was triggered\r\nets Jul 29 2019 12:21:46\r\n\r\nrst:0xf (BROWNOUT_RESET)\r\n")
		}()
		r.AwaitBoot()
		start := time.Now()
		err := failing(r.Start)
		if !errors.Is(err, devices.ErrNoAnswer) || !strings.Contains(err.Error(), "the board was reset: BROWNOUT_RESET") {
			t.Errorf("failed with %v", err)
		}
		if took := time.Since(start); took >= usual.AnswerTimeout {
			t.Errorf("noticed after %v", took)
		}
		if got := r.texts(timeline.KindReset); len(got) != 1 || got[0] != "not by the bench: BROWNOUT_RESET" {
			t.Errorf("the record says %q", got)
		}
	})
}
