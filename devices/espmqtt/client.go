package espmqtt

import (
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"mqtthil/devices/esptls"
)

// Environment is what the client finds on its board.
type Environment struct {
	MAC    [6]byte
	Random *rand.Rand // esp_random; used by one task at a time
	// Boot is when the board's clock and its ticks began. Zero: when the client is made.
	Boot time.Time
	// Dial opens a TCP connection, as net.Dialer.DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLSBuild holds the options of the firmware's build that TLS depends on.
	TLSBuild esptls.Build
	// GlobalCAStore holds the certificates of esp_tls_set_global_ca_store, in PEM.
	GlobalCAStore []byte
	// CertificateBundle is ESP-IDF's bundle; nil stands for the roots of the machine that runs the emulation.
	CertificateBundle *x509.CertPool
	// Signer is the key of the board's digital signature peripheral, which never shows it.
	Signer crypto.Signer
	// Wake is called by a task that something has woken, and returns when the task runs. Nil: at once.
	Wake func()
	// Yield is called by who has woken the client's task, which goes first. Nil: at once.
	Yield func()
	// NewTimer makes a timer that does not run yet, for the polls and the waits to reconnect. Nil: one of Go's.
	NewTimer func() Timer
	// Memory is the heap that the client's own outbox lives on; nil is one without end.
	Memory Memory
	// NewOutbox makes the application's outbox, in a build with MQTT_CUSTOM_OUTBOX. One that is kept from one client to the
	// next is an outbox that outlives the client.
	NewOutbox func() Outbox
	// Panic makes the board panic: the client has written where it must not. It takes the power away from the client, and
	// does not wait until that has noticed; nil is a board that stands still instead.
	Panic func()
	// Log takes a log line of ESP-IDF: level E, W or I, tag and text. It may be nil.
	Log func(level byte, tag, text string)
}

// State is what esp_mqtt_client_get_state returns.
type State int

// The states, by their number in C.
const (
	NotInitialized State = iota
	NotStarted
	Disconnected
	Connected
	WaitingReconnect
)

// taskState is the state of the task's loop.
type taskState int

const (
	stateInit taskState = iota
	stateDisconnected
	stateConnected
	stateWaitReconnect
)

// Errors of the calls on a client.
var (
	ErrStarted    = fmt.Errorf("client has started: %w", ErrFail)
	ErrNotStarted = fmt.Errorf("client was not started: %w", ErrFail)
	ErrInHandler  = fmt.Errorf("client cannot be stopped from its own task: %w", ErrFail)
	ErrTimeout    = errors.New("ESP_ERR_TIMEOUT")
)

// ErrNoOutbox is what a real build with MQTT_CUSTOM_OUTBOX and no outbox fails on: its linker.
var ErrNoOutbox = errors.New("the build has MQTT_CUSTOM_OUTBOX, which leaves the client's own outbox out, and the " +
	"application brings none")

// Client is an esp_mqtt_client_handle_t. Its methods may be called from any goroutine, and from a handler on the Client
// that the handler's event carries.
type Client struct {
	*client
	inHandler bool // the caller holds the lock already
}

type client struct {
	environment Environment
	kconfig     Kconfig
	traits
	handler func(Event)
	deaf    atomic.Bool // the handler is not called any more
	boot    time.Time

	// api is the client's recursive lock: a channel, so that a wait for it is one that virtual time can see.
	api       chan struct{}
	power     chan struct{} // closed when the board loses its power
	powerOnce sync.Once

	events chan Event   // the queue of the client's event loop; see event.go
	custom atomic.Int32 // user events that were put there and not yet counted out

	// What some calls look at, or ask for, without waiting for the lock (ESP-TASK-19).
	state       atomic.Int32 // a taskState
	outboxSize  atomic.Int64
	outboxLimit atomic.Uint64
	disconnect  atomic.Bool
	waitFor     atomic.Int64           // ms until the next attempt, from waitSince on; 0: at once
	online      atomic.Pointer[socket] // for the loss of power

	unconfigured atomic.Bool // a Config that was refused has taken the configuration away

	late atomic.Int64 // ns by which the task's last wait was over too late; see poll

	// What follows is guarded by api.
	settings   settings
	running    bool
	started    bool          // a task was created at least once
	ended      chan struct{} // closed when the task has ended
	outbox     outbox
	lastID     uint16
	transport  transport
	receiver   receiver
	v5         v5
	event      Event // what the last events have left in it: all events share one struct (ESP-EVT-01)
	unsent     int   // what the output buffer's builder takes for the offset of a fragment; see publish.go
	lastRepeat int64 // last retransmission slot, in ms since boot; 0 before the task's first one
	pingAt     int64 // keep alive reference, in ms since boot
	awaitPing  bool
	pinged     bool  // PINGREQ was sent once
	refreshAt  int64 // ms since boot
	waitSince  int64 // ms since boot
	connects   int   // accepted connections: the number of the newest one
	announced  bool  // ConnectTwice has struck on this connection
	parked     bool  // no reconnect but when it is asked for
	sentAt     int64 // last packet sent, in ms since boot
	port       int   // that the connection goes to
	// Identifiers of QoS 2 messages that have come and were not released. The real client does not know them.
	received map[uint16]bool

	reconnect chan struct{} // asked for, while waiting
}

