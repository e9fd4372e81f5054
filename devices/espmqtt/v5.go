package espmqtt

import "encoding/binary"

// v5 is what the client keeps for MQTT 5.0, beyond connections and restarts of its task.
type v5 struct {
	connect     connectProperty
	publish     *PublishProperty     // for the next PUBLISH that is built
	subscribe   *SubscribeProperty   // for the next SUBSCRIBE that is built
	unsubscribe *UnsubscribeProperty // for the next UNSUBSCRIBE that is built
	disconnect  DisconnectProperty   // for the next DISCONNECT
	server      serverProperties
	aliases     map[uint16]string // topics by the aliases of the broker; they outlive the connection (ESP-V5-20)
	inFlight    int               // unacknowledged QoS > 0 PUBLISHes that this connection has sent (ESP-V5-10)
	ownAliases  map[uint16]string // topics by the aliases that this connection has sent
	keepAlive   *int              // server keep alive, in seconds, where it counts for this connection alone
	parted      bool              // goodbye was said on this connection
	texts       located           // of the PUBLISH that is being delivered
}

// serverProperties are what CONNACK said the broker can do. A value that a later CONNACK leaves out stays as it was, but
// for the receive maximum (ESP-V5-06).
type serverProperties struct {
	receiveMaximum      uint16
	maximumPacketSize   uint32 // 0: no limit
	maximumQoS          byte
	retainAvailable     bool
	sharedAvailable     bool
	topicAliasMaximum   uint16
	responseInformation string
}

const noReceiveMaximum = 65535

// newV5 is the state before the first CONNACK (ESP-V5-07).
func newV5() v5 {
	return v5{
		server:     serverProperties{receiveMaximum: noReceiveMaximum, maximumQoS: 2, retainAvailable: true, sharedAvailable: true},
		aliases:    map[uint16]string{},
		ownAliases: map[uint16]string{},
	}
}

// isV5 says whether the client speaks MQTT 5.0. Without a configuration it speaks no version (ESP-CFG-41).
func (c *client) isV5() bool { return c.settings.protocol == ProtocolV5 && !c.unconfigured.Load() }

// unprepared says whether the client has version 5.0 now without having been made for it. What it needs for that version is
// not there, and it crashes where it looks for that.
func (c *client) unprepared() bool {
	if !c.isV5() || c.event.V5 {
		return false
	}
	c.crash()
	return true
}

// log5 logs what the part of the client for MQTT 5.0 has to say, where the build has it.
func (c *client) log5(level byte, format string, arguments ...any) {
	if c.kconfig.Protocol5 {
		c.print(level, "mqtt5_client", format, arguments...)
	}
}

// v5PublishAllowed holds a message against what the broker can do (ESP-V5-08).
func (c *client) v5PublishAllowed(qos int, retain bool) bool {
	switch {
	case !c.isV5():
		return true
	case c.unprepared():
		return false
	case qos > int(c.v5.server.maximumQoS):
		c.log5('E', "Server only support max QoS level %d", c.v5.server.maximumQoS)
		return false
	case retain && !c.v5.server.retainAvailable:
		c.log5('E', "Server not support retain")
		return false
	}
	return true
}

// v5QuotaLeft says whether another PUBLISH with QoS > 0 may go out (ESP-V5-10).
func (c *client) v5QuotaLeft() bool {
	return !c.isV5() || c.v5.inFlight < int(c.v5.server.receiveMaximum) || c.has(ReceiveMaximumIgnored)
}

// v5Sendable is the item that may be sent in the place of a queued one: itself, where the quota does not hold it back,
// or else the first item without an identifier, where that is a queued PUBLISH with QoS 0 (ESP-OUTBOX-05).
func (c *client) v5Sendable(it *Item) *Item {
	if it != nil && c.unprepared() {
		return nil
	}
	if it == nil || it.Type != typePublish || it.QoS <= 0 || c.v5QuotaLeft() {
		return it
	}
	if !c.does(QuirkBlockedSubscribe) {
		if free := c.outbox.all(Queued, func(it *Item) bool { return it.Type != typePublish }); len(free) > 0 {
			return free[0]
		}
	}
	if it = c.outbox.get(0); it != nil && it.State == Queued && it.Type == typePublish && it.QoS == 0 {
		return it
	}
	return nil
}

// requeue makes every transmitted item one to be sent again, in the order of the list, on a new connection
// (ESP-OUTBOX-12).
func (c *client) requeue() {
	c.v5.inFlight = 0
	for _, it := range c.outbox.Items() {
		if it.State != Transmitted {
			continue
		}
		it.State = Queued
		if it.Type == typePublish && it.QoS > 0 && !c.has(RetransmitWithoutDUP) {
			it.Data[0] |= 0x08
		}
	}
}

