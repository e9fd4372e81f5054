package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

// bothWays runs a test over both networks and in both directions. The sender sends packets of that direction, the
// receiver gets them; both have an MQTT connection through the proxy.
func bothWays(t *testing.T, test func(t *testing.T, s *setup, w way)) {
	t.Helper()
	for _, direction := range []Direction{DeviceToBroker, BrokerToDevice} {
		t.Run(direction.String(), func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				if direction == DeviceToBroker {
					test(t, s, way{direction, FromDevice(PUBLISH), device, broker})
				} else {
					test(t, s, way{direction, ToDevice(PUBLISH), broker, device})
				}
			})
		})
	}
}

// way is one direction through the proxy.
type way struct {
	direction        Direction
	publish          Match // every PUBLISH of the direction
	sender, receiver *peer
}

// wantFault checks that one fault was recorded, which points at the packet with the identifier as it came in.
func (w way) wantFault(s *setup, id uint16, want timeline.Fault) {
	s.t.Helper()
	events := s.rec.Events()
	var faults []timeline.Event
	for _, e := range events {
		if e.Kind == timeline.KindFault {
			faults = append(faults, e)
		}
	}
	if len(faults) != 1 {
		s.t.Fatalf("%d faults recorded, want 1:\n%s", len(faults), s.record())
	}
	got := *faults[0].Fault
	at := events[got.Packet]
	if at.Kind != timeline.KindPacket || at.Point != w.direction.entry() || at.Packet.ID != id {
		s.t.Errorf("the fault points at event %+v, want the arrival of id %d", at, id)
	}
	got.Packet, got.Point, got.Nth, got.Do = 0, "", 0, ""
	if got != want || faults[0].Conn != 1 {
		s.t.Errorf("recorded %+v on connection %d, want %+v on 1", got, faults[0].Conn, want)
	}
}

// wantExits checks which packets are recorded as handed on.
func (w way) wantExits(s *setup, want ...uint16) {
	s.t.Helper()
	var got []uint16
	for _, e := range s.rec.Events() {
		if e.Kind == timeline.KindPacket && e.Point == w.direction.exit() && e.Packet.ID != 0 {
			got = append(got, e.Packet.ID)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("recorded as handed on: %v, want %v", got, want)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	first, second, third := publishPacket(1, "one"), publishPacket(2, "two"), publishPacket(3, "three")
	for _, test := range []struct {
		name   string
		does   []Action
		text   string // of the rule, with the direction left out
		action string
		want   [][]byte
		exits  []uint16
	}{
		{"drop", []Action{Drop()}, "on 2nd PUBLISH %s: drop", "drop", [][]byte{first, third}, []uint16{1, 3}},
		{"duplicate", []Action{Duplicate()}, "on 2nd PUBLISH %s: duplicate", "duplicate",
			[][]byte{first, second, second, third}, []uint16{1, 2, 2, 3}},
		{"delay", []Action{Delay(20 * time.Millisecond)}, "on 2nd PUBLISH %s: delay 20ms", "delay 20ms",
			[][]byte{first, second, third}, []uint16{1, 2, 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, s *setup, w way) {
				armed := s.proxy.Add(On(w.publish.Nth(2), test.does...))
				w.sender.write(first, second, third)
				w.sender.fin()
				w.receiver.wantRest(FIN, test.want...)
				w.wantFault(s, 2, timeline.Fault{Rule: 1, Text: fmt.Sprintf(test.text, w.direction), Action: test.action})
				w.wantExits(s, test.exits...)
				if armed.Fired() != 1 {
					t.Errorf("fired %d times, want 1", armed.Fired())
				}

				// The other direction is as it was.
				w.receiver.write(second)
				w.sender.wantBytes(second)
			})
		})
	}
}

// Rules that are armed before the first connection get its first packet.
func TestArmedBeforeTheFirstConnection(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.proxy.Add(On(FromDevice(CONNECT), Drop()))
		device, broker := s.connect()
		device.write(connectPacket, []byte{0xc0, 0})
		device.fin()
		broker.wantRest(FIN, []byte{0xc0, 0})
	})
}

// Rules come and go while packets do.
func TestRulesChangeInTraffic(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, s *setup, w way) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 100 {
				armed := s.proxy.Add(On(w.publish, Duplicate()))
				armed.Fired()
				s.proxy.Rules()
				armed.Remove()
			}
		}()
		for range 100 {
			w.sender.write(publishPacket(1, "x"))
			w.receiver.wantBytes(publishPacket(1, "x"))
			// A second one may be on its way; the next that is read is the same then.
		}
		<-done
		w.sender.fin()
		s.waitForClose(w.direction.exit(), "fin")
		fired := len(s.lines(ofKind(timeline.KindFault)))
		exits := 0
		for _, e := range s.rec.Events() {
			if e.Kind == timeline.KindPacket && e.Point == w.direction.exit() && e.Packet.ID != 0 {
				exits++
			}
		}
		if exits != 100+fired {
			t.Errorf("%d packets handed on, want 100 and %d duplicates", exits, fired)
		}
		if len(s.proxy.Rules()) != 0 {
			t.Errorf("left over: %v", s.proxy.Rules())
		}
	})
}

// Packets that the codec cannot read are packets all the same: relayed as they are, and within the reach of rules.
func TestUnreadablePackets(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, s *setup, w way) {
		m := FromDevice(PUBACK).WithID(2)
		if w.direction == BrokerToDevice {
			m = ToDevice(PUBACK).WithID(2)
		}
		s.proxy.Add(On(m, Drop()))
		w.sender.write([]byte{0x4f, 2, 0, 1}, []byte{0x4f, 2, 0, 2}, []byte{0x38, 3, 0, 1, 't'}, []byte{0x10, 0})
		w.sender.fin()
		w.receiver.wantRest(FIN, []byte{0x4f, 2, 0, 1}, []byte{0x38, 3, 0, 1, 't'}, []byte{0x10, 0})
	})
}
