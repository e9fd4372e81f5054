package espmqtt

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// task is esp_mqtt_task: the loop that does everything the client does by itself (ESP-TASK-01). It gives its lock up only
// where it waits: a task that has been waiting for the lock is slower to wake than this one to take it again.
func (c *client) task(ended chan struct{}) {
	defer close(ended)
	unlock := c.lock()
	woken := int64(0) // when the last wait for the time to reconnect was over
	for c.running && !c.dead() && !c.misconfigured() {
		c.runCustomEvents()
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
			pause, onRequest := c.pause(), c.onRequest()
			unlock()
			woken = c.sleepTicks(c.hurried(pause, 10*c.kconfig.Tick), onRequest)
			unlock = c.lock()
		}
		if c.is(stateConnected) {
			transport, more := c.transport, !c.does(QuirkSlowQueue) && c.v5Sendable(c.outbox.first(Queued)) != nil
			unlock()
			if !more {
				c.poll(transport)
			}
			unlock = c.lock()
		}
	}
	c.finish()
	unlock()
}

// finish is the end of the task: the connection is closed and the whole outbox deleted (ESP-TASK-15, ESP-TASK-16).
// Without power nothing is closed: the broker sees a connection that has gone silent.
func (c *client) finish() {
	if c.dead() {
		return
	}
	c.hangUp()
	if !c.has(OutboxKeptOverStop) {
		c.clearOutbox()
	}
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
	c.outbox.Clear()
	c.outboxSize.Store(0)
}

// poll waits, without the lock, until there is something to read or the poll time is over. A board wakes its tasks on
// time. What this machine is late by is taken off the next poll, or else it would add up from one to the next; and the
// client's clock is behind as much, or else that poll would seem too short for what has to be done after a second.
func (c *client) poll(t transport) {
	limit := c.hurried(c.kconfig.PollReadTimeout, 10*time.Millisecond)
	excess := limit/pollExcess + loopCost
	end := time.Now().Add(limit + excess - time.Duration(c.late.Load()))
	switch {
	case t.poll(0):
		c.isLate(0)
	case t.poll(time.Until(end)):
		c.isLate(0)
		c.environment.Wake()
	default:
		c.isLate(min(time.Since(end), limit)) // no more than the next poll can make good
	}
}

// isLate notes by how much a wait was over too late; below zero, too early.
func (c *client) isLate(by time.Duration) { c.late.Store(int64(by)) }

// What a turn of the loop takes beside its wait, as recordings of the real client show it: a poll that runs out takes
// longer than the set time. Without that, times that are multiples of the poll would meet exactly, which they never do on
// a board. After a poll of a second more than 1001 ms have passed, so that a message that was sent at its beginning is
// repeated at its end, wherever between two of the clock's ms it was sent.
const (
	pollExcess = 1100 // the part of the poll time by which it is exceeded
	loopCost   = 100 * time.Microsecond
)

// waitIsOver says whether the time to the next attempt had passed, strictly, at a time in ms since boot (ESP-TASK-07).
func (c *client) waitIsOver(at int64) bool {
	if c.onRequest() {
		select {
		case <-c.reconnect:
			return true
		default:
			return false
		}
	}
	return c.timeIsOver(at)
}

func (c *client) timeIsOver(at int64) bool {
	wait := c.waitFor.Load()
	return wait >= 0 && at-c.waitSince > wait && !c.has(NoReconnect)
}

// onRequest says that nothing but a request ends the wait to the next attempt.
func (c *client) onRequest() bool {
	return !c.has(NoReconnect) && (!c.settings.autoReconnect && !c.has(AutoReconnectAlways) || c.parked)
}

// pause is for how long the task sleeps before it looks again whether the time to the next attempt is over: half of that
// time, in whole ticks. Where there is no whole tick, it looks again with every tick, a board without a pause.
func (c *client) pause() time.Duration {
	wait := time.Duration(c.waitFor.Load()) * time.Millisecond
	ticks := wait / 2 / c.kconfig.Tick
	rest := time.Duration(c.waitSince+c.waitFor.Load()+1-c.now()) * time.Millisecond
	switch {
	case ticks < 0: // a number without a sign for FreeRTOS, and a large one
		return 365 * 24 * time.Hour
	case rest > 0 && !c.does(QuirkLateReconnect):
		return min(wait/2, rest)
	}
	return ticks * c.kconfig.Tick
}

// schedulerStart is when FreeRTOS begins to count its ticks, by the board's clock, which runs before the scheduler does. How
// much later that is differs from chip to chip and from build to build; this is no chip's figure. It was picked so that the
// ticks fall at 9.5 ms modulo 10 after power-on: a script that starts the board as a process, and then counts in round times,
// was measured to act 0 to 3 ms after one in most cases, where a tick more or less seldom changes what the client does.
const schedulerStart = 9500 * time.Microsecond

