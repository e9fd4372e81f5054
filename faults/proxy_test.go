package faults

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

func TestDisconnect(t *testing.T) {
	t.Parallel()
	for _, how := range []Ending{FIN, RST} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				var peers []*peer
				for range 3 {
					device, broker := s.connectMQTT()
					peers = append(peers, device, broker)
				}
				if got := s.proxy.Connections(); got != 3 {
					t.Errorf("%d connections, want 3", got)
				}
				s.proxy.Disconnect(how)
				if got := s.proxy.Connections(); got != 0 {
					t.Errorf("%d connections after Disconnect, want 0", got)
				}
				for _, p := range peers {
					p.wantRest(how)
					p.Close()
				}
				want := timeline.Fault{
					Text:   "end every connection with " + strings.ToUpper(string(how)),
					Action: "cut " + string(how),
				}
				var faults []timeline.Fault
				var ended []int // connections of the sides that the proxy ended
				for _, e := range s.rec.Events() {
					switch {
					case e.Kind == timeline.KindFault:
						faults = append(faults, *e.Fault)
					case e.Kind == timeline.KindClose && e.Text == string(how) &&
						(e.Point == timeline.ReachedDevice || e.Point == timeline.ReachedBroker):
						ended = append(ended, e.Conn)
					}
				}
				if len(faults) != 1 || faults[0] != want {
					t.Errorf("recorded %+v, want %+v", faults, want)
				}
				if how == FIN { // each connection ends in its own time
					slices.Sort(ended)
				}
				if !slices.Equal(ended, []int{1, 1, 2, 2, 3, 3}) {
					t.Errorf("sides of connections %v were ended by the proxy, want two each:\n%s", ended, s.record())
				}
				s.connectMQTT()
			})
		})
	}
}

// Close ends a connection whatever state it is in; in a bubble a goroutine that is left behind fails the test.
func TestClose(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		prepare func(s *setup, device, broker *peer)
	}{
		{"idle", func(*setup, *peer, *peer) {}},
		{"half closed", func(_ *setup, device, broker *peer) {
			device.fin()
			broker.wantRest(FIN)
		}},
		{"closed", func(_ *setup, device, broker *peer) {
			device.fin()
			broker.fin()
			broker.wantRest(FIN)
			device.wantRest(FIN)
		}},
		{"inside a packet", func(_ *setup, device, _ *peer) { device.write([]byte{0x30, 9, 0}) }},
		{"after Disconnect", func(s *setup, _, _ *peer) { s.proxy.Disconnect(FIN) }},
		{"not read", func(_ *setup, device, _ *peer) {
			go func() {
				for {
					if _, err := device.Write(publishPacket(1, strings.Repeat("x", 100))); err != nil {
						return
					}
				}
			}()
			synctest.Wait()
		}},
		{"inside a large packet", func(_ *setup, device, _ *peer) {
			device.write(largePublish(1, 2*largestPacket)[:headBytes+1000])
		}},
		{"delayed", acting(Delay(time.Hour))},
		{"delayed and held up", func(s *setup, device, broker *peer) {
			acting(Delay(time.Hour))(s, device, broker)
			go func() {
				for {
					if _, err := device.Write(publishPacket(1, strings.Repeat("x", 100))); err != nil {
						return
					}
				}
			}()
		}},
		{"held", acting(Hold())},
		{"reordering", acting(Reorder(9))},
		{"gluing", acting(Glue(9))},
		{"slow", acting(Slow(time.Hour))},
		{"silent", acting(Cut(Before, Silence))},
		{"silent for a time", acting(Pause(AtByte(3), time.Hour, ""))},
		{"silent, then to be reset", acting(Pause(AtByte(3), time.Hour, RST))},
		{"half closed by a rule", acting(Cut(After, HalfClose))},
		{"ending with FIN", acting(Cut(After, FIN))},
		{"latency", imposing(Latency(Spread{By: Duration(time.Hour)}))},
		{"bandwidth", imposing(Bandwidth(1))},
		{"loss", imposing(Loss(1))},
		{"slices", imposing(Slice(1, 0, time.Hour))},
		{"black hole", imposing(Blackhole(time.Hour))},
		{"to be reset", imposing(Reset(time.Hour))},
		{"down", imposing(Down())},
		{"flapping", imposing(Flapping(1, time.Hour))},
		{"slow close", func(s *setup, device, broker *peer) {
			imposing(SlowClose(time.Hour))(s, device, broker)
			device.fin()
		}},
		{"refusing", imposing(Refuse())},
		{"everything", imposing(Down(), Latency(Spread{By: Duration(time.Hour)}), SharedBandwidth(1), Slice(1, 0, 1), Loss(1))},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				test.prepare(s, device, broker)
				synctest.Wait()
				start := time.Now()
				s.proxy.Close()
				s.proxy.Close()
				if got := time.Since(start); got != 0 {
					t.Errorf("Close took %s", got)
				}
				if got := s.proxy.Connections(); got != 0 {
					t.Errorf("%d connections after Close, want 0", got)
				}
				if conn, err := n.dial(t.Context(), s.address); err == nil {
					conn.Close()
					t.Error("still listening after Close")
				}
			})
		})
	}
}

// acting has a rule do something to a packet of each direction.
func acting(does ...Action) func(s *setup, device, broker *peer) {
	return func(s *setup, device, broker *peer) {
		s.proxy.Add(On(FromDevice(PUBLISH), does...))
		s.proxy.Add(On(ToDevice(PUBLISH), does...))
		device.write(publishPacket(1, "x"))
		broker.write(publishPacket(1, "x"))
	}
}

