package espmqtt

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"
)

// task is esp_mqtt_task: the loop that does everything the client does by itself (ESP-TASK-01).
func (c *client) task(ended chan struct{}) {
	defer close(ended)
	woken := int64(0) // when the last wait for the time to reconnect was over
	for {
		unlock := c.lock()
		if !c.running || c.dead() {
			c.finish()
			unlock()
			return
		}
		c.deleteExpired()
		switch taskState(c.state.Load()) {
		case stateInit:
			c.connect()
		case stateConnected:
			c.serve()
		case stateWaitReconnect:
			if c.waitIsOver(woken) {
				c.become(stateInit)
				break
			}
			pause := time.Duration(c.waitFor.Load()) * time.Millisecond / 2
			unlock()
			woken = c.sleepTicks(pause)
			continue
		}
		connected, transport := c.is(stateConnected), c.transport
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
	c.hangUp()
	c.clearOutbox()
	c.running = false
	c.become(stateDisconnected)
}

// hangUp closes the connection.
func (c *client) hangUp() {
	if c.transport != nil {
		c.transport.close()
		c.transport = nil
	}
}

func (c *client) clearOutbox() {
	c.outbox.clear()
	c.outboxSize.Store(0)
}

// poll waits, without the lock, until there is something to read or the poll time is over.
func (c *client) poll(t transport) {
	began, limit := time.Now(), c.kconfig.PollReadTimeout
	switch {
	case t.poll(0):
	case t.poll(limit):
		c.sleep(wakeCost)
	default:
		c.sleep(time.Until(began.Add(limit + limit/pollExcess + loopCost)))
	}
}

// What a turn of the loop takes beside its wait, as recordings of the real client show it: a poll that runs out takes
// longer than the set time, and a task that is woken does not run at once. Without that, times that are multiples of the
// poll would meet exactly, which they never do on a board.
const (
	pollExcess = 1000 // the part of the poll time by which it is exceeded
	loopCost   = 100 * time.Microsecond
	wakeCost   = 100 * time.Microsecond
)

// waitIsOver says whether the time to the next attempt had passed, strictly, at a time in ms since boot (ESP-TASK-07).
func (c *client) waitIsOver(at int64) bool {
	wait := c.waitFor.Load()
	switch {
	case c.has(NoReconnect):
		return false
	case !c.settings.autoReconnect:
		select {
		case <-c.reconnect:
			return true
		default:
			return false
		}
	}
	return wait >= 0 && at-c.waitSince > wait
}

// sleepTicks waits for d in whole ticks of FreeRTOS, counted from the tick that is running, or until somebody asks for a
// reconnect. That is why a reconnect takes 1.5 times the set time (ESP-TASK-08). It returns when it was to be over, in ms
// since boot: a board wakes its tasks on the tick, and the time that this machine is late by must not count.
func (c *client) sleepTicks(d time.Duration) (over int64) {
	if d < 0 {
		d = 365 * 24 * time.Hour
	}
	now := time.Since(c.boot)
	end := now.Truncate(c.kconfig.Tick) + max(d.Truncate(c.kconfig.Tick), c.kconfig.Tick)
	late := time.NewTimer(end - now)
	defer late.Stop()
	select {
	case <-late.C:
		return end.Milliseconds()
	case <-c.reconnect:
		signal(c.reconnect) // for waitIsOver, and until connect takes it
		c.sleep(time.Millisecond)
	case <-c.power:
	}
	return c.now()
}

func (c *client) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.power:
	}
}

// connect is one attempt to connect; the lock is held from its beginning to its end (ESP-TASK-02).
func (c *client) connect() {
	c.disconnect.Store(false)
	select {
	case <-c.reconnect:
	default:
	}
	if !c.hasTransport() {
		c.log('E', "Failed to create transport list")
		c.running = false // the task gives up without an event (ESP-CFG-42)
		return
	}
	if c.settings.port == 0 {
		c.settings.port = c.defaultPort(c.settings.scheme) // and keeps it (ESP-URI-09)
	}
	c.dispatch(EventBeforeConnect)
	transport, err := c.open()
	if err != nil {
		c.log('E', "Error transport connect")
		c.dispatchTransportError(err)
		c.abort()
		return
	}
	c.transport = transport
	if !c.handshake() {
		c.log('E', "MQTT connect failed")
		c.abort()
		return
	}
	c.pingAt, c.refreshAt = c.now(), c.now()
	c.connects++
	c.announced = false
}

