package faults

import (
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

// arrivals reads packets of the length of publishPacket(id, "x") and tells when each came, since start.
func (p *peer) arrivals(start time.Time, count int) map[byte]time.Duration {
	p.t.Helper()
	at := make(map[byte]time.Duration)
	packet := publishPacket(0, "x")
	for range count {
		n, err := p.Read(packet)
		if err != nil || n != len(packet) {
			p.t.Fatalf("read %d bytes: %v", n, err)
		}
		at[packet[6]] = time.Since(start)
	}
	return at
}

// A delayed packet leaves when its time has come, and what is behind it in its direction waits as long, not longer.
func TestDelayKeepsOrder(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		s.proxy.Add(On(FromDevice(PUBLISH).WithID(1), Delay(10*time.Second)))
		s.proxy.Add(On(FromDevice(PUBLISH).WithID(3), Delay(2*time.Second)))
		s.proxy.Add(On(FromDevice(PUBLISH).WithID(4), Delay(5*time.Second)))
		start := time.Now()
		go func() {
			device.write(publishPacket(1, "x"))
			time.Sleep(time.Second)
			device.write(publishPacket(2, "x"), publishPacket(3, "x"))
			time.Sleep(8 * time.Second)
			device.write(publishPacket(4, "x"))
			time.Sleep(6 * time.Second)
			device.write(publishPacket(5, "x"))
		}()
		got := broker.arrivals(start, 5)
		for id, want := range map[byte]time.Duration{1: 10 * time.Second, 2: 10 * time.Second, 3: 10 * time.Second,
			4: 14 * time.Second, 5: 15 * time.Second} {
			if got[id] != want {
				t.Errorf("packet %d arrived after %s, want %s", id, got[id], want)
			}
		}

		// They are recorded when they left the device, whatever they wait for then.
		for _, e := range FromDevice(PUBLISH).Select(s.rec.Events()) {
			id := byte(e.Packet.ID)
			want := map[byte]time.Duration{1: 0, 2: time.Second, 3: time.Second, 4: 9 * time.Second, 5: 15 * time.Second}[id]
			if e.At != want {
				t.Errorf("packet %d left the device after %s, want %s", id, e.At, want)
			}
		}
	})
}

func TestDelayLeavesTheOtherDirectionAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		s.proxy.Add(On(FromDevice(PUBLISH), Delay(time.Hour/2)))
		start := time.Now()
		device.write(publishPacket(1, "x"))
		broker.write(publishPacket(2, "x"))
		if got := device.arrivals(start, 1)[2]; got != 0 {
			t.Errorf("arrived after %s, want at once", got)
		}
		if got := broker.arrivals(start, 1)[1]; got != time.Hour/2 {
			t.Errorf("arrived after %s, want half an hour", got)
		}
	})
}

// The end of a stream does not overtake what is delayed, but the record knows at once.
func TestDelayAndTheEndOfTheStream(t *testing.T) {
	t.Parallel()
	for _, how := range []Ending{FIN, RST} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				s.proxy.Add(On(FromDevice(PUBLISH), Delay(10*time.Second)))
				start := time.Now()
				device.write(publishPacket(1, "x"))
				time.Sleep(time.Second)
				if how == FIN {
					device.fin()
				} else {
					device.rst()
				}
				broker.wantRest(how, publishPacket(1, "x"))
				if got := time.Since(start); got != 10*time.Second {
					t.Errorf("ended after %s, want 10s", got)
				}
				for _, e := range s.rec.Events() {
					if e.Kind == timeline.KindClose && e.Point == timeline.LeftDevice && e.At != time.Second {
						t.Errorf("%s was recorded after %s, want 1s", e.Text, e.At)
					}
				}
			})
		})
	}
}

// A cut behind a delayed packet waits for its turn; a packet behind the cut is in the record and nowhere else.
func TestDelayAndCut(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		s.proxy.Add(On(FromDevice(PUBLISH).WithID(1), Delay(10*time.Second)))
		armed := s.proxy.Add(On(FromDevice(PUBLISH).From(2), Cut(After, RST)).Times(2))
		start := time.Now()
		device.write(publishPacket(1, "x"), publishPacket(2, "x"), publishPacket(3, "x"))
		broker.wantRest(RST, publishPacket(1, "x"), publishPacket(2, "x"))
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("cut after %s, want 10s", got)
		}
		if armed.Fired() != 1 {
			t.Errorf("fired %d times on one connection, want 1", armed.Fired())
		}
		if got := len(FromDevice(PUBLISH).Select(s.rec.Events())); got != 3 {
			t.Errorf("%d packets left the device, want 3", got)
		}
	})
}

// What is held back when the bench ends the connection is lost, in the record as on the wire.
func TestDisconnectDuringDelay(t *testing.T) {
	t.Parallel()
	for _, how := range []Ending{FIN, RST} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				s.proxy.Add(On(FromDevice(PUBLISH), Delay(10*time.Second)))
				start := time.Now()
				device.write(publishPacket(1, "x"), publishPacket(2, "x"))
				synctest.Wait()
				s.proxy.Disconnect(how)
				broker.wantRest(how)
				device.wantRest(how)
				if got := time.Since(start); got != 0 {
					t.Errorf("ended after %s, want at once", got)
				}
				way{direction: DeviceToBroker}.wantExits(s)
			})
		})
	}
}

// While the device's RST waits behind a delayed packet, nothing reaches the device any more.
func TestNothingReachesADeviceThatIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		s.proxy.Add(On(FromDevice(PUBLISH), Delay(10*time.Second)))
		device.write(publishPacket(1, "x"))
		synctest.Wait()
		device.rst()
		synctest.Wait()
		broker.write(publishPacket(2, "x"))
		broker.wantRest(RST, publishPacket(1, "x"))
		way{direction: BrokerToDevice}.wantExits(s)
		s.waitFor("arrival from the broker", func(e timeline.Event) bool {
			return e.Point == timeline.LeftBroker && e.Packet != nil && e.Packet.ID == 2
		})
	})
}

// What is held back must not outlive the proxy.
func TestCloseDuringDelay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		s.proxy.Add(On(FromDevice(PUBLISH), Delay(time.Hour)))
		start := time.Now()
		device.write(publishPacket(1, "x"))
		synctest.Wait()
		s.proxy.Close()
		broker.wantRest(RST)
		device.wantRest(RST)
		if got := time.Since(start); got != 0 {
			t.Errorf("Close took %s", got)
		}
	})
}
