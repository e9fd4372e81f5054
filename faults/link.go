package faults

import (
	"sync"
	"sync/atomic"
	"time"

	"mqtthil/harness/timeline"
)

// patience is how long a side may take to answer FIN when the proxy itself ends a link; then its connection is closed
// whatever it still wants to say. A server that has closed a connection does not listen to it for ever either.
const patience = 5 * time.Second

// link is one connection of the device through the proxy: two TCP connections and a flow each way between them.
type link struct {
	number int
	rec    *timeline.Recorder
	rules  *rules

	device, broker *side
	flows          [2]*flow

	version atomic.Uint32          // protocol level, learned from CONNECT
	foreign atomic.Pointer[string] // why the device's stream was no MQTT from the start; then the answer is none either

	mu     sync.Mutex // guards what follows and how the sides stand; never held while anything waits
	ending Ending     // how the proxy ends the link; empty as long as it does not
	ended  chan struct{}
}

func newLink(number int, rec *timeline.Recorder, rules *rules, device, broker *side) *link {
	l := &link{number: number, rec: rec, rules: rules, device: device, broker: broker, ended: make(chan struct{})}
	up := &flow{link: l, direction: DeviceToBroker, source: device, sink: broker}
	down := &flow{link: l, direction: BrokerToDevice, source: broker, sink: device}
	up.opposite, down.opposite = down, up
	l.flows = [2]*flow{up, down}
	for _, f := range l.flows {
		f.splitter = splitter{limit: largestPacket, firstConnect: f == up}
		f.readDone = make(chan struct{})
		f.queue = newQueue()
	}
	return l
}

// run relays until both connections have ended.
func (l *link) run() {
	var goroutines sync.WaitGroup
	for _, f := range l.flows {
		goroutines.Go(f.takeIn)
		goroutines.Go(f.handOn)
	}
	goroutines.Wait()
	l.device.conn.Close()
	l.broker.conn.Close()
}

// end has the proxy end both connections. With FIN each direction finishes the packet that it is writing, and what the
// peers still send is recorded until they answer FIN. With RST everything stops at once.
func (l *link) end(how Ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending == RST || l.ending == how {
		return
	}
	l.stop(how)
	for _, s := range []*side{l.device, l.broker} {
		switch {
		case how == FIN:
			s.conn.SetDeadline(time.Now().Add(patience)) // it fails where the connection is gone
		case s.over():
			s.conn.Close()
		default:
			l.rec.Append(l.closeEvent(s.toward, string(RST)))
			s.reset()
		}
	}
}

// stop lets no more be handed on. The caller holds mu.
func (l *link) stop(how Ending) {
	if l.ending == "" {
		close(l.ended)
	}
	l.ending = how
	for _, f := range l.flows {
		f.queue.close()
	}
}

func (l *link) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// recordExit records that the flow hands something on, and returns false where it cannot any more.
func (l *link) recordExit(f *flow, exit timeline.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ending != "" || f.sink.gone {
		return false
	}
	l.rec.Append(exit)
	return true
}

// sendFIN ends the flow's sink in order, and with it the link where the other direction has ended so too.
func (l *link) sendFIN(f *flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.sink.finSent || f.sink.gone {
		return
	}
	l.rec.Append(l.closeEvent(f.sink.toward, string(FIN)))
	f.sink.closeWrite()
	if l.device.over() && l.broker.over() && l.ending == "" {
		l.stop(FIN)
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
	l.rec.Append(l.closeEvent(s.from, string(FIN)))
}

// lost records that the peer of a side is gone, once.
func (l *link) lost(s *side, how string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	l.rec.Append(l.closeEvent(s.from, how))
}

func (l *link) closeEvent(at timeline.Point, how string) timeline.Event {
	return timeline.Event{Kind: timeline.KindClose, Conn: l.number, Point: at, Text: how}
}
