package espmqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Environment is what the client finds on its board.
type Environment struct {
	MAC    [6]byte
	Random *rand.Rand // esp_random; used by one task at a time
	// Dial opens a TCP connection, as net.Dialer.DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
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
)

// Client is an esp_mqtt_client_handle_t. Its methods may be called from any goroutine, and from a handler on the Client
// that the handler's event carries.
type Client struct {
	*client
	inHandler bool // the caller holds the lock already
}

type client struct {
	environment Environment
	kconfig     Kconfig
	defects     map[Defect]bool
	handler     func(Event)
	boot        time.Time

	// api is the client's recursive lock: a channel, so that a wait for it is one that virtual time can see.
	api       chan struct{}
	power     chan struct{} // closed when the board loses its power
	powerOnce sync.Once

	// online is the present connection, for the loss of power, which does not wait for the lock.
	online atomic.Pointer[transport]

	// What follows is guarded by api.
	settings   settings
	state      taskState
	running    bool
	started    bool          // a task was created at least once
	ended      chan struct{} // closed when the task has ended
	outbox     outbox
	lastID     uint16
	transport  *transport
	receiver   receiver
	lastRepeat time.Time // last retransmission slot; zero before the task's first one
	pingAt     time.Time // keep alive reference
	awaitPing  bool
	refreshAt  time.Time
	waitSince  time.Time
	waitFor    time.Duration
	disconnect bool // asked for
	connects   int  // accepted connections
	announced  bool // ConnectTwice has struck on this connection

	reconnect chan struct{} // asked for, while waiting
}

// New is esp_mqtt_client_init: it makes a client and neither connects nor starts anything (ESP-CFG-42). The handler is
// called for every event, in the task that causes it and with the client's lock held.
func New(config Config, kconfig Kconfig, environment Environment, handler func(Event), defects ...Defect) (*Client, error) {
	c := &client{
		environment: environment,
		kconfig:     kconfig,
		defects:     map[Defect]bool{},
		handler:     handler,
		boot:        time.Now(),
		api:         make(chan struct{}, 1),
		power:       make(chan struct{}),
		reconnect:   make(chan struct{}, 1),
	}
	for _, d := range defects {
		c.defects[d] = true
	}
	settings, err := c.settle(config)
	if err != nil {
		return nil, err
	}
	c.settings = settings
	return &Client{client: c}, nil
}

// SetConfig is esp_mqtt_set_config. It does not touch the connection; most fields count from the next one on
// (ESP-CFG-43).
func (c *Client) SetConfig(config Config) error {
	defer c.lock()()
	settings, err := c.settle(config)
	if err != nil {
		return err
	}
	c.settings = settings
	return nil
}

func (c *client) has(d Defect) bool { return c.defects[d] }

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

func (c *client) log(level byte, format string, arguments ...any) {
	if c.environment.Log != nil && !c.dead() {
		c.environment.Log(level, "mqtt_client", fmt.Sprintf(format, arguments...))
	}
}

// Start is esp_mqtt_client_start: it creates the client's task (ESP-TASK-13).
func (c *Client) Start() error {
	defer c.lock()()
	if c.state != stateInit && c.state != stateDisconnected || c.running {
		c.log('E', "Client has started")
		return ErrStarted
	}
	c.state, c.running, c.started = stateInit, true, true
	c.lastRepeat = time.Time{}
	c.ended = make(chan struct{})
	go c.task(c.ended)
	return nil
}

// Stop is esp_mqtt_client_stop: DISCONNECT goes out at once, and the call returns when the task has ended, up to one
// poll later (ESP-TASK-14). The outbox is lost with the task.
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
	if c.state == stateConnected && !c.has(StopWithoutDisconnect) {
		if err := c.send([]byte{typeDisconnect << 4, 0}); err != nil {
			c.writeFailed(err)
		}
	}
	c.running, c.state = false, stateDisconnected
	ended := c.ended
	unlock()
	c.wake()
	select {
	case <-ended:
	case <-c.power:
	}
	return nil
}

// Disconnect is esp_mqtt_client_disconnect: a request that the task serves when it next looks (ESP-TASK-11).
func (c *Client) Disconnect() error {
	c.log('I', "Client asked to disconnect")
	defer c.lock()()
	c.disconnect = true
	return nil
}

// Reconnect is esp_mqtt_client_reconnect: it ends the wait between two connections, and fails at any other time
// (ESP-TASK-09).
func (c *Client) Reconnect() error {
	c.log('I', "Client force reconnect requested")
	unlock := c.lock()
	waiting := c.state == stateWaitReconnect
	if waiting {
		c.waitFor = 0
	}
	unlock()
	if !waiting {
		return fmt.Errorf("client is not waiting to reconnect: %w", ErrFail)
	}
	c.wake()
	return nil
}

// Destroy is esp_mqtt_client_destroy: it stops the client if it runs.
func (c *Client) Destroy() error {
	if err := c.Stop(); err != nil && !errors.Is(err, ErrNotStarted) {
		return err
	}
	return nil
}

// State is esp_mqtt_client_get_state.
func (c *Client) State() State {
	defer c.lock()()
	if !c.started {
		return NotStarted
	}
	return [...]State{NotStarted, Disconnected, Connected, WaitingReconnect}[c.state]
}

// OutboxSize is esp_mqtt_client_get_outbox_size, in bytes.
func (c *Client) OutboxSize() int {
	defer c.lock()()
	return c.outbox.size()
}

// PowerOff takes the board's power away: the task ends where it stands, posts nothing more and leaves its connection as
// it is, for the other side to find out. It returns when the task has ended.
func (c *Client) PowerOff() {
	c.powerOnce.Do(func() { close(c.power) })
	if t := c.online.Load(); t != nil {
		t.powerOff()
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

// wake ends a wait for the time to reconnect.
func (c *client) wake() {
	select {
	case c.reconnect <- struct{}{}:
	default:
	}
}
