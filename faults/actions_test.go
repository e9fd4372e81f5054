package faults

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
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
		if e.Kind == timeline.KindFault && e.Fault.Rule > 0 {
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
	all := slices.Concat(first, second, third)
	changed := func(at int, by byte) []byte {
		p := slices.Clone(second)
		p[at] ^= by
		return p
	}
	puback := []byte{0x40, 2, 0, 2}
	same := func(actions ...Action) func(way) []Action { return func(way) []Action { return actions } }
	for _, test := range []struct {
		name   string
		does   func(w way) []Action // to the second packet
		action string               // as recorded
		want   []byte
		exits  []uint16 // recorded as handed on
		back   []byte   // what the sender gets
	}{
		{"drop", same(Drop()), "drop", slices.Concat(first, third), []uint16{1, 3}, nil},
		{"duplicate", same(Duplicate()), "duplicate", slices.Concat(first, second, second, third), []uint16{1, 2, 2, 3}, nil},
		{"triplicate", same(Duplicate(), Duplicate()), "duplicate, duplicate",
			slices.Concat(first, second, second, second, third), []uint16{1, 2, 2, 2, 3}, nil},
		{"delay", same(Delay(20 * time.Millisecond)), "delay 20ms", all, []uint16{1, 2, 3}, nil},
		{"hold", same(Hold()), "hold", slices.Concat(first, third), []uint16{1, 3}, nil},
		{"reorder what never fills", same(Reorder(2)), "reorder 2 packets", slices.Concat(first, third, second),
			[]uint16{1, 3, 2}, nil},
		{"rewrite", same(Rewrite(NewID(7), NewPayload("2"))), `rewrite id to 7, payload to "2"`,
			slices.Concat(first, publishPacket(7, "2"), third), []uint16{1, 7, 3}, nil},
		{"rewrite bytes", same(Rewrite(NewBytes("32 05 00 01 74 {id}"))), "rewrite bytes to 32 05 00 01 74 {id}",
			slices.Concat(first, publishPacket(2, ""), third), []uint16{1, 2, 3}, nil},
		{"corrupt", same(Corrupt(6, 0x0d)), "corrupt byte 6 by 0x0d", slices.Concat(first, changed(6, 0x0d), third),
			[]uint16{1, 15, 3}, nil},
		{"corrupt from the end", same(Corrupt(-1, 0x80)), "corrupt byte -1 by 0x80",
			slices.Concat(first, changed(9, 0x80), third), []uint16{1, 2, 3}, nil},
		{"corrupt what is not there", same(Corrupt(10, 1), Corrupt(-11, 1)), "corrupt byte 10 by 0x01, corrupt byte -11 by 0x01",
			all, []uint16{1, 2, 3}, nil},
		{"forge onward", func(w way) []Action { return []Action{Forge(w.direction, "PUBACK")} }, "forge PUBACK %s",
			slices.Concat(first, second, puback, third), []uint16{1, 2, 2, 3}, nil},
		{"forge back", func(w way) []Action { return []Action{Forge(w.opposite(), "PUBACK")} }, "forge PUBACK %s",
			all, []uint16{1, 2, 3}, puback},
		{"answer", same(Answer("PUBACK")), "answer with PUBACK", slices.Concat(first, third), []uint16{1, 3}, puback},
		{"answer with bytes", same(Answer("40 02 {id}")), "answer with 40 02 {id}", slices.Concat(first, third), []uint16{1, 3},
			puback},
		{"split", same(Split(3, 0)), "split into pieces of 3 bytes", all, []uint16{1, 2, 3}, nil},
		{"slow", same(Slow(time.Millisecond)), "split byte by byte, 1ms apart", all, []uint16{1, 2, 3}, nil},
		{"glue", same(Glue(1)), "glue to the next packet", all, []uint16{1, 2, 3}, nil},
		{"glue to what never comes", same(Glue(5)), "glue to the next 5 packets", all, []uint16{1, 2, 3}, nil},
		{"pause", same(Pause(AtByte(4), 10*time.Millisecond, "")), "go silent for 10ms at byte 4", all, nil, nil},
		{"rewrite, then duplicate", same(Rewrite(NewDUP(true)), Duplicate()), "rewrite DUP to true, duplicate",
			slices.Concat(first, changed(0, 8), changed(0, 8), third), []uint16{1, 2, 2, 3}, nil},
		{"duplicate, then rewrite", same(Duplicate(), Rewrite(NewDUP(true))), "duplicate, rewrite DUP to true",
			slices.Concat(first, second, changed(0, 8), third), []uint16{1, 2, 2, 3}, nil},
		{"rewrite, then answer", same(Rewrite(NewID(7)), Answer("PUBACK")), "rewrite id to 7, answer with PUBACK",
			slices.Concat(first, third), []uint16{1, 3}, []byte{0x40, 2, 0, 7}},
		{"split, then duplicate", same(Split(4, 0), Duplicate()), "split into pieces of 4 bytes, duplicate",
			slices.Concat(first, second, second, third), []uint16{1, 2, 2, 3}, nil},
		{"forge twice", func(w way) []Action { return []Action{Forge(w.direction, "PINGREQ"), Forge(w.direction, "PINGRESP")} },
			"forge PINGREQ %[1]s, forge PINGRESP %[1]s", slices.Concat(first, second, []byte{0xc0, 0, 0xd0, 0}, third),
			[]uint16{1, 2, 3}, nil},
		{"forge and drop", func(w way) []Action { return []Action{Forge(w.opposite(), "PUBACK"), Drop()} },
			"forge PUBACK %s, drop", slices.Concat(first, third), []uint16{1, 3}, puback},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, s *setup, w way) {
				action := test.action
				if strings.Contains(action, "%") {
					to := w.direction
					if test.back != nil {
						to = w.opposite()
					}
					action = fmt.Sprintf(action, to)
				}
				armed := s.proxy.Add(On(w.publish.Nth(2), test.does(w)...))
				w.sender.write(all)
				w.sender.wantBytes(test.back)
				w.sender.fin()
				w.receiver.wantRest(FIN, test.want)
				w.wantFault(s, 2, timeline.Fault{Rule: 1,
					Text: fmt.Sprintf("on 2nd PUBLISH %s: %s", w.direction, action), Action: action})
				if test.exits != nil {
					w.wantExits(s, test.exits...)
				}
				if armed.Fired() != 1 || armed.Matched() != 3 {
					t.Errorf("fired %d times of %d, want 1 of 3", armed.Fired(), armed.Matched())
				}

				// The other direction is as it was.
				w.receiver.write(second)
				w.sender.wantBytes(second)
			})
		})
	}
}

