package transport_test

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"
	"time"

	"mqtthil/faults"
	"mqtthil/faults/transport"
	"mqtthil/harness/timeline"
)

// published is a PUBLISH of QoS 1 to topic t.
func published(id byte, payload string) []byte {
	return append([]byte{0x32, byte(5 + len(payload)), 0, 1, 't', 0, id}, payload...)
}

// TestActionsOnEveryTransport has every action of a rule befall the second of three packets, each way, on every transport
// in front of the proxy and behind it, and compares the bytes on both sides.
func TestActionsOnEveryTransport(t *testing.T) {
	t.Parallel()
	first, second, third := published(1, "one"), published(2, "two"), published(3, "three")
	puback := []byte{0x40, 2, 0, 2}
	whole := slices.Concat(first, second, third)
	for _, test := range []struct {
		name    string
		actions []faults.Action
		all     bool                  // the third packet, too
		release func(a *faults.Armed) // when all else has arrived
		want    []byte                // that the receiver gets
		later   []byte                // that it gets after release
		back    []byte                // that the sender gets
		ending  faults.Ending         // that both see, or the receiver alone for HalfClose
	}{
		{name: "drop", actions: []faults.Action{faults.Drop()}, want: slices.Concat(first, third)},
		{name: "delay", actions: []faults.Action{faults.Delay(20 * time.Millisecond)}, want: whole},
		{name: "hold", actions: []faults.Action{faults.Hold()}, want: slices.Concat(first, third),
			release: func(a *faults.Armed) { a.Release(-1) }, later: second},
		{name: "duplicate", actions: []faults.Action{faults.Duplicate()}, want: slices.Concat(first, second, second, third)},
		{name: "reorder", actions: []faults.Action{faults.Reorder(2)}, all: true, want: slices.Concat(first, third, second)},
		{name: "rewrite", actions: []faults.Action{faults.Rewrite(faults.NewID(9), faults.NewPayload("II"))},
			want: slices.Concat(first, published(9, "II"), third)},
		{name: "corrupt", actions: []faults.Action{faults.Corrupt(-1, 0x20)}, want: slices.Concat(first, published(2, "twO"), third)},
		{name: "forge forth", actions: []faults.Action{faults.Forge(faults.DeviceToBroker, "e0 00"), faults.Forge(faults.BrokerToDevice, "e0 00")},
			want: slices.Concat(first, second, []byte{0xe0, 0}, third), back: []byte{0xe0, 0}},
		{name: "answer", actions: []faults.Action{faults.Answer("PUBACK")}, want: slices.Concat(first, third), back: puback},
		{name: "split", actions: []faults.Action{faults.Split(3, 0)}, want: whole},
		{name: "slow", actions: []faults.Action{faults.Slow(time.Millisecond)}, want: whole},
		{name: "glue", actions: []faults.Action{faults.Glue(1)}, want: whole},
		{name: "cut with FIN", actions: []faults.Action{faults.Cut(faults.AtByte(4), faults.FIN)},
			want: slices.Concat(first, second[:4]), ending: faults.FIN},
		{name: "cut with RST", actions: []faults.Action{faults.Cut(faults.AtByte(-1), faults.RST)},
			want: slices.Concat(first, second[:len(second)-1]), ending: faults.RST},
		{name: "half-close", actions: []faults.Action{faults.Cut(faults.After, faults.HalfClose)},
			want: slices.Concat(first, second), ending: faults.HalfClose},
		{name: "silence", actions: []faults.Action{faults.Cut(faults.Before, faults.Silence)}, want: first, ending: faults.Silence},
		{name: "pause", actions: []faults.Action{faults.Pause(faults.AtByte(2), 20*time.Millisecond, "")}, want: whole},
		{name: "pause and RST", actions: []faults.Action{faults.Pause(faults.AtByte(2), 20*time.Millisecond, faults.RST)},
			want: slices.Concat(first, second[:2]), ending: faults.RST},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, way := range ways() {
				for _, to := range []faults.Direction{faults.DeviceToBroker, faults.BrokerToDevice} {
					t.Run(way.name+" "+to.String(), func(t *testing.T) {
						onNetworks(t, func(t *testing.T, near network) {
							far := near.other(t)
							m := faults.FromDevice(faults.PUBLISH)
							if to == faults.BrokerToDevice {
								m = faults.ToDevice(faults.PUBLISH)
							}
							if m = m.Nth(2); test.all {
								m = m.From(2)
							}
							device, broker, proxy, rec := through(t, way, near, far)
							sender, receiver := device, broker
							if to == faults.BrokerToDevice {
								sender, receiver = broker, device
							}
							armed := proxy.Add(faults.On(m, test.actions...))
							write(t, sender, whole) // at once, for a rule may end the connection
							expect(t, receiver, string(test.want))
							if test.release != nil {
								test.release(armed)
								expect(t, receiver, string(test.later))
							}
							expect(t, sender, string(test.back))
							if test.ending == faults.Silence {
								awaitAction(t, rec, "silence")
							}
							wantEnding(t, sender, receiver, test.ending)
							if armed.Fired() == 0 {
								t.Error("the rule has not fired")
							}
						})
					})
				}
			}
		})
	}
}