// New is esp_mqtt_client_init: it makes a client and neither connects nor starts anything (ESP-CFG-42). The handler is
// called for every event, in the task that causes it and with the client's lock held.
func New(config Config, kconfig Kconfig, environment Environment, behaviour Behaviour, handler func(Event)) (*Client, error) {
	c := &client{
		environment: environment,
		kconfig:     kconfig,
		traits:      behaviour.traits(),
		handler:     handler,
		boot:        environment.Boot,
		api:         make(chan struct{}, 1),
		power:       make(chan struct{}),
		reconnect:   make(chan struct{}, 1),
		events:      make(chan Event, max(kconfig.EventQueueSize, 1)),
		v5:          newV5(),
		received:    map[uint16]bool{},
	}
	if environment.Boot.IsZero() {
		c.boot = time.Now()
	}
	if environment.Wake == nil {
		c.environment.Wake = func() {}
	}
	if environment.Yield == nil {
		c.environment.Yield = func() {}
	}
	if environment.NewTimer == nil {
		c.environment.NewTimer = NewTimer
	}
	conflict, err := c.configure(config)
	if err = cmp.Or(err, conflict); err != nil {
		return nil, err
	}
	c.event.V5 = c.isV5()
	switch {
	case !kconfig.CustomOutbox:
		c.outbox = outbox{NewOutbox(environment.Memory)}
	case environment.NewOutbox == nil:
		return nil, ErrNoOutbox
	default:
		c.outbox = outbox{environment.NewOutbox()}
		c.outboxSize.Store(int64(c.outbox.Size()))
	}
	return &Client{client: c}, nil
}

// SetConfig is esp_mqtt_set_config. It does not touch the connection; most fields count from the next one on
// (ESP-CFG-43). With an error that wraps ErrInvalidArgument the new values hold all the same; with any other
// the client has lost its configuration, and the board panics as soon as anybody needs it: the client's task with its next
// turn, or a call (ESP-CFG-40, ESP-CFG-41). A key or certificate whose text cannot be decoded, which on a board is none, also
// wraps ErrInvalidArgument, and changes nothing.
func (c *Client) SetConfig(config Config) error {
	defer c.lock()()
	if c.misconfigured() { // its buffers are freed twice
		return errNoPower
	}
	conflict, err := c.configure(config)
	c.unconfigured.Store(err != nil && !errors.Is(err, ErrInvalidArgument))
	return cmp.Or(err, conflict)
}

// misconfigured says whether the client has lost its configuration. Where it looks for that, it crashes.
func (c *client) misconfigured() bool {
	if !c.unconfigured.Load() {
		return false
	}
	c.crash()
	return true
}

// SetURI is esp_mqtt_client_set_uri. It does not touch the connection: the URI counts from the next attempt to connect on
// (ESP-CFG-43). A URI that is wrong changes nothing (ESP-URI-10). With one that names no port the old port stays, be it the
// default of another scheme (ESP-URI-09).
func (c *Client) SetURI(uri string) error {
	defer c.lock()()
	settings := c.settings
	if !c.does(QuirkStickyPort) {
		settings.port = 0
	}
	if err := settings.applyURI(uri, c.has(CredentialsNotDecoded)); err != nil {
		c.logURI(uri, err)
		return err
	}
	if c.misconfigured() {
		return errNoPower
	}
	c.settings = settings
	if c.has(SetURIReconnects) && c.is(stateConnected) {
		c.abort()
	}
	return nil
}

// configure takes a Config over and makes new buffers. Bytes of a packet that is coming in are lost with the old one, while
// the client goes on to count them: it then reads in their place what the heap has left there.
func (c *client) configure(config Config) (conflict, err error) {
	settings := c.settings
	if conflict, err = settings.apply(config, c); err != nil {
		return nil, err
	}
	c.settings = settings
	c.unsent = 0
	c.receiver.size = settings.bufferSize
	c.receiver.buffer = make([]byte, max(settings.bufferSize, smallestBuffer))
	if c.receiver.length > 0 {
		binary.LittleEndian.PutUint32(c.receiver.buffer, freeList)
	}
	c.outboxLimit.Store(settings.outboxLimit)
	return conflict, nil
}

// lock takes the API lock, unless the caller is a handler and has it.
func (c *Client) lock() (unlock func()) {
	if c.inHandler {
		return func() {}
	}
	return c.client.lock()
}

func (c *client) lock() (unlock func()) {
	c.api <- struct{}{}
	return func() { <-c.api }
}

