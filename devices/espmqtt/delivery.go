package espmqtt

// discard takes an item out of the outbox.
func (c *client) discard(it *Item) {
	c.outbox.Remove(it)
	c.outboxSize.Store(int64(c.outbox.Size()))
}

// deleteExpired drops what has been in the outbox for too long (ESP-OUTBOX-15).
func (c *client) deleteExpired() {
	if c.has(OutboxNeverExpires) {
		return
	}
	for {
		it := c.outbox.Expired(c.now(), c.kconfig.OutboxExpiredTimeout.Milliseconds(), func(it *Item) bool {
			return it.Type == typePublish && it.sentOn > 0 && !c.does(QuirkUnackedExpire)
		})
		if it == nil {
			return
		}
		if it.QoS > 0 && it.State != Queued && it.sentOn == c.connects && !c.does(QuirkQuotaLeak) {
			c.v5.inFlight = max(c.v5.inFlight-1, 0)
		}
		c.deleted(it)
	}
}

// deleted drops an item for good.
func (c *client) deleted(it *Item) {
	c.discard(it)
	if c.kconfig.ReportDeletedMessages && !c.has(DeletedNotReported) {
		c.event.MessageID = int(it.ID)
		c.dispatch(EventDeleted)
	}
}

// outboxStep sends at most one queued item; with none to send it repeats what is due (ESP-OUTBOX-05).
func (c *client) outboxStep() {
	next := c.outbox.first(Queued)
	if all := c.outbox.all(Queued, func(*Item) bool { return true }); c.has(NewestQueuedFirst) && len(all) > 0 {
		next = all[len(all)-1]
	}
	if it := c.v5Sendable(next); it != nil {
		if c.tooLargeForServer(len(it.Data)) {
			c.deleted(it)
			return
		}
		if err := c.send(it.Data); err != nil {
			c.resendFailed(err)
			return
		}
		if it.Type == typePublish && it.QoS == 0 {
			c.discard(it)
			return
		}
		if it := c.transmitted(it.ID); it != nil && !c.has(ExpiryFromInsertion) {
			it.Since = c.now()
		}
		if it.Type == typePublish {
			c.v5.inFlight++
		}
		return
	}
	now, timeout := c.now(), c.settings.retransmitTimeout
	if c.has(RetransmitSlowly) {
		timeout *= 2
	}
	if now-c.lastRepeat < timeout {
		return
	}
	c.lastRepeat = now
	for _, it := range c.toRepeat(Transmitted) {
		if now-it.Since <= timeout {
			continue
		}
		if data := c.repetition(it); data != nil {
			if err := c.send(data); err != nil {
				c.resendFailed(err)
				break // and go on with what comes behind it (ESP-OUTBOX-10)
			}
			it.sentOn = c.connects
		}
	}
	for _, it := range c.toRepeat(Acknowledged) {
		if now-it.Since > timeout && !c.has(NoPubrelRetransmit) {
			pubrel := c.pubrel(it.ID, 0)
			if pubrel == nil {
				continue
			}
			if err := c.send(pubrel); err != nil {
				c.resendFailed(err)
				return
			}
			it.sentOn = c.connects
		}
	}
}

// transmitted notes that the item with an identifier was sent, and returns it. The client looks for it by the identifier
// alone, and takes the oldest that it finds, which need not be the one that it has sent (ESP-PID-04).
func (c *client) transmitted(id uint16) *Item {
	it := c.outbox.get(id)
	if it != nil {
		it.State, it.sentOn = Transmitted, c.connects
	}
	return it
}

// toRepeat lists the items in a state that may be sent again: the oldest one alone (ESP-OUTBOX-07).
func (c *client) toRepeat(state ItemState) []*Item {
	all := c.outbox.all(state, func(it *Item) bool {
		switch {
		case it.sentOn != c.connects:
			return true
		case state == Acknowledged:
			return c.does(QuirkLivePubrel)
		case it.Type == typePublish:
			return c.does(QuirkLivePublish)
		}
		return c.does(QuirkSubscribeAgain)
	})
	if c.does(QuirkOldestOnly) {
		return all[:min(1, len(all))]
	}
	return all
}

// repetition is an item as it is sent again: with DUP set where it is a PUBLISH, but for one of a QoS below 0.
func (c *client) repetition(it *Item) []byte {
	if it.Type != typePublish {
		if c.has(NoSubscribeRetransmit) {
			return nil
		}
		return it.Data
	}
	if c.has(NoRetransmit) {
		return nil
	}
	if it.QoS > 0 && !c.has(RetransmitWithoutDUP) { // a QoS below 0 has other bits in the packet, but is no reason for it
		it.Data[0] |= 0x08
	}
	if it.QoS > 0 && c.has(RetransmitNewID) {
		it.ID = c.nextID()
		setPublishID(it.Data, it.ID)
	}
	if c.has(RetransmitFirstFragment) && len(it.Data) > c.settings.outSize {
		clear(it.Data[c.settings.outSize:])
	}
	return it.Data
}

func (c *client) pubrel(id uint16, reason byte) []byte {
	if c.has(PubrelFlagsZero) {
		return c.acknowledgement(typePubrel<<4, id, reason)
	}
	return c.acknowledgement(typePubrel<<4|2, id, reason)
}

func (c *client) resendFailed(err error) {
	c.writeFailed(err)
	c.log('E', "Error to resend data ")
	c.abort()
}
