package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

// arrived says when a peer got how many bytes, and its stream's end, such as: 50ms:20 1s:fin. What comes at one time is
// one arrival. It reads until the stream ends, or for an hour.
func (p *peer) arrived(start time.Time) string {
	var texts []string
	buffer := make([]byte, 64<<10)
	count, last := 0, time.Duration(-1)
	flush := func() {
		if count > 0 {
			texts = append(texts, fmt.Sprintf("%s:%d", last, count))
		}
		count = 0
	}
	for {
		n, err := p.Read(buffer)
		now := time.Since(start)
		if now != last {
			flush()
		}
		count, last = count+n, now
		if err == nil {
			continue
		}
		flush()
		switch {
		case errors.Is(err, io.EOF):
			texts = append(texts, now.String()+":fin")
		case errors.Is(err, syscall.ECONNRESET):
			texts = append(texts, now.String()+":rst")
		}
		return strings.Join(texts, " ")
	}
}

// bytesOf is a PUBLISH of n bytes, from 8 to 129.
func bytesOf(n int) []byte { return publishPacket(1, strings.Repeat("x", n-7)) }

func TestConditions(t *testing.T) {
	t.Parallel()
	const second = time.Second
	latency := func(by time.Duration) Condition { return Latency(Spread{By: Duration(by)}) }
	type send struct {
		at    time.Duration
		bytes int // 0 for FIN
	}
	burst := []send{{0, 100}}
	for _, test := range []struct {
		name       string
		conditions []Condition
		sends      []send
		then       func(s *setup, imposed []*Imposed) // while they travel
		want       string
	}{
		{name: "none", sends: []send{{0, 100}, {second, 0}}, want: "0s:100 1s:fin"},
		{name: "latency", conditions: []Condition{latency(200 * time.Millisecond)},
			sends: []send{{0, 100}, {50 * time.Millisecond, 20}, {second, 0}}, want: "200ms:100 250ms:20 1.25s:fin"},
		{name: "bandwidth", conditions: []Condition{Bandwidth(1000)},
			sends: []send{{0, 100}, {10 * time.Millisecond, 50}, {10 * time.Millisecond, 0}},
			want:  "50ms:50 100ms:50 150ms:50 150ms:fin"},
		{name: "bandwidth below a byte in a portion", conditions: []Condition{Bandwidth(10)}, sends: []send{{0, 8}},
			want: "100ms:1 200ms:1 300ms:1 400ms:1 500ms:1 600ms:1 700ms:1 800ms:1"},
		{name: "bandwidth is not saved up", conditions: []Condition{Bandwidth(1000)},
			sends: []send{{10 * second, 100}}, want: "10.05s:50 10.1s:50"},
		{name: "bandwidth without end", conditions: []Condition{Bandwidth(math.MaxInt)}, sends: burst,
			want: (100 * time.Second / math.MaxInt).String() + ":100"},
		{name: "no loss", conditions: []Condition{Loss(0)}, sends: burst, want: "0s:100"},
		{name: "loss of all", conditions: []Condition{Loss(1)}, sends: []send{{0, 100}, {second, 20}},
			want: "6.2s:100 7.2s:20"},
		{name: "slice", conditions: []Condition{Slice(40, 0, 10*time.Millisecond)}, sends: []send{{0, 100}, {5 * time.Millisecond, 20}, {0, 0}},
			want: "0s:40 10ms:40 20ms:20 30ms:20 30ms:fin"},
		{name: "limit inside a packet", conditions: []Condition{Limit(110)}, sends: []send{{0, 100}, {second, 20}},
			want: "0s:100 1s:10 1s:fin"},
		{name: "limit at a packet's end", conditions: []Condition{Limit(100)}, sends: []send{{second, 100}},
			want: "1s:100 1s:fin"},
		{name: "limit of nothing", conditions: []Condition{Limit(0)}, sends: []send{{second, 100}}, want: "1s:fin"},
		{name: "limit beyond", conditions: []Condition{Limit(121)}, sends: []send{{0, 100}, {0, 20}}, want: "0s:120"},
		{name: "limit behind latency", conditions: []Condition{latency(second), Limit(50)}, sends: burst,
			want: "1s:50 1s:fin"},
		{name: "limit before latency", conditions: []Condition{Limit(50), latency(second)}, sends: burst,
			want: "1s:50 1s:fin"},
		{name: "black hole", conditions: []Condition{Blackhole(0)}, sends: []send{{0, 100}, {0, 0}}, want: ""},
		{name: "black hole that ends", conditions: []Condition{Blackhole(5 * second)}, sends: burst, want: "5s:fin"},
		{name: "slow close", conditions: []Condition{SlowClose(3 * second)}, sends: []send{{0, 100}, {second, 0}},
			want: "0s:100 4s:fin"},
		{name: "reset", conditions: []Condition{Reset(5 * second)}, sends: burst, want: "0s:100 5s:rst"},
		{name: "reset of what is idle", conditions: []Condition{Reset(5 * second)}, want: "5s:rst"},
		{name: "reset at once", conditions: []Condition{Reset(0)}, want: "0s:rst"},
		{name: "down", conditions: []Condition{Down()}, sends: []send{{0, 100}, {0, 0}}, want: ""},
		{name: "down and back", conditions: []Condition{Down()}, sends: []send{{0, 100}, {0, 20}},
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(70 * second); imposed[0].Remove() }, want: "1m10s:120"},
		{name: "latency begins when the link is back", conditions: []Condition{Down(), latency(second)}, sends: burst,
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(70 * second); imposed[0].Remove() }, want: "1m11s:100"},
		{name: "down behind everything", conditions: []Condition{latency(second), Bandwidth(1000), Loss(0), Slice(1000, 0, 0),
			Down()}, sends: burst,
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(70 * second); imposed[4].Remove() },
			want: "1m11.05s:50 1m11.1s:50"},
		{name: "down before everything", conditions: []Condition{Down(), latency(second), Bandwidth(1000), Loss(0),
			Slice(1000, 0, 0)}, sends: burst,
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(70 * second); imposed[0].Remove() },
			want: "1m11.05s:50 1m11.1s:50"},
		{name: "flapping", conditions: []Condition{Flapping(2*second, 3*second)},
			sends: []send{{second, 100}, {1500 * time.Millisecond, 20}, {3 * second, 30}, {2 * second, 40}, {second, 50}},
			want:  "1s:100 5s:20 5.5s:30 10s:90"},
		{name: "together", conditions: []Condition{latency(200 * time.Millisecond), Bandwidth(1000)}, sends: burst,
			want: "250ms:50 300ms:50"},
		{name: "together, the other way round", conditions: []Condition{Bandwidth(1000), latency(200 * time.Millisecond)},
			sends: burst, want: "250ms:50 300ms:50"},
		{name: "slices and latency", conditions: []Condition{Slice(60, 0, second), latency(second)}, sends: burst,
			want: "1s:60 2s:40"},
		{name: "removed in flight", conditions: []Condition{latency(10 * second)}, sends: burst,
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(4 * second); imposed[0].Remove() }, want: "4s:100"},
		{name: "replaced in flight", conditions: []Condition{latency(10 * second)}, sends: burst,
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(4 * second); imposed[0].Replace(latency(6 * second)) },
			want: "6s:100"},
		{name: "another one leaves bandwidth as it was", conditions: []Condition{Bandwidth(100)}, sends: burst,
			then: func(s *setup, _ []*Imposed) {
				for range 9 {
					time.Sleep(100 * time.Millisecond)
					s.proxy.Impose(SlowClose(second))
				}
			}, want: strings.Join(everyFifty(5, 20), " ")},
		{name: "another one leaves a limit as it was", conditions: []Condition{Limit(50), Slice(10, 0, second)}, sends: burst,
			then: func(s *setup, _ []*Imposed) { time.Sleep(2500 * time.Millisecond); s.proxy.Impose(SlowClose(second)) },
			want: "0s:10 1s:10 2s:10 3s:10 4s:10 4s:fin"},
		{name: "limit removed in flight", conditions: []Condition{Limit(50), Slice(10, 0, second)}, sends: burst,
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(2500 * time.Millisecond); imposed[0].Remove() },
			want: "0s:10 1s:10 2s:10 3s:10 4s:10 5s:10 6s:10 7s:10 8s:10 9s:10"},
		{name: "what the hole has swallowed stays away", conditions: []Condition{Blackhole(0)},
			sends: []send{{0, 100}, {2 * second, 20}},
			then:  func(_ *setup, imposed []*Imposed) { time.Sleep(second); imposed[0].Remove() }, want: "2s:20"},
		{name: "reset removed in time", conditions: []Condition{Reset(5 * second)}, sends: burst,
			then: func(_ *setup, imposed []*Imposed) { time.Sleep(4 * second); imposed[0].Remove() }, want: "0s:100"},
		{name: "never answer does not concern what is there", conditions: []Condition{NeverAnswer(), SlowAccept(second), Refuse()},
			sends: burst, want: "0s:100"},
	} {
		for _, direction := range []Direction{DeviceToBroker, BrokerToDevice} {
			for _, limited := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/%t", test.name, direction, limited), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, n network) {
						s := newSetup(t, n)
						sender, receiver := s.connectMQTT()
						if direction == BrokerToDevice {
							sender, receiver = receiver, sender
						}
						start := time.Now()
						var imposed []*Imposed
						for _, c := range test.conditions {
							if limited {
								c = c.Toward(direction)
							}
							imposed = append(imposed, s.proxy.Impose(c))
						}
						if limited && test.name != "reset at once" { // the other direction is as it was
							receiver.write(bytesOf(20))
							sender.wantBytes(bytesOf(20))
						}
						var tasks sync.WaitGroup
						tasks.Go(func() {
							for _, next := range test.sends {
								time.Sleep(next.at)
								if next.bytes == 0 {
									sender.fin()
								} else {
									sender.write(bytesOf(next.bytes))
								}
							}
						})
						if test.then != nil {
							tasks.Go(func() { test.then(s, imposed) })
						}
						if got := receiver.arrived(start); got != test.want {
							t.Errorf("got %s, want %s\n%s", got, test.want, s.record())
						}
						tasks.Wait()
						for _, i := range imposed {
							switch i.Condition().kind.(type) {
							case slowAccept, neverAnswer, refuse:
							default:
								if i.Met() != 1 {
									t.Errorf("%s: %d connections have met it, want 1", i, i.Met())
								}
							}
						}
					})
				})
			}
		}
	}
}

