package console

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"mqtthil/devices"
	"mqtthil/devices/frame"
	"mqtthil/harness/timeline"
)

// Stub is the dialect of mqtthil's own firmware: frames with a number and a checksum, between log lines and garbage. What
// was damaged on its way is sent again, in both directions, so that every command is run once and no event is lost.
// firmware-stub/README.md describes it.
type Stub struct{}

const (
	stubProtocol = 1
	// stubRepeat is the wait until a command is typed again to which the device has said nothing; each wait is twice as
	// long as the one before, and none is longer than stubSeldom.
	stubRepeat = time.Second
	stubSeldom = 8 * time.Second
	// stubAttempts bounds how often a frame is typed again at once, because the device says that it came damaged. On a line
	// that damages one byte of 400, the longest frame arrives whole once in 14 times.
	stubAttempts = 400
)

// Names of device events of the stub, beside those of the client, and those that every dialect has.
const (
	ready   = "HIL-READY"     // who the device is
	damaged = "DAMAGED-FRAME" // field text: what is wrong with it
	lost    = "LOST"          // the device has forgotten events before they arrived; fields from and to
)

// Talk begins to talk to a device.
func (Stub) Talk(typing func(string)) devices.Talk { return &stubTalk{typing: typing} }

// stubTalk is the bench's end of a stub console.
type stubTalk struct {
	typing func(line string)

	mu      sync.Mutex // held for moments
	nonce   string     // of the boot that the device has told of last
	version uint32     // of the protocol, where it is another one
	booting bool       // its ROM has said that it boots, and it has not said yet who it is
	limit   int        // longest frame that it takes

	last    uint32        // number of the last frame of a command that the device has taken
	pending []frame.Frame // of the command that is under way; the first one is typed and not acknowledged
	again   *time.Timer   // types it once more
	wait    time.Duration // of again
	hurried bool          // it was typed again before its time
	refused int           // how often the device has said that it came damaged

	event uint32      // number of the event that comes next; 0 where the device has not said yet who it is
	asked *time.Timer // the device was asked to send it again, and will be asked once more; nil where it was not
	parts strings.Builder

	closed bool
}

// Prompt is none.
func (*stubTalk) Prompt() string { return "" }

// Nudge asks the device who it is.
func (*stubTalk) Nudge() string { return frame.Frame{Kind: frame.Who}.String() }

// Awaited is what the device says of itself.
func (t *stubTalk) Awaited() (what, hint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	hint = "does it run mqtthil's firmware stub?"
	if t.version != 0 {
		hint = fmt.Sprintf("it speaks version %d of the protocol, this program speaks %d", t.version, stubProtocol)
	}
	return "frame " + ready, hint
}

// Close ends the repetitions.
func (t *stubTalk) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.forget()
	t.got(t.event)
}

// Command is the first frame of a request. The others are typed when the device has taken it.
func (t *stubTalk) Command(r devices.Request) (string, error) {
	body, err := stubCommand(r)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) > 0 {
		return "", fmt.Errorf("%w: the device is still at the command before", devices.ErrNoAnswer)
	}
	t.pending = frame.Split(frame.Command, t.last+1, string(body), max(t.limit, frame.Smallest))
	t.refused = 0
	t.expect()
	return t.pending[0].String(), nil
}

