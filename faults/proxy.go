// Package faults is the proxy between a device's MQTT client and its broker. It relays packet by packet, writes each
// into the record as it comes in and as it goes out, and breaks the traffic where rules say so:
//
//	proxy.Add(faults.On(faults.ToDevice(faults.PUBACK), faults.Drop()).Times(2))
//	proxy.Add(faults.On(faults.FromDevice(faults.PUBLISH).WithQoS(2), faults.Cut(faults.AtByte(3), faults.RST)))
//	proxy.Impose(faults.Latency(faults.Spread{By: faults.Duration(200 * time.Millisecond)}))
//
// Rules are about packets, conditions are about the link below them. Both may be there before the first connection and
// come and go while traffic flows, and both may be written in a file (see ParseFile).
//
// It passes on what it does not understand. Bytes that are no MQTT packet go through untouched, a packet that breaks
// the standard goes through as it is, and FIN and RST arrive at the other side as what they were.
//
// Packets that neither a rule nor the record wants to see are relayed as they come, and not looked into. Others are taken
// in whole before any of them is handed on, up to a MiB, so that the device may see other segment boundaries than the broker
// made, and a packet that stalls half-way does not reach the other side until its stream ends. A packet of more than a
// MiB is relayed as it comes, too; rules see its beginning and can drop, delay, answer and cut it, and no more.
//
// That a packet has reached-broker or reached-device in the record says that the kernel was given it, right after the
// event. Where the connection is reset at the same time, it may be lost all the same.
package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"mqtthil/harness/timeline"
)

// Record takes what the proxy sees and does. Its Append stamps the event and returns it. *timeline.Recorder is one.
type Record interface {
	Append(timeline.Event) timeline.Event
}

// Options say what a proxy works with. Only Dial has to be set.
type Options struct {
	// Dial reaches the broker. The context ends with the proxy. The connection must have the methods CloseWrite and
	// SetLinger of *net.TCPConn.
	Dial func(ctx context.Context) (net.Conn, error)

	// Record takes everything, nil for no record.
	Record Record

	// Summary keeps packets out of the record that no rule acts on, so that they need not be decoded.
	Summary bool

	// Seed is where all that is left to chance comes from: the same seed decides the same for the same packets. Conditions
	// decide for each read from a connection, of which the network makes more or fewer.
	Seed uint64

	// Accept makes what the proxy relays of a connection that a listener has accepted, given its number, such as a TLS
	// server's end of it; nil for the connection itself. It must have CloseWrite and SetLinger, too. Package transport has
	// what is needed. Where it fails, it ends the connection.
	Accept func(ctx context.Context, number int, conn net.Conn) (net.Conn, error)

	// Unread relays all bytes without looking for packets in them: conditions work, rules never match.
	Unread bool

	// Listen opens a listener again after Refuse; nil for net.Listen of TCP.
	Listen func(address string) (net.Listener, error)
}

// Proxy relays connections from any number of listeners to one broker. All methods may be called from any goroutine.
type Proxy struct {
	options Options
	rules   *rules
	began   time.Time

	dialing context.Context // ends with Close, and all that connecting waits for
	cancel  context.CancelFunc

	mu         sync.Mutex
	closed     bool
	closing    Ending // how Close ends connections
	listeners  map[net.Listener]struct{}
	links      map[*link]struct{}
	accepted   int // connections ever, to number them
	conditions []*Imposed
	imposed    int           // conditions ever, to number them
	changed    chan struct{} // closed when the conditions are others
	goroutines sync.WaitGroup
	past       Traffic // of links that are over
	failed     uint64  // connections that did not get to the broker
}