// everyFifty is n arrivals of size bytes, 50 ms after each other.
func everyFifty(size, n int) (texts []string) {
	for i := range n {
		texts = append(texts, fmt.Sprintf("%s:%d", time.Duration(i+1)*50*time.Millisecond, size))
	}
	return texts
}

// Jitter stays in its bounds, and what varies does not overtake.
func TestLatencyVaries(t *testing.T) {
	t.Parallel()
	for _, distribution := range []Distribution{"", Uniform, Normal, Pareto} {
		t.Run(string(distribution), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				s.proxy.Impose(Latency(Spread{Duration(200 * time.Millisecond), Duration(100 * time.Millisecond), distribution}))
				start := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() {
					for id := range byte(100) {
						device.write(publishPacket(id, "x"))
						time.Sleep(time.Second)
					}
				})
				at := broker.arrivals(start, 100)
				sending.Wait()
				var sum time.Duration
				different := map[time.Duration]bool{}
				for id := range byte(100) {
					by := at[id] - time.Duration(id)*time.Second
					sum += by
					different[by] = true
					low, high := 100*time.Millisecond, 300*time.Millisecond
					switch distribution {
					case Normal:
						low, high = 0, 700*time.Millisecond
					case Pareto:
						low, high = 200*time.Millisecond, 5*time.Second
					}
					if by < low || by > high {
						t.Errorf("packet %d was %s late, want %s to %s", id, by, low, high)
					}
				}
				mean := 200 * time.Millisecond
				if distribution == Pareto {
					mean = 300 * time.Millisecond
				}
				if got := sum / 100; got < mean-60*time.Millisecond || got > mean+60*time.Millisecond || len(different) < 90 {
					t.Errorf("on average %s late with %d different times, want about %s", got, len(different), mean)
				}
			})
		})
	}
}