// sleepTicks waits for d in whole ticks of FreeRTOS, counted from the tick that is running, or until somebody asks for a
// reconnect. That is why a reconnect takes 1.5 times the set time (ESP-TASK-08). It returns when it was to be over, in ms
// since boot: a board wakes its tasks on the tick, and the time that this machine is late by must not count. A request
// that does not end the wait stays, and the task looks again and again; here once in a ms, so that time can pass.
func (c *client) sleepTicks(d time.Duration, onRequest bool) (over int64) {
	now := c.sinceBoot()
	end := schedulerStart + (now - schedulerStart).Truncate(c.kconfig.Tick) + max(d.Truncate(c.kconfig.Tick), c.kconfig.Tick)
	timer := c.environment.NewTimer()
	timer.Reset(time.Until(c.boot.Add(end)))
	defer timer.Stop()
	select {
	case <-timer.C():
		c.isLate(min(time.Since(c.boot)-end, c.kconfig.Tick))
		return clock(end)
	case <-c.reconnect:
		c.isLate(0)
		signal(c.reconnect) // for waitIsOver, and until connect takes it
		if !onRequest && !c.timeIsOver(c.now()) {
			c.sleep(time.Millisecond)
		}
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
	c.parked = false
	select {
	case <-c.reconnect:
	default:
	}
	if !c.hasTransport() {
		c.log('E', "Failed to create transport list")
		c.running = false // the task gives up without an event (ESP-CFG-42)
		return
	}
	c.port = cmp.Or(c.settings.port, c.defaultPort(c.settings.scheme))
	if c.does(QuirkStickyPort) {
		c.settings.port = c.port // for ever (ESP-URI-09)
	}
	if !c.has(BeforeConnectMissing) {
		c.dispatch(EventBeforeConnect)
	}
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
	c.announced = false
}

// hasTransport says whether the scheme has a transport in this build.
func (c *client) hasTransport() bool {
	switch k, scheme := &c.kconfig, c.settings.scheme; {
	case scheme == "mqtt", scheme == "mqtts" && k.TransportSSL, scheme == "ws" && k.webSocket(),
		scheme == "wss" && k.TransportSSL && k.webSocket():
		return true
	case scheme == "":
		c.log('E', "No scheme found")
	case scheme == "ws":
		c.log('E', "Please enable MQTT_ENABLE_WS to use %s", scheme)
	default:
		c.log('E', "Not support this mqtt scheme %s", scheme)
	}
	return false
}

// open opens the connection: TCP, with TLS on it and a WebSocket on that where the scheme asks for them.
func (c *client) open() (transport, error) {
	overWebSocket := strings.HasPrefix(c.settings.scheme, "ws")
	unreachable := func(err error) (transport, error) {
		if overWebSocket {
			c.print('E', tagWebSocket, "Error connecting to host %s:%d", c.settings.host, c.port)
		}
		return nil, err
	}
	conn, err := c.dial()
	if err != nil {
		c.logUnopened(err)
		return unreachable(err)
	}
	if tcp, ok := conn.(interface {
		SetKeepAliveConfig(net.KeepAliveConfig) error
	}); ok && !overWebSocket { // with a WebSocket it never reaches TCP (ESP-QRK-39)
		_ = tcp.SetKeepAliveConfig(c.settings.tcpKeepAlive)
	}
	if conn, err = c.secure(conn); err != nil {
		return unreachable(err)
	}
	s := newSocket(conn, c.environment.NewTimer(), c.power, c.print)
	s.secured = secure(c.settings.scheme)
	c.online.Store(s)
	if c.dead() { // the power went before anybody could know of the connection
		s.powerOff()
	}
	if !overWebSocket {
		return s, nil
	}
	path := c.settings.path
	if !c.settings.hasPath || c.has(PathLost) {
		path = "/"
	}
	w := &webSocket{socket: s, traits: c.traits, random: c.environment.Random, limit: c.settings.networkTimeout}
	err = w.upgrade(c.settings.host+":"+strconv.Itoa(c.port), path, c.kconfig.WSBufferSize)
	if err != nil {
		c.transport = s // for abort to close after the event
		return nil, err
	}
	if c.settings.tcpKeepAlive.Enable && c.does(QuirkKeepAliveWebSocket) {
		c.crash()
		return nil, errNoPower
	}
	return w, nil
}

// logUnopened prints why there is no TCP connection, as esp-tls does, and then the transport.
func (c *client) logUnopened(err error) {
	codes := transportCodes(err)
	switch reason := Strerror(codes.SocketErrno); {
	case codes.TLSLastError == errCannotResolve:
		c.print('E', tagTLS, "couldn't get hostname for :%s: getaddrinfo() returns %d, addrinfo=0x0", c.settings.host, eaiFail)
	case codes.TLSLastError == errConnectTimeout:
		c.print('E', tagTLS, "[sock=%d] select() timeout", descriptor)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH): // known before anything is sent
		c.print('E', tagTLS, "[sock=%d] connect() error: %s", descriptor, reason)
	default:
		c.print('E', tagTLS, "[sock=%d] delayed connect error: %s", descriptor, reason)
	}
	if secure(c.settings.scheme) {
		c.print('E', tagTLS, "Failed to open new connection")
		c.print('E', tagBase, "Failed to open a new connection")
		return
	}
	c.print('E', tagBase, "Failed to open a new connection: %d", codes.TLSLastError)
}

