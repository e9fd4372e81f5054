package espmqtt

// discard takes an item out of the outbox.
func (c *client) discard(it *item) {
	c.outbox.remove(it)
	c.outboxSize.Store(int64(c.outbox.size))
}

// deleteExpired drops what has been in the outbox for too long (ESP-OUTBOX-15).
func (c *client) deleteExpired() {
	if c.has(OutboxNeverExpires) {
		return
	}
	for {
		it := c.outbox.expired(c.now(), c.kconfig.OutboxExpiredTimeout.Milliseconds(), func(it *item) bool {
			return it.kind == typePublish && it.sentOn > 0 && !c.does(QuirkUnackedExpire)
		})
		if it == nil {
			return
		}
		if it.qos > 0 && it.state != queued && it.sentOn == c.connects && !c.does(QuirkQuotaLeak) {
			c.v5.inFlight = max(c.v5.inFlight-1, 0)
		}
		c.deleted(it)
	}
}

// deleted drops an item for good.
func (c *client) deleted(it *item) {
	c.discard(it)
	if c.kconfig.ReportDeletedMessages && !c.has(DeletedNotReported) {
		c.event.MessageID = int(it.id)
		c.dispatch(EventDeleted)
	}
}

// outboxStep sends at most one queued item; with none to send it repeats what is due (ESP-OUTBOX-05).
func (c *client) outboxStep() {
	next := c.outbox.first(queued)
	if all := c.outbox.all(queued, func(*item) bool { return true }); c.has(NewestQueuedFirst) && len(all) > 0 {
		next = all[len(all)-1]
	}
	if it := c.v5Sendable(next); it != nil {
		if c.tooLargeForServer(len(it.data)) {
			c.deleted(it)
			return
		}
		if err := c.send(it.data); err != nil {
			c.resendFailed(err)
			return
		}
		if it.kind == typePublish && it.qos == 0 {
			c.discard(it)
			return
		}
		if !c.has(ExpiryFromInsertion) {
			it.since = c.now()
		}
		it.state, it.sentOn = transmitted, c.connects
		if it.kind == typePublish {
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
	for _, it := range c.toRepeat(transmitted) {
		if now-it.since <= timeout {
			continue
		}
		if data := c.repetition(it); data != nil {
			if err := c.send(data); err != nil {
				c.resendFailed(err)
				return
			}
			it.sentOn = c.connects
		}
	}
	for _, it := range c.toRepeat(acknowledged) {
		if now-it.since > timeout && !c.has(NoPubrelRetransmit) {
			if err := c.send(c.pubrel(it.id)); err != nil {
				c.resendFailed(err)
				return
			}
			it.sentOn = c.connects
		}
	}
}

// toRepeat lists the items in a state that may be sent again: the oldest one alone (ESP-OUTBOX-07).
func (c *client) toRepeat(state itemState) []*item {
	all := c.outbox.all(state, func(it *item) bool {
		switch {
		case it.sentOn != c.connects:
			return true
		case state == acknowledged:
			return c.does(QuirkLivePubrel)
		case it.kind == typePublish:
			return c.does(QuirkLivePublish)
		}
		return c.does(QuirkSubscribeAgain)
	})
	if c.does(QuirkOldestOnly) {
		return all[:min(1, len(all))]
	}
	return all
}

// repetition is an item as it is sent again: with DUP set where it is a PUBLISH.
func (c *client) repetition(it *item) []byte {
	if it.kind != typePublish {
		if c.has(NoSubscribeRetransmit) {
			return nil
		}
		return it.data
	}
	if c.has(NoRetransmit) {
		return nil
	}
	if !c.has(RetransmitWithoutDUP) {
		it.data[0] |= 0x08
	}
	if c.has(RetransmitNewID) {
		it.id = c.nextID()
		setPublishID(it.data, it.id)
	}
	if c.has(RetransmitFirstFragment) && len(it.data) > c.settings.outSize {
		clear(it.data[c.settings.outSize:])
	}
	return it.data
}

func (c *client) pubrel(id uint16) []byte {
	if c.has(PubrelFlagsZero) {
		return c.acknowledgement(typePubrel<<4, id)
	}
	return c.acknowledgement(typePubrel<<4|2, id)
}

func (c *client) resendFailed(err error) {
	c.writeFailed(err)
	c.log('E', "Error to resend data ")
	c.abort()
}
