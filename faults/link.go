package faults

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mqtthil/harness/timeline"
)

// patience is how long a side may take to answer FIN when the proxy itself ends a link; then its connection is closed
// whatever it still wants to say. A server that has closed a connection does not listen to it for ever either.
const patience = 5 * time.Second

// link is one connection of the device through the proxy: two connections and a flow each way between them.
type link struct {
	proxy   *Proxy
	ctx     context.Context // of the listener that it came by
	number  int
	rules   *rules
	packets bool // they all go into the record
	opened  time.Time

	device, broker *side
	flows          [2]*flow

	greeted atomic.Bool            // the device has begun with a CONNECT
	level   atomic.Uint32          // protocol level, learned from CONNECT
	client  atomic.Pointer[string] // identifier, learned from CONNECT or CONNACK
	foreign atomic.Pointer[string] // why the device's stream was no MQTT from the start; then the answer is none either

	mu       sync.Mutex // guards what follows and how the sides stand; never held while anything waits
	ending   Ending     // how the proxy ends the link; empty as long as it does not
	silent   bool       // nothing is handed on
	ended    chan struct{}
	standing []*standing
	tasks    int // what goes on beside the flows
	calm     sync.Cond
}

func newLink(ctx context.Context, proxy *Proxy, number int, device, broker *side) *link {
	l := &link{
		proxy: proxy, ctx: ctx, number: number, rules: proxy.rules, packets: proxy.recordsPackets(), opened: time.Now(),
		device: device, broker: broker, ended: make(chan struct{}),
	}
	up := &flow{link: l, direction: DeviceToBroker, source: device, sink: broker, first: true}
	down := &flow{link: l, direction: BrokerToDevice, source: broker, sink: device}
	up.opposite, down.opposite = down, up
	l.calm.L = &l.mu
	l.flows = [2]*flow{up, down}
	for _, f := range l.flows {
		f.in = newInput(f.source.conn)
		f.splicer = newSplicer(f.source.conn, f.sink.conn)
		f.readDone = make(chan struct{})
		f.queue.handOn = f.handOn
		f.queue.changed.L = &f.queue.mu
	}
	return l
}

// run relays until both connections have ended.
func (l *link) run() {
	var other sync.WaitGroup
	other.Go(l.flows[1].takeIn)
	l.flows[0].takeIn()
	other.Wait()
	// Neither peer has more to say. What is on its way arrives; where that does not end the link, nothing will.
	l.awaitIdle()
	l.awaitTasks()
	l.awaitIdle()
	l.finish()
	l.extinguish()
	l.device.conn.Close()
	l.broker.conn.Close()
}

func (l *link) awaitIdle() {
	for _, f := range l.flows {
		f.queue.awaitIdle()
	}
}

// beginTask begins something beside the flows, which endTask ends. The caller holds mu.
func (l *link) beginTask() { l.tasks++ }

func (l *link) endTask() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tasks--
	l.calm.Broadcast()
}

func (l *link) awaitTasks() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.tasks > 0 {
		l.calm.Wait()
	}
}

// finish ends a link of which both peers have gone and neither was told, in silence.
func (l *link) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending == "" {
		l.stop(Silence)
	}
}

func (l *link) clientID() string {
	if id := l.client.Load(); id != nil {
		return *id
	}
	return ""
}

// setClientID takes over an identifier that is a view of something.
func (l *link) setClientID(id string) {
	if id != "" {
		id = string([]byte(id))
		l.client.Store(&id)
	}
}

// end has the proxy end both connections. With FIN each direction finishes the packet that it is writing, and what the
// peers still send is recorded until they answer FIN. With RST everything stops at once.
func (l *link) end(how Ending) {
	for _, f := range l.beginEnd(how) {
		l.sendFIN(f)
	}
}

// beginEnd returns the flows of which nobody but the caller can end the sink.
func (l *link) beginEnd(how Ending) (idle []*flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending == RST || l.ending == how {
		return nil
	}
	l.silent = false
	idle = l.stop(how)
	for _, s := range []*side{l.device, l.broker} {
		switch {
		case how == FIN:
			s.conn.SetDeadline(time.Now().Add(patience)) // it fails where the connection is gone
		case s.over():
			s.conn.Close()
		default:
			l.note(l.closeEvent(s.toward, string(RST)))
			s.reset()
		}
	}
	return idle
}