// New returns a proxy, which begins with Serve.
func New(options Options) *Proxy {
	if options.Listen == nil {
		options.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	p := &Proxy{
		options:   options,
		rules:     &rules{rec: options.Record, seed: options.Seed},
		began:     time.Now(),
		listeners: make(map[net.Listener]struct{}),
		links:     make(map[*link]struct{}),
		changed:   make(chan struct{}),
	}
	p.dialing, p.cancel = context.WithCancel(context.Background())
	return p
}

func (p *Proxy) recordsPackets() bool { return p.options.Record != nil && !p.options.Summary }

func (p *Proxy) note(e timeline.Event) {
	if p.options.Record != nil {
		p.options.Record.Append(e)
	}
}

// Add arms a rule, also while traffic flows. The rules are asked in the order in which they were added.
func (p *Proxy) Add(r Rule) *Armed {
	return p.rules.add(r)
}

// Rules returns the rules that are armed.
func (p *Proxy) Rules() []*Armed {
	return p.rules.all()
}

// Impose imposes a condition, on connections that exist, too. It panics where the condition makes no sense, as a bandwidth
// of 0 does.
func (p *Proxy) Impose(c Condition) *Imposed {
	must(c.check())
	i := &Imposed{proxy: p}
	i.set(c)
	p.mu.Lock()
	p.imposed++
	i.number = p.imposed
	p.conditions = append(p.conditions, i)
	p.mu.Unlock()
	p.conditionsChanged(c.String())
	return i
}

// Conditions returns the conditions that are imposed, in order.
func (p *Proxy) Conditions() []*Imposed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.conditions)
}

// conditionsChanged records what has changed, brings all links up to date, and stops or resumes listening.
func (p *Proxy) conditionsChanged(text string) {
	p.note(timeline.Event{Kind: timeline.KindFault, Fault: &timeline.Fault{Text: text, Action: "link"}})
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	for l := range p.links {
		l.impose(p.standing())
	}
	if p.refuses() {
		p.stopListening()
	}
}

// standing are the conditions whose time it is. The caller holds mu.
func (p *Proxy) standing() []*Imposed {
	return slices.DeleteFunc(slices.Clone(p.conditions), func(i *Imposed) bool { return !i.stands() })
}

// stopListening closes the listeners and forgets them, which says that the proxy itself has closed them. The caller
// holds mu.
func (p *Proxy) stopListening() {
	for l := range p.listeners {
		l.Close()
	}
	clear(p.listeners)
}

// refuses says whether connections are refused. The caller holds mu.
func (p *Proxy) refuses() bool {
	return slices.ContainsFunc(p.standing(), func(i *Imposed) bool { return i.Condition().kind == refuse{} })
}

// Serve accepts the device's connections until Close, and then returns nil. It takes over the listener.
func (p *Proxy) Serve(l net.Listener) error { return p.ServeUntil(context.Background(), l) }

// ServeUntil is Serve that ends with a context, too. Then it closes the listener and ends the connections that came by it
// with FIN, and returns nil. Those may take a while to end.
func (p *Proxy) ServeUntil(over context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(p.dialing)
	defer cancel()
	defer context.AfterFunc(over, cancel)()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.Close()
		return nil
	}
	p.goroutines.Add(1)
	p.mu.Unlock()
	defer p.goroutines.Done()

	address := l.Addr().String()
	for {
		if p.keep(l) {
			stop := context.AfterFunc(ctx, func() { l.Close() })
			err := p.acceptAll(ctx, l)
			stop()
			if ours := p.drop(l); !ours && ctx.Err() == nil {
				return fmt.Errorf("accepting the device's connections on %s: %w", address, err)
			}
		}
		if !p.awaitAdmission(ctx) {
			p.leave(ctx)
			return nil
		}
		var err error
		if l, err = p.options.Listen(address); err != nil {
			return fmt.Errorf("listening on %s again: %w", address, err)
		}
	}
}

// keep takes a listener over, unless nobody is to be listened to; then it closes it.
func (p *Proxy) keep(l net.Listener) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.refuses() {
		l.Close()
		return false
	}
	p.listeners[l] = struct{}{}
	return true
}

// drop lets go of a listener that accepts no more, and says whether the proxy itself has closed it.
func (p *Proxy) drop(l net.Listener) (ours bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, kept := p.listeners[l]
	delete(p.listeners, l)
	l.Close()
	return !kept
}

// leave ends the connections that belong to a context, which is over, in order. Where that is because the proxy is closed,
// close ends them.
func (p *Proxy) leave(ctx context.Context) {
	p.mu.Lock()
	closed, links := p.closed, slices.Collect(maps.Keys(p.links))
	p.mu.Unlock()
	if !closed {
		endAll(slices.DeleteFunc(links, func(l *link) bool { return l.ctx != ctx }), FIN)
	}
}

