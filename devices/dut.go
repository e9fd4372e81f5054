// Package devices is the device under test (DUT) as scenarios see it: a board with a serial console, whose MQTT client
// is driven by commands and reports its events. What the console is reached by (package port), which language it speaks
// (package console), and whether the board is real or emulated (package emulator) makes no difference here.
package devices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"mqtthil/devices/port"
	"mqtthil/harness/timeline"
)

// Errors of a DUT, told apart because they have different owners.
var (
	// ErrPort says that the console was lost, or never came to life: the fault of the bench.
	ErrPort = errors.New("the console is not usable")
	// ErrNoAnswer says that the device did not answer a command in time: the fault of the device.
	ErrNoAnswer = errors.New("no answer")
	// ErrRefused says that the device refused a command that it should have taken.
	ErrRefused = errors.New("refused")
)

// Prompt is the name of the device event that says that the console waits for a command.
const Prompt = "PROMPT"

// Options of a DUT.
type Options struct {
	// BootTimeout bounds the wait for the first prompt; default 10 s.
	BootTimeout time.Duration
	// PromptOptional is for a device that may print no prompt, as a program that only reads its standard input: after
	// BootTimeout it counts as booted.
	PromptOptional bool
	// AnswerTimeout bounds the wait for the answer to a command; default 30 s, for a client that is busy connecting
	// holds up every command.
	AnswerTimeout time.Duration
	// Fail is called with the error of a command that the scenario cannot go on without. It must not return.
	Fail func(error)
}

// DUT is a device under test.
type DUT struct {
	port    port.Port
	dialect Dialect
	record  *timeline.Recorder
	options Options
	ctx     context.Context

	prompts bool // the console prints prompts

	ended chan struct{} // closed when nothing more comes from the port
	lost  error         // why; set before ended is closed
}

// Open starts to listen to a device. Everything that its console says goes into the record. The context ends every wait
// for the device.
func Open(ctx context.Context, p port.Port, dialect Dialect, record *timeline.Recorder, options Options) *DUT {
	if options.BootTimeout == 0 {
		options.BootTimeout = 10 * time.Second
	}
	if options.AnswerTimeout == 0 {
		options.AnswerTimeout = 30 * time.Second
	}
	d := &DUT{port: p, dialect: dialect, record: record, options: options, ctx: ctx, ended: make(chan struct{})}
	go d.read()
	return d
}

// Close closes the port and returns when nothing more comes from it.
func (d *DUT) Close() error {
	err := d.port.Close()
	<-d.ended
	if err != nil {
		return fmt.Errorf("closing %s: %w", d.port, err)
	}
	return nil
}

// read takes everything that comes from the console into the record.
func (d *DUT) read() {
	lines := splitter{prompt: d.dialect.Prompt()}
	buffer := make([]byte, 4096)
	for {
		n, err := d.port.Read(buffer)
		if n > 0 {
			data := append([]byte(nil), buffer[:n]...)
			d.record.Append(timeline.Event{Kind: timeline.KindConsoleIn, Data: data})
			for _, line := range lines.feed(data) {
				d.line(line)
			}
		}
		if err != nil {
			if rest := lines.rest(); rest != "" {
				d.line(rest)
			}
			d.lost = err
			close(d.ended)
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				d.record.Append(timeline.Event{Kind: timeline.KindHarness, Text: fmt.Sprintf("console %s: %v", d.port, err)})
			}
			return
		}
	}
}

func (d *DUT) line(line string) {
	if line == d.dialect.Prompt() {
		d.record.Append(timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{Name: Prompt}})
		return
	}
	d.record.Append(timeline.Event{Kind: timeline.KindLine, Text: line})
	if device, ok := d.dialect.Parse(line); ok {
		d.record.Append(timeline.Event{Kind: timeline.KindDevice, Device: &device})
	}
}

// AwaitBoot waits until the console has printed its first prompt.
func (d *DUT) AwaitBoot() {
	d.prompts = true
	d.awaitPrompt(0)
}

// awaitPrompt waits for a prompt from position from of the record on.
func (d *DUT) awaitPrompt(from int) {
	if !d.prompts {
		return
	}
	_, err := d.await(from, d.options.BootTimeout, func(e timeline.Device) bool { return e.Name == Prompt })
	if errors.Is(err, ErrNoAnswer) && d.options.PromptOptional {
		d.prompts = false
		return
	}
	if err != nil {
		d.options.Fail(fmt.Errorf("%w: %s printed no prompt %q within %v: %w (does it run the conformance application?)",
			ErrPort, d.port, d.dialect.Prompt(), d.options.BootTimeout, err))
	}
}

// Reset resets the board and waits until its console is there again. What the client knew is lost.
func (d *DUT) Reset() {
	resetter, ok := d.port.(port.Resetter)
	if !ok {
		d.options.Fail(fmt.Errorf("%w: %s cannot reset its board", ErrPort, d.port))
	}
	e := d.record.Append(timeline.Event{Kind: timeline.KindReset, Text: "reset by the bench"})
	if err := resetter.Reset(d.ctx); err != nil {
		d.options.Fail(fmt.Errorf("%w: %w", ErrPort, err))
	}
	d.awaitPrompt(e.Seq + 1)
}