// v5Connack takes CONNACK over (ESP-CACK-06, ESP-CACK-07, ESP-V5-05). The code is the broker's; err says that the
// properties cannot be read, and what came before the damage holds all the same.
func (c *client) v5Connack() (sessionPresent bool, code byte, err error) {
	r := &c.receiver
	server := &c.v5.server
	server.receiveMaximum = noReceiveMaximum
	if !c.does(QuirkServerLimitsKept) {
		*server = newV5().server
	}
	sessionPresent, code = r.buffer[r.header]&1 != 0, r.buffer[r.header+1]
	if r.total > r.length {
		c.print('E', tagMessage5, "Total length %d is over read len %d", r.total, r.length)
		c.log5('E', unreadableConnack)
		return sessionPresent, 0, errProperties
	}
	start, n := r.header+2, 0
	if start < r.length {
		var length int
		n, length = variableInteger(r.buffer[start:r.length])
		if start += length; n > r.length-start {
			c.print('E', tagMessage5, "Property length %d exceeds buffer bounds %d", n, r.length-start)
			c.log5('E', unreadableConnack)
			return sessionPresent, code, errProperties
		}
	}
	p := c.propertiesAt(start, n)
	for id, ok := p.next(); ok; id, ok = p.next() {
		switch id {
		case propSessionExpiry:
			if expiry := p.uint32(); c.does(QuirkConnackIntoConnect) {
				setRead(p, &c.v5.connect.SessionExpiryInterval, expiry)
			}
		case propReceiveMaximum:
			server.receiveMaximum = binary.BigEndian.Uint16(p.careless(2))
			if server.receiveMaximum == 0 && !c.does(QuirkReceiveMaximumZero) {
				p.err = errProperties
			}
		case propMaximumQoS:
			setRead(p, &server.maximumQoS, p.byte())
		case propRetainAvailable:
			setRead(p, &server.retainAvailable, p.byte() != 0)
		case propMaximumPacketSize:
			server.maximumPacketSize = binary.BigEndian.Uint32(p.careless(4)) // not heeded (ESP-QRK-24)
		case propAssignedClientID:
			setRead(p, &c.settings.clientID, cText(string(p.text())))
			setRead(p, &c.settings.hasClientID, true)
		case propTopicAliasMaximum:
			server.topicAliasMaximum = binary.BigEndian.Uint16(p.careless(2))
		case propUserProperty:
			c.event.UserProperties = append(c.event.UserProperties, p.userProperty())
		case propWildcardAvailable, propSubIDAvailable:
			p.byte()
		case propSharedAvailable:
			setRead(p, &server.sharedAvailable, p.byte() != 0)
		case propServerKeepAlive:
			switch seconds := int(p.uint16()); {
			case c.has(ServerKeepAliveIgnored):
			case c.does(QuirkConnackIntoConnect):
				setRead(p, &c.settings.keepAlive, seconds)
			default:
				c.v5.keepAlive = &seconds
			}
		case propResponseInformation:
			server.responseInformation = cText(string(p.text()))
		case propReasonString, propServerReference, propAuthMethod, propAuthData:
			p.text()
		default:
			c.print('W', tagMessage5, "Unknown connack property id 0x%02x", id)
			p.err = errProperties
		}
	}
	if p.err != nil {
		c.log5('E', unreadableConnack)
	}
	return sessionPresent, code, p.err
}

const unreadableConnack = "Failed to parse CONNACK packet"

// v5Publish reads topic, properties and payload of the PUBLISH in the buffer into the event (ESP-RX-16, ESP-V5-20).
func (c *client) v5Publish() (ok bool) {
	m, ok := c.v5Message()
	if !ok {
		c.log5('E', "esp_mqtt5_get_publish_data: mqtt5_get_publish_property_payload() failed")
	} else {
		ok = c.v5Topic(&m)
	}
	if !ok {
		c.log('E', "deliver_publish: esp_mqtt5_get_publish_data() failed")
		return false
	}
	r, e := &c.receiver, &c.event
	end := min(r.length, r.total)
	e.Topic, e.Properties, e.short = m.topic, m.properties, max(m.payload-end, 0)
	c.v5.texts = m.texts
	c.readTexts()
	if e.Data = r.buffer[min(m.payload, end):end]; e.short > 0 {
		e.Data = c.textAt(m.payload)
	}
	return true
}

