package faults

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"mqtthil/harness/timeline"
)

// relayed sends a stream through a proxy in writes of at most step bytes, as the device or as the broker, and returns what
// the record says came in: lengths of packets, and at the end bytes that are none, as a negative number. The peer must get
// the stream as it was.
func relayed(t *testing.T, stream []byte, step int, fromDevice bool) (lengths []int, reason string) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, simulated())
		device, broker := s.connect()
		sender, receiver, at := device, broker, timeline.LeftDevice
		if !fromDevice {
			device.write(connectPacket)
			broker.wantBytes(connectPacket)
			sender, receiver, at = broker, device, timeline.LeftBroker
		}
		go func() {
			for part := range slices.Chunk(stream, step) {
				sender.write(part)
			}
			sender.fin()
		}()
		if got, err := io.ReadAll(receiver); err != nil || !bytes.Equal(got, stream) {
			t.Fatalf("got %d bytes and %v, want the %d that were sent", len(got), err, len(stream))
		}
		raw := 0
		for _, e := range s.rec.Events() {
			switch {
			case e.Point != at:
			case e.Kind == timeline.KindPacket && raw > 0:
				t.Fatalf("a packet, %s, after the stream was no MQTT", e.Packet)
			case e.Kind == timeline.KindPacket:
				lengths = append(lengths, e.Packet.Length)
			case e.Kind == timeline.KindRaw:
				raw += len(e.Data)
				reason = e.Text
			}
		}
		if raw > 0 {
			lengths = append(lengths, -raw)
		}
	})
	return lengths, reason
}

func TestFrames(t *testing.T) {
	t.Parallel()
	large := append([]byte{0x30, 0xf2, 0xc0, 0x01}, make([]byte, 24690)...)
	for _, test := range []struct {
		name   string
		first  bool
		stream []string // the packets, and what is none; a hexadecimal text or raw bytes after "="
		reason string   // of the last, which is no packet
	}{
		{name: "packets of all lengths of the length", stream: []string{"c000", "= \x30\x7f" + strings.Repeat("x", 127),
			"= \x30\x80\x01" + strings.Repeat("x", 128), "= " + string(large), "d000"}},
		{name: "length in more bytes than it needs", stream: []string{"c0808000", "e000"}},
		{name: "wrong flags are somebody else's business", stream: []string{"cf00", "3e00"}},
		{name: "CONNECT first", first: true, stream: []string{"1000", "c000"}},
		{name: "no CONNECT first", first: true, stream: []string{"c000c000"},
			reason: "not MQTT: first byte c0 does not begin a CONNECT"},
		{name: "web browser", first: true, stream: []string{"= GET / HTTP/1.1\r\n\r\n"},
			reason: "not MQTT: first byte 47 does not begin a CONNECT"},
		{name: "TLS", first: true, stream: []string{"16030100050100000103"},
			reason: "not MQTT: 16 03 begins a TLS handshake"},
		{name: "type 0", stream: []string{"c000", "0000c000"}, reason: "not MQTT: first byte 00 has packet type 0"},
		{name: "length of five bytes", stream: []string{"c000", "30ffffffff01c000"},
			reason: "not MQTT: remaining length ff ff ff ff goes on after 4 bytes"},
		{name: "largest length", stream: []string{"30ffffff7f00"}, reason: "stream ended inside a packet"},
		{name: "something else that looks like a CONNECT", first: true, stream: []string{"= \x10\x40hello, not mqtt"},
			reason: "not MQTT: what would be a CONNECT has a protocol name that does not fit it"},
		{name: "ends inside a packet", stream: []string{"c000", "300501"}, reason: "stream ended inside a packet"},
		{name: "ends inside a length", stream: []string{"30ff"}, reason: "stream ended inside a packet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var parts [][]byte
			var want []int
			for i, text := range test.stream {
				part := []byte(strings.TrimPrefix(text, "= "))
				if !strings.HasPrefix(text, "= ") {
					part = unhex(t, text)
				}
				parts = append(parts, part)
				if want = append(want, len(part)); i == len(test.stream)-1 && test.reason != "" {
					want[i] = -len(part)
				}
			}
			stream := slices.Concat(parts...)
			for _, step := range []int{1, 2, 3, 7, 100, len(stream)} {
				if len(stream) > 1000 && step < 7 {
					continue
				}
				got, reason := relayed(t, stream, step, test.first)
				if !slices.Equal(got, want) || reason != test.reason {
					t.Errorf("writes of %d: got %v, %q, want %v, %q", step, got, reason, want, test.reason)
				}
			}
		})
	}
}

// FuzzRelay sends anything in any pieces: it must arrive as it was, and be cut into packets as their headers say.
func FuzzRelay(f *testing.F) {
	for _, stream := range []string{
		"", "\xc0\x00", string(connectPacket) + "\xc0\x00", "\x30\xff\xff\xff\xff\x01", "\x00", "\x16\x03\x01\x00\x05hello",
		"\x32\x06\x00\x01t\x00\x07x\x40\x02\x00\x07", "\x30\xff\xff\xff\x7fx",
	} {
		f.Add([]byte(stream), 3, true)
		f.Add([]byte(stream), 1, false)
	}
	f.Fuzz(func(t *testing.T, stream []byte, step int, fromDevice bool) {
		if len(stream) > 10_000 {
			return
		}
		lengths, _ := relayed(t, stream, max(1, step%5000), fromDevice)
		at, first := 0, fromDevice
		for _, n := range lengths {
			if n < 0 {
				break
			}
			if length, reason := frame(stream[at:], first); length != n || reason != "" {
				t.Fatalf("packet of %d bytes at %d reads as %d bytes, %q", n, at, length, reason)
			}
			at, first = at+n, false
		}
	})
}
