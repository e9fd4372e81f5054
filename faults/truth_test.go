package faults

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

// Whatever rules, conditions, peers and the bench do, each peer gets what the record says that it got, byte for byte, and
// nothing hangs.
func TestRecordIsTrue(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) { playAnything(t, n, seed) })
		})
	}
}

func playAnything(t *testing.T, n network, seed uint64) {
	s := newSetupWith(t, n, Options{Seed: seed})
	random := rand.New(rand.NewPCG(seed, 1))
	some := func() time.Duration { return time.Duration(random.Int64N(int64(5 * time.Second))) }
	var armed []*Armed
	for range random.IntN(5) {
		m := []Match{FromDevice(PUBLISH), ToDevice(PUBLISH), FromDevice(), ToDevice()}[random.IntN(4)].WithProbability(0.2)
		place := []Place{Before, After, 1, 4, -1}[random.IntN(5)]
		all := []Action{
			Drop(), Delay(some()), Hold(), Duplicate(), Reorder(2 + random.IntN(3)), Rewrite(NewPayload("new")), CorruptAnywhere(),
			Forge(m.form.To, "PUBACK 7"), Forge(DeviceToBroker+BrokerToDevice-m.form.To, "PINGRESP"), Answer("PUBREC"),
			Split(1+random.IntN(5), some()/10), Glue(1 + random.IntN(3)), Pause(place, some(), ""), Cut(place, HalfClose),
			Pause(place, some(), []Ending{FIN, RST, HalfClose}[random.IntN(3)]), Cut(place, []Ending{FIN, RST, Silence}[random.IntN(3)]),
		}
		does := []Action{all[random.IntN(14)], all[random.IntN(len(all))]}
		if does = does[:1+random.IntN(2)]; takesAway(does[0]) {
			does = does[:1]
		}
		armed = append(armed, s.proxy.Add(On(m, does...)))
	}

	type half struct {
		*peer
		got   []byte
		reset bool // by itself
		ended atomic.Bool
	}
	device, broker := s.connect()
	ends := [2]*half{{peer: device}, {peer: broker}}
	var tasks sync.WaitGroup
	for i, e := range ends {
		own := rand.New(rand.NewPCG(seed, uint64(i)+2))
		tasks.Go(func() {
			if i == 0 {
				if _, err := e.Write(connectPacket); err != nil {
					return
				}
			}
			for id := range 30 {
				packet := publishPacket(byte(id), strings.Repeat("x", own.IntN(100)))
				if own.IntN(100) == 0 {
					packet = []byte{0, 1, 2, 3} // is no MQTT
				}
				for len(packet) > 0 {
					part := packet[:min(len(packet), 1+own.IntN(200))]
					if _, err := e.Write(part); err != nil {
						return
					}
					packet = packet[len(part):]
					if own.IntN(3) == 0 {
						time.Sleep(time.Duration(own.Int64N(int64(time.Second))))
					}
				}
			}
			switch own.IntN(3) {
			case 0:
				_ = e.Conn.(interface{ CloseWrite() error }).CloseWrite()
				e.ended.Store(true)
			case 1:
				time.Sleep(20 * time.Second)
				e.reset = true
				_ = e.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
				_ = e.Close()
				e.ended.Store(true)
			}
		})
		tasks.Go(func() { e.got, _ = io.ReadAll(e) })
	}
	tasks.Go(func() {
		for range random.IntN(20) {
			time.Sleep(some() / 2)
			conditions := s.proxy.Conditions()
			switch random.IntN(8) {
			case 0, 1:
				s.proxy.Impose([]Condition{Latency(Spread{By: Duration(some())}), Bandwidth(100), Loss(0.2), Slice(10, 5, some()/20),
					Limit(3000), Blackhole(0), Blackhole(10 * time.Second), Down(), Reset(20 * time.Second), SlowClose(some()),
					Flapping(time.Second, time.Second)}[random.IntN(11)])
			case 2, 3:
				if len(conditions) > 0 {
					conditions[random.IntN(len(conditions))].Remove()
				}
			case 4:
				if _, err := s.proxy.Forge(DeviceToBroker+Direction(random.IntN(2)), "PINGREQ"); err != nil {
					t.Error(err)
				}
			case 5:
				for _, a := range armed {
					a.ReleaseShuffled(random)
				}
			case 6:
				for _, a := range armed {
					a.Remove()
				}
			case 7:
				if random.IntN(10) == 0 {
					s.proxy.Disconnect([]Ending{FIN, RST, HalfClose, Silence}[random.IntN(4)])
				}
			}
		}
		for _, i := range s.proxy.Conditions() {
			i.Remove()
		}
		time.Sleep(10 * time.Minute)
		if ends[0].ended.Load() && ends[1].ended.Load() && s.proxy.Connections() > 0 {
			t.Errorf("the connection is there when both peers have gone long since:\n%s", s.record())
		}
		s.proxy.Close()
	})
	tasks.Wait()
	synctest.Wait()

	for i, at := range []timeline.Point{timeline.ReachedDevice, timeline.ReachedBroker} {
		var said []byte
		for _, e := range s.rec.Events() {
			switch {
			case e.Point != at:
			case e.Kind == timeline.KindPacket:
				said = append(said, e.Packet.Raw...)
			case e.Kind == timeline.KindRaw:
				said = append(said, e.Data...)
			}
		}
		if got := ends[i].got; !bytes.Equal(got, said) && !(ends[i].reset && bytes.HasPrefix(said, got)) {
			t.Errorf("%s: got %d bytes, the record says %d, of which the first %d are the same:\n%s", at, len(got), len(said),
				same(got, said), s.record())
		}
	}
	traffic := s.proxy.Traffic()
	for i, c := range []Counts{traffic.ToDevice, traffic.FromDevice} {
		if got := uint64(len(ends[i].got)); c.Sent != got && !ends[i].reset {
			t.Errorf("the proxy counts %d bytes out, the peer got %d", c.Sent, got)
		}
	}
}

