package faults

import (
	"testing"
	"testing/synctest"
	"time"
)

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