// stubCommand is the body of a request.
func stubCommand(r devices.Request) ([]byte, error) {
	command := map[string]any{"do": string(r.Action)}
	var err error
	switch r.Action {
	case devices.ActionInit:
		command["config"], err = stubConfig(r.Config)
	case devices.ActionSubscribe:
		putText(command, "topic", r.Topic)
		command["qos"], err = int(r.QoS), service(r.QoS)
	case devices.ActionUnsubscribe:
		putText(command, "topic", r.Topic)
	case devices.ActionPublish:
		if r.Enqueue {
			command["do"] = "enqueue"
		}
		putText(command, "topic", r.Topic)
		data := r.Payload
		if pattern, repetitions := period(data); repetitions > 1 {
			data, command["repeat"] = pattern, repetitions
		}
		putText(command, "data", data)
		command["qos"], err = int(r.QoS), service(r.QoS)
		command["retain"] = r.Retain
	case devices.ActionStart, devices.ActionStop, devices.ActionDisconnect, devices.ActionReconnect, devices.ActionDestroy:
	default:
		err = errors.New("the console has no such command")
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(command)
}

// putText puts a text into a command, in base64 where it is none.
func putText(command map[string]any, key, text string) {
	if utf8.ValidString(text) && !strings.Contains(text, "\x00") {
		command[key] = text
		return
	}
	command[key+"64"] = base64.StdEncoding.EncodeToString([]byte(text))
}

// stubConfig is a Config, in which the message of the last will may be any bytes.
func stubConfig(c devices.Config) (map[string]any, error) {
	if c.Will == nil {
		return clientConfig(c)
	}
	will := *c.Will
	message := will.Payload
	will.Payload = ""
	c.Will = &will
	config, err := clientConfig(c)
	if err != nil {
		return nil, err
	}
	lastWill := config["session"].(map[string]any)["last_will"].(map[string]any)
	delete(lastWill, "msg")
	putText(lastWill, "msg", message)
	return config, nil
}

// Answer is what the device said to the command, of which there is one at a time.
func (*stubTalk) Answer(_ devices.Request, e timeline.Device) (devices.Result, bool) {
	if e.Name != answer {
		return devices.Result{}, false
	}
	result := devices.Result{OK: e.Fields["ok"] == "true", Text: e.Fields["text"]}
	_, _ = fmt.Sscan(e.Fields["msg_id"], &result.PacketID)
	return result, true
}

// Parse reads a line: what stands before a frame, and frames. A frame that another one cuts short is a damaged one.
func (t *stubTalk) Parse(line string) (events []timeline.Device) {
	t.mu.Lock()
	defer t.mu.Unlock()
	texts := strings.Split(line, frame.Start)
	if boot, ok := parseReset(texts[0]); ok {
		t.forget()
		t.got(0)
		t.booting = true
		events = append(events, boot)
	}
	for _, text := range texts[1:] {
		f, err := frame.Parse(text)
		if err != nil {
			events = append(events, t.damaged(err))
			continue
		}
		events = append(events, t.take(f)...)
	}
	return events
}

// damaged asks for everything again that the frame may have been.
func (t *stubTalk) damaged(err error) timeline.Device {
	t.askAgain()
	if len(t.pending) > 0 && !t.hurried {
		t.hurried = true
		t.typing(t.pending[0].String())
	}
	return timeline.Device{Name: damaged, Reply: true, Fields: map[string]string{"text": err.Error()}}
}

// askAgain asks for the event that comes next, or, where that is not known, for who the device is. It does so from time
// to time until it is answered.
func (t *stubTalk) askAgain() {
	if t.asked != nil || t.closed {
		return
	}
	t.ask()
	var asked *time.Timer
	asked = time.AfterFunc(stubRepeat, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.asked == asked {
			t.ask()
			asked.Reset(stubRepeat)
		}
	})
	t.asked = asked
}

func (t *stubTalk) ask() {
	if t.event == 0 {
		t.typing(t.Nudge())
		return
	}
	t.typing(frame.Frame{Kind: frame.Again, Number: t.event}.String())
}

// got says which event comes next; 0 where that is not known any more. Nothing is asked for any longer.
func (t *stubTalk) got(next uint32) {
	t.event = next
	if t.asked != nil {
		t.asked.Stop()
		t.asked = nil
	}
}

// sayGot says which events have come.
func (t *stubTalk) sayGot() { t.typing(frame.Frame{Kind: frame.Got, Number: t.event - 1}.String()) }

// take takes a frame. Kinds that it does not know are none of its business: an echo, or those of a later version.
func (t *stubTalk) take(f frame.Frame) []timeline.Device {
	switch f.Kind {
	case frame.Ready:
		return t.ready(f)
	case frame.Ack:
		t.acknowledged(f.Number)
	case frame.Nak:
		return t.damagedThere(f)
	case frame.Result:
		if len(t.pending) > 0 && t.pending[0].Number == f.Number {
			return t.answered(f.Number, parseResult(f.Body))
		}
	case frame.Event:
		return t.arrived(f)
	}
	return nil
}

// expect begins to wait for what the device says to the frame that is typed.
func (t *stubTalk) expect() {
	t.hurried, t.wait = false, stubRepeat
	if !t.closed {
		t.again = time.AfterFunc(t.wait, t.repeat)
	}
}

// repeat types a frame once more.
func (t *stubTalk) repeat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return
	}
	t.typing(t.pending[0].String())
	t.hurried = false
	t.wait = min(2*t.wait, stubSeldom)
	t.again.Reset(t.wait)
}

// forget forgets the command that is under way.
func (t *stubTalk) forget() {
	if t.again != nil {
		t.again.Stop()
	}
	t.pending = nil
}

// acknowledged goes on with the next frame of a command. After the last one, the result is waited for.
func (t *stubTalk) acknowledged(number uint32) {
	if len(t.pending) == 0 || t.pending[0].Number != number || !t.pending[0].More {
		return
	}
	pending := t.pending[1:]
	t.forget()
	t.refused = 0
	t.pending = pending
	t.last = number
	t.typing(t.pending[0].String())
	t.expect()
}

