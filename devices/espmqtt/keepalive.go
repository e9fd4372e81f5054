package espmqtt

// keepAlive sends PINGREQ at half the keep alive, counted from the last PINGRESP and whatever else goes over the wire,
// and gives the connection up when the answer is missing at the whole of it (ESP-KA-01 … 05).
func (c *client) keepAlive() {
	if c.settings.keepAlive <= 0 || c.has(NoPing) {
		return
	}
	limit := int64(c.settings.keepAlive) * 1000
	idle := c.now() - c.pingAt
	if c.awaitPing {
		if idle >= limit && !c.has(MissingPingrespIgnored) {
			c.log('E', "No PING_RESP, disconnected")
			c.abort()
		}
		return
	}
	due := limit / 2
	if c.has(PingLate) {
		due = limit * 5 / 4
	}
	if idle < due {
		return
	}
	if err := c.send(c.packet(typePingreq<<4, nil)); err != nil {
		c.log('E', "Error sending ping")
		c.writeFailed(err)
		c.log('E', "Can't send ping, disconnected")
		c.abort()
		return
	}
	c.awaitPing = true
}