func (w way) opposite() Direction { return DeviceToBroker + BrokerToDevice - w.direction }

// Several rules may act on one packet, in the order in which they were added, until one takes it away.
func TestRulesTogether(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, s *setup, w way) {
		armed := []*Armed{
			s.proxy.Add(On(w.publish, Rewrite(NewPayload("new")))),
			s.proxy.Add(On(w.publish.WithPayload("two"), Duplicate())), // fits as it came, not as it was rewritten
			s.proxy.Add(On(w.publish.WithID(3), Drop())),
			s.proxy.Add(On(w.publish, Rewrite(NewDUP(true))).Times(2)),
		}
		w.sender.write(publishPacket(1, "one"), publishPacket(2, "two"), publishPacket(3, "three"), publishPacket(4, "four"))
		w.sender.fin()
		dup := func(p []byte) []byte { p[0] |= 8; return p }
		w.receiver.wantRest(FIN, dup(publishPacket(1, "new")), publishPacket(2, "new"), dup(publishPacket(2, "new")),
			publishPacket(4, "new"))
		for i, want := range [][2]int{{4, 4}, {1, 1}, {1, 1}, {4, 2}} {
			if got := [2]int{armed[i].Matched(), armed[i].Fired()}; got != want {
				t.Errorf("%s has matched and fired %v times, want %v", armed[i], got, want)
			}
		}
	})
}

