// Package devices is the device under test (DUT) as scenarios see it: a board with a serial console, whose MQTT client
// is driven by commands and reports its events. What the console is reached by (package port), which language it speaks
// (package console), and whether the board is real or emulated (package emulator) makes no difference here.
package devices

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"mqtthil/devices/port"
	"mqtthil/harness/timeline"
)

// Errors of a DUT, told apart because they have different owners.
var (
	// ErrPort says that the console was lost, or never came to life: the fault of the bench.
	ErrPort = errors.New("the console is not usable")
	// ErrNoAnswer says that the device did not answer a command, in time or at all: the fault of the device.
	ErrNoAnswer = errors.New("no answer")
	// ErrRefused says that the device refused a command that it should have taken.
	ErrRefused = errors.New("refused")
)

// Names of the device events that every dialect has.
const (
	Prompt = "PROMPT" // the console waits for a command
	Boot   = "BOOT"   // the board boots: the first thing that it says after a reset; field text is the cause
)

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
	// Fail is called with the error of a command that the scenario cannot go on without. It must not return; the
	// default is to panic.
	Fail func(error)
}

// DUT is a device under test. Its methods are for one goroutine at a time, for the console takes one command at a time;
// only Close may be called at any time.
type DUT struct {
	port    port.Port
	talk    Talk
	record  *timeline.Recorder
	options Options
	ctx     context.Context

	prompts  bool // the console prints prompts, as far as is known
	prompted bool // it has printed one
	busy     int  // position of a command that was given up on, whose prompt has yet to come; 0 where there is none

	// What the reading goroutine and the caller's share.
	echo     atomic.Pointer[string] // the line that was typed last, while its echo has not come
	banner   atomic.Bool            // the board says when it boots
	expected atomic.Bool            // the next boot is the bench's doing
	closing  atomic.Bool
	typist   typist

	writing chan struct{} // held by who types; a channel, so that a wait for it is one that virtual time can see

	ended chan struct{} // closed when nothing more comes from the port
	lost  error         // why; set before ended is closed
}

// UnwantedReset begins the text of the event in the record that says that the board reset itself.
const UnwantedReset = "not by the bench"

// Open starts to listen to a device. Everything that its console says goes into the record. The context ends every wait
// for the device.
func Open(ctx context.Context, p port.Port, dialect Dialect, record *timeline.Recorder, options Options) *DUT {
	if options.BootTimeout == 0 {
		options.BootTimeout = 10 * time.Second
	}
	if options.AnswerTimeout == 0 {
		options.AnswerTimeout = 30 * time.Second
	}
	if options.Fail == nil {
		options.Fail = func(err error) { panic(err) }
	}
	d := &DUT{port: p, record: record, options: options, ctx: ctx, prompts: true, ended: make(chan struct{}),
		writing: make(chan struct{}, 1)}
	d.talk = dialect.Talk(d.typeLater)
	d.expected.Store(true)
	go d.read()
	return d
}

// Close closes the port and returns when nothing more comes from it.
func (d *DUT) Close() error {
	d.closing.Store(true)
	d.talk.Close()
	err := d.port.Close()
	<-d.ended
	if err != nil {
		return fmt.Errorf("closing %s: %w", d.port, err)
	}
	return nil
}

// read takes everything that comes from the console into the record.
func (d *DUT) read() {
	defer close(d.ended)
	lines := splitter{prompt: d.talk.Prompt()}
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
			if !d.closing.Load() {
				d.record.Append(timeline.Event{Kind: timeline.KindHarness,
					Text: fmt.Sprintf("the console %s was lost: %v", d.port, err)})
			}
			return
		}
	}
}

