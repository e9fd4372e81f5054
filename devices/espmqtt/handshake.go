package espmqtt

import "time"

// handshake sends CONNECT and waits for CONNACK (ESP-CACK-01 … 07).
func (c *client) handshake() bool {
	c.awaitPing, c.unsent, c.event.short = false, 0, 0
	c.v5.keepAlive, c.v5.parted = nil, false
	clear(c.v5.ownAliases)
	if !c.does(QuirkAliasesKept) {
		clear(c.v5.aliases)
	}
	connect := c.connectPacket()
	if connect == nil {
		c.log('E', "Connect message cannot be created")
		return false
	}
	if err := c.send(connect); err != nil {
		c.writeFailed(err)
		return false
	}
	limit := c.settings.networkTimeout
	if c.has(ConnackAwaitedForever) {
		limit = 365 * 24 * time.Hour
	}
	r := &c.receiver
	r.reset()
	began := time.Now()
	received := c.receiveMessage(limit)
	for received == pending && time.Since(began) < limit {
		received = c.receiveMessage(limit)
	}
	if received == pending && c.has(SilenceReported) {
		c.dispatchTransportError(nil)
	}
	if received != complete {
		c.log('E', "esp_mqtt_connect: mqtt_message_receive() returned %d", received)
		return false
	}
	if kind := r.buffer[0] >> 4; kind != typeConnack && !c.has(AnyPacketAsConnack) {
		c.log('E', "Invalid MSG_TYPE response: %d, read_len: %d", kind, 1)
		return false
	}
	if !c.accepted() {
		return false
	}
	if c.has(SessionPresentLost) {
		c.event.SessionPresent = false
	}
	c.connects++
	c.newSession()
	c.become(stateConnected)
	c.dispatch(EventConnected)
	return true
}

// accepted evaluates CONNACK.
func (c *client) accepted() bool {
	r := &c.receiver
	if c.isV5() {
		sessionPresent, code, err := c.v5Connack()
		r.reset()
		if err != nil || code != 0 && !c.has(RefusalIgnored) {
			switch {
			case err == nil:
				c.log5('W', "%s", v5Refusal(code))
			case !c.does(QuirkMalformedConnack):
				c.dispatchTransportError(nil)
				return false
			}
			c.refused(code)
			return false
		}
		c.event.SessionPresent = sessionPresent
		if !c.sessionMayBe(sessionPresent) {
			return false
		}
		if c.v5.inFlight = 0; !c.has(NoRequeue) {
			c.requeue()
		}
		return true
	}
	if !c.does(QuirkConnackOffsets) && (r.header != 2 || r.total != 4) {
		c.log('E', "esp_mqtt_connect: malformed CONNACK")
		r.reset()
		c.dispatchTransportError(nil)
		return false
	}
	code := r.buffer[3] // at a fixed place, whatever the length says (ESP-CACK-04)
	r.reset()
	if code != 0 && !c.has(RefusalIgnored) {
		text := refusal(code)
		if code == 2 && !c.does(QuirkNoTextForRejectedID) {
			text = "identifier rejected"
		}
		c.log('W', "Connection refused, %s", text)
		c.refused(code)
		return false
	}
	c.event.SessionPresent = r.buffer[2]&1 != 0
	if !c.sessionMayBe(c.event.SessionPresent) {
		return false
	}
	if !c.does(QuirkOvertaking) {
		c.requeue()
	}
	return true
}

// refused reports a refusal. The real client tries again, whatever the reason.
func (c *client) refused(code byte) {
	c.dispatchRefusal(code)
	switch code {
	case 4, 5, 0x86, 0x87:
		c.parked = !c.does(QuirkRefusedForEver)
	}
}

// sessionMayBe says whether the broker may have the session that it says it has. The real client does not ask.
func (c *client) sessionMayBe(present bool) bool {
	if c.does(QuirkSessionPresent) || !present || !c.settings.cleanSession {
		return true
	}
	c.log('E', "esp_mqtt_connect: a session is present in answer to a clean session")
	c.dispatchTransportError(nil)
	return false
}

// newSession makes what was in flight in another session new, where the broker has none. The real client does not care
// whether it has one (ESP-CACK-08).
func (c *client) newSession() {
	if c.event.SessionPresent {
		return
	}
	clear(c.received)
	if c.does(QuirkOutboxOverSessions) {
		return
	}
	for _, it := range c.outbox.all(Acknowledged, func(*Item) bool { return true }) {
		c.discard(it)
	}
	for _, it := range c.outbox.Items() {
		if it.Type == typePublish && it.sentOn > 0 {
			it.State, it.sentOn = Queued, 0
			it.Data[0] &^= 0x08
		}
	}
}

// refusal is the log text of a return code; there is none of its own for an identifier that was rejected.
func refusal(code byte) string {
	switch code {
	case 1:
		return "bad protocol"
	case 3:
		return "server unavailable"
	case 4:
		return "bad username or password"
	case 5:
		return "not authorized"
	}
	return "Unknown reason"
}