func TestHoldAndRelease(t *testing.T) {
	t.Parallel()
	packet := func(id byte) []byte { return publishPacket(id, "x") }
	shuffled := []byte{1, 2, 3}
	rand.New(rand.NewPCG(5, 1)).Shuffle(3, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, test := range []struct {
		name    string
		release func(a *Armed) int
		want    []byte // identifiers of what comes then
		left    int
	}{
		{"none", func(a *Armed) int { return a.Release(0) }, nil, 3},
		{"one", func(a *Armed) int { return a.Release(1) }, []byte{1}, 2},
		{"one and one", func(a *Armed) int { return a.Release(1) + a.Release(1) }, []byte{1, 2}, 1},
		{"more than there are", func(a *Armed) int { return a.Release(9) }, []byte{1, 2, 3}, 0},
		{"all", func(a *Armed) int { return a.Release(-1) }, []byte{1, 2, 3}, 0},
		{"reversed", (*Armed).ReleaseReversed, []byte{3, 2, 1}, 0},
		{"shuffled", func(a *Armed) int { return a.ReleaseShuffled(rand.New(rand.NewPCG(5, 1))) }, shuffled, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, s *setup, w way) {
				armed := s.proxy.Add(On(w.publish.WithQoS(1), Hold(), Rewrite(NewDUP(true))).Times(3))
				ping := []byte{0xc0, 0}
				w.sender.write(packet(1), packet(2), packet(3), ping)
				w.receiver.wantBytes(ping)
				if armed.Held() != 3 {
					t.Errorf("%d held, want 3", armed.Held())
				}
				if got := test.release(armed); got != len(test.want) || armed.Held() != test.left {
					t.Errorf("released %d and %d left, want %d and %d", got, armed.Held(), len(test.want), test.left)
				}
				for _, id := range test.want { // and what comes behind Hold is done then
					p := packet(id)
					p[0] |= 8
					w.receiver.wantBytes(p)
				}
				w.sender.write(packet(4))
				w.receiver.wantBytes(packet(4))
				w.sender.fin()
				w.receiver.wantRest(FIN)
				armed.Release(-1) // too late
				w.receiver.write(ping)
				w.receiver.fin()
				w.sender.wantRest(FIN, ping)
				s.waitForClose(w.opposite().exit(), "fin")
				if armed.Held() != 0 {
					t.Errorf("%d held of a connection that has ended", armed.Held())
				}
			})
		})
	}
}

// What reordering waits for may never come; and two rules may reorder the same packets.
func TestReorder(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		rules func(m Match) []Rule
		want  []uint16
	}{
		{"in pairs", func(m Match) []Rule { return []Rule{On(m, Reorder(2))} }, []uint16{2, 1, 4, 3, 6, 5, 7}},
		{"in threes", func(m Match) []Rule { return []Rule{On(m, Reorder(3))} }, []uint16{3, 2, 1, 6, 5, 4, 7}},
		{"some", func(m Match) []Rule { return []Rule{On(m.From(2), Reorder(2)).Times(2)} }, []uint16{1, 3, 2, 4, 5, 6, 7}},
		{"never", func(m Match) []Rule { return []Rule{On(m, Reorder(9))} }, []uint16{1, 2, 3, 4, 5, 6, 7}},
		{"two rules", func(m Match) []Rule { return []Rule{On(m, Reorder(2)), On(m, Reorder(3))} },
			[]uint16{4, 1, 2, 5, 6, 3, 7}},
		{"two rules, both unfilled", func(m Match) []Rule { return []Rule{On(m, Reorder(8)), On(m, Reorder(9))} },
			[]uint16{1, 2, 3, 4, 5, 6, 7}},
		{"two rules for different packets", func(m Match) []Rule {
			return []Rule{On(m.WithID(1), Reorder(2)), On(m.WithID(3), Reorder(2)), On(m.WithID(2), Reorder(2))}
		}, []uint16{4, 5, 6, 7, 1, 2, 3}},
		{"then duplicate", func(m Match) []Rule { return []Rule{On(m, Reorder(7), Duplicate())} },
			[]uint16{7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bothWays(t, func(t *testing.T, s *setup, w way) {
				for _, r := range test.rules(w.publish) {
					s.proxy.Add(r)
				}
				var want [][]byte
				for _, id := range test.want {
					want = append(want, publishPacket(byte(id), "x"))
				}
				for id := range byte(7) {
					w.sender.write(publishPacket(id+1, "x"))
				}
				w.sender.fin()
				w.receiver.wantRest(FIN, want...)
				w.wantExits(s, test.want...)
			})
		})
	}
}