// awaitAdmission waits until connections are not refused any more. It is false where the proxy is closed, or ctx is over.
func (p *Proxy) awaitAdmission(ctx context.Context) bool {
	for {
		p.mu.Lock()
		refuses, changed := p.refuses(), p.changed
		p.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return false
		case !refuses:
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// pause waits, no longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// acceptAll runs until the listener fails, which it does when it is closed.
func (p *Proxy) acceptAll(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		if err := p.start(ctx, conn); err != nil {
			return err
		}
	}
}

// start numbers a connection of the device and lets it run.
func (p *Proxy) start(ctx context.Context, conn net.Conn) error {
	device, err := newSide(conn, timeline.LeftDevice, timeline.ReachedDevice)
	if err != nil {
		conn.Close()
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		device.reset()
		return nil
	}
	p.accepted++
	number := p.accepted
	p.note(timeline.Event{Kind: timeline.KindOpen, Conn: number, Point: device.from})
	p.goroutines.Go(func() { p.relay(ctx, number, device) })
	return nil
}

// relay connects the device to the broker and runs until both connections have ended.
func (p *Proxy) relay(ctx context.Context, number int, device *side) {
	l, err := p.connect(ctx, number, device)
	if err != nil {
		p.mu.Lock()
		p.failed++
		p.mu.Unlock()
		p.note(timeline.Event{Kind: timeline.KindClose, Conn: number, Point: device.toward, Text: string(RST)})
		device.reset()
		return
	}
	p.mu.Lock()
	p.links[l] = struct{}{}
	l.impose(p.standing())
	var how Ending
	switch {
	case p.closed:
		how = p.closing
	case ctx.Err() != nil:
		how = FIN
	}
	p.mu.Unlock()
	if how != "" {
		l.end(how)
	}
	l.run()
	p.mu.Lock()
	delete(p.links, l)
	p.past.add(l)
	p.mu.Unlock()
}

// connect does all that comes before the first byte is relayed. Why it fails is in the record.
func (p *Proxy) connect(ctx context.Context, number int, device *side) (*link, error) {
	fail := func(at timeline.Point, doing string, err error) (*link, error) {
		err = fmt.Errorf("%s: %w", doing, err)
		p.note(timeline.Event{Kind: timeline.KindClose, Conn: number, Point: at, Text: err.Error()})
		return nil, err
	}
	if err := p.receive(ctx, number, device); err != nil {
		return fail(device.from, "accepting", err)
	}
	if p.options.Accept != nil {
		conn, err := p.options.Accept(ctx, number, device.conn)
		if err == nil {
			var wrapped *side
			if wrapped, err = newSide(conn, device.from, device.toward); err == nil {
				device.conn = wrapped.conn
			}
		}
		if err != nil {
			return fail(device.from, "accepting", err)
		}
	}
	broker, err := p.reachBroker(ctx)
	if err != nil {
		return fail(timeline.ReachedBroker, "reaching the broker", err)
	}
	p.note(timeline.Event{Kind: timeline.KindOpen, Conn: number, Point: broker.toward})
	return newLink(ctx, p, number, device, broker), nil
}

// receive makes a new connection wait where conditions say so.
func (p *Proxy) receive(ctx context.Context, number int, device *side) error {
	p.mu.Lock()
	standing := p.standing()
	p.mu.Unlock()
	for _, i := range standing {
		switch kind := i.Condition().kind.(type) {
		case slowAccept:
			if !i.meets(number) {
				continue
			}
			i.count()
			pause(ctx, time.Duration(kind.By))
		case neverAnswer:
			if i.meets(number) {
				i.count()
				return p.ignore(ctx, i, device)
			}
		case down:
			if kind.For == 0 && i.meets(number) {
				p.awaitLink(ctx, i)
			}
		}
	}
	return nil
}

// awaitLink waits until a condition takes the link away no more.
func (p *Proxy) awaitLink(ctx context.Context, i *Imposed) {
	for {
		p.mu.Lock()
		changed := p.changed
		stands := slices.Contains(p.standing(), i) && i.Condition().kind == down{}
		p.mu.Unlock()
		if !stands {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

var errIgnored = errors.New("nobody has answered the device, as a condition demands")

// ignore keeps a connection until the device gives up, or the condition is removed.
func (p *Proxy) ignore(ctx context.Context, i *Imposed, device *side) error {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, device.conn)
	}()
	for {
		p.mu.Lock()
		changed := p.changed
		stands := slices.Contains(p.standing(), i) && i.Condition().kind == neverAnswer{}
		p.mu.Unlock()
		if stands && ctx.Err() == nil {
			select {
			case <-gone:
				return errIgnored
			case <-changed:
				continue
			case <-ctx.Done():
			}
		}
		_ = device.conn.SetReadDeadline(time.Unix(1, 0))
		<-gone
		return errIgnored
	}
}

func (p *Proxy) reachBroker(ctx context.Context) (*side, error) {
	conn, err := p.options.Dial(ctx)
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

// Disconnect ends all connections that are there, towards the device and the broker alike; HalfClose ends what goes to the
// device. One whose broker is not reached yet is not there yet.
func (p *Proxy) Disconnect(how Ending) { p.disconnect("every connection", how, p.present()) }

// DisconnectOne is Disconnect for the connection of that number. It is false where there is none.
func (p *Proxy) DisconnectOne(number int, how Ending) bool {
	present := p.present()
	at := slices.IndexFunc(present, func(l *link) bool { return l.number == number })
	if at < 0 {
		return false
	}
	p.disconnect(fmt.Sprintf("connection %d", number), how, present[at:at+1])
	return true
}

func (p *Proxy) disconnect(what string, how Ending, links []*link) {
	p.note(timeline.Event{Kind: timeline.KindFault, Fault: &timeline.Fault{
		Text:   fmt.Sprintf("end %s with %s", what, how.text()),
		Action: "cut " + string(how),
	}})
	for _, l := range links {
		if down := l.flows[1]; how == HalfClose {
			// Who hands packets on does it, between two of them.
			down.queue.insert(delivery{at: time.Now(), actions: []Action{Cut(Before, HalfClose)}})
		} else {
			down.end(how)
		}
	}
}

// Forge hands a made-up packet on in a direction of every connection that is there, as if the peer had sent it. It
// returns how many those are.
func (p *Proxy) Forge(to Direction, packet Template) (int, error) {
	data, err := packet.encode(0)
	if err == nil && to != DeviceToBroker && to != BrokerToDevice {
		err = errors.New("forge in which direction?")
	}
	if err != nil {
		return 0, err
	}
	present := p.present()
	p.note(timeline.Event{Kind: timeline.KindFault, Fault: &timeline.Fault{
		Text: fmt.Sprintf("forge %s %s on every connection", packet, to), Action: "forge",
	}})
	for _, l := range present {
		f := l.flows[to-1]
		f.insert(f.forged(data))
	}
	return len(present), nil
}

// endAll ends links side by side, for some wait until their peers have made room for a goodbye.
func endAll(links []*link, how Ending) {
	var ending sync.WaitGroup
	for _, l := range links {
		ending.Go(func() { l.end(how) })
	}
	ending.Wait()
}

// Close ends everything, connections with RST, and returns when no goroutine of the proxy is left.
func (p *Proxy) Close() { p.close(RST) }

// Shutdown is Close with FIN: it lets each connection finish the packet that it is handing on, and waits some seconds at
// the most for the peers to end it, too.
func (p *Proxy) Shutdown() { p.close(FIN) }

func (p *Proxy) close(how Ending) {
	p.mu.Lock()
	if !p.closed || how == RST {
		p.closed, p.closing = true, how
	}
	how = p.closing // a Shutdown does not undo a Close
	p.cancel()
	p.stopListening()
	links, conditions := slices.Collect(maps.Keys(p.links)), p.conditions
	p.mu.Unlock()
	endAll(links, how)
	for _, i := range conditions {
		i.mu.Lock()
		i.stopTimers()
		i.mu.Unlock()
	}
	p.goroutines.Wait()
}