// v5Message is what precedes the payload of a PUBLISH.
type v5Message struct {
	topic      string
	alias      uint16 // 0: none
	properties EventProperties
	texts      located
	payload    int // where it begins in the buffer
}

// v5Topic finds the topic that an alias of the broker stands for, or keeps it for later messages.
func (c *client) v5Topic(m *v5Message) (ok bool) {
	if limit := c.v5.connect.TopicAliasMaximum; m.alias > limit {
		c.log5('E', "esp_mqtt5_get_publish_data: Broker response topic alias %d is over the max topic alias %d", m.alias, limit)
		c.goodbye(reasonTopicAliasInvalid)
		return false
	}
	switch {
	case m.alias == 0:
	case m.topic == "":
		if m.topic, ok = c.v5.aliases[m.alias]; !ok {
			c.log5('E', "esp_mqtt5_get_publish_data: esp_mqtt5_client_get_topic_alias() failed")
			return false
		}
	case !c.has(TopicAliasForgotten):
		c.v5.aliases[m.alias] = m.topic
	}
	return true
}

// v5Message reads the PUBLISH in the buffer as far as its payload; its user properties go into the event.
func (c *client) v5Message() (m v5Message, ok bool) {
	r := &c.receiver
	at := r.header + 2
	if at > r.length || c.unprepared() {
		return m, false
	}
	topicEnd := at + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
	if topicEnd >= r.length {
		return m, false
	}
	m.topic = string(r.buffer[at:topicEnd])
	at = topicEnd
	if r.qos() > 0 {
		if at += 2; at >= r.length {
			return m, false
		}
	}
	n, length := variableInteger(r.buffer[at:r.length])
	at += length
	if c.does(QuirkPropertiesBeyondBuffer) {
		n &= 0xffff // nobody looks at whether there is so much of the packet in the buffer
	} else if n > r.length-at {
		return m, false
	}
	p := c.propertiesAt(at, n)
	found, texts := &m.properties, &m.texts
	for id, ok := p.next(); ok; id, ok = p.next() {
		switch id {
		case propPayloadFormat:
			found.PayloadFormatIndicator = p.byte() != 0
		case propMessageExpiry:
			p.uint32()
		case propTopicAlias:
			m.alias = p.uint16()
		case propResponseTopic:
			texts.responseTopic = p.located(p.text())
		case propCorrelationData:
			texts.correlationData = p.carelessText()
		case propSubscriptionID:
			n := p.variable()
			if found.SubscriptionID = uint16(n); !c.does(QuirkLastSubscriptionID) {
				found.SubscriptionIDs = append(found.SubscriptionIDs, n)
			}
		case propContentType:
			texts.contentType = p.carelessText()
		case propUserProperty:
			c.event.UserProperties = append(c.event.UserProperties, p.userProperty())
		case propReasonString:
			p.text()
		default:
			c.print('W', tagMessage5, "Unknown publish property id 0x%02x", id)
			p.err = errProperties
		}
	}
	m.payload = at + p.offset()
	return m, p.err == nil
}

// v5Completed takes reason code and user properties of PUBACK or PUBCOMP over (ESP-V5-30).
func (c *client) v5Completed() {
	if c.unprepared() {
		return
	}
	rest := c.receiver.rest()
	c.event.ReasonCode, c.event.Data = c.v5ReasonCode(), rest[:min(1, len(rest))]
	if len(rest) > 1 {
		n, length := variableInteger(rest[1:])
		if list := rest[1+length:]; n <= len(list) {
			c.event.UserProperties = c.userProperties(list[:n])
		} else {
			c.event.Data = nil
		}
	}
	c.event.TotalLength, c.event.Offset = len(c.event.Data), 0
}

// v5ReasonCode is the reason code of PUBACK, PUBREC, PUBREL or PUBCOMP, where there is none 0.
func (c *client) v5ReasonCode() int {
	r := &c.receiver
	if rest := r.rest(); len(rest) > 0 {
		return int(rest[0])
	}
	if r.total < r.header+2 { // not even an identifier
		c.noReasonCode()
		return -1
	}
	return 0
}

func (c *client) noReasonCode() {
	c.print('E', tagMessage5, "Invalid control packet type %d, reason code is absent", c.receiver.buffer[0]>>4)
}

// tagMessage5 is that of what builds and reads packets of MQTT 5.0.
const tagMessage5 = "mqtt5_msg"