// How packets are written shows in virtual time.
func TestManners(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, test := range []struct {
		name string
		does []Action // to the second of three packets of 20 bytes, which come at 0s, 1s and 2s, before FIN at 3s
		want string
	}{
		{"none", nil, "0s:20 1s:20 2s:20 3s:fin"},
		{"split", []Action{Split(8, 100*time.Millisecond)}, "0s:20 1s:8 1.1s:8 1.2s:4 2s:20 3s:fin"},
		{"slow", []Action{Slow(200 * time.Millisecond)}, "0s:20 1s:1 1.2s:1 1.4s:1 1.6s:1 1.8s:1 2s:1 2.2s:1 2.4s:1 2.6s:1 " +
			"2.8s:1 3s:1 3.2s:1 3.4s:1 3.6s:1 3.8s:1 4s:1 4.2s:1 4.4s:1 4.6s:1 4.8s:21 4.8s:fin"},
		{"delay", []Action{Delay(1500 * time.Millisecond)}, "0s:20 2.5s:40 3s:fin"},
		{"delay twice", []Action{Delay(second), Delay(second)}, "0s:20 3s:40 3s:fin"},
		{"delay and duplicate", []Action{Delay(500 * time.Millisecond), Duplicate()}, "0s:20 1.5s:40 2s:20 3s:fin"},
		{"duplicate and delay", []Action{Duplicate(), Delay(500 * time.Millisecond)}, "0s:20 1s:20 1.5s:20 2s:20 3s:fin"},
		{"glue", []Action{Glue(1)}, "0s:20 2s:40 3s:fin"},
		{"glue to the end", []Action{Glue(9)}, "0s:20 3s:40 3s:fin"},
		{"glue to itself", []Action{Glue(1), Duplicate()}, "0s:20 1s:40 2s:20 3s:fin"},
		{"pause before", []Action{Pause(Before, 1500*time.Millisecond, "")}, "0s:20 2.5s:40 3s:fin"},
		{"pause inside", []Action{Pause(AtByte(5), 1500*time.Millisecond, "")}, "0s:20 1s:5 2.5s:35 3s:fin"},
		{"pause after", []Action{Pause(After, 1500*time.Millisecond, "")}, "0s:20 1s:20 2.5s:20 3s:fin"},
		{"pause beyond FIN", []Action{Pause(After, 10*second, "")}, "0s:20 1s:20 11s:20 11s:fin"},
		{"pause, then FIN", []Action{Pause(AtByte(5), 1500*time.Millisecond, FIN)}, "0s:20 1s:5 2.5s:fin"},
		{"pause, then RST", []Action{Pause(After, 1500*time.Millisecond, RST)}, "0s:20 1s:20 2.5s:rst"},
		{"pause, then half-close", []Action{Pause(Before, 1500*time.Millisecond, HalfClose)}, "0s:20 2.5s:fin"},
		{"silence", []Action{Cut(AtByte(5), Silence)}, "0s:20 1s:5"},
		{"FIN", []Action{Cut(AtByte(5), FIN)}, "0s:20 1s:5 1s:fin"},
		{"RST", []Action{Cut(AtByte(5), RST)}, "0s:20 1s:5 1s:rst"},
		{"half-close", []Action{Cut(AtByte(5), HalfClose)}, "0s:20 1s:5 1s:fin"},
		{"delay and cut", []Action{Delay(second), Cut(AtByte(5), FIN)}, "0s:20 2s:5 2s:fin"},
		{"split and cut", []Action{Split(4, 100*time.Millisecond), Cut(AtByte(10), FIN)}, "0s:20 1s:4 1.1s:4 1.2s:2 1.2s:fin"},
		{"duplicate and cut", []Action{Duplicate(), Cut(AtByte(5), FIN)}, "0s:20 1s:25 1s:fin"},
		{"glue and cut", []Action{Glue(1), Cut(After, FIN)}, "0s:20 1s:20 1s:fin"},
	} {
		for _, direction := range []Direction{DeviceToBroker, BrokerToDevice} {
			t.Run(test.name+"/"+direction.String(), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, n network) {
					s := newSetup(t, n)
					sender, receiver := s.connectMQTT()
					match := FromDevice(PUBLISH).Nth(2)
					if direction == BrokerToDevice {
						sender, receiver, match = receiver, sender, ToDevice(PUBLISH).Nth(2)
					}
					if len(test.does) > 0 {
						s.proxy.Add(On(match, test.does...))
					}
					start := time.Now()
					var sending sync.WaitGroup
					sending.Go(func() {
						for range 3 {
							if _, err := sender.Write(bytesOf(20)); err != nil {
								return
							}
							time.Sleep(time.Second)
						}
						_ = sender.Conn.(interface{ CloseWrite() error }).CloseWrite()
					})
					if got := receiver.arrived(start); got != test.want {
						t.Errorf("got  %s\nwant %s\n%s", got, test.want, s.record())
					}
					sending.Wait()
				})
			})
		}
	}
}

