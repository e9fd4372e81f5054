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

// appendLength appends a remaining length, or another variable byte integer.
func appendLength(b []byte, n int) []byte {
	for {
		digit := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(b, digit)
		}
		b = append(b, digit|0x80)
	}
}

// packet builds a packet: a fixed header before a body.
func (c *client) packet(first byte, body []byte) []byte {
	data := appendLength([]byte{first}, len(body))
	c.unsent -= headerRoom - len(data)
	return append(data, body...)
}

// reason is a reason code and no properties, which MQTT 5.0 adds to an acknowledgement; it is nothing before that.
func (c *client) reason(code byte) []byte {
	if !c.isV5() || c.has(ShortAcknowledgement) {
		return nil
	}
	return []byte{code, 0}
}

// acknowledgement is PUBACK, PUBREC, PUBREL or PUBCOMP, in MQTT 5.0 with a reason code, which is 0 (ESP-RX-20) but for a
// client without quirks. Identifier 0, which nothing may have, stands for one that is yet to be taken: what is acknowledged
// with it gets an answer with another one. It is nil where the output buffer has no room for it.
func (c *client) acknowledgement(first byte, id uint16, reason byte) []byte {
	if id == 0 {
		id = c.nextID()
	}
	body := append(binary.BigEndian.AppendUint16(nil, id), c.reason(reason)...)
	if headerRoom+len(body) > c.settings.outSize {
		c.log('E', "Publish response message %s cannot be created", answerNames[first>>4])
		return nil
	}
	return c.packet(first, body)
}

// answerNames are the names of acknowledgements in log lines.
var answerNames = map[byte]string{
	typePuback: "PUBACK or PUBREC", typePubrec: "PUBACK or PUBREC", typePubrel: "PUBREL", typePubcomp: "PUBCOMP",
}

// connectPacket builds CONNECT (ESP-CONN-01 … 10). It is nil where the packet does not fit the output buffer.
func (c *client) connectPacket() []byte {
	s := &c.settings
	var body []byte
	switch s.protocol {
	case ProtocolV31:
		body = append(appendString(nil, "MQIsdp"), 3)
	case ProtocolV5:
		body = append(appendString(nil, "MQTT"), 5)
	default:
		body = append(appendString(nil, "MQTT"), 4)
	}
	if c.has(WrongProtocolLevel) {
		body[len(body)-1]--
	}
	username, password := s.username, s.password
	if c.has(CredentialsSwapped) {
		username, password = password, username
	}
	var flags byte
	if s.cleanSession || c.has(ConnectCleanAlways) {
		flags |= 0x02
	}
	withWill := s.willTopic != "" && !c.has(WillNotSent) && (c.connects == 0 || !c.has(WillOnlyOnFirstConnect))
	if withWill {
		flags |= 0x04
		if !c.has(WillQoSZero) {
			flags |= byte(s.willQoS&3) << 3
		}
		if s.willRetain && !c.has(WillRetainLost) {
			flags |= 0x20
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
	if c.isV5() {
		property := c.v5.connect
		if c.has(SessionExpiryLost) {
			property.SessionExpiryInterval = 0
		}
		if c.has(ReceiveMaximumNotSent) {
			property.ReceiveMaximum = 0
		}
		body = appendProperties(body, property.connectProperties())
	}
	body = appendString(body, s.clientID)
	if withWill {
		if c.isV5() {
			body = appendProperties(body, c.v5.connect.willProperties())
		}
		body = appendString(body, s.willTopic)
		message := string(s.willMessage)
		if c.has(WillPayloadCut) {
			message = message[:len(message)/2]
		}
		body = appendString(body, message)
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
	return c.packet(typeConnect<<4, body)
}

// sendDisconnect sends DISCONNECT. That it fails is reported, and otherwise no matter.
func (c *client) sendDisconnect() {
	var body []byte
	if c.isV5() {
		if c.unprepared() {
			return
		}
		if body = c.v5.disconnect.body(); c.has(DisconnectWithoutReason) {
			body = nil
		}
		if headerRoom+len(body) > c.settings.outSize {
			c.log('E', "Disconnect message cannot be created")
			return
		}
		c.v5.disconnect = DisconnectProperty{}
	}
	if err := c.send(c.packet(typeDisconnect<<4, body)); err != nil {
		c.writeFailed(err)
		c.log('E', "Error sending disconnect message")
	}
}

// nextID takes a packet identifier. Whether it is in use is not looked at.
func (c *client) nextID() uint16 {
	switch {
	case c.has(PacketIDZero):
		return 0
	case c.has(SamePacketID):
		return 1
	}
	id := c.anyID()
	for !c.does(QuirkIDReuse) && c.outbox.get(id) != nil && !c.outbox.full() {
		id = c.anyID()
	}
	return id
}

// anyID counts, or takes its chance (ESP-PID-01, ESP-PID-02).
func (c *client) anyID() uint16 {
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
