package faults

import (
	"testing"
	"testing/synctest"

	"mqtthil/harness/timeline"
)

// A connection of which the proxy has ended one direction is over when the peers have ended the rest, in whatever order.
func TestHalfCloseIsOverWhenThePeersAre(t *testing.T) {
	t.Parallel()
	halfClose := map[string]func(s *setup, device, broker *peer){
		"rule from the device": func(s *setup, device, _ *peer) {
			s.proxy.Add(On(FromDevice(PINGREQ), Cut(Before, HalfClose)))
			device.write([]byte{0xc0, 0})
		},
		"rule to the device": func(s *setup, _, broker *peer) {
			s.proxy.Add(On(ToDevice(PINGRESP), Cut(Before, HalfClose)))
			broker.write([]byte{0xd0, 0})
		},
		"bench": func(s *setup, _, _ *peer) { s.proxy.Disconnect(HalfClose) },
	}
	ends := map[string]struct {
		end   func(device, broker *peer)
		reset bool
	}{
		"device, broker": {end: func(device, broker *peer) { device.fin(); synctest.Wait(); broker.fin() }},
		"broker, device": {end: func(device, broker *peer) { broker.fin(); synctest.Wait(); device.fin() }},
		"device resets":  {end: func(device, _ *peer) { device.rst() }, reset: true},
		"broker resets":  {end: func(_, broker *peer) { broker.rst() }, reset: true},
	}
	for name, half := range halfClose {
		for order, test := range ends {
			t.Run(name+"/"+order, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, n network) {
					s := newSetup(t, n)
					device, broker := s.connectMQTT()
					half(s, device, broker)
					synctest.Wait()
					if s.proxy.Connections() != 1 {
						t.Fatal("half a close was a whole one")
					}
					test.end(device, broker)
					synctest.Wait()
					if got := s.proxy.Connections(); got != 0 {
						t.Errorf("%d connections when both peers have gone, want 0:\n%s", got, s.record())
					}
					if test.reset {
						reset := s.lines(func(e timeline.Event) bool { return e.Kind == timeline.KindClose && e.Text == "rst" })
						if len(reset) != 2 {
							t.Errorf("RST of one side is recorded as %q, want both sides", reset)
						}
					}
				})
			})
		}
	}
}

// In a silence neither side learns that the other has gone, however it went.
func TestSilenceHidesTheEnd(t *testing.T) {
	t.Parallel()
	for _, how := range []Ending{FIN, RST} {
		for _, fromDevice := range []bool{true, false} {
			for _, cutFromDevice := range []bool{true, false} {
				inBubble(t, func(t *testing.T, n network) {
					s := newSetup(t, n)
					device, broker := s.connectMQTT()
					if cutFromDevice {
						s.proxy.Add(On(FromDevice(PINGREQ), Cut(Before, Silence)))
						device.write([]byte{0xc0, 0})
					} else {
						s.proxy.Add(On(ToDevice(PINGRESP), Cut(Before, Silence)))
						broker.write([]byte{0xd0, 0})
					}
					synctest.Wait()
					gone, left := device, broker
					if !fromDevice {
						gone, left = broker, device
					}
					if how == FIN {
						gone.fin()
					} else {
						gone.rst()
					}
					synctest.Wait()
					left.wantSilence()
					left.fin()
					synctest.Wait()
					if s.proxy.Connections() != 0 {
						t.Error("the connection is still there when both peers have gone")
					}
				})
			}
		}
	}
}
