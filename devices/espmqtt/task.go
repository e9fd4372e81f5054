package espmqtt

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"
)

// iterationCost is what one turn of the loop takes on the chip beside its wait. Recordings of the real client show
// its polls about 1 ms apart from the set time; without it, times that are multiples of the poll would meet exactly,
// which they never do on a board.
const iterationCost = time.Millisecond

// task is esp_mqtt_task: the loop that does everything the client does by itself (ESP-TASK-01).
func (c *client) task(ended chan struct{}) {
	defer close(ended)
	for {
		unlock := c.lock()
		if !c.running || c.dead() {
			c.finish()
			unlock()
			return
		}
		c.deleteExpired()
		switch c.state {
		case stateInit:
			c.connect()
		case stateConnected:
			c.serve()
		case stateWaitReconnect:
			if c.waitIsOver() {
				c.state = stateInit
				break
			}
			pause := c.settings.reconnectTimeout / 2
			unlock()
			c.sleepTicks(pause)
			continue
		}
		connected, transport := c.state == stateConnected, c.transport
		unlock()
		if connected {
			c.poll(transport)
		}
	}
}

// finish is the end of the task: the connection is closed and the whole outbox deleted (ESP-TASK-15, ESP-TASK-16).
// Without power nothing is closed: the broker sees a connection that has gone silent.
func (c *client) finish() {
	if c.dead() {
		return
	}
	if c.transport != nil {
		c.transport.close()
		c.transport = nil
	}
	c.outbox.clear()
	c.running, c.state = false, stateDisconnected
}

// poll waits, without the lock, until there is something to read or the poll time is over.
func (c *client) poll(t *transport) {
	if !t.poll(c.kconfig.PollReadTimeout) {
		c.sleep(iterationCost)
	}
}

// waitIsOver says whether the time to the next attempt has passed, strictly (ESP-TASK-07).
func (c *client) waitIsOver() bool {
	if !c.settings.autoReconnect && c.waitFor > 0 || c.has(NoReconnect) {
		return false
	}
	return c.waitFor == 0 || time.Since(c.waitSince) > c.waitFor
}

// sleepTicks waits for d in whole ticks of FreeRTOS, counted from the tick that is running, or until a call wakes the
// task. That is why a reconnect takes 1.5 times the set time (ESP-TASK-08).
func (c *client) sleepTicks(d time.Duration) {
	now := time.Since(c.boot)
	end := now.Truncate(c.kconfig.Tick) + max(d.Truncate(c.kconfig.Tick), c.kconfig.Tick)
	select {
	case <-time.After(end - now):
	case <-c.reconnect:
	case <-c.power:
	}
}

func (c *client) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.power:
	}
}

// connect is one attempt to connect; the lock is held from its beginning to its end (ESP-TASK-02).
func (c *client) connect() {
	c.disconnect = false
	select {
	case <-c.reconnect:
	default:
	}
	port, known := defaultPorts[c.settings.scheme]
	switch {
	case c.settings.scheme == "":
		c.log('E', "No scheme found")
	case !known || c.settings.scheme != "mqtt":
		c.log('E', "Not support this mqtt scheme %s", c.settings.scheme)
	}
	if c.settings.scheme != "mqtt" {
		c.log('E', "Failed to create transport list")
		c.running = false // the task gives up without an event (ESP-CFG-42)
		return
	}
	if c.settings.port == 0 {
		c.settings.port = port // and keeps it (ESP-URI-09)
	}
	c.dispatch(Event{ID: EventBeforeConnect})
	conn, err := c.dial()
	if err != nil {
		c.log('E', "Error transport connect")
		c.dispatchTransportError(err)
		c.abort()
		return
	}
	c.transport = newTransport(conn, c.power, c.settings.bufferSize)
	c.online.Store(c.transport)
	c.receiver = receiver{buffer: make([]byte, c.settings.bufferSize)}
	if !c.handshake() {
		c.log('E', "MQTT connect failed")
		c.abort()
		return
	}
	c.pingAt, c.refreshAt, c.awaitPing = time.Now(), time.Now(), false
	c.connects++
	c.announced = false
}