func (d *DUT) line(line string) {
	if line == d.talk.Prompt() {
		d.record.Append(timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{Name: Prompt, Reply: true}})
		return
	}
	d.record.Append(timeline.Event{Kind: timeline.KindLine, Text: line})
	if typed := d.echo.Load(); typed != nil && line == *typed {
		d.echo.CompareAndSwap(typed, nil)
		return // what the bench has typed is nothing that the device reports, whatever it looks like
	}
	for _, device := range d.talk.Parse(line) {
		if device.Name == Boot {
			d.banner.Store(true)
			if !d.expected.Swap(false) {
				d.record.Append(timeline.Event{Kind: timeline.KindReset,
					Text: fmt.Sprintf("%s: %s", UnwantedReset, device.Fields["text"])})
			}
		}
		d.record.Append(timeline.Event{Kind: timeline.KindDevice, Device: &device})
	}
}

// AwaitBoot waits until the console has printed its first prompt.
func (d *DUT) AwaitBoot() { d.awaitBoot(0) }

// awaitBoot waits until a board that boots since position from of the record has printed its first prompt. Of a board
// that says when it boots, a prompt before that is a late one from its life before.
func (d *DUT) awaitBoot(from int) {
	booted := !d.banner.Load()
	err := d.awaitPrompt(from, d.options.BootTimeout, func(e timeline.Device) bool {
		booted = booted || e.Name == Boot
		return booted && e.Name == Prompt
	})
	d.mustPrompt(err)
	d.expected.Store(false)
	d.busy = 0
}

// mustPrompt fails where the console has not come to life.
func (d *DUT) mustPrompt(err error) {
	if errors.Is(err, ErrNoAnswer) {
		what, hint := d.talk.Awaited()
		err = fmt.Errorf("%w: %s printed no %s within %v (%s)", ErrPort, d.port, what, d.options.BootTimeout, hint)
	}
	if err != nil {
		d.options.Fail(err)
	}
}

func isPrompt(e timeline.Device) bool { return e.Name == Prompt }

// awaitPrompt waits for a prompt that fits, unless the console has none.
func (d *DUT) awaitPrompt(from int, within time.Duration, fits func(timeline.Device) bool) error {
	if !d.prompts {
		return nil
	}
	_, err := d.await(from, within, fits)
	if errors.Is(err, ErrNoAnswer) && d.options.PromptOptional && !d.prompted {
		d.prompts = false
		return nil
	}
	d.prompted = d.prompted || err == nil
	return err
}

// Reset resets the board and waits until its console is there again. What the client knew is lost.
//
// Where the port cannot reset its board, as the pseudo-terminal of an emulator, Reset destroys the client instead and
// says so in the record. That ends a connection as the client does it, and not in the middle.
func (d *DUT) Reset() {
	e := d.record.Append(timeline.Event{Kind: timeline.KindReset, Text: "reset by the bench"})
	err := errors.ErrUnsupported
	expected := d.expected.Load()
	if resetter, ok := d.port.(port.Resetter); ok {
		d.expected.Store(true)
		err = resetter.Reset(d.ctx)
	}
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		d.expected.Store(expected) // a board that was found booting is yet to say so
		d.destroyInstead()
	case err != nil:
		d.options.Fail(fmt.Errorf("%w: %w", ErrPort, err))
	default:
		d.awaitBoot(e.Seq + 1)
	}
}

// destroyInstead brings a board that cannot be reset to where it has no client, whatever it has been doing.
func (d *DUT) destroyInstead() {
	d.record.Append(timeline.Event{Kind: timeline.KindHarness,
		Text: fmt.Sprintf("%s cannot reset its board: the client is destroyed instead", d.port)})
	typed, err := d.enter(d.talk.Nudge())
	if err != nil {
		d.options.Fail(err)
	}
	d.mustPrompt(d.awaitPrompt(typed.Seq+1, d.options.BootTimeout, isPrompt))
	d.expected.Store(false)
	d.busy = 0
	d.Destroy()
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
	d.expected.Store(true)
	if err := power.PowerOn(d.ctx); err != nil {
		d.options.Fail(fmt.Errorf("%w: %w", ErrPort, err))
	}
	d.awaitBoot(e.Seq + 1)
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

// Destroy stops the client and frees it. It is done where there is no client.
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
	result, err := d.do(r)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", r.Action, err)
	}
	return result, nil
}

