package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

// exchanged is a packet of an exchange and the way that it goes.
type exchanged struct {
	to     Direction
	kind   PacketType
	packet []byte
}

// exchanges are those of a message, whoever publishes it.
func exchanges() map[string][]exchanged {
	all := map[string][]exchanged{}
	for _, forth := range []Direction{DeviceToBroker, BrokerToDevice} {
		back := DeviceToBroker + BrokerToDevice - forth
		publish := publishPacket(2, "two")
		exactly := slices.Clone(publish)
		exactly[0] = 0x34
		all["QoS 1 "+forth.String()] = []exchanged{{forth, PUBLISH, publish}, {back, PUBACK, []byte{0x40, 2, 0, 2}}}
		all["QoS 2 "+forth.String()] = []exchanged{{forth, PUBLISH, exactly}, {back, PUBREC, []byte{0x50, 2, 0, 2}},
			{forth, PUBREL, []byte{0x62, 2, 0, 2}}, {back, PUBCOMP, []byte{0x70, 2, 0, 2}}}
	}
	return all
}

// Every packet of every exchange, cut at every place in every way: both sides get what they should, and see that very end.
func TestCut(t *testing.T) {
	t.Parallel()
	for name, exchange := range exchanges() {
		for i, at := range exchange {
			t.Run(fmt.Sprintf("%s %s", name, at.kind), func(t *testing.T) {
				t.Parallel()
				onBoth(t, func(t *testing.T, n network) {
					length := len(at.packet)
					places := []Place{After, AtByte(-1), AtByte(-length), AtByte(-length - 1), AtByte(length + 5)}
					for b := range length + 1 {
						places = append(places, AtByte(b))
					}
					for _, how := range []Ending{FIN, RST, Silence, HalfClose} {
						for _, where := range places {
							cutExchange(t, n, exchange[:i], at, where, how)
						}
					}
				})
			})
		}
	}
}

// cutExchange goes through an exchange up to the packet that is cut.
func cutExchange(t *testing.T, n network, before []exchanged, at exchanged, where Place, how Ending) {
	t.Helper()
	s := newSetup(t, n)
	device, broker := s.connectMQTT()
	ways := map[Direction]way{
		DeviceToBroker: {DeviceToBroker, FromDevice(at.kind), device, broker},
		BrokerToDevice: {BrokerToDevice, ToDevice(at.kind), broker, device},
	}
	w := ways[at.to]
	s.proxy.Add(On(w.publish.WithID(2), Cut(where, how)).Times(1))
	for _, e := range before {
		ways[e.to].sender.write(e.packet)
		ways[e.to].receiver.wantBytes(e.packet)
	}
	passes := where.bytes(len(at.packet))
	next := []byte{0xc0, 0}
	w.sender.write(at.packet, next)
	switch how {
	case FIN, RST:
		w.receiver.wantRest(how, at.packet[:passes])
		w.sender.wantRest(how)
		w.sender.Close()
		w.receiver.Close()
		s.waitForClose(timeline.ReachedDevice, string(how))
		s.waitForClose(timeline.ReachedBroker, string(how))
	case HalfClose:
		w.receiver.wantRest(FIN, at.packet[:passes])
		w.receiver.write(next)
		w.sender.wantBytes(next)
		w.receiver.fin()
		w.sender.wantRest(FIN)
		w.sender.fin()
		s.waitForClose(w.direction.entry(), "fin")
	case Silence:
		w.receiver.wantBytes(at.packet[:passes])
		for s.proxy.List()[0].State != "silent" { // no event tells of it: the record says what is about to be done
			time.Sleep(time.Millisecond)
		}
		w.receiver.write(next) // is lost
		if n.virtual {
			w.receiver.wantSilence()
			w.sender.wantSilence()
		}
		w.sender.fin()
		w.receiver.fin()
		s.waitForClose(w.direction.entry(), "fin")
		s.waitForClose(w.opposite().entry(), "fin")
		for _, e := range s.rec.Events() {
			if e.Kind == timeline.KindClose && (e.Point == timeline.ReachedBroker || e.Point == timeline.ReachedDevice) {
				t.Errorf("%s was told %s in a silence", e.Point, e.Text)
			}
		}
	}
	w.wantFault(s, 2, timeline.Fault{
		Rule:   1,
		Text:   fmt.Sprintf("on 1st %s id 2 %s: cut with %s %s", at.kind, w.direction, how.text(), where),
		Action: fmt.Sprintf("cut with %s %s", how.text(), where),
	})
	exits := 0
	for _, e := range s.rec.Events() {
		if e.Kind == timeline.KindPacket && e.Point == w.direction.exit() && e.Packet.Type == at.kind.String() {
			exits++
		}
	}
	if want := passes / len(at.packet); exits != want {
		t.Errorf("recorded as handed on %d times, want %d", exits, want)
	}
	wantPart(s, w, at.packet, passes)
	if t.Failed() {
		t.Fatalf("at %s %s:\n%s", how, where, s.record())
	}
	s.proxy.Close()
}