// dial opens the connection within the network time-out, and gives up when the power goes.
func (c *client) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), c.settings.networkTimeout, os.ErrDeadlineExceeded)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-c.power:
			cancel()
		case <-done:
		}
	}()
	conn, err := c.environment.Dial(ctx, "tcp", net.JoinHostPort(c.settings.host, strconv.Itoa(c.settings.port)))
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, os.ErrDeadlineExceeded
	}
	return conn, err
}

// serve is one turn of the loop while connected (ESP-TASK-03).
func (c *client) serve() {
	if c.lastRepeat.IsZero() {
		c.lastRepeat = time.Now()
	}
	if c.has(ConnectTwice) && !c.announced {
		c.announced = true
		if err := c.send(c.connectPacket()); err != nil {
			c.writeFailed(err)
		}
	}
	if c.disconnect {
		if err := c.send([]byte{typeDisconnect << 4, 0}); err != nil {
			c.writeFailed(err)
		}
		c.abort()
		return
	}
	if !c.receive() {
		c.abort()
		return
	}
	if c.state == stateConnected {
		c.outboxStep()
	}
	if c.state == stateConnected {
		c.keepAlive()
	}
	if c.state == stateConnected && c.settings.refreshAfter > 0 && time.Since(c.refreshAt) >= c.settings.refreshAfter {
		c.abort() // the socket is closed without a DISCONNECT, and no time is waited (ESP-TASK-12)
		c.state = stateInit
	}
}

// abort is esp_mqtt_abort_connection: close, and wait for the time to reconnect (ESP-TASK-06).
func (c *client) abort() {
	if c.dead() {
		return
	}
	if c.transport != nil {
		c.transport.close()
		c.transport = nil
	}
	if c.has(OutboxLostOnReconnect) {
		c.outbox.clear()
	}
	c.waitFor, c.waitSince = c.settings.reconnectTimeout, time.Now()
	c.state = stateWaitReconnect
	c.dispatch(Event{ID: EventDisconnected})
}

// deleteExpired drops what has been in the outbox for too long (ESP-OUTBOX-15).
func (c *client) deleteExpired() {
	if c.has(OutboxNeverExpires) {
		return
	}
	for _, it := range c.outbox.expire(time.Now(), c.kconfig.OutboxExpiredTimeout) {
		if c.kconfig.ReportDeletedMessages {
			c.dispatch(Event{ID: EventDeleted, MessageID: int(it.id)})
		}
	}
}

// outboxStep sends at most one queued item; with none queued it repeats what is due (ESP-OUTBOX-05).
func (c *client) outboxStep() {
	now := time.Now()
	if it := c.outbox.first(queued); it != nil {
		if err := c.send(it.data); err != nil {
			c.resendFailed(err)
			return
		}
		if it.kind == typePublish && it.qos == 0 {
			c.outbox.remove(it)
			return
		}
		it.since, it.state = now, transmitted
		return
	}
	if now.Sub(c.lastRepeat) < c.settings.retransmitTimeout {
		return
	}
	c.lastRepeat = now
	if it := c.outbox.first(transmitted); it != nil && now.Sub(it.since) > c.settings.retransmitTimeout {
		if data := c.repetition(it); data != nil {
			if err := c.send(data); err != nil {
				c.resendFailed(err)
				return
			}
		}
	}
	it := c.outbox.first(acknowledged)
	if it != nil && now.Sub(it.since) > c.settings.retransmitTimeout && !c.has(NoPubrelRetransmit) {
		if err := c.send(c.pubrel(it.id)); err != nil {
			c.resendFailed(err)
		}
	}
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
		return acknowledgement(typePubrel<<4, id)
	}
	return acknowledgement(typePubrel<<4|2, id)
}

func (c *client) resendFailed(err error) {
	c.log('E', "Error to resend data ")
	c.writeFailed(err)
	c.abort()
}

// send writes a whole packet to the connection.
func (c *client) send(data []byte) error {
	if c.transport == nil {
		return net.ErrClosed
	}
	return c.transport.write(data, c.settings.networkTimeout)
}

// writeFailed reports a failed write: a time-out is only logged, anything else is an ERROR event.
func (c *client) writeFailed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.log('E', "Writing didn't complete in specified timeout: errno=%d", 11)
		return
	}
	_, errno := transportCodes(err)
	c.log('E', "Writing failed: errno=%d", errno)
	c.dispatchTransportError(err)
}
