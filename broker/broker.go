// Package broker is the MQTT broker of a scenario: mochi-mqtt on any net.Listener, in memory or TCP, whose hooks are
// written to the record. Devices connect to it through the proxy; the scenario itself publishes and subscribes with
// the methods of Broker.
//
// The broker keeps to the standard where mochi alone would not; hook.go and connection.go say where and how.
package broker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"mqtthil/harness/timeline"
)

// Options are the settings of a broker; the zero value lets everyone in.
type Options struct {
	// Users maps user names to passwords. With at least one entry, a client must give a name and password of these,
	// and is refused with "bad user name or password" otherwise. Without entries everyone may connect.
	Users map[string]string

	// Logger receives what mochi has to say; nil discards it.
	Logger *slog.Logger
}

// Broker is a running broker. Its sessions, subscriptions and retained messages live until Close, whatever becomes of
// the listeners. All methods may be called from any goroutine.
type Broker struct {
	rec    *timeline.Recorder
	server *mochi.Server
	users  atomic.Pointer[map[string]string] // by name, with their passwords

	// handover is held while a connection takes over or gives up the session of its client identifier. Mochi does both
	// in the goroutines of the two connections, without a lock: where a device reconnects at the very moment at which
	// its old connection ends, the old one would remove the session of the new one.
	handover sync.Mutex

	// retaining is held while a subscription is made and while a retained message is published. Mochi makes the
	// subscription first and looks for retained messages later, so a message that came between would be sent twice.
	retaining sync.Mutex

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	open      map[*connection]struct{}
	running   sync.WaitGroup // accept loops and connections
	stop      sync.Once
}

// New starts a broker that records into rec what happens to it. It has no listener yet.
func New(rec *timeline.Recorder, options Options) (*Broker, error) {
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	b := &Broker{rec: rec, open: make(map[*connection]struct{})}
	b.Allow(options.Users)
	b.server = mochi.New(&mochi.Options{
		InlineClient:           true,
		Logger:                 logger,
		SysTopicResendInterval: sysTopicInterval,
	})
	if err := b.server.AddHook(&hook{broker: b}, nil); err != nil {
		return nil, fmt.Errorf("broker: add the recording hook: %w", err)
	}
	if err := b.server.Serve(); err != nil {
		return nil, fmt.Errorf("broker: start: %w", err)
	}
	return b, nil
}

// sysTopicInterval is how often, in seconds, mochi publishes its $SYS topics: once a day, since each time it stops the
// whole process to measure memory, and virtual days pass quickly.
const sysTopicInterval = 24 * 60 * 60

// Allow says who may connect from now on, as Options.Users does from the start.
func (b *Broker) Allow(users map[string]string) {
	users = maps.Clone(users)
	b.users.Store(&users)
}

// Serve starts to accept connections on l and returns; it can be called for several listeners. The listener belongs to
// the broker from then on, and Close closes it. Closing it earlier stops the accepting and nothing else.
func (b *Broker) Serve(l net.Listener) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fmt.Errorf("broker: serve %s: %w", l.Addr(), errClosed)
	}
	b.listeners = append(b.listeners, l)
	b.running.Go(func() { b.accept(l) })
	return nil
}

var errClosed = errors.New("the broker is closed")

func (b *Broker) accept(l net.Listener) {
	for {
		accepted, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			b.rec.Append(timeline.Event{
				Kind: timeline.KindHarness,
				Text: fmt.Sprintf("broker: accept on %s: %v; nobody can connect there any more", l.Addr(), err),
			})
			return
		}
		b.attach(accepted, l.Addr().String())
	}
}

// attach runs a connection in goroutines of its own.
func (b *Broker) attach(accepted net.Conn, listener string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		accepted.Close()
		return
	}
	c := newConnection(accepted)
	b.open[c] = struct{}{}
	b.running.Go(c.write)
	b.running.Go(func() {
		err := b.server.EstablishConnection(listener, c)
		b.ended(c, err)
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.open, c)
	})
}

// ended is called when mochi is through with a connection. It records the ends of which mochi tells no hook.
func (b *Broker) ended(c *connection, err error) {
	b.releaseHandover(c)
	switch c.stage {
	case awaiting:
		b.record(timeline.Broker{Hook: "connect-refused", Client: c.client, Text: "no CONNACK: " + text(err)})
	case established:
		b.record(timeline.Broker{Hook: "disconnect", Client: c.client, Text: "connection lost: " + text(err)})
	}
}