// Without a record most packets go through as they come, in any pieces. Whatever is made up, delayed or released meanwhile
// goes between them, and they arrive whole and in order.
func TestPacketsStayWhole(t *testing.T) {
	t.Parallel()
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) { playPings(t, n, seed) })
		})
	}
}

func playPings(t *testing.T, n network, seed uint64) {
	s := newSetupWith(t, n, Options{Seed: seed, Summary: true})
	random := rand.New(rand.NewPCG(seed, 1))
	var armed []*Armed
	for _, m := range []Match{FromDevice(PINGREQ), ToDevice(PINGREQ)} {
		for range 3 {
			does := []Action{
				Answer("PINGRESP"), Forge(DeviceToBroker, "PUBACK 7"), Forge(BrokerToDevice, "PUBACK 7"), Duplicate(),
				Delay(time.Second), Hold(), Glue(2), Pause(Before, time.Second, ""), Pause(AtByte(1), time.Second, ""), Reorder(2),
			}[random.IntN(10)]
			armed = append(armed, s.proxy.Add(On(m.WithProbability(0.4), does)))
		}
	}
	const packets = 40
	device, broker := s.connectMQTT()
	var tasks sync.WaitGroup
	for i, w := range []struct{ from, to *peer }{{device, broker}, {broker, device}} {
		own := rand.New(rand.NewPCG(seed, uint64(i)+2))
		tasks.Go(func() {
			for id := range byte(packets) {
				stream := slices.Concat(largePublish(id, own.IntN(30_000)), []byte{0xc0, 0})
				for len(stream) > 0 {
					part := stream[:min(len(stream), 1+own.IntN(20_000))]
					w.from.write(part)
					stream = stream[len(part):]
					time.Sleep(time.Duration(own.Int64N(int64(300 * time.Millisecond))))
				}
			}
			w.from.fin()
		})
		tasks.Go(func() {
			got, err := io.ReadAll(w.to)
			if err != nil {
				t.Error(err)
			}
			for id := byte(0); len(got) > 0; {
				size, reason := frame(got, false)
				if reason != "" || size == 0 || size > len(got) {
					t.Fatalf("%d bytes before the end, behind packet %d: % x is no packet: %s", len(got), id,
						got[:min(len(got), 20)], reason)
				}
				if p := got[:size]; p[0] == 0x32 {
					var r reading
					r.read(p, size, version311, nil)
					if want := largePublish(id, len(r.payload())); !bytes.Equal(p, want) {
						t.Errorf("packet %d has changed: the first %d bytes of %d are the same", id, same(p, want), size)
					}
					id++
				} else if !slices.Contains([]PacketType{PINGREQ, PINGRESP, PUBACK}, PacketType(p[0]>>4)) {
					t.Errorf("a packet from nowhere: % x", p)
				}
				if got = got[size:]; len(got) == 0 && id != packets {
					t.Errorf("%d packets, want %d", id, packets)
				}
			}
		})
	}
	tasks.Go(func() {
		for range 40 {
			time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
			for _, a := range armed {
				a.Release(random.IntN(3))
			}
			if _, err := s.proxy.Forge(DeviceToBroker+Direction(random.IntN(2)), "PINGRESP"); err != nil {
				t.Error(err)
			}
		}
	})
	tasks.Wait()
}