// Bandwidth is each connection's own, unless it is shared.
func TestBandwidthIsSharedOrNot(t *testing.T) {
	t.Parallel()
	for shared, want := range map[bool]time.Duration{true: 400 * time.Millisecond, false: 100 * time.Millisecond} {
		inBubble(t, func(t *testing.T, n network) {
			s := newSetup(t, n)
			imposed := s.proxy.Impose(Bandwidth(1000).Toward(DeviceToBroker))
			var brokers []*peer
			start := time.Now()
			for range 4 {
				device, broker := s.connect()
				brokers = append(brokers, broker)
				device.write(slices.Concat([]byte("\x10\x62"), make([]byte, 98)))
			}
			if shared {
				imposed.Replace(SharedBandwidth(1000).Toward(DeviceToBroker))
			}
			var last time.Duration
			var reading sync.WaitGroup
			var mu sync.Mutex
			for _, broker := range brokers {
				reading.Go(func() {
					if _, err := io.ReadFull(broker, make([]byte, 100)); err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					last = max(last, time.Since(start))
				})
			}
			reading.Wait()
			if last != want {
				t.Errorf("shared %t: the last arrived after %s, want %s", shared, last, want)
			}
			if imposed.Met() != 4 {
				t.Errorf("%d connections have met it, want 4", imposed.Met())
			}
		})
	}
}

