// Package faults is the proxy between a device's MQTT client and its broker. It relays packet by packet, writes each
// into the record as it comes in and as it goes out, and breaks the traffic where rules say so:
//
//	proxy.Add(faults.Drop(faults.ToDevice(faults.PUBACK)).Times(2))
//	proxy.Add(faults.Cut(faults.FromDevice(faults.PUBLISH).WithQoS(2), faults.AtByte(3), faults.RST))
//
// It passes on what it does not understand. Bytes that are no MQTT packet go through untouched, a packet that breaks
// the standard goes through as it is, and FIN and RST arrive at the other side as what they were.
//
// Each packet is taken in whole before any of it is handed on. So the device may see other segment boundaries than the
// broker made, and a packet that stalls half-way does not reach the other side until its stream ends.
//
// That a packet has reached-broker or reached-device in the record says that the kernel was given it, right after the
// event. Where the connection is reset at the same time, it may be lost all the same.
package faults

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"mqtthil/harness/timeline"
)

// Proxy relays connections from any number of listeners to one broker. All methods may be called from any goroutine.
//
// Its connections must have the methods CloseWrite and SetLinger of *net.TCPConn.
type Proxy struct {
	rec   *timeline.Recorder
	dial  func(context.Context) (net.Conn, error)
	rules *rules

	dialing context.Context // ends with Close
	cancel  context.CancelFunc

	mu         sync.Mutex
	closed     bool
	listeners  map[net.Listener]struct{}
	links      map[*link]struct{}
	accepted   int // connections ever, to number them
	goroutines sync.WaitGroup
}

// New returns a proxy that reaches the broker by dial and writes what it sees and does to rec. It begins with Serve.
func New(rec *timeline.Recorder, dial func(ctx context.Context) (net.Conn, error)) *Proxy {
	p := &Proxy{
		rec:       rec,
		dial:      dial,
		rules:     &rules{rec: rec},
		listeners: make(map[net.Listener]struct{}),
		links:     make(map[*link]struct{}),
	}
	p.dialing, p.cancel = context.WithCancel(context.Background())
	return p
}

// Add arms a rule, also while traffic flows. The rules are asked in the order in which they were added.
func (p *Proxy) Add(r Rule) *Armed {
	return p.rules.add(r)
}

// Rules returns the rules that are armed.
func (p *Proxy) Rules() []*Armed {
	return p.rules.all()
}

// Serve accepts the device's connections until Close, and then returns nil. It takes over the listener.
func (p *Proxy) Serve(l net.Listener) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.Close()
		return nil
	}
	p.listeners[l] = struct{}{}
	p.goroutines.Add(1)
	p.mu.Unlock()
	defer p.goroutines.Done()

	err := p.acceptAll(l)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	delete(p.listeners, l)
	l.Close()
	return fmt.Errorf("accepting the device's connections on %s: %w", l.Addr(), err)
}

// acceptAll runs until the listener fails, which it does when it is closed.
func (p *Proxy) acceptAll(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		device, err := newSide(conn, timeline.LeftDevice, timeline.ReachedDevice)
		if err != nil {
			conn.Close()
			return err
		}
		p.start(device)
	}
}

// start numbers a connection of the device and lets it run.
func (p *Proxy) start(device *side) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		device.reset()
		return
	}
	p.accepted++
	number := p.accepted
	p.rec.Append(timeline.Event{Kind: timeline.KindOpen, Conn: number, Point: device.from})
	p.goroutines.Go(func() { p.relay(number, device) })
}

// relay connects the device to the broker and runs until both connections have ended.
func (p *Proxy) relay(number int, device *side) {
	broker, err := p.reachBroker()
	if err != nil {
		text := fmt.Sprintf("reaching the broker: %v", err)
		p.rec.Append(timeline.Event{Kind: timeline.KindClose, Conn: number, Point: timeline.ReachedBroker, Text: text})
		p.rec.Append(timeline.Event{Kind: timeline.KindClose, Conn: number, Point: device.toward, Text: string(RST)})
		device.reset()
		return
	}
	p.rec.Append(timeline.Event{Kind: timeline.KindOpen, Conn: number, Point: broker.toward})

	l := newLink(number, p.rec, p.rules, device, broker)
	p.mu.Lock()
	p.links[l] = struct{}{}
	if p.closed {
		l.end(RST)
	}
	p.mu.Unlock()
	l.run()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) reachBroker() (*side, error) {
	conn, err := p.dial(p.dialing)
	if err != nil {
		return nil, err
	}
	broker, err := newSide(conn, timeline.LeftBroker, timeline.ReachedBroker)
	if err != nil {
		conn.Close()
	}
	return broker, err
}

// Connections returns how many connections there are that something can still be handed on by, both sides standing.
func (p *Proxy) Connections() int {
	return len(p.present())
}

// present returns the links that have not ended, in the order of their numbers.
func (p *Proxy) present() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var present []*link
	for l := range p.links {
		if !l.hasEnded() {
			present = append(present, l)
		}
	}
	slices.SortFunc(present, func(a, b *link) int { return cmp.Compare(a.number, b.number) })
	return present
}

// Disconnect ends all connections that are there, towards the device and the broker alike. One whose broker is not
// reached yet is not there yet.
func (p *Proxy) Disconnect(how Ending) {
	p.rec.Append(timeline.Event{Kind: timeline.KindFault, Fault: &timeline.Fault{
		Text:   "end every connection with " + strings.ToUpper(string(how)),
		Action: "cut " + string(how),
	}})
	for _, l := range p.present() {
		l.end(how)
	}
}

// Close ends everything, connections with RST, and returns when no goroutine of the proxy is left.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.cancel()
	for l := range p.listeners {
		l.Close()
	}
	for l := range p.links {
		l.end(RST)
	}
	p.mu.Unlock()
	p.goroutines.Wait()
}