// hasTransport says whether the scheme has a transport. TLS is not modelled: its schemes are as in a build without it.
func (c *client) hasTransport() bool {
	switch {
	case c.settings.scheme == "mqtt", c.settings.scheme == "ws" && c.kconfig.TransportWebSocket:
		return true
	case c.settings.scheme == "":
		c.log('E', "No scheme found")
	case c.settings.scheme == "ws":
		c.log('E', "Please enable MQTT_ENABLE_WS to use %s", c.settings.scheme)
	default:
		c.log('E', "Not support this mqtt scheme %s", c.settings.scheme)
	}
	return false
}

// open opens the connection: TCP, and a WebSocket on it where the scheme asks for one.
func (c *client) open() (transport, error) {
	conn, err := c.dial()
	if err != nil {
		return nil, err
	}
	s := newSocket(conn, c.power)
	c.online.Store(s)
	if c.dead() { // the power went before anybody could know of the connection
		s.powerOff()
	}
	if c.settings.scheme != "ws" {
		return s, nil
	}
	host := c.settings.host + ":" + strconv.Itoa(c.settings.port)
	w, err := upgrade(s, c.environment.Random, host, c.settings.path, c.kconfig.WSBufferSize, c.settings.networkTimeout)
	if err != nil {
		c.transport = s // for abort to close after the event
		return nil, err
	}
	return w, nil
}

// dial opens a TCP connection within the network time-out, and gives up when the power goes.
func (c *client) dial() (net.Conn, error) {
	if c.settings.host == "" { // where the real client crashes (ESP-CFG-02)
		return nil, &net.DNSError{Err: "no host is configured", IsNotFound: true}
	}
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
	if c.has(ConnectTwice) && !c.announced {
		c.announced = true
		if err := c.send(c.connectPacket()); err != nil {
			c.writeFailed(err)
		}
	}
	if c.disconnect.CompareAndSwap(true, false) {
		c.sendDisconnect()
		c.abort()
		return
	}
	if !c.receive() {
		c.abort()
		return
	}
	if c.lastRepeat == 0 {
		c.lastRepeat = c.now()
	}
	if c.is(stateConnected) {
		c.outboxStep()
	}
	if c.is(stateConnected) {
		c.keepAlive()
	}
	if c.is(stateConnected) && c.settings.refreshAfter > 0 && c.now()-c.refreshAt >= c.settings.refreshAfter {
		c.abort() // the socket is closed without a DISCONNECT, and no time is waited (ESP-TASK-12)
		c.become(stateInit)
	}
}

// abort is esp_mqtt_abort_connection: close, and wait for the time to reconnect (ESP-TASK-06).
func (c *client) abort() {
	if c.dead() {
		return
	}
	c.hangUp()
	if c.has(OutboxLostOnReconnect) {
		c.clearOutbox()
	}
	c.waitFor.Store(c.settings.reconnectTimeout)
	c.waitSince = c.now()
	c.awaitPing = false
	c.become(stateWaitReconnect)
	c.dispatch(EventDisconnected)
}

// deleteExpired drops what has been in the outbox for too long (ESP-OUTBOX-15).
func (c *client) deleteExpired() {
	if c.has(OutboxNeverExpires) {
		return
	}
	for {
		it := c.outbox.expired(c.now(), c.kconfig.OutboxExpiredTimeout.Milliseconds())
		if it == nil {
			return
		}
		c.outbox.remove(it)
		c.outboxSize.Store(int64(c.outbox.size))
		if c.kconfig.ReportDeletedMessages {
			c.event.MessageID = int(it.id)
			c.dispatch(EventDeleted)
		}
	}
}

// outboxStep sends at most one queued item; with none to send it repeats what is due (ESP-OUTBOX-05).
func (c *client) outboxStep() {
	if it := c.v5Sendable(c.outbox.first(queued)); it != nil {
		if err := c.send(it.data); err != nil {
			c.resendFailed(err)
			return
		}
		if it.kind == typePublish && it.qos == 0 {
			c.outbox.remove(it)
			c.outboxSize.Store(int64(c.outbox.size))
			return
		}
		it.since, it.state = c.now(), transmitted
		if it.kind == typePublish {
			c.v5.inFlight++
		}
		return
	}
	now, timeout := c.now(), c.settings.retransmitTimeout
	if now-c.lastRepeat < timeout {
		return
	}
	c.lastRepeat = now
	if it := c.outbox.first(transmitted); it != nil && now-it.since > timeout {
		if data := c.repetition(it); data != nil {
			if err := c.send(data); err != nil {
				c.resendFailed(err)
				return
			}
		}
	}
	it := c.outbox.first(acknowledged)
	if it != nil && now-it.since > timeout && !c.has(NoPubrelRetransmit) {
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
		return c.acknowledgement(typePubrel<<4, id)
	}
	return c.acknowledgement(typePubrel<<4|2, id)
}

func (c *client) resendFailed(err error) {
	c.writeFailed(err)
	c.log('E', "Error to resend data ")
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
