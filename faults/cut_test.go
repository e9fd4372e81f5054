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

func TestCut(t *testing.T) {
	t.Parallel()
	first, second, third := publishPacket(1, "one"), publishPacket(2, "two"), publishPacket(3, "three")
	type place struct {
		Place
		passes int // bytes of the second packet
		text   string
	}
	places := []place{
		{Before, 0, "before it"},
		{After, len(second), "after it"},
		{AtByte(len(second) + 5), len(second), "at byte 15"},
		{AtByte(-1), len(second) - 1, "before its last byte"},
	}
	for n := 1; n <= len(second); n++ {
		places = append(places, place{AtByte(n), n, fmt.Sprintf("at byte %d", n)})
	}
	for _, how := range []Ending{FIN, RST} {
		for _, where := range places {
			t.Run(fmt.Sprintf("%s %s", how, where.text), func(t *testing.T) {
				t.Parallel()
				bothWays(t, func(t *testing.T, s *setup, w way) {
					s.proxy.Add(On(w.publish.WithID(2), Cut(where.Place, how)).Times(1))
					w.sender.write(first, second, third)
					w.receiver.wantRest(how, first, second[:where.passes])
					w.sender.wantRest(how)
					w.sender.Close()
					w.receiver.Close()

					w.wantFault(s, 2, timeline.Fault{
						Rule:   1,
						Text:   fmt.Sprintf("on 1st PUBLISH id 2 %s: cut with %s %s", w.direction, how.text(), where.text),
						Action: fmt.Sprintf("cut with %s %s", how.text(), where.text),
					})
					if where.passes == len(second) {
						w.wantExits(s, 1, 2)
					} else {
						w.wantExits(s, 1)
					}
					s.waitForClose(timeline.ReachedDevice, string(how))
					s.waitForClose(timeline.ReachedBroker, string(how))
					wantPart(s, w, second, where.passes)
				})
			})
		}
	}
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
	text := fmt.Sprintf("the first %d of 10 bytes of PUBLISH id 2 QoS 1 t (3 bytes)", passed)
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