func (b *Broker) takeRetaining(c *connection) {
	b.retaining.Lock()
	c.retaining = true
}

func (b *Broker) releaseRetaining(c *connection) {
	if c.retaining {
		c.retaining = false
		b.retaining.Unlock()
	}
}

func (b *Broker) takeHandover(c *connection) {
	b.handover.Lock()
	c.handover = true
}

func (b *Broker) releaseHandover(c *connection) {
	if c.handover {
		c.handover = false
		b.handover.Unlock()
	}
}

// Publish publishes a message from inside the broker.
func (b *Broker) Publish(topic string, payload []byte, qos byte, retain bool) error {
	if retain {
		b.retaining.Lock()
		defer b.retaining.Unlock()
	}
	err := checkQoS(qos)
	if err == nil {
		err = b.checkOpen()
	}
	if err == nil {
		err = b.server.Publish(topic, bytes.Clone(payload), retain, qos)
	}
	if err != nil {
		return fmt.Errorf("broker: publish to %q: %w", topic, err)
	}
	return nil
}

// Subscribe records every message that the filter matches, retained ones included, as an event with Hook "message":
// with the Retain of the publication, and its QoS but at most qos. A message that several filters match is recorded
// once, except that each call to Subscribe records what is retained. As for every client, filters that begin with a
// wildcard do not match topics that begin with $.
func (b *Broker) Subscribe(filter string, qos byte) error {
	b.retaining.Lock()
	defer b.retaining.Unlock()
	err := checkQoS(qos)
	if err == nil {
		err = b.checkOpen()
	}
	if err == nil {
		err = b.server.Subscribe(filter, subscription, b.recordMessage(filter, qos))
	}
	if err != nil {
		return fmt.Errorf("broker: subscribe to %q: %w", filter, err)
	}
	return nil
}

// subscription is the identifier of all subscriptions made by Subscribe. Mochi delivers a message once per identifier.
const subscription = 1

func (b *Broker) recordMessage(filter string, qos byte) mochi.InlineSubFn {
	wild := strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")
	return func(_ *mochi.Client, _ packets.Subscription, pk packets.Packet) {
		if wild && strings.HasPrefix(pk.TopicName, "$") { // mochi delivers these to inline subscriptions
			return
		}
		b.record(timeline.Broker{
			Hook:    "message",
			Client:  pk.Origin,
			Topic:   pk.TopicName,
			QoS:     min(pk.FixedHeader.Qos, qos),
			Retain:  pk.FixedHeader.Retain,
			Payload: pk.Payload,
		})
	}
}

// Retained returns the payload of the message that is retained for a topic, and whether there is one.
func (b *Broker) Retained(topic string) ([]byte, bool) {
	pk, ok := b.server.Topics.Retained.Get(topic)
	return bytes.Clone(pk.Payload), ok
}

// Close closes the listeners and all connections, as a broker that is stopped, and returns when no goroutine of theirs
// runs any more. It sends no DISCONNECT, and the wills of the clients go out. Close may be called more than once.
func (b *Broker) Close() error {
	var err error
	b.stop.Do(func() {
		b.mu.Lock()
		b.closed = true
		for _, l := range b.listeners {
			if e := l.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
				err = errors.Join(err, fmt.Errorf("broker: close listener %s: %w", l.Addr(), e))
			}
		}
		for c := range b.open {
			c.Close()
		}
		b.mu.Unlock()
		b.running.Wait()
		if e := b.server.Close(); e != nil {
			err = errors.Join(err, fmt.Errorf("broker: close: %w", e))
		}
	})
	return err
}

func (b *Broker) checkOpen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	return nil
}

func checkQoS(qos byte) error {
	if qos > 2 {
		return fmt.Errorf("QoS %d does not exist: use 0, 1 or 2", qos)
	}
	return nil
}

// maxPayload bounds the bytes of a payload that the record keeps.
const maxPayload = 64 << 10

// record appends a broker event. It copies the payload, which mochi goes on using.
func (b *Broker) record(e timeline.Broker) {
	if n := len(e.Payload); n > maxPayload {
		e.Payload = e.Payload[:maxPayload]
		if e.Text != "" {
			e.Text += "; "
		}
		e.Text += fmt.Sprintf("payload of %d bytes, cut to %d", n, maxPayload)
	}
	e.Payload = bytes.Clone(e.Payload)
	b.rec.Append(timeline.Event{Kind: timeline.KindBroker, Broker: &e})
}

func text(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}