// In a pause nothing goes in the other direction either, and after it all that was sent.
func TestPauseIsBothWays(t *testing.T) {
	t.Parallel()
	for then, want := range map[Ending]string{"": "500ms:20 4s:40", FIN: "500ms:20 4s:fin", RST: "500ms:20 4s:rst"} {
		inBubble(t, func(t *testing.T, n network) {
			s := newSetup(t, n)
			device, broker := s.connectMQTT()
			s.proxy.Add(On(FromDevice(PINGREQ), Pause(After, 3*time.Second, then)))
			s.proxy.Add(On(ToDevice(PUBLISH).WithID(9), Delay(time.Second))) // is still under way when the pause begins
			start := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() {
				time.Sleep(500 * time.Millisecond)
				broker.write(bytesOf(20))
				time.Sleep(250 * time.Millisecond)
				delayed := bytesOf(20)
				delayed[6] = 9
				broker.write(delayed)
				time.Sleep(250 * time.Millisecond)
				device.write([]byte{0xc0, 0})
				time.Sleep(time.Second)
				broker.write(bytesOf(20))
			})
			if got := device.arrived(start); got != want {
				t.Errorf("then %q: got %s, want %s\n%s", then, got, want, s.record())
			}
			sending.Wait()
		})
	}
}

// What chance decides about a delay is in the record, and is what happens.
func TestDelayVaries(t *testing.T) {
	t.Parallel()
	for _, distribution := range []Distribution{"", Uniform, Normal, Pareto} {
		inBubble(t, func(t *testing.T, n network) {
			s := newSetup(t, n)
			device, broker := s.connectMQTT()
			s.proxy.Add(On(FromDevice(PUBLISH), DelayBy(Spread{Duration(time.Second), Duration(time.Second), distribution})))
			different := map[string]bool{}
			for id := range byte(50) {
				start := time.Now()
				device.write(publishPacket(id, "x"))
				broker.wantBytes(publishPacket(id, "x"))
				took := time.Since(start)
				var action string
				for _, e := range s.rec.Events() {
					if e.Kind == timeline.KindFault {
						action = e.Fault.Action
					}
				}
				if want := "delay " + took.String(); action != want {
					t.Errorf("%s is recorded, want %s", action, want)
				}
				if different[action] = true; distribution == Pareto && took < time.Second ||
					(distribution == "" || distribution == Uniform) && took > 2*time.Second {
					t.Errorf("%s: delayed by %s", distribution, took)
				}
			}
			if len(different) < 25 {
				t.Errorf("%s: only %d different times", distribution, len(different))
			}
		})
	}
}

// Chance picks every bit, and one at a time.
func TestCorruptAnywhere(t *testing.T) {
	t.Parallel()
	seen := map[[2]byte]bool{}
	for nth := range 2000 {
		c := CorruptAnywhere().(chancy).decide(chance(1, whetherRuleActs, 1, 1, DeviceToBroker, nth), 4).(corrupt)
		if *c.Byte < 0 || *c.Byte > 3 || bits.OnesCount8(c.Mask) != 1 {
			t.Fatalf("chose %s", c)
		}
		seen[[2]byte{byte(*c.Byte), c.Mask}] = true
	}
	if len(seen) != 32 {
		t.Errorf("%d different bits of 4 bytes", len(seen))
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