// eaiFail is lwIP's EAI_FAIL, which getaddrinfo returns where it has no address.
const eaiFail = 202

// crash is what becomes of a board whose memory the client has spoilt: it panics, and nothing goes on.
func (c *client) crash() {
	if c.environment.Panic == nil {
		c.powerOnce.Do(func() { close(c.power) })
	} else {
		c.environment.Panic()
	}
	<-c.power
}

// dial opens a TCP connection within the network time-out, and gives up when the power goes.
func (c *client) dial() (net.Conn, error) {
	switch {
	case !c.settings.hasHost: // a null pointer (ESP-CFG-02)
		c.crash()
		return nil, errNoPower
	case c.settings.host == "": // which Go takes for this machine
		return nil, &net.DNSError{Err: "the name of the host is empty", IsNotFound: true}
	}
	ctx, cancel := c.networkContext()
	defer cancel()
	conn, err := c.environment.Dial(ctx, "tcp", net.JoinHostPort(c.settings.host, strconv.Itoa(c.port)))
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, os.ErrDeadlineExceeded
	}
	return conn, err
}

// networkContext ends with the network time-out, or when the power goes.
func (c *client) networkContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), c.settings.networkTimeout, os.ErrDeadlineExceeded)
	done := make(chan struct{})
	go func() {
		select {
		case <-c.power:
			cancel()
		case <-done:
		}
	}()
	return ctx, func() { close(done); cancel() }
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
		if !c.has(DisconnectWithoutPacket) {
			c.sendDisconnect()
		}
		c.parked = !c.does(QuirkDisconnectUndone)
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
	c.outboxStep()
	if !c.keepAlive() { // which goes on where the outbox step has lost the connection (ESP-OUTBOX-10)
		return
	}
	refresh := c.settings.refreshAfter != 0 && !c.has(RefreshNever)
	if refresh && c.now()-c.refreshAt >= c.settings.refreshAfter {
		if !c.does(QuirkRefreshAbrupt) && c.is(stateConnected) {
			c.sendDisconnect()
		}
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
	if !c.does(QuirkSubscribeAgain) {
		for _, it := range c.outbox.all(Transmitted, func(it *Item) bool { return it.Type != typePublish }) {
			c.discard(it)
		}
	}
	c.waitFor.Store(c.reconnectDelay())
	c.waitSince = c.now()
	c.awaitPing = false
	c.become(stateWaitReconnect)
	c.dispatch(EventDisconnected)
	if c.has(DisconnectedTwice) {
		c.dispatch(EventDisconnected)
	}
}

// reconnectDelay is the time to wait between two connections, in ms: always the same (ESP-TASK-06).
func (c *client) reconnectDelay() int64 {
	switch wait := c.settings.reconnectTimeout; {
	case c.has(ReconnectAtOnce):
		return 0
	case c.has(ReconnectBackoff):
		return wait * int64(1+c.connects)
	default:
		return wait
	}
}

// send writes a whole packet to the connection. On one that the client has closed itself it waits for room until the
// time is over.
func (c *client) send(data []byte) error {
	if c.transport == nil {
		c.sleep(c.settings.networkTimeout)
		logWriteTimeout(c.print, c.errno(), -1, c.settings.networkTimeout)
		return os.ErrDeadlineExceeded
	}
	c.sentAt = c.now()
	return c.transport.write(data, c.settings.networkTimeout)
}

// errno is what log lines show of the C library's: the number of what went wrong last, on this connection or the one before.
// On a board each task has its own, so that one that has never connected, and writes a message, may show another.
func (c *client) errno() int {
	if s := c.online.Load(); s != nil {
		return s.errno
	}
	return errnoInProgress
}

// writeFailed reports a failed write: a time-out is only logged, anything else is an ERROR event.
func (c *client) writeFailed(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.log('E', "Writing didn't complete in specified timeout: errno=%d", c.errno())
		return
	}
	c.log('E', "Writing failed: errno=%d", c.errno())
	c.dispatchTransportError(err)
}
