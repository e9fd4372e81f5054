package harness

import (
	"fmt"
	"slices"
	"time"

	gomega "github.com/onsi/gomega/types"

	"mqtthil/devices"
	"mqtthil/faults"
	"mqtthil/harness/timeline"
)

// Step writes into the record what the scenario does next.
func (b *Bench) Step(format string, arguments ...any) timeline.Event {
	if b.ctx.Err() != nil {
		b.over()
	}
	return b.Record.Append(timeline.Event{Kind: timeline.KindStep, Text: fmt.Sprintf(format, arguments...)})
}

// KeepAlive is the keep alive that scenarios ask for; the run's options say how long it is.
func (b *Bench) KeepAlive() time.Duration { return b.options.KeepAlive }

// Config is the configuration that scenarios begin with: the way to the broker, the run's keep alive, and a short wait
// between connections.
func (b *Bench) Config() devices.Config {
	return devices.Config{Broker: b.address, Scheme: b.options.way.scheme(), TLS: b.options.way.client, KeepAlive: b.options.KeepAlive, ReconnectTimeout: time.Second}
}

// Connect starts a client with this configuration and waits until it has connected.
func (b *Bench) Connect(config devices.Config) {
	b.Step("connect")
	b.DUT.Init(config)
	b.DUT.Start()
	b.Eventually("the client reports that it is connected", Reports("MQTT_EVENT_CONNECTED"), Some(), 15*time.Second)
}

// Eventually checks that the events which the query picks come to match within a time. It returns them. A check that
// fails ends the scenario as a failure of the device.
func (b *Bench) Eventually(text string, q Query, matcher gomega.GomegaMatcher, within time.Duration) Events {
	late := time.NewTimer(within + time.Millisecond) // in virtual time many things happen at the very end, and are in time
	defer late.Stop()
	w := watch{Query: q}
	for last := false; ; {
		changed := b.Record.Changed()
		picked, matched := b.match(&w, matcher)
		switch {
		case matched:
			b.passed(text, picked)
			return picked
		case last:
			b.failed(text, fmt.Sprintf("within %v, of %s: %s", within, q, matcher.FailureMessage(picked)), picked)
		}
		select {
		case <-changed:
		case <-late.C:
			last = true // but look once more: the record may have changed at the same moment
		case <-b.ctx.Done():
			b.over()
		}
	}
}

// Expect checks that the events which the query picks match now. It returns them.
func (b *Bench) Expect(text string, q Query, matcher gomega.GomegaMatcher) Events {
	picked, matched := b.match(&watch{Query: q}, matcher)
	if !matched {
		b.failed(text, fmt.Sprintf("of %s: %s", q, matcher.FailureMessage(picked)), picked)
	}
	b.passed(text, picked)
	return picked
}

// Throughout checks that the events which the query picks match now and go on to match for a time.
func (b *Bench) Throughout(text string, q Query, matcher gomega.GomegaMatcher, during time.Duration) {
	end := time.NewTimer(during)
	defer end.Stop()
	w := watch{Query: q}
	for last := false; ; {
		changed := b.Record.Changed()
		picked, matched := b.match(&w, matcher)
		switch {
		case !matched:
			b.failed(text, fmt.Sprintf("during %v, of %s: %s", during, q, matcher.FailureMessage(picked)), picked)
		case last:
			b.passed(text, picked)
			return
		}
		select {
		case <-changed:
		case <-end.C:
			last = true // but look once more: the record may have changed at the same moment
		case <-b.ctx.Done():
			b.over()
		}
	}
}

// Pause lets time pass in which the device is left to itself; what it does meanwhile is for the judges.
func (b *Bench) Pause(d time.Duration) {
	b.Step("wait %v", d)
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case <-end.C:
	case <-b.ctx.Done():
		b.over()
	}
}

// Publish publishes a message from the broker's side.
func (b *Bench) Publish(topic, payload string, qos devices.QoS, retain bool) {
	b.Step("the broker publishes %d bytes to %s at QoS %d", len(payload), topic, qos)
	if err := b.Broker.Publish(topic, []byte(payload), byte(qos), retain); err != nil {
		b.harness("%v", err)
	}
}

// Listen subscribes on the broker's side; BrokerHooks("message", topic) picks what arrives.
func (b *Bench) Listen(filter string) {
	if err := b.Broker.Subscribe(filter, 2); err != nil {
		b.harness("%v", err)
	}
}

// Subscribe lets the device subscribe and waits for the broker's answer.
func (b *Bench) Subscribe(filter string, qos devices.QoS) {
	b.Step("subscribe to %s at QoS %d", filter, qos)
	id := b.DUT.Subscribe(filter, qos)
	b.Eventually("the subscription is granted", Reports("MQTT_EVENT_SUBSCRIBED", "msg_id", id), Some(), 5*time.Second)
}

// CutConnection ends the device's connection from the bench's side.
func (b *Bench) CutConnection(how faults.Ending) timeline.Event {
	e := b.Step("cut the connection with %s", how)
	b.Faults.Disconnect(how)
	return e
}

func (b *Bench) match(w *watch, matcher gomega.GomegaMatcher) (Events, bool) {
	picked := w.look(b.Record.Events())
	matched, err := matcher.Match(picked)
	if err != nil {
		b.harness("matcher on %s: %v", w, err)
	}
	return picked, matched
}

func (b *Bench) passed(text string, picked Events) {
	b.Record.Append(timeline.Event{Kind: timeline.KindCheck, Check: &timeline.Check{
		Text: text, Passed: true, Events: picked.seqs(),
	}})
}

// failed ends the scenario. The failing check points at the events that it saw, and at the packet that they stem from.
func (b *Bench) failed(text, message string, picked Events) {
	seqs := picked.seqs()
	if !slices.ContainsFunc(picked, func(e timeline.Event) bool { return e.Kind == timeline.KindPacket }) {
		until := len(b.Record.Events())
		if len(picked) > 0 {
			until = picked[len(picked)-1].Seq
		}
		seqs = append(seqs, b.lastPacket(until)...)
	}
	b.Record.Append(timeline.Event{Kind: timeline.KindCheck, Check: &timeline.Check{
		Text: text, Message: message, Events: seqs,
	}})
	b.fail(timeline.OwnerDevice, text+": "+message, seqs)
}

// lastPacket is the newest packet at the device's side before a position of the record.
func (b *Bench) lastPacket(until int) []int {
	events := b.Record.Events()
	for i := until - 1; i >= 0; i-- {
		e := events[i]
		if e.Kind == timeline.KindPacket && (e.Point == timeline.LeftDevice || e.Point == timeline.ReachedDevice) {
			return []int{e.Seq}
		}
	}
	return nil
}
