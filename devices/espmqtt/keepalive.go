package espmqtt

// keepAliveSeconds is the keep alive of this connection; ≤ 0 is none.
func (c *client) keepAliveSeconds() int {
	if c.v5.keepAlive != nil {
		return *c.v5.keepAlive
	}
	return c.settings.keepAlive
}

// keepAlive sends PINGREQ at half the keep alive, counted from the last PINGRESP and whatever else goes over the wire,
// and gives the connection up when the answer is missing at the whole of it (ESP-KA-01 … 05). It is false where it has done
// that.
func (c *client) keepAlive() (alive bool) {
	seconds := c.keepAliveSeconds()
	if seconds <= 0 || c.has(NoPing) || c.has(PingOnce) && c.pinged {
		return true
	}
	limit := int64(seconds) * 1000
	idle := c.now() - c.pingAt
	if c.awaitPing {
		if idle >= limit && !c.has(MissingPingrespIgnored) {
			c.log('E', "No PING_RESP, disconnected")
			c.abort()
			return false
		}
		return true
	}
	due := limit / 2
	if c.has(PingLate) {
		due = limit * 5 / 4
	}
	if !c.does(QuirkPingAnyway) {
		idle = min(idle, c.now()-c.sentAt)
	}
	if idle < due {
		return true
	}
	if !c.does(QuirkPingAnyway) {
		c.pingAt = c.now() - due // for the time that the answer has
	}
	if err := c.send(c.packet(typePingreq<<4, nil)); err != nil {
		c.writeFailed(err)
		c.log('E', "Error sending ping")
		c.log('E', "Can't send ping, disconnected")
		c.abort()
		return false
	}
	c.awaitPing, c.pinged = true, true
	return true
}