// wantPart checks that the part of a packet that passed is in the record.
func wantPart(s *setup, w way, packet []byte, passed int) {
	s.t.Helper()
	var got []timeline.Event
	for _, e := range s.rec.Events() {
		if e.Kind == timeline.KindRaw && e.Point == w.direction.exit() {
			got = append(got, e)
		}
	}
	if passed == 0 || passed == len(packet) {
		if len(got) > 0 {
			s.t.Errorf("recorded a part of the packet: %+v", got)
		}
		return
	}
	text := fmt.Sprintf("the first %d of %d bytes of %s", passed, len(packet), Decode(packet, version311))
	if len(got) != 1 || !slices.Equal(got[0].Data, packet[:passed]) || got[0].Text != text {
		s.t.Errorf("recorded %+v, want % x, %q", got, packet[:passed], text)
	}
}

// The connection after a cut is a new one, with a number of its own, and not cut.
func TestReconnectAfterCut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.proxy.Add(On(FromDevice(CONNECT), Cut(After, RST)).Times(1))
		device, broker := s.connect()
		device.write(connectPacket)
		broker.wantRest(RST, connectPacket)
		device.wantRest(RST)
		if got := s.proxy.Connections(); got != 0 {
			t.Errorf("%d connections after the cut, want 0", got)
		}
		s.connectMQTT()
		if got := FromDevice(CONNECT).OnConnection(2).Select(s.rec.Events()); len(got) != 1 {
			t.Errorf("%d CONNECT on connection 2, want 1", len(got))
		}
	})
}

// After FIN the device may still send; that is in the record, and nowhere else. A device that never ends its side is
// not waited for longer than is polite.
func TestAfterFIN(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(s *setup, device, broker *peer){
		"from the device": func(s *setup, device, _ *peer) {
			s.proxy.Add(On(FromDevice(PINGREQ), Cut(Before, FIN)).Times(1))
			device.write([]byte{0xc0, 0})
		},
		"to the device": func(s *setup, _, broker *peer) {
			s.proxy.Add(On(ToDevice(PINGRESP), Cut(Before, FIN)).Times(1))
			broker.write([]byte{0xd0, 0})
		},
		"by the bench": func(s *setup, _, _ *peer) { s.proxy.Disconnect(FIN) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				armed := s.proxy.Add(On(FromDevice(PUBLISH), Drop()))
				device, broker := s.connectMQTT()
				cut(s, device, broker)
				broker.wantRest(FIN)
				device.wantRest(FIN)
				broker.Close()
				if got := s.proxy.Connections(); got != 0 {
					t.Errorf("%d connections after the cut, want 0", got)
				}
				device.write(publishPacket(1, "x"))
				time.Sleep(patience - time.Second)
				device.write(publishPacket(2, "x"))
				time.Sleep(time.Second)
				synctest.Wait()
				device.write(publishPacket(3, "x")) // its answer is RST
				if _, err := device.Write(publishPacket(4, "x")); err == nil {
					t.Error("the device still has a connection")
				}
				if got := len(FromDevice(PUBLISH).Select(s.rec.Events())); got != 2 {
					t.Errorf("%d PUBLISH recorded, want 2", got)
				}
				if armed.Fired() != 0 {
					t.Error("a rule acted on a packet that could not go anywhere")
				}
			})
		})
	}
}

// A cut must not wait for a peer that does not read.
func TestCutWhileWriting(t *testing.T) {
	t.Parallel()
	for _, how := range []Ending{FIN, RST} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				stuck := make(chan struct{})
				go func() {
					defer close(stuck)
					for {
						if _, err := broker.Write(publishPacket(1, strings.Repeat("x", 100))); err != nil {
							return
						}
					}
				}()
				synctest.Wait() // the device's buffer is full
				s.proxy.Add(On(FromDevice(PINGREQ), Cut(Before, how)).Times(1))
				start := time.Now()
				device.write([]byte{0xc0, 0})
				<-stuck
				limit := time.Duration(0)
				if how == FIN {
					limit = patience
				}
				if got := time.Since(start); got > limit {
					t.Errorf("the broker learned of it after %s, want at most %s", got, limit)
				}
			})
		})
	}
}
