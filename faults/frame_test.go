package faults

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// split runs a stream through a splitter, as reads of at most step bytes.
func split(s *splitter, stream []byte, step int) []piece {
	var all []piece
	for len(stream) > 0 {
		room := s.room()
		n := copy(room[:min(step, len(room))], stream)
		stream = stream[n:]
		s.received(n)
		all = slices.AppendSeq(all, s.pieces())
	}
	if p, ok := s.rest(); ok {
		all = append(all, p)
	}
	return all
}

func TestSplitter(t *testing.T) {
	t.Parallel()
	large := append([]byte{0x30, 0xf2, 0xc0, 0x01}, make([]byte, 24690)...)
	for _, test := range []struct {
		name   string
		first  bool
		limit  int
		stream []string // the pieces, put together; a hexadecimal text or raw bytes after "="
		reason string   // of the last piece
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
		{name: "largest length", limit: 1 << 29, stream: []string{"30ffffff7f00"}, reason: "stream ended inside a packet"},
		{name: "above the limit", limit: 10, stream: []string{"30080102030405060708", "300901020304050607080900"},
			reason: "packet of 11 bytes is larger than the 10 that the proxy takes apart"},
		{name: "ends inside a packet", stream: []string{"c000", "300501"}, reason: "stream ended inside a packet"},
		{name: "ends inside a length", stream: []string{"30ff"}, reason: "stream ended inside a packet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var want [][]byte
			for _, text := range test.stream {
				if raw, ok := strings.CutPrefix(text, "= "); ok {
					want = append(want, []byte(raw))
				} else {
					want = append(want, unhex(t, text))
				}
			}
			stream := slices.Concat(want...)
			for _, step := range []int{1, 2, 3, 7, 100, len(stream)} {
				s := &splitter{limit: largestPacket, firstConnect: test.first}
				if test.limit > 0 {
					s.limit = test.limit
				}
				var got [][]byte
				var reason string
				for _, p := range split(s, stream, step) {
					if reason != "" && p.reason == reason { // what follows is relayed as it arrives
						got[len(got)-1] = slices.Concat(got[len(got)-1], p.data)
						continue
					}
					got, reason = append(got, p.data), p.reason
				}
				if reason != test.reason {
					t.Errorf("reads of %d: reason %q, want %q", step, reason, test.reason)
				}
				if !slices.EqualFunc(got, want, bytes.Equal) {
					t.Errorf("reads of %d: got %d pieces % .60x, want %d: % .60x", step, len(got), got, len(want), want)
				}
			}
		})
	}
}

// A packet that says it is large must not cost memory before it is.
func TestSplitterDoesNotAllocateAhead(t *testing.T) {
	t.Parallel()
	s := &splitter{limit: largestPacket}
	split(s, []byte{0x30, 0xff, 0xff, 0xff, 0x0f}, 5)
	if got := len(s.room()); got > chunk {
		t.Errorf("room for %d bytes after 5, want at most %d", got, chunk)
	}
}

func TestSplitterGivesUp(t *testing.T) {
	t.Parallel()
	s := &splitter{limit: largestPacket}
	s.received(copy(s.room(), "\x48\x54TP/1.1"))
	for p := range s.pieces() {
		t.Fatalf("piece %q before the packet is whole", p.data)
	}
	s.giveUp("because")
	got := slices.Collect(s.pieces())
	if len(got) != 1 || string(got[0].data) != "\x48\x54TP/1.1" || got[0].reason != "because" {
		t.Errorf("got %q", got)
	}
}

func FuzzSplitter(f *testing.F) {
	for _, stream := range []string{
		"", "\xc0\x00", string(connectPacket) + "\xc0\x00", "\x30\xff\xff\xff\xff\x01", "\x00", "\x16\x03\x01\x00\x05hello",
		"\x32\x06\x00\x01t\x00\x07x\x40\x02\x00\x07", "\x30\xff\xff\xff\x7fx",
	} {
		f.Add([]byte(stream), 3, true)
		f.Add([]byte(stream), 1, false)
	}
	f.Fuzz(func(t *testing.T, stream []byte, step int, first bool) {
		s := &splitter{limit: 1 << 20, firstConnect: first}
		var together []byte
		raw := false
		for _, p := range split(s, stream, max(1, step%5000)) {
			together = append(together, p.data...)
			if raw && p.reason == "" {
				t.Fatalf("a packet, % x, after the stream was no MQTT", p.data)
			}
			if raw = p.reason != ""; !raw {
				again := &splitter{limit: 1 << 20, buffer: p.data}
				if length, reason := again.packet(); length != len(p.data) || reason != "" {
					t.Fatalf("packet % x reads as %d bytes, %q", p.data, length, reason)
				}
			}
		}
		if !bytes.Equal(together, stream) {
			t.Fatalf("gave out % x for % x", together, stream)
		}
	})
}
