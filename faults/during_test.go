package faults

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

// TestConnectionWithinDown: the link comes back for connections that were made while it was away.
func TestConnectionWithinDown(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.proxy.Impose(Down().During(0, 3*time.Second))
		start := time.Now()
		s.connectMQTT()
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("a connection that is made while the link is down reaches the broker after %s, want 3s", took)
		}
	})
}

// TestPacketsOfOneRead: packets that came together and that a condition keeps apart are in the record when they arrive.
func TestPacketsOfOneRead(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		packet := publishPacket(1, "0123456789")
		s.proxy.Impose(Bandwidth(len(packet)).Toward(DeviceToBroker))
		start := time.Now()
		device.write(packet, packet, packet, packet[:5])
		device.fin()
		broker.wantRest(FIN, packet, packet, packet, packet[:5])
		var at []time.Duration
		for _, e := range s.rec.Events() {
			if e.Kind == timeline.KindPacket && e.Point == timeline.ReachedBroker && e.Packet.ID == 1 {
				at = append(at, e.At.Round(time.Second))
			}
		}
		if want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("after %s the record has the packets arrive at %v, want %v", time.Since(start), at, want)
		}
	})
}

// TestConditionsHoldForRST: the end of a connection travels as everything else does.
func TestConditionsHoldForRST(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		condition Condition
		after     time.Duration
	}{
		{Latency(Spread{By: Duration(10 * time.Second)}), 10 * time.Second},
		{Down().During(0, time.Minute), time.Minute},
		{Blackhole(0).During(0, time.Hour), 0},
	} {
		inBubble(t, func(t *testing.T, n network) {
			s := newSetup(t, n)
			device, broker := s.connectMQTT()
			s.proxy.Impose(test.condition)
			start := time.Now()
			device.rst()
			_ = broker.SetReadDeadline(start.Add(30 * time.Minute))
			_, err := broker.Read(make([]byte, 1))
			switch took := time.Since(start); {
			case test.after == 0 && !errors.Is(err, os.ErrDeadlineExceeded):
				t.Errorf("%s: the broker reads %v, want nothing", test.condition, err)
			case test.after > 0 && (!errors.Is(err, syscall.ECONNRESET) || took != test.after):
				t.Errorf("%s: after %s the broker reads %v, want RST after %s", test.condition, took, err, test.after)
			}
		})
	}
}

// TestConditionDuring: a condition with a span of time comes and goes by itself, for connections old and new.
func TestConditionDuring(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.proxy.Impose(Down().During(time.Second, 3*time.Second))
		s.proxy.Impose(Refuse().During(4*time.Second, 5*time.Second))
		device, broker := s.connectMQTT()
		start := time.Now()
		took := func() time.Duration {
			device.write(publishPacket(1, "x"))
			broker.wantBytes(publishPacket(1, "x"))
			return time.Since(start)
		}
		if got := took(); got != 0 {
			t.Errorf("before its time, the condition delays by %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := took(); got != 3*time.Second {
			t.Errorf("a packet of the time without a link arrives after %s, want 3s", got)
		}
		if got := took(); got != 3*time.Second {
			t.Errorf("a packet after that arrives after %s, want 3s", got)
		}
		time.Sleep(1500 * time.Millisecond)
		if conn, err := n.dial(t.Context(), s.address); err == nil {
			conn.Close()
			t.Error("the proxy still listens")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		s.connectMQTT()
	})
}