// imposing has conditions in force while a packet of each direction is on its way.
func imposing(conditions ...Condition) func(s *setup, device, broker *peer) {
	return func(s *setup, device, broker *peer) {
		for _, c := range conditions {
			s.proxy.Impose(c)
		}
		device.write(publishPacket(1, "x"))
		broker.write(publishPacket(1, "x"))
	}
}

// Close does not wait for a connection that has not got to the broker either.
func TestCloseWhileConnecting(t *testing.T) {
	t.Parallel()
	for name, condition := range map[string]Condition{
		"slow accept": SlowAccept(time.Hour), "never answer": NeverAnswer(), "down": Down(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				s.proxy.Impose(condition)
				conn, err := n.dial(t.Context(), s.address)
				if err != nil {
					t.Fatal(err)
				}
				device := newPeer(t, conn)
				device.write(connectPacket)
				synctest.Wait()
				start := time.Now()
				s.proxy.Close()
				device.wantRest(RST)
				if took := time.Since(start); took != 0 {
					t.Errorf("Close took %s", took)
				}
			})
		})
	}
}

// A device that says nothing is no trouble: the broker has its connection, and may end it.
func TestDeviceThatSaysNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connect()
		broker.wantSilence()
		list := s.proxy.List()
		if len(list) != 1 || list[0].State != "open" || list[0].Version != 0 || list[0].Client != "" {
			t.Errorf("listed as %+v", list)
		}
		broker.fin()
		device.wantRest(FIN)
		device.fin()
		broker.wantRest(FIN)
	})
}

func TestConnections(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(device, broker *peer)
		want int
	}{
		{"open", func(*peer, *peer) {}, 1},
		{"half closed", func(device, _ *peer) { device.fin() }, 1},
		{"closed", func(device, broker *peer) { device.fin(); broker.fin() }, 0},
		{"reset by the device", func(device, _ *peer) { device.rst() }, 0},
		{"reset by the broker", func(_, broker *peer) { broker.rst() }, 0},
		{"half closed and reset", func(device, broker *peer) { device.fin(); broker.rst() }, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				test.end(s.connectMQTT())
				synctest.Wait()
				if got := s.proxy.Connections(); got != test.want {
					t.Errorf("%d connections, want %d", got, test.want)
				}
			})
		})
	}
}

// A polite end must stay one in the record when Close comes right after it.
func TestCloseAddsNothingToAFinishedConnection(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		device.fin()
		broker.wantRest(FIN)
		broker.fin()
		device.wantRest(FIN)
		s.proxy.Close()
		want := []string{
			"close left-device fin", "close reached-broker fin", "close left-broker fin", "close reached-device fin",
		}
		if got := s.lines(ofKind(timeline.KindClose)); !slices.Equal(got, want) {
			t.Errorf("closed by %q, want %q", got, want)
		}
	})
}

func TestServeAfterClose(t *testing.T) {
	t.Parallel()
	proxy := New(Options{})
	proxy.Close()
	l, err := loopback().listen()
	if err != nil {
		t.Fatal(err)
	}
	if err := proxy.Serve(l); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener gives %v, want it closed", err)
	}
}

// A listener that fails is the caller's business, and says which it is.
func TestServeFails(t *testing.T) {
	t.Parallel()
	proxy := New(Options{})
	defer proxy.Close()
	l, err := loopback().listen()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := proxy.Serve(l); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Serve: %v", err)
	}
}

// One proxy can have several front doors.
func TestServeOnSeveralListeners(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		second := s.listen()
		served := make(chan error, 1)
		go func() { served <- s.proxy.Serve(second) }()
		s.connectMQTT()
		s.address = second.Addr().String()
		s.connectMQTT()
		if got := FromDevice(CONNECT).OnConnection(2).Select(s.rec.Events()); len(got) != 1 {
			t.Errorf("%d CONNECT on connection 2, want 1", len(got))
		}
		s.proxy.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// Without TCP's ways of ending a connection the record could not be trusted.
func TestRefusesPlainConnections(t *testing.T) {
	t.Parallel()
	t.Run("device", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, n network) {
			s := newSetup(t, n)
			front := s.listen()
			served := make(chan error)
			go func() { served <- s.proxy.Serve(plainListener{front}) }()
			conn, err := n.dial(t.Context(), front.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			newPeer(t, conn).wantRest(FIN)
			if err := <-served; err == nil || !strings.Contains(err.Error(), "faults.plain has no CloseWrite") {
				t.Errorf("Serve: %v", err)
			}
		})
	})
	t.Run("broker", func(t *testing.T) {
		t.Parallel()
		inBubble(t, func(t *testing.T, n network) {
			back := n.dial
			n.dial = func(ctx context.Context, address string) (net.Conn, error) {
				conn, err := back(ctx, address)
				return plain{conn}, err
			}
			s := newSetup(t, n)
			conn, err := back(t.Context(), s.address)
			if err != nil {
				t.Fatal(err)
			}
			newPeer(t, conn).wantRest(RST)
			closed := s.lines(ofKind(timeline.KindClose))
			if !strings.Contains(closed[0], "faults.plain has no CloseWrite") {
				t.Errorf("closed by %q", closed)
			}
		})
	})
}

// plain hides all methods but those of net.Conn.
type plain struct{ net.Conn }

type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return plain{conn}, err
}