func (d *DUT) do(r Request) (Result, error) {
	if d.busy > 0 { // what the command before says in the end must not be taken for the answer to this one
		if err := d.awaitPrompt(d.busy, d.options.AnswerTimeout, isPrompt); err != nil {
			return Result{}, fmt.Errorf("%s has not done with the command before within %v: %w", d.port, d.options.AnswerTimeout, err)
		}
		d.busy = 0
	}
	line, err := d.talk.Command(r)
	if err != nil {
		return Result{}, err
	}
	typed, err := d.enter(line)
	if err != nil {
		return Result{}, err
	}
	var result Result
	answered, err := d.await(typed.Seq+1, d.options.AnswerTimeout, func(e timeline.Device) bool {
		var done bool
		result, done = d.talk.Answer(r, e)
		return done || e.Name == Boot
	})
	switch {
	case errors.Is(err, ErrNoAnswer):
		d.busy = typed.Seq + 1
		return Result{}, fmt.Errorf("%s: %w within %v", d.port, err, d.options.AnswerTimeout)
	case err != nil:
		return Result{}, err
	case answered.Device.Name == Boot:
		return Result{}, fmt.Errorf("%s: %w: the board was reset: %s", d.port, ErrNoAnswer, answered.Device.Fields["text"])
	case answered.Device.Name == Prompt:
		return result, nil
	}
	// What else the command prints, such as that it failed, must not be taken for the next one's answer.
	err = d.awaitPrompt(answered.Seq+1, d.options.AnswerTimeout, isPrompt)
	if errors.Is(err, ErrNoAnswer) {
		d.busy = answered.Seq + 1
		return Result{}, fmt.Errorf("%s: %w: %q, and then no prompt within %v", d.port, err, result.Text, d.options.AnswerTimeout)
	}
	return result, err
}

// enter types a line and ends it.
func (d *DUT) enter(line string) (timeline.Event, error) {
	echo := strings.ToValidUTF8(line, "\uFFFD")
	d.echo.Store(&echo)
	return d.write(line)
}

// write puts a line on the console, alone.
func (d *DUT) write(line string) (timeline.Event, error) {
	d.writing <- struct{}{}
	defer func() { <-d.writing }()
	data := []byte(line + "\n")
	typed := d.record.Append(timeline.Event{Kind: timeline.KindConsoleOut, Data: data})
	if _, err := d.port.Write(data); err != nil {
		return typed, fmt.Errorf("%w: writing to %s: %w", ErrPort, d.port, err)
	}
	return typed, nil
}

// typeLater types a line as soon as the console takes it. That the console is lost, its reader finds out.
func (d *DUT) typeLater(line string) {
	d.typist.give(line, func(line string) {
		if !d.closing.Load() {
			_, _ = d.write(line)
		}
	})
}

// await waits for a device event from position from of the record on.
func (d *DUT) await(from int, within time.Duration, fits func(timeline.Device) bool) (timeline.Event, error) {
	late := time.NewTimer(within)
	defer late.Stop()
	var over error
	for {
		changed := d.record.Changed()
		events := d.record.Events()
		for ; from < len(events); from++ {
			if e := events[from]; e.Kind == timeline.KindDevice && fits(*e.Device) {
				return e, nil
			}
		}
		if over != nil { // and nothing came at the last moment
			return timeline.Event{}, over
		}
		select {
		case <-changed:
		case <-d.ended:
			over = fmt.Errorf("%w: %s: %w", ErrPort, d.port, d.lost)
		case <-late.C:
			over = ErrNoAnswer
		case <-d.ctx.Done():
			over = context.Cause(d.ctx)
		}
	}
}