// Lost segments come later, by the times that TCP waits, and seeds say which they are.
func TestLossIsSeeded(t *testing.T) {
	t.Parallel()
	times := func(seed uint64) (got []time.Duration) {
		inBubble(t, func(t *testing.T, n network) {
			s := newSetupWith(t, n, Options{Seed: seed})
			device, broker := s.connectMQTT()
			s.proxy.Impose(Loss(0.3))
			start := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() {
				for id := range byte(50) {
					device.write(publishPacket(id, "x"))
					time.Sleep(time.Minute)
				}
			})
			at := broker.arrivals(start, 50)
			sending.Wait()
			for id := range byte(50) {
				got = append(got, at[id]-time.Duration(id)*time.Minute)
			}
		})
		return got
	}
	first := times(1)
	if !slices.Equal(first, times(1)) || slices.Equal(first, times(2)) {
		t.Error("the seed does not say what is lost")
	}
	lost := 0
	for _, by := range first {
		ms := int(by / time.Millisecond)
		if !slices.Contains([]int{0, 200, 600, 1400, 3000, 6200}, ms) {
			t.Errorf("a segment came after %s", by)
		}
		if ms > 0 {
			lost++
		}
	}
	if lost < 5 || lost > 30 {
		t.Errorf("%d of 50 segments were lost, want about 15", lost)
	}
}

func TestSliceVaries(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		s.proxy.Impose(Slice(10, 5, time.Second))
		go func() {
			device.write(slices.Repeat(bytesOf(120), 10))
			device.fin()
		}()
		sizes := map[int]bool{}
		arrivals := strings.Fields(broker.arrived(time.Now()))
		for _, each := range arrivals[:len(arrivals)-2] {
			var size int
			if _, err := fmt.Sscanf(each[strings.Index(each, ":")+1:], "%d", &size); err != nil || size < 1 || size > 15 {
				t.Errorf("a slice: %s", each)
			}
			sizes[size] = true
		}
		if len(sizes) < 8 {
			t.Errorf("only sizes %v", sizes)
		}
	})
}