// PowerOff takes the board's power away.
func (d *DUT) PowerOff() {
	power := d.power()
	d.record.Append(timeline.Event{Kind: timeline.KindReset, Text: "power off"})
	if err := power.PowerOff(d.ctx); err != nil {
		d.options.Fail(fmt.Errorf("%w: %w", ErrPort, err))
	}
}

// PowerOn gives the board its power back and waits until its console is there again.
func (d *DUT) PowerOn() {
	power := d.power()
	e := d.record.Append(timeline.Event{Kind: timeline.KindReset, Text: "power on"})
	if err := power.PowerOn(d.ctx); err != nil {
		d.options.Fail(fmt.Errorf("%w: %w", ErrPort, err))
	}
	d.awaitPrompt(e.Seq + 1)
}

func (d *DUT) power() port.Power {
	power, ok := d.port.(port.Power)
	if !ok {
		d.options.Fail(fmt.Errorf("%w: %s cannot switch its board's power", ErrPort, d.port))
	}
	return power
}

// Init creates the client; Start starts it.
func (d *DUT) Init(config Config) { d.must(Request{Action: ActionInit, Config: config}) }

// Start starts the client: it begins to connect.
func (d *DUT) Start() { d.must(Request{Action: ActionStart}) }

// Stop stops the client: it disconnects and forgets what it has not sent.
func (d *DUT) Stop() { d.must(Request{Action: ActionStop}) }

// Disconnect asks the client to end its connection.
func (d *DUT) Disconnect() { d.must(Request{Action: ActionDisconnect}) }

// Reconnect ends the client's wait before its next connection.
func (d *DUT) Reconnect() { d.must(Request{Action: ActionReconnect}) }

// Destroy stops the client and frees it.
func (d *DUT) Destroy() { d.must(Request{Action: ActionDestroy}) }

// Subscribe subscribes to a topic filter and returns the packet identifier.
func (d *DUT) Subscribe(filter string, qos QoS) (packetID int) {
	return d.must(Request{Action: ActionSubscribe, Topic: filter, QoS: qos})
}

// Unsubscribe ends a subscription and returns the packet identifier.
func (d *DUT) Unsubscribe(filter string) (packetID int) {
	return d.must(Request{Action: ActionUnsubscribe, Topic: filter})
}

// Publish publishes a message by the client's blocking call and returns the packet identifier, 0 for QoS 0.
func (d *DUT) Publish(topic, payload string, qos QoS) (packetID int) {
	return d.must(Request{Action: ActionPublish, Topic: topic, Payload: payload, QoS: qos})
}

// Enqueue publishes a message by the client's call that stores it first, and returns the packet identifier, 0 for QoS 0.
func (d *DUT) Enqueue(topic, payload string, qos QoS) (packetID int) {
	return d.must(Request{Action: ActionPublish, Topic: topic, Payload: payload, QoS: qos, Enqueue: true})
}

// must does a request that the device has to take.
func (d *DUT) must(r Request) (packetID int) {
	result, err := d.Do(r)
	if err == nil && !result.OK {
		err = fmt.Errorf("%s: %w: the device said %q", r.Action, ErrRefused, result.Text)
	}
	if err != nil {
		d.options.Fail(err)
	}
	return result.PacketID
}

// Do does a request and returns the device's answer, also a refusing one.
func (d *DUT) Do(r Request) (Result, error) {
	line, err := d.dialect.Command(r)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", r.Action, err)
	}
	typed := d.record.Append(timeline.Event{Kind: timeline.KindConsoleOut, Data: []byte(line + "\n")})
	if _, err := d.port.Write([]byte(line + "\n")); err != nil {
		return Result{}, fmt.Errorf("%s: %w: writing to %s: %w", r.Action, ErrPort, d.port, err)
	}
	var result Result
	answered, err := d.await(typed.Seq+1, d.options.AnswerTimeout, func(e timeline.Device) bool {
		var done bool
		result, done = d.dialect.Answer(r, e)
		return done
	})
	if err != nil {
		return Result{}, fmt.Errorf("%s: %s: %w within %v", r.Action, d.port, err, d.options.AnswerTimeout)
	}
	d.awaitPrompt(answered.Seq + 1) // what else the command prints must not be taken for the next one's answer
	return result, nil
}

// await waits for a device event from position from of the record on.
func (d *DUT) await(from int, within time.Duration, fits func(timeline.Device) bool) (timeline.Event, error) {
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		changed := d.record.Changed()
		events := d.record.Events()
		for ; from < len(events); from++ {
			if e := events[from]; e.Kind == timeline.KindDevice && fits(*e.Device) {
				return e, nil
			}
		}
		select {
		case <-changed:
		case <-d.ended:
			return timeline.Event{}, fmt.Errorf("%w: %w", ErrPort, d.lost)
		case <-late.C:
			return timeline.Event{}, ErrNoAnswer
		case <-d.ctx.Done():
			return timeline.Event{}, context.Cause(d.ctx)
		}
	}
}
