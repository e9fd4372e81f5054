package faults

import (
	"bytes"
	"testing"
	"time"
)

// TestSwallow: bytes do not arrive, the other direction goes on, and FIN arrives.
func TestSwallow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		swallows := s.proxy.Impose(Swallow(0, "").Toward(DeviceToBroker))
		device.write(publishPacket(1, "lost"))
		broker.write(publishPacket(2, "other way"))
		device.wantBytes(publishPacket(2, "other way"))
		device.fin()
		broker.wantRest(FIN)
		if got := swallows.EndConnections(RST); got != 1 {
			t.Errorf("%d connections ended", got)
		}
		device.wantRest(RST)
	})
}

// TestSwallowEnds ends idle connections in time, and only those that have met the condition.
func TestSwallowEnds(t *testing.T) {
	t.Parallel()
	for _, how := range []Ending{FIN, RST} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				none := s.proxy.Impose(Swallow(0, how).ForShare(0))
				s.proxy.Impose(Swallow(3*time.Second, how).Toward(BrokerToDevice))
				began := time.Now()
				device.wantRest(how)
				broker.wantRest(how)
				if took := time.Since(began); took != 3*time.Second {
					t.Errorf("ended after %s", took)
				}
				if got := none.EndConnections(FIN); got != 0 {
					t.Errorf("%d connections are said to have met what none has", got)
				}
			})
		})
	}
}

func TestSwallowInFiles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`swallow`:                            "swallow all bytes",
		`{swallow: {after: 2s, then: rst}}`:  "swallow all bytes, end with RST after 2s",
		`{swallow: {after: 2s}}`:             "",
		`{swallow: {then: silence}}`:         "",
		`{swallow: {after: -1s, then: fin}}`: "",
	} {
		c, err := ParseCondition([]byte(text))
		if (err == nil) != (want != "") || err == nil && c.String() != want {
			t.Errorf("%s: %v, %v", text, c, err)
		}
	}
}

// TestLimitReplaced: what one limit has let pass counts for the next one.
func TestLimitReplaced(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connect()
		limit := s.proxy.Impose(Limit(100).Toward(DeviceToBroker))
		device.write(bytes.Repeat([]byte{0xff}, 60))
		broker.wantBytes(bytes.Repeat([]byte{0xff}, 60))
		limit.Replace(Limit(70).Toward(DeviceToBroker))
		device.write(bytes.Repeat([]byte{0xee}, 60))
		broker.wantRest(FIN, bytes.Repeat([]byte{0xee}, 10))
	})
}

// TestLimitCountsOnce: bytes that are on their way when conditions change are not counted twice.
func TestLimitCountsOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connect()
		s.proxy.Impose(Limit(100).Toward(DeviceToBroker))
		s.proxy.Impose(Latency(Spread{By: Duration(10 * time.Second)}))
		for range 3 {
			device.write(bytes.Repeat([]byte{0xff}, 40))
			time.Sleep(time.Second)
			s.proxy.Impose(Latency(Spread{})) // the bytes are carried again
		}
		broker.wantRest(FIN, bytes.Repeat([]byte{0xff}, 100))
	})
}
