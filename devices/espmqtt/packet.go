package espmqtt

import "encoding/binary"

// Types of MQTT control packets.
const (
	typeConnect     = 1
	typeConnack     = 2
	typePublish     = 3
	typePuback      = 4
	typePubrec      = 5
	typePubrel      = 6
	typePubcomp     = 7
	typeSubscribe   = 8
	typeSuback      = 9
	typeUnsubscribe = 10
	typeUnsuback    = 11
	typePingreq     = 12
	typePingresp    = 13
	typeDisconnect  = 14
)

// headerRoom is what the client keeps free for the fixed header at the front of its output buffer (ESP-PUB-04).
const headerRoom = 5

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// appendLength appends a remaining length.
func appendLength(b []byte, n int) []byte {
	for {
		digit := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(b, digit)
		}
		b = append(b, digit|0x80)
	}
}

// packet puts a fixed header before a body.
func packet(first byte, body []byte) []byte {
	return append(appendLength([]byte{first}, len(body)), body...)
}

// acknowledgement is a packet of nothing but an identifier: PUBACK, PUBREC, PUBREL, PUBCOMP.
func acknowledgement(first byte, id uint16) []byte {
	return []byte{first, 2, byte(id >> 8), byte(id)}
}

// connectPacket builds CONNECT (ESP-CONN-01 … 06). It is nil where the packet does not fit the output buffer.
func (c *client) connectPacket() []byte {
	s := &c.settings
	var body []byte
	if s.protocol == ProtocolV31 {
		body = append(appendString(nil, "MQIsdp"), 3)
	} else {
		body = append(appendString(nil, "MQTT"), 4)
	}
	username, password := s.username, s.password
	if c.has(CredentialsSwapped) {
		username, password = password, username
	}
	var flags byte
	if s.cleanSession || c.has(ConnectCleanAlways) {
		flags |= 0x02
	}
	withWill := s.will.Topic != "" && !c.has(WillNotSent) && (c.connects == 0 || !c.has(WillOnlyOnFirstConnect))
	if withWill {
		flags |= 0x04 | byte(s.will.QoS&3)<<3 | byte(s.will.Retain&1)<<5
		if c.has(WillQoSZero) {
			flags &^= 0x18
		}
		if c.has(WillRetainLost) {
			flags &^= 0x20
		}
	}
	if username != "" || password != "" {
		flags |= 0x80 // a password without a user name brings an empty user name with it
	}
	if password != "" {
		flags |= 0x40
	}
	keepAlive := s.keepAlive
	if c.has(ConnectWrongKeepAlive) {
		keepAlive *= 2
	}
	body = append(body, flags)
	body = binary.BigEndian.AppendUint16(body, uint16(keepAlive)) // the low 16 bits only (ESP-CFG-28)
	body = appendString(body, s.clientID)
	if withWill {
		body = appendString(body, s.will.Topic)
		body = appendString(body, string(s.willMessage))
	}
	if flags&0x80 != 0 {
		body = appendString(body, username)
	}
	if flags&0x40 != 0 {
		body = appendString(body, password)
	}
	if headerRoom+len(body) > s.outSize {
		return nil
	}
	return packet(typeConnect<<4, body)
}

// nextID takes a packet identifier (ESP-PID-01, ESP-PID-02). Whether it is in use is not looked at.
func (c *client) nextID() uint16 {
	if c.has(PacketIDZero) {
		return 0
	}
	if c.kconfig.MessageIDIncremental {
		c.lastID++
		if c.lastID == 0 {
			c.lastID = 1
		}
		return c.lastID
	}
	for {
		if id := uint16(c.environment.Random.Uint32() % 65535); id != 0 {
			return id
		}
	}
}
