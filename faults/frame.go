package faults

import (
	"encoding/binary"
	"fmt"
)

const (
	// largestPacket bounds what the proxy holds of one packet. A larger one is relayed as it comes, and only some actions
	// can befall it.
	largestPacket = 1 << 20

	// headBytes is how much of a packet larger than that the rules and the record see: fixed header, topic and the like.
	headBytes = 64 << 10

	// lengthBytes is how many bytes a remaining length may take.
	lengthBytes = 4
)

// frame returns the length of the packet that b begins with, 0 where its fixed header is not complete, and the reason
// where no packet can begin so. It reads nothing else of the packet. The first packet of a device must be a CONNECT.
func frame(b []byte, first bool) (length int, reason string) {
	switch kind := PacketType(b[0] >> 4); {
	case kind == 0:
		return 0, fmt.Sprintf("not MQTT: first byte %02x has packet type 0", b[0])
	case first && kind != CONNECT:
		return 0, fmt.Sprintf("not MQTT: first byte %02x does not begin a CONNECT", b[0])
	}
	if len(b) > 1 && b[1] < 0x80 && !first { // most packets
		return 2 + int(b[1]), ""
	}
	remaining, size := binary.Uvarint(b[1:min(len(b), 1+lengthBytes)])
	switch {
	case size == 0 && len(b) > lengthBytes:
		return 0, fmt.Sprintf("not MQTT: remaining length % x goes on after %d bytes", b[1:1+lengthBytes], lengthBytes)
	case size == 0:
		return 0, ""
	case first && b[0] == 0x16 && remaining == 3:
		return 0, "not MQTT: 16 03 begins a TLS handshake"
	case first && remaining >= 2 && len(b) >= 1+size+2 && int(binary.BigEndian.Uint16(b[1+size:]))+2 > int(remaining):
		return 0, "not MQTT: what would be a CONNECT has a protocol name that does not fit it"
	}
	return 1 + size + int(remaining), ""
}