func TestForShare(t *testing.T) {
	t.Parallel()
	met := func(seed uint64, share float64) (who []int) {
		proxy := New(Options{Seed: seed})
		defer proxy.Close()
		i := proxy.Impose(Blackhole(0).ForShare(share))
		for connection := range 1000 {
			if i.meets(connection) {
				who = append(who, connection)
			}
		}
		return who
	}
	half := met(1, 0.5)
	if len(half) < 440 || len(half) > 560 || !slices.Equal(half, met(1, 0.5)) || slices.Equal(half, met(2, 0.5)) {
		t.Errorf("%d of 1000 connections, want about 500, the same for the same seed only", len(half))
	}
	if len(met(1, 0)) != 0 || len(met(1, 1)) != 1000 {
		t.Errorf("%d with a share of 0, %d with 1", len(met(1, 0)), len(met(1, 1)))
	}
}

// A share of the connections feels a condition and the others do not; and that is counted.
func TestForShareOnTheWire(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		i := s.proxy.Impose(Blackhole(0).ForShare(0.5))
		met := 0
		for number := 1; number <= 20; number++ {
			device, broker := s.connect()
			device.write(connectPacket)
			if i.meets(number) {
				met++
				broker.wantSilence()
			} else {
				broker.wantBytes(connectPacket)
			}
		}
		if i.Met() != met || met == 0 || met == 20 {
			t.Errorf("%d connections have met it, want %d", i.Met(), met)
		}
	})
}

func TestSlowAccept(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		i := s.proxy.Impose(SlowAccept(2 * time.Second))
		start := time.Now()
		device, broker := s.connect()
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("the broker was reached after %s, want 2s", got)
		}
		device.write(connectPacket)
		broker.wantBytes(connectPacket)
		if got := time.Since(start); got != 2*time.Second || i.Met() != 1 {
			t.Errorf("CONNECT arrived after %s, want 2s; %d have met it, want 1", got, i.Met())
		}
	})
}

// Whoever connects while the link is down reaches the broker when it is back.
func TestConnectingWhileDown(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		down := s.proxy.Impose(Down())
		start := time.Now()
		go func() {
			time.Sleep(time.Minute)
			down.Remove()
		}()
		device, broker := s.connect()
		if got := time.Since(start); got != time.Minute {
			t.Errorf("the broker was reached after %s, want 1m", got)
		}
		device.write(connectPacket)
		broker.wantBytes(connectPacket)
	})
}

func TestNeverAnswer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(i *Imposed, device *peer){
		"removed":  func(i *Imposed, device *peer) { i.Remove(); device.wantRest(RST) },
		"replaced": func(i *Imposed, device *peer) { i.Replace(SlowClose(0)); device.wantRest(RST) },
		"given up": func(_ *Imposed, device *peer) { device.Close() },
		"closed":   func(i *Imposed, device *peer) { i.proxy.Close(); device.wantRest(RST) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				i := s.proxy.Impose(NeverAnswer())
				conn, err := n.dial(t.Context(), s.address)
				if err != nil {
					t.Fatal(err)
				}
				device := newPeer(t, conn)
				device.write(connectPacket)
				device.wantSilence()
				if i.Met() != 1 {
					t.Errorf("%d connections have met it, want 1", i.Met())
				}
				end(i, device)
				synctest.Wait()
				want := []string{"close left-device accepting: " + errIgnored.Error(), "close reached-device rst"}
				if got := s.lines(ofKind(timeline.KindClose)); !slices.Equal(got, want) {
					t.Errorf("closed by %q, want %q", got, want)
				}
			})
		})
	}
}

// While connections are refused, those that exist go on; after that the proxy is there again at the same address.
func TestRefuse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		for range 3 {
			refuse := s.proxy.Impose(Refuse())
			if conn, err := n.dial(t.Context(), s.address); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("connected to %v, %v, want it refused", conn, err)
			}
			device.write(publishPacket(1, "x"))
			broker.wantBytes(publishPacket(1, "x"))
			refuse.Remove()
			var conn interface{ Close() error }
			var err error
			for { // the listener is opened by another goroutine
				if conn, err = n.dial(t.Context(), s.address); !errors.Is(err, syscall.ECONNREFUSED) {
					break
				}
				time.Sleep(time.Millisecond)
			}
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			accepted, err := s.broker.Accept()
			if err != nil {
				t.Fatal(err)
			}
			accepted.Close()
		}
	})
}