// v5Codes gives the codes of SUBACK or UNSUBACK and takes their user properties over. The first code is the event's
// reason code, −1 where there is none.
func (c *client) v5Codes() (codes []byte) {
	c.event.ReasonCode = -1
	rest := c.receiver.rest()
	n, length := variableInteger(rest)
	switch {
	case c.unprepared(), len(rest) == 0:
		return nil
	case n > len(rest)-length:
		c.noReasonCode()
		return nil
	}
	c.event.UserProperties = c.userProperties(rest[length : length+n])
	if codes = rest[length+n:]; len(codes) == 0 {
		c.noReasonCode()
		return nil
	}
	c.event.ReasonCode = int(codes[0])
	return codes
}

// userProperties reads the user properties of an acknowledgement; they are dropped where another property than a reason
// string is among them.
func (c *client) userProperties(list []byte) (all []UserProperty) {
	p := properties{rest: list}
	for id, ok := p.next(); ok; id, ok = p.next() {
		switch id {
		case propUserProperty:
			all = append(all, p.userProperty())
		case propReasonString:
			p.text()
		default:
			c.print('W', tagMessage5, "Unknown property id 0x%02x", id)
			p.err = errProperties
		}
	}
	if p.err != nil {
		return nil
	}
	return all
}

// v5Disconnected handles DISCONNECT: the client tells, and stays connected (ESP-V5-32).
func (c *client) v5Disconnected() (stay bool) {
	c.event.ReasonCode = -1
	if !c.does(QuirkEmptyDisconnect) {
		c.event.ReasonCode = 0
	}
	if r := &c.receiver; r.length > r.header && !c.has(DisconnectReasonLost) {
		c.event.ReasonCode = int(r.buffer[r.header])
	}
	if !c.does(QuirkDisconnectKeepsOpen) {
		return false // which tells
	}
	c.dispatch(EventDisconnected)
	return true
}

// Reason codes that only a client without quirks sends.
const (
	reasonMalformedPacket   = 0x81
	reasonProtocolError     = 0x82
	reasonIDNotFound        = 0x92
	reasonTopicAliasInvalid = 0x94
	reasonPacketTooLarge    = 0x95
)

// goodbye tells the broker why the connection will be closed. The real client does not (ESP-QRK-17).
func (c *client) goodbye(reason byte) {
	if c.does(QuirkSilentClose) || !c.isV5() || !c.is(stateConnected) || c.v5.parted {
		return
	}
	c.v5.parted = true
	if err := c.send(c.packet(typeDisconnect<<4, []byte{reason, 0})); err != nil {
		c.log('E', "Error sending disconnect message")
	}
}

// tooLargeForServer holds the size of a packet against what the broker takes. The real client does not (ESP-QRK-24).
func (c *client) tooLargeForServer(size int) bool {
	limit := c.v5.server.maximumPacketSize
	return c.isV5() && limit > 0 && uint64(size) > uint64(limit) && !c.does(QuirkMaximumPacketSize)
}

// v5Refusal is the log text of a refusal's reason code.
func v5Refusal(code byte) string {
	if text := v5RefusalTexts[code]; text != "" {
		return text
	}
	return "Connection refused, Unknown reason"
}

var v5RefusalTexts = map[byte]string{
	0x80: "Unspecified error",
	0x81: "Malformed Packet",
	0x82: "Protocol Error",
	0x83: "Implementation specific error",
	0x84: "Unsupported Protocol Version",
	0x85: "Client Identifier not valid",
	0x86: "Bad User Name or Password",
	0x87: "Not authorized",
	0x88: "Server unavailable",
	0x89: "Server busy",
	0x8a: "Banned",
	0x8b: "Server shutting down",
	0x8c: "Bad authentication method",
	0x8d: "Keep Alive timeout",
	0x8e: "Session taken over",
	0x8f: "Topic Filter invalid",
	0x90: "Topic Name invalid",
	0x91: "Packet Identifier in use",
	0x92: "Packet Identifier not found",
	0x93: "Receive Maximum exceeded",
	0x94: "Topic Alias invalid",
	0x95: "Packet too large",
	0x96: "Message rate too high",
	0x97: "Quota exceeded",
	0x98: "Administrative action",
	0x99: "Payload format invalid",
	0x9a: "Retain not supported",
	0x9b: "QoS not supported",
	0x9c: "Use another server",
	0x9d: "Server moved",
	0x9e: "Shared Subscriptions not supported",
	0x9f: "Connection rate exceeded",
	0xa0: "Maximum connect time",
	0xa1: "Subscription Identifiers not supported",
	0xa2: "Wildcard Subscriptions not supported",
}