// answered ends the command.
func (t *stubTalk) answered(number uint32, result map[string]string) []timeline.Device {
	t.forget()
	t.last = number
	return []timeline.Device{{Name: answer, Reply: true, Fields: result}, {Name: devices.Prompt, Reply: true}}
}

// damagedThere types a frame again that the device could not read.
func (t *stubTalk) damagedThere(f frame.Frame) []timeline.Device {
	if len(t.pending) == 0 {
		return nil // it was about something that the device asks for again by itself
	}
	if t.refused++; t.refused > stubAttempts {
		return t.answered(f.Number, map[string]string{"ok": "false",
			"text": fmt.Sprintf("the device cannot take the command: %s", f.Body)})
	}
	t.typing(t.pending[0].String())
	return nil
}

// identity is who the device says it is.
type identity struct {
	Nonce   string `json:"nonce"`
	Reset   string `json:"reset"`
	Frame   int    `json:"frame"`
	Command uint32 `json:"command"`
	Event   uint32 `json:"event"`
	Repeat  int    `json:"repeat"`
}

// valid says whether the protocol can go on from there.
func (w *identity) valid() bool {
	return w.Nonce != "" && w.Event > 0 && w.Event < math.MaxInt32 && w.Command < math.MaxInt32
}

// ready takes who the device is. It says so when it boots, until it is answered, and when it is asked or has been given
// something that does not fit its count.
func (t *stubTalk) ready(f frame.Frame) (events []timeline.Device) {
	var who identity
	if t.version = 0; f.Number != stubProtocol {
		t.version = f.Number
		return nil
	}
	if err := json.Unmarshal([]byte(f.Body), &who); err != nil || !who.valid() {
		return []timeline.Device{{Name: damaged, Reply: true, Fields: map[string]string{"text": fmt.Sprintf("%s: %q", ready, f.Body)}}}
	}
	if who.Nonce == t.nonce && t.event > 0 {
		return t.readyAgain(who)
	}
	// A boot that the ROM has told of is told. The others show by what the device says for the first time, or as another
	// one than before.
	if rebooted := t.nonce != "" && t.nonce != who.Nonce; !t.booting && (rebooted || t.nonce == "" && who.Repeat == 0) {
		t.forget()
		events = append(events, timeline.Device{Name: devices.Boot, Fields: map[string]string{"text": who.Reset}})
	}
	t.nonce, t.booting = who.Nonce, false
	t.limit = min(who.Frame, frame.Limit)
	t.last = who.Command
	t.got(who.Event)
	t.parts.Reset()
	t.sayGot()
	return append(events, timeline.Device{Name: ready, Reply: true, Fields: scalars(f.Body)},
		timeline.Device{Name: devices.Prompt, Reply: true})
}

// readyAgain holds the device's counts against the bench's.
func (t *stubTalk) readyAgain(who identity) []timeline.Device {
	t.sayGot()
	if who.Event > t.event {
		t.askAgain()
	}
	switch {
	case len(t.pending) == 0:
		t.last = who.Command
		return []timeline.Device{{Name: devices.Prompt, Reply: true}}
	case who.Command+1 == t.pending[0].Number:
		if !t.hurried {
			t.hurried = true
			t.typing(t.pending[0].String())
		}
	case who.Command != t.pending[0].Number:
		return t.answered(who.Command, map[string]string{"ok": "false",
			"text": fmt.Sprintf("the device has taken command %d, not %d: does anybody else type on its console?",
				who.Command, t.pending[0].Number)})
	}
	return nil
}

// arrived takes a frame of an event, if it is the next one.
func (t *stubTalk) arrived(f frame.Frame) []timeline.Device {
	switch {
	case t.event == 0:
		t.askAgain()
		return nil
	case f.Number < t.event:
		t.sayGot()
		return nil
	case isLost(f.Body):
		events := []timeline.Device{{Name: lost, Reply: true,
			Fields: map[string]string{"from": fmt.Sprint(t.event), "to": fmt.Sprint(f.Number)}}}
		t.got(f.Number + 1)
		t.parts.Reset()
		t.sayGot()
		return events
	case f.Number > t.event:
		t.askAgain()
		return nil
	}
	t.got(f.Number + 1)
	t.sayGot()
	if t.parts.WriteString(f.Body); f.More {
		return nil
	}
	text := t.parts.String()
	t.parts.Reset()
	return parseEvent(text)
}

// isLost says whether a body stands for events that the device has forgotten.
func isLost(body string) bool {
	var e struct {
		Event string `json:"event"`
	}
	return json.Unmarshal([]byte(body), &e) == nil && e.Event == lost
}
