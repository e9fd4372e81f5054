package faults

import (
	"strings"
	"testing"
)

// TestClientOfConnect: the identifier in CONNECT is that of the connection.
func TestClientOfConnect(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		armed := s.proxy.Add(On(FromDevice(PUBLISH).OfClient("du*"), Drop()))
		device, broker := s.connectMQTT()
		device.write(publishPacket(1, "lost"), []byte("\xc0\x00"))
		broker.wantBytes([]byte("\xc0\x00"))
		if got := s.proxy.List()[0].Client; got != "dut" || armed.Fired() != 1 {
			t.Errorf("client %q, fired %d times", got, armed.Fired())
		}
	})
}

// TestOneType: a rule file may name a type alone.
func TestOneType(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{on: {to: device, type: PUBACK}, do: [drop]}`:           "on every PUBACK to the device: drop",
		`{on: {to: device, type: [puback, PUBREC]}, do: [drop]}`: "on every PUBACK or PUBREC to the device: drop",
	} {
		if r, err := ParseRule([]byte(text)); err != nil || r.String() != want {
			t.Errorf("%s: %v, %v", text, r, err)
		}
	}
	for _, text := range []string{`{on: {to: device, type: PUBICK}, do: [drop]}`, `{on: {to: device, type: [PUBICK]}, do: [drop]}`} {
		if _, err := ParseRule([]byte(text)); err == nil || !strings.Contains(err.Error(), `"PUBICK" is no packet type`) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
