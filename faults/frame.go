package faults

import (
	"encoding/binary"
	"fmt"
	"iter"
)

const (
	// largestPacket bounds what the proxy holds of one packet. A packet that says it is larger is relayed as raw bytes.
	largestPacket = 64 << 20

	// lengthBytes is how many bytes a remaining length may take.
	lengthBytes = 4

	// chunk is the size of a splitter's buffer as long as no packet needs a larger one.
	chunk = 16 << 10
)

// piece is what a splitter gives out: one whole MQTT control packet, or bytes that are none and the reason why.
type piece struct {
	data   []byte
	reason string // empty for a packet
}

// splitter cuts one direction's byte stream into MQTT control packets by their fixed headers and decodes nothing else.
// What it gives out is, put together, exactly what it was given: where the stream turns out not to be MQTT, all bytes
// from that packet on come out untouched, as they arrive.
//
// To use it, read into room, tell received how much that was, take the pieces, and take rest when the stream has ended.
type splitter struct {
	limit        int  // bytes of the largest packet
	firstConnect bool // the next packet must be a CONNECT

	// buffer holds what has arrived and was not given out. A piece is a part of the buffer's memory, not a copy: no byte
	// of it is ever written again, a buffer that is full is replaced instead.
	buffer []byte
	reason string // why the stream is not MQTT; empty as long as it is
}

// room returns memory for the next bytes to arrive. It grows with the bytes that have arrived, whatever length a
// packet claims to have.
func (s *splitter) room() []byte {
	if cap(s.buffer)-len(s.buffer) < chunk/4 {
		s.buffer = append(make([]byte, 0, max(chunk, 2*len(s.buffer))), s.buffer...)
	}
	return s.buffer[len(s.buffer):cap(s.buffer)]
}

// received says that the first n bytes of room are filled.
func (s *splitter) received(n int) {
	s.buffer = s.buffer[:len(s.buffer)+n]
}

// pieces gives out everything that is complete.
func (s *splitter) pieces() iter.Seq[piece] {
	return func(yield func(piece) bool) {
		for s.reason == "" {
			n, reason := s.packet()
			if reason != "" {
				s.reason = reason
				break
			}
			if n == 0 || n > len(s.buffer) {
				return
			}
			s.firstConnect = false
			if !yield(piece{data: s.take(n)}) {
				return
			}
		}
		if len(s.buffer) > 0 {
			yield(piece{s.take(len(s.buffer)), s.reason})
		}
	}
}

// rest gives out what the stream left incomplete when it ended.
func (s *splitter) rest() (piece, bool) {
	n := len(s.buffer)
	return piece{s.take(n), "stream ended inside a packet"}, n > 0
}

// giveUp declares that the stream is not MQTT from here on.
func (s *splitter) giveUp(reason string) {
	if s.reason == "" {
		s.reason = reason
	}
}

// packet returns the length of the packet that the buffer begins with, 0 where its header is not complete, and the
// reason where no packet can begin so.
func (s *splitter) packet() (length int, reason string) {
	b := s.buffer
	if len(b) == 0 {
		return 0, ""
	}
	switch kind := PacketType(b[0] >> 4); {
	case kind == 0:
		return 0, fmt.Sprintf("not MQTT: first byte %02x has packet type 0", b[0])
	case s.firstConnect && kind != CONNECT:
		return 0, fmt.Sprintf("not MQTT: first byte %02x does not begin a CONNECT", b[0])
	}
	remaining, size := binary.Uvarint(b[1:min(len(b), 1+lengthBytes)])
	switch {
	case size == 0 && len(b) > lengthBytes:
		return 0, fmt.Sprintf("not MQTT: remaining length % x goes on after %d bytes", b[1:1+lengthBytes], lengthBytes)
	case size == 0:
		return 0, ""
	case s.firstConnect && b[0] == 0x16 && remaining == 3:
		return 0, "not MQTT: 16 03 begins a TLS handshake"
	}
	length = 1 + size + int(remaining)
	if length > s.limit {
		return 0, fmt.Sprintf("packet of %d bytes is larger than the %d that the proxy takes apart", length, s.limit)
	}
	return length, ""
}

func (s *splitter) take(n int) []byte {
	taken := s.buffer[:n:n]
	s.buffer = s.buffer[n:]
	return taken
}
