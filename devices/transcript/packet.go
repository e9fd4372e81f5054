package transcript

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// typeNames are the packet types by their number.
var typeNames = [...]string{"TYPE0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
	"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}

// received is a packet from the device.
type received struct {
	kind string
	head []byte // fixed header
	body []byte
}

// bodyLimit bounds a packet's body, in bytes; a device that announces more is not worth listening to.
const bodyLimit = 8 << 20

// readPacket reads a packet. The pieces that it asks for are those that the broker of the recordings asked for: each is
// one call of Read where the bytes are there.
func readPacket(r io.Reader) (received, error) {
	head := make([]byte, 1, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return received{}, err
	}
	length := 0
	for shift := 0; shift <= 28; shift += 7 {
		var digit [1]byte
		if _, err := io.ReadFull(r, digit[:]); err != nil {
			return received{}, err
		}
		head = append(head, digit[0])
		length |= int(digit[0]&0x7f) << shift
		if digit[0] < 0x80 {
			break
		}
	}
	if length > bodyLimit {
		return received{}, fmt.Errorf("a packet of %d bytes", length)
	}
	p := received{kind: typeNames[head[0]>>4], head: head, body: make([]byte, length)}
	_, err := io.ReadFull(r, p.body)
	return p, err
}

// id is the packet identifier, 0 where the packet has none.
func (p received) id() uint16 {
	body := p.body
	switch p.kind {
	case "PUBLISH":
		if p.head[0]&6 == 0 || len(body) < 2 {
			return 0
		}
		body = body[min(len(body), 2+int(binary.BigEndian.Uint16(body))):]
	case "PUBREC", "PUBREL", "PUBACK", "PUBCOMP", "SUBSCRIBE", "UNSUBSCRIBE":
	default:
		return 0
	}
	if len(body) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(body)
}

// version is the protocol version that a CONNECT asks for.
func (p received) version() byte {
	if len(p.body) < 2 {
		return 0
	}
	i := 2 + int(binary.BigEndian.Uint16(p.body))
	if i >= len(p.body) {
		return 0
	}
	return p.body[i]
}

// defaultReply is what a broker without rules answers; it is empty where it says nothing.
func (p received) defaultReply(version byte) []byte {
	v5 := version == 5
	id := binary.BigEndian.AppendUint16(nil, p.id())
	switch p.kind {
	case "CONNECT":
		if v5 {
			return []byte{0x20, 3, 0, 0, 0}
		}
		return []byte{0x20, 2, 0, 0}
	case "PUBLISH":
		switch p.head[0] & 6 {
		case 2:
			return append([]byte{0x40, 2}, id...)
		case 4:
			return append([]byte{0x50, 2}, id...)
		}
	case "PUBREC":
		return append([]byte{0x62, 2}, id...)
	case "PUBREL":
		return append([]byte{0x70, 2}, id...)
	case "SUBSCRIBE":
		body := id
		if v5 {
			body = append(body, 0)
		}
		return packet(0x90, append(body, p.grants(v5)...))
	case "UNSUBSCRIBE":
		body := id
		if v5 {
			body = append(append(body, 0), p.grants(v5)...)
		}
		return packet(0xb0, body)
	case "PINGREQ":
		return []byte{0xd0, 0}
	}
	return nil
}

// grants are the codes for the filters of a SUBSCRIBE, as asked, or of an UNSUBSCRIBE.
func (p received) grants(v5 bool) (codes []byte) {
	i := 2
	if v5 && len(p.body) > 2 {
		i += 1 + int(p.body[2])
	}
	for i+2 <= len(p.body) {
		i += 2 + int(binary.BigEndian.Uint16(p.body[i:]))
		if p.kind == "UNSUBSCRIBE" {
			codes = append(codes, 0)
			continue
		}
		if i >= len(p.body) {
			break
		}
		codes = append(codes, p.body[i]&3)
		i++
	}
	return codes
}

// bytes is the PUBLISH on the wire.
func (p *Publish) bytes(version byte) ([]byte, error) {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(p.Topic)))
	body = append(body, p.Topic...)
	if p.QoS > 0 {
		body = binary.BigEndian.AppendUint16(body, p.ID)
	}
	if version == 5 {
		properties, err := hex.DecodeString(p.Properties)
		if err != nil {
			return nil, fmt.Errorf("properties of a PUBLISH: %w", err)
		}
		body = append(appendLength(body, len(properties)), properties...)
	}
	return packet(0x30|p.DUP<<3|p.QoS<<1|p.Retain, append(body, p.Payload...)), nil
}

func packet(first byte, body []byte) []byte {
	return append(appendLength([]byte{first}, len(body)), body...)
}

func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}