// through makes a proxy with the same transport on both sides, and a connection over it that has begun.
func through(t *testing.T, w way, near, far network) (device, broker transport.Stream,
	proxy *faults.Proxy, rec *timeline.Recorder) {
	t.Helper()
	reach, back := w.back, w.back
	reach.Dial, back.Dial = near.dial, far.dial
	rec = timeline.NewRecorder(nil)
	proxy = behind(newFront(t, w.front), rec, back)
	served := make(chan error, 1)
	go func() { served <- proxy.Serve(near.Listener) }()
	accepted := far.accept(t, newFront(t, w.front))
	conn, err := reach.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := <-accepted
	if at.err != nil {
		t.Fatal(at.err)
	}
	device, broker = conn.(transport.Stream), at.stream
	t.Cleanup(func() {
		_ = device.SetLinger(0)
		_ = broker.SetLinger(0)
		_, _, _ = device.Close(), broker.Close(), far.Close()
		proxy.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	write(t, device, []byte("\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03dut"))
	expect(t, broker, "\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03dut")
	write(t, broker, connack)
	expect(t, device, string(connack))
	return device, broker, proxy, rec
}

// awaitAction waits until the record tells of an action.
func awaitAction(t *testing.T, rec *timeline.Recorder, action string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		changed := rec.Changed()
		if slices.ContainsFunc(rec.Events(), func(e timeline.Event) bool { return e.Fault != nil && e.Fault.Action == action }) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %s", action)
		}
	}
}

// wantEnding checks how a connection has ended, or that it has not.
func wantEnding(t *testing.T, sender, receiver transport.Stream, how faults.Ending) {
	t.Helper()
	ends := func(name string, s transport.Stream, want error) {
		if n, err := s.Read(make([]byte, 10)); n > 0 || !errors.Is(err, want) {
			t.Errorf("the %s reads %d bytes and %v, want %v", name, n, err, want)
		}
	}
	// A packet that goes the other way, and whether it arrives.
	ping := []byte{0x32, 6, 0, 1, 't', 0, 4, 'x'}
	switch how {
	case faults.FIN:
		ends("receiver", receiver, io.EOF)
		ends("sender", sender, io.EOF)
	case faults.RST:
		ends("receiver", receiver, syscall.ECONNRESET)
		ends("sender", sender, syscall.ECONNRESET)
	case faults.HalfClose:
		ends("receiver", receiver, io.EOF)
		write(t, receiver, ping)
		expect(t, sender, string(ping))
	case faults.Silence:
		write(t, receiver, ping)
		for _, s := range []transport.Stream{sender, receiver} {
			_ = s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if n, err := s.Read(make([]byte, 10)); n > 0 || !isTimeout(err) {
				t.Errorf("in silence there are %d bytes and %v", n, err)
			}
		}
	default:
		write(t, receiver, ping)
		expect(t, sender, string(ping))
	}
}