// stop lets no more be handed on, and returns the flows that nobody is handing anything on in. The caller holds mu.
func (l *link) stop(how Ending) (idle []*flow) {
	if l.ending == "" {
		close(l.ended)
	}
	l.ending = how
	for _, f := range l.flows {
		if f.queue.close() {
			idle = append(idle, f)
		}
	}
	return idle
}

// silence hands nothing on any more, either way, and ends nothing.
func (l *link) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.silent || l.ending != "" {
		return
	}
	l.silent = true
	l.note(timeline.Event{Kind: timeline.KindFault, Conn: l.number, Fault: &timeline.Fault{
		Text: "from here on nothing is handed on", Action: "silence",
	}})
}

// freeze lets nothing through for a time, the direction opposite to f's included. What comes in the meantime waits.
func (f *flow) freeze(d time.Duration) {
	until := time.Now().Add(d)
	f.opposite.frozen.Store(&until) // for what is under way
	f.opposite.queue.add(delivery{at: time.Now(), actions: []Action{Delay(d), Drop()}})
}

// takesNothing says whether nothing can be handed on in the flow any more.
func (f *flow) takesNothing() bool {
	f.link.mu.Lock()
	defer f.link.mu.Unlock()
	return f.link.ending != "" || f.sink.finSent || f.sink.gone
}

func (l *link) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// recordExits records that the flow hands something on, and returns false where it cannot any more.
func (l *link) recordExits(f *flow, exits []timeline.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending != "" || l.silent || f.sink.gone || f.sink.finSent {
		return false
	}
	for _, e := range exits {
		l.note(e)
	}
	return true
}

// sendFIN ends the flow's sink in order, and with it the link where the other direction has ended so too.
func (l *link) sendFIN(f *flow) {
	if !l.beginFIN(f) {
		return
	}
	f.sink.conn.CloseWrite() // it fails where the connection is gone, which Read will tell
	l.endTask()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopWhenOver()
}

// stopWhenOver ends a link of which both connections have ended. The caller holds mu.
func (l *link) stopWhenOver() {
	over := func(s *side) bool { return s.over() || s.finSeen && s.endLost }
	if over(l.device) && over(l.broker) && l.ending == "" {
		l.stop(FIN)
	}
}

// beginFIN is what of sendFIN waits for nothing. It is false where there is nothing to end.
func (l *link) beginFIN(f *flow) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.sink.finSent || f.sink.gone || l.silent || l.ending == Silence {
		return false
	}
	l.note(l.closeEvent(f.sink.toward, string(FIN)))
	f.sink.finSent = true
	l.beginTask()
	return true
}

// loseEnd takes note that the end of the flow's stream is lost on the way.
func (l *link) loseEnd(f *flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.sink.endLost = true
	l.stopWhenOver()
}

// passRST ends the link as a peer has ended its side of it, unless the link is silent or the proxy has ended it.
func (l *link) passRST() {
	l.mu.Lock()
	passes := !l.silent && l.ending == ""
	l.mu.Unlock()
	if passes {
		l.end(RST)
	}
}

// sawFIN records that the peer of a side has ended its stream.
func (l *link) sawFIN(s *side) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.gone {
		return
	}
	s.finSeen = true
	l.note(l.closeEvent(s.from, string(FIN)))
	l.stopWhenOver()
}

// lost records that the peer of a side is gone, once.
func (l *link) lost(s *side, how string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	l.note(l.closeEvent(s.from, how))
	l.stopWhenOver()
}

func (l *link) closeEvent(at timeline.Point, how string) timeline.Event {
	return timeline.Event{Kind: timeline.KindClose, Conn: l.number, Point: at, Text: how}
}

// note writes an event into the record, where there is one.
func (l *link) note(e timeline.Event) { l.proxy.note(e) }