// However fast refusing comes and goes, the proxy serves on.
func TestRefuseComesAndGoes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		for range 200 {
			s.proxy.Impose(Refuse()).Remove()
		}
		for {
			conn, err := n.dial(t.Context(), s.address)
			if err == nil {
				conn.Close()
				return
			}
			if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// Conditions that lose nothing may come and go at any time: each stream arrives whole, once and in order.
func TestConditionsLoseNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetupWith(t, n, Options{Seed: seed, Unread: seed%4 == 3})
				random := rand.New(rand.NewPCG(seed, 1))
				if seed%2 == 0 { // deliveries one by one, and in pieces
					s.proxy.Add(On(FromDevice(PUBLISH).WithProbability(0.2), Split(7, time.Millisecond)))
					s.proxy.Add(On(ToDevice(PUBLISH).WithProbability(0.2), DelayBy(Spread{By: Duration(time.Second),
						Jitter: Duration(time.Second)})))
				}
				device, broker := s.connectMQTT()
				var tasks sync.WaitGroup
				for i, w := range []struct{ from, to *peer }{{device, broker}, {broker, device}} {
					var packets [][]byte
					for id := range 200 {
						packets = append(packets, publishPacket(byte(id), strings.Repeat(string(rune('a'+id%26)), random.IntN(120))))
					}
					stream := slices.Concat(packets...)
					rest := rand.New(rand.NewPCG(seed, uint64(i)+2))
					tasks.Go(func() {
						for left := stream; len(left) > 0; {
							part := left[:min(1+rest.IntN(500), len(left))]
							w.from.write(part)
							left = left[len(part):]
							time.Sleep(time.Duration(rest.IntN(1000)) * time.Millisecond)
						}
						w.from.fin()
					})
					tasks.Go(func() {
						if err := w.to.SetReadDeadline(time.Now().Add(24 * time.Hour)); err != nil {
							t.Error(err)
						}
						got, err := io.ReadAll(w.to)
						if err != nil || !bytes.Equal(got, stream) {
							t.Errorf("got %d bytes and %v, want the %d that were sent", len(got), err, len(stream))
						}
					})
				}
				changeConditions(s.proxy, random)
				tasks.Wait()
			})
		})
	}
}

// changeConditions imposes, replaces and removes conditions for some minutes, until none is left.
func changeConditions(proxy *Proxy, random *rand.Rand) {
	some := func(most time.Duration) Duration { return Duration(1 + random.Int64N(int64(most))) }
	condition := func() Condition {
		c := []Condition{
			Latency(Spread{By: some(5 * time.Second), Jitter: some(5 * time.Second), Distribution: Pareto}),
			Bandwidth(20 + random.IntN(5000)), SharedBandwidth(20 + random.IntN(5000)), Loss(random.Float64()),
			Slice(1+random.IntN(200), random.IntN(100), time.Duration(some(time.Second))), Down(),
			Flapping(time.Duration(some(10*time.Second)), time.Duration(some(10*time.Second))),
			SlowClose(time.Duration(some(time.Minute))), Limit(1 << 30),
		}[random.IntN(9)]
		if random.IntN(3) == 0 {
			c = c.Toward([]Direction{DeviceToBroker, BrokerToDevice}[random.IntN(2)])
		}
		return c
	}
	for range 100 {
		time.Sleep(time.Duration(some(4 * time.Second)))
		switch all := proxy.Conditions(); {
		case len(all) < 2 || len(all) < 6 && random.IntN(3) == 0:
			proxy.Impose(condition())
		case random.IntN(2) == 0:
			all[random.IntN(len(all))].Replace(condition())
		default:
			all[random.IntN(len(all))].Remove()
		}
	}
	for _, i := range proxy.Conditions() {
		i.Remove()
	}
}