func (c *client) is(state taskState) bool { return taskState(c.state.Load()) == state }

func (c *client) become(state taskState) { c.state.Store(int32(state)) }

// now is the client's clock: ms since boot, without fractions. All its timers compare such numbers.
func (c *client) now() int64 { return clock(c.sinceBoot()) }

// sinceBoot is for how long the board has run, by a clock that is late where the client's task is.
func (c *client) sinceBoot() time.Duration { return time.Since(c.boot) - time.Duration(c.late.Load()) }

// clock is what the clock shows that long after the boot. It begins with 1, so that no time is 0, which means none.
func clock(sinceBoot time.Duration) int64 { return 1 + sinceBoot.Milliseconds() }

func (c *client) log(level byte, format string, arguments ...any) {
	c.print(level, "mqtt_client", format, arguments...)
}

// print prints a log line of the part of the board's software that the tag names.
func (c *client) print(level byte, tag, format string, arguments ...any) {
	if c.environment.Log != nil && !c.dead() {
		c.environment.Log(level, tag, fmt.Sprintf(format, arguments...))
	}
}

// Start is esp_mqtt_client_start: it creates the client's task (ESP-TASK-13).
func (c *Client) Start() error {
	defer c.lock()()
	if !c.is(stateInit) && !c.is(stateDisconnected) || c.running {
		c.log('E', "Client has started")
		return ErrStarted
	}
	if c.misconfigured() {
		return errNoPower
	}
	c.become(stateInit)
	c.running, c.started = true, true
	c.lastRepeat = 0
	c.ended = make(chan struct{})
	go c.task(c.ended)
	return nil
}

// Stop is esp_mqtt_client_stop: DISCONNECT goes out at once, and the call returns when the task has ended: up to one
// poll later, or half the time to reconnect (ESP-TASK-14). The outbox is lost with the task.
func (c *Client) Stop() error {
	if c.inHandler {
		c.log('E', "Client cannot be stopped from MQTT task")
		return ErrInHandler
	}
	unlock := c.lock()
	if !c.running {
		unlock()
		c.log('W', "Client asked to stop, but was not started")
		return ErrNotStarted
	}
	if c.is(stateConnected) && !c.has(StopWithoutDisconnect) && !c.misconfigured() {
		c.sendDisconnect()
	}
	c.running = false
	c.become(stateDisconnected)
	if c.has(StopReported) {
		c.dispatch(EventDisconnected)
	}
	ended := c.ended
	unlock()
	select {
	case <-ended:
	case <-c.power:
	}
	return nil
}

// Disconnect is esp_mqtt_client_disconnect: a request that the task serves when it next looks (ESP-TASK-11).
func (c *Client) Disconnect() error {
	c.log('I', "Client asked to disconnect")
	c.disconnect.Store(true)
	return nil
}

// Reconnect is esp_mqtt_client_reconnect: it ends the wait between two connections, and fails at any other time
// (ESP-TASK-09).
func (c *Client) Reconnect() error {
	c.log('I', "Client force reconnect requested")
	if !c.is(stateWaitReconnect) || c.has(ReconnectRequestIgnored) {
		return fmt.Errorf("client is not waiting to reconnect: %w", ErrFail)
	}
	c.waitFor.Store(0)
	select {
	case c.reconnect <- struct{}{}:
	default:
	}
	if !c.inHandler {
		c.environment.Yield() // to the client's task, which has the higher priority
	}
	return nil
}

// UnregisterEvent is esp_mqtt_client_unregister_event: the handler is called for no further event. It waits for nothing.
func (c *Client) UnregisterEvent() {
	if !c.misconfigured() {
		c.deaf.Store(true)
	}
}

// Destroy is esp_mqtt_client_destroy: it stops the client if it runs.
func (c *Client) Destroy() error {
	unlock := c.lock()
	running := c.running
	unlock()
	if !running {
		return nil
	}
	return c.Stop()
}

// State is esp_mqtt_client_get_state.
func (c *Client) State() State {
	defer c.lock()()
	if !c.started {
		return NotStarted
	}
	return [...]State{NotStarted, Disconnected, Connected, WaitingReconnect}[c.state.Load()]
}

// OutboxSize is esp_mqtt_client_get_outbox_size, in bytes.
func (c *Client) OutboxSize() int {
	defer c.lock()()
	return c.outbox.Size()
}

// PowerOff takes the board's power away: the task ends where it stands, posts nothing more and leaves its connection as
// it is, for the other side to find out. It returns when the task has ended.
func (c *Client) PowerOff() {
	c.powerOnce.Do(func() { close(c.power) })
	if s := c.online.Load(); s != nil {
		s.powerOff()
	}
	unlock := c.client.lock()
	ended := c.ended
	unlock()
	if ended != nil {
		<-ended
	}
}

func (c *client) dead() bool {
	select {
	case <-c.power:
		return true
	default:
		return false
	}
}
