package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"mqtthil/harness/timeline"
)

// flow is one direction of a link. One goroutine reads what the source sends, cuts it into packets, records them and has
// the rules choose what is done to each. What nothing is done to it hands on itself, as many packets in one write as came
// in one read. What has to wait goes into the queue, and all that comes behind it.
type flow struct {
	link      *link
	direction Direction
	opposite  *flow
	source    *side
	sink      *side

	// For who reads the source.
	in       input
	splicer  *splicer         // nil where the system cannot do that
	bulky    bool             // the packet before was a large one that nobody wanted to see
	first    bool             // the next packet must be a CONNECT
	foreign  string           // why the stream is no MQTT from here on; empty as long as it is
	told     bool             // a record that is a summary knows
	rest     int              // bytes to come of the packet that the input is inside of
	fate     fate             // of these
	tail     *timeline.Event  // what the record says when the last of these is handed on
	passing  int              // bytes right before the input's start that are to be handed on
	counts   int              // packets that end in these
	exits    []timeline.Event // what the record says of these when they are
	nth      int              // packets so far
	sight    sight            // of the packet that has arrived last
	aliases  map[uint16]string
	stopped  bool // a rule has ended the stream for all that comes in now
	late     int  // bytes that came in after the link had ended
	readDone chan struct{}

	aliasing atomic.Uint32 // how many topic aliases the receiver allows

	// For who holds the turn.
	queue     queue
	glued     *gluing
	collected []collected

	paths   atomic.Pointer[paths]     // nil where no condition works on the direction
	frozen  atomic.Pointer[time.Time] // nothing arrives before; nil where there never was a pause
	traffic traffic
}

// fate is what becomes of the rest of a packet that is relayed as it comes.
type fate struct {
	swallow bool
	cut     *cut // where the rest ends
}

// traffic counts what has come in.
type traffic struct {
	received, sent atomic.Uint64 // bytes
	packets        [16]atomic.Uint64
}

// lateBytes bounds what is still taken in and recorded after the proxy has ended a link with FIN: a peer that sends on
// and on, as if nothing had happened, must not keep the proxy busy for ever.
const lateBytes = queueBytes

// takeIn runs until the source's stream has ended.
func (f *flow) takeIn() {
	defer close(f.readDone)
	for {
		n, err := f.fill()
		f.traffic.received.Add(uint64(n))
		if reason := f.link.foreign.Load(); reason != nil && f.foreign == "" {
			f.foreign = "the device's stream: " + *reason
		}
		f.process()
		if err != nil {
			f.unfinished()
			f.in.giveUp()
			f.sourceEnded(err)
			return
		}
		if f.link.hasEnded() {
			if f.late += n; f.late > lateBytes {
				return
			}
		}
	}
}

// process takes all that is pending, but for the beginning of a packet that somebody wants to see whole.
func (f *flow) process() {
	in := &f.in
	for enough := true; enough && in.start < in.end; {
		switch {
		case f.rest > 0:
			f.carryOn(min(f.rest, in.end-in.start))
		case f.link.proxy.options.Unread:
			f.passing += in.end - in.start
			in.start = in.end
		case f.foreign != "":
			f.arriveRaw(f.foreign)
		default:
			f.passUnwanted()
			enough = f.rest > 0 || in.start == in.end || f.begin()
		}
	}
	f.flush()
}

// passUnwanted passes packets on, as many as there are, up to one that somebody has to look into.
func (f *flow) passUnwanted() {
	if f.first || f.link.packets || !f.link.greeted.Load() {
		return
	}
	in, wanted := &f.in, f.wanted()
	var seen [16]uint32
	at, packets := in.start, 0
	for at < in.end {
		pending := in.buffer[at:in.end]
		kind := pending[0] >> 4
		size := 0
		if len(pending) > 1 && pending[1] < 0x80 && kind != 0 { // most packets
			size = 2 + int(pending[1])
		} else {
			size, _ = frame(pending, false)
		}
		if size == 0 || wanted&(1<<kind) != 0 {
			break
		}
		seen[kind]++
		packets++
		if at += size; at > in.end {
			f.rest, f.fate, f.tail = at-in.end, fate{}, nil
			f.bulky = size >= spliceFrom
			at = in.end
			packets-- // which ends later
			f.nth++
		}
	}
	f.nth += packets
	f.counts += packets
	f.passing += at - in.start
	in.start = at
	for kind, n := range seen {
		if n > 0 {
			f.traffic.packets[kind].Add(uint64(n))
		}
	}
}

// begin takes a packet, or begins to. It is false where that has to wait for more bytes.
func (f *flow) begin() bool {
	pending := f.in.pending()
	size, reason := frame(pending, f.first)
	if f.direction == BrokerToDevice && !f.link.greeted.Load() {
		reason = "not MQTT: the server speaks before there is a CONNECT"
	}
	switch {
	case reason != "":
		f.foreign = reason
		if f.first {
			f.link.foreign.Store(&f.foreign)
		}
		return true
	case size == 0:
		return false
	}
	kind := PacketType(pending[0] >> 4)
	wanted := f.link.packets || f.wanted()&(1<<kind) != 0
	if wanted && len(pending) < size && (size <= largestPacket || len(pending) < headBytes) {
		return false
	}
	if f.first {
		f.first = false
		f.link.greeted.Store(true)
	}
	f.nth++
	f.traffic.packets[kind].Add(1)
	switch {
	case !wanted:
		f.rest, f.fate, f.tail = size, fate{}, nil
	case len(pending) >= size:
		f.arrive(pending[:size], size)
	default:
		f.arrive(pending, size)
	}
	return true
}

// wanted is a bit for each type of packets that somebody has to look into, the record left aside.
func (f *flow) wanted() uint32 {
	wanted := f.link.rules.wanted[f.direction].Load() | 1<<CONNECT | 1<<CONNACK
	if f.aliasing.Load() > 0 {
		wanted |= 1 << PUBLISH
	}
	return wanted
}

// arrive deals with a packet of that many bytes, of which data is all, or the beginning where it is too large to be held.
func (f *flow) arrive(data []byte, size int) {
	s := &f.sight
	s.direction, s.connection, s.began = f.direction, f.link.number, f.link.proxy.began
	s.read(data, size, f.version(), f.aliases)
	f.learn(s)
	s.client = f.link.clientID()
	streamed := len(data) < size
	at := arrival{nth: f.nth, streamed: streamed}
	var exit *timeline.Event
	if f.link.packets {
		packet := f.recorded(s, streamed)
		at.event = f.link.proxy.options.Record.Append(f.packetEvent(f.direction.entry(), packet)).Seq
		e := f.packetEvent(f.direction.exit(), packet)
		exit = &e
	}
	var actions []Action
	if !f.stopped && !f.link.hasEnded() {
		actions = f.link.rules.choose(s, at)
	}
	if len(actions) > 0 {
		f.flush()
	}
	f.rest, f.fate, f.tail = size, fate{}, exit
	if len(actions) == 0 {
		return
	}
	d := delivery{data: bytes.Clone(data), at: time.Now(), size: size, counts: 1, actions: actions}
	if exit != nil && !streamed {
		d.exits = []timeline.Event{*exit}
	}
	if streamed {
		f.fate = f.divide(&d)
		d.partial = !f.fate.swallow
		if exit != nil {
			d.streamed = exit.Packet
		}
	}
	stops := endsStream(d.actions)
	f.hand(d)
	f.in.start += len(data)
	f.rest -= len(data)
	if f.stopped = f.stopped || stops; f.stopped {
		f.fate = fate{swallow: true}
	}
}

// divide leaves the beginning of a packet the actions that befall it and returns what becomes of its rest.
func (f *flow) divide(d *delivery) fate {
	for i, a := range d.actions {
		c, isCut := a.(cut)
		switch {
		case isCut && c.At.bytes(d.size) > len(d.data):
			d.actions = d.actions[:i:i]
			c.At = Place(c.At.bytes(d.size) - len(d.data))
			return fate{cut: &c}
		case takesAway(a):
			return fate{swallow: !isCut || c.endsStream()}
		}
	}
	return fate{}
}

// carryOn takes the next n bytes of the packet that the input is inside of.
func (f *flow) carryOn(n int) {
	in := &f.in
	switch {
	case f.fate.swallow:
		f.flush()
		in.start += n
	case f.fate.cut != nil && int(f.fate.cut.At) <= n:
		f.cutRest(*f.fate.cut)
		return
	default:
		if f.fate.cut != nil {
			f.fate.cut.At -= Place(n)
		}
		f.passing += n
		in.start += n
	}
	if f.rest -= n; f.rest == 0 && !f.fate.swallow {
		f.counts++
		if f.tail != nil {
			f.exits = append(f.exits, *f.tail)
		}
		if f.paths.Load() != nil {
			f.flush() // packets that conditions keep apart arrive at times of their own
		}
	}
}

// cutRest takes what of the packet that the input is inside of comes before the cut, and cuts.
func (f *flow) cutRest(c cut) {
	f.flush()
	n := int(c.At)
	c.At = After
	d := delivery{data: bytes.Clone(f.in.pending()[:n]), at: time.Now(), size: n, actions: []Action{c}}
	f.in.start += n
	if f.rest -= n; f.rest > 0 {
		if d.partial = true; f.tail != nil {
			d.exits = f.partOf(f.tail.Packet, f.tail.Packet.Length-f.rest)
		}
	} else if d.counts = 1; f.tail != nil {
		d.exits = []timeline.Event{*f.tail}
	}
	f.hand(d)
	f.stopped = c.endsStream()
	f.fate = fate{swallow: f.stopped}
}

// arriveRaw takes all that is pending as bytes that are no packet.
func (f *flow) arriveRaw(reason string) {
	f.flush()
	in := &f.in
	f.passing = in.end - in.start
	if f.link.packets {
		f.link.note(f.rawEvent(f.direction.entry(), in.pending(), reason))
		f.exits = append(f.exits, f.rawEvent(f.direction.exit(), in.pending(), reason))
	} else if !f.told {
		f.told = true
		f.link.note(f.rawEvent(f.direction.entry(), in.pending(), reason))
	}
	in.start = in.end
	f.flush()
}

// unfinished takes what the stream left incomplete when it ended.
func (f *flow) unfinished() {
	if f.in.start < f.in.end {
		f.arriveRaw("stream ended inside a packet")
	}
	if f.rest > 0 && f.tail != nil {
		f.link.note(f.rawEvent(f.direction.entry(), nil, fmt.Sprintf("stream ended %d bytes before the end of a packet", f.rest)))
	}
}

// flush hands on what is passing.
func (f *flow) flush() {
	if f.passing == 0 {
		return
	}
	data := f.in.buffer[f.in.start-f.passing : f.in.start]
	f.hand(delivery{data: data, exits: f.exits, counts: f.counts, partial: f.rest > 0})
	f.passing, f.counts, f.exits = 0, 0, f.exits[:0]
}

// hand hands a delivery on, at once where nothing stands in its way. It keeps nothing of its memory.
func (f *flow) hand(d delivery) {
	if f.stopped {
		return
	}
	if len(d.actions) == 0 && f.paths.Load() == nil && f.queue.claim(d.partial) {
		f.handOver(d)
		if f.queue.giveBack() {
			f.link.sendFIN(f) // unless the link ended otherwise
		}
		return
	}
	if len(d.actions) == 0 {
		d.data, d.exits = bytes.Clone(d.data), slices.Clone(d.exits)
	}
	if d.at.IsZero() {
		d.at = time.Now()
	}
	f.queue.push(d)
}

// handOn hands on all that waits.
func (f *flow) handOn() {
	for {
		d, ok, closed := f.queue.next()
		switch {
		case ok:
			f.handOver(d)
			continue
		case closed:
			f.link.sendFIN(f) // unless the link ended otherwise
			f.queue.leave()
		}
		return
	}
}

func (f *flow) handOver(d delivery) {
	if err := f.deliver(d); err != nil {
		f.sinkFailed(err)
	}
}

// deliver has a delivery's actions done and hands it on.
func (f *flow) deliver(d delivery) error {
	switch {
	case d.ending == FIN:
		return f.deliverEnd(d)
	case d.ending == RST:
		return f.write(d) // what waited for more to come is lost with it
	case len(d.actions) == 0:
		return f.handOut(d)
	}
	p := &passage{f, d}
	for len(p.actions) > 0 {
		a := p.actions[0]
		p.actions = p.actions[1:]
		if goOn, err := a.apply(p); err != nil || !goOn {
			return err
		}
	}
	return p.pass()
}

// deliverEnd hands on the end of the stream, and before it what waited for more to come.
func (f *flow) deliverEnd(end delivery) error {
	for len(f.collected) > 0 { // one of them may be collected again, by another rule
		next := f.collected[0].delivery
		f.collected = f.collected[1:]
		if err := f.deliver(next); err != nil {
			return err
		}
	}
	if err := f.unglue(); err != nil {
		return err
	}
	return f.write(end)
}

// unglue hands on what waits to be glued to more.
func (f *flow) unglue() error {
	g := f.glued
	if g == nil {
		return nil
	}
	f.glued = nil
	return f.write(delivery{data: g.data, exits: g.exits, at: time.Now()})
}

// handOut hands on a delivery to which all is done, glued to others where a rule says so.
func (f *flow) handOut(d delivery) error {
	if g := f.glued; g != nil {
		g.data = append(g.data, d.data...)
		g.exits = append(g.exits, d.exits...)
		if g.missing -= d.counts; g.missing > 0 && len(g.data) < largestPacket {
			return nil
		}
		d.data, d.exits, f.glued = g.data, g.exits, nil
	}
	return f.write(d)
}

// send writes bytes to the sink, right after the events that tell of it. Where the sink takes nothing any more, the
// bytes end here.
func (f *flow) send(data []byte, exits []timeline.Event) (sent bool, err error) {
	if !f.link.recordExits(f, exits) {
		return false, nil
	}
	f.traffic.sent.Add(uint64(len(data)))
	return true, f.sink.write(data)
}

// sourceEnded tells the record and the sink how the stream ended, given the error of the last Read.
func (f *flow) sourceEnded(err error) {
	how := RST
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		return // the proxy's own doing, see link.end
	case errors.Is(err, io.EOF) && !f.source.metRST():
		how = FIN
		f.link.sawFIN(f.source)
	case errors.Is(err, io.EOF):
		f.link.lost(f.source, string(RST))
	default:
		f.link.lost(f.source, cause(err))
	}
	if how == RST && f.stopped {
		f.link.passRST() // nothing that it would have to wait for is on its way
		return
	}
	f.hand(delivery{ending: how})
}

// sinkFailed deals with a Write that failed: what the source sends cannot arrive any more, and the source must be told
// as the sink's RST would have told it, after all that the sink sent before.
func (f *flow) sinkFailed(err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return // the proxy's own doing, see link.end
	}
	f.link.lost(f.sink, cause(err))
	f.link.mu.Lock()
	f.link.beginTask()
	f.link.mu.Unlock()
	go func() {
		defer f.link.endTask()
		select {
		case <-f.opposite.readDone:
			f.opposite.queue.add(delivery{ending: RST})
		case <-f.link.ended:
		}
	}()
}

// end ends what the flow belongs to.
func (f *flow) end(how Ending) {
	switch how {
	case Silence:
		f.link.silence()
	case HalfClose:
		f.link.sendFIN(f)
	default:
		f.link.end(how)
	}
}

// forged is a packet that no peer has sent.
func (f *flow) forged(data []byte) delivery {
	d := delivery{data: data, at: time.Now(), size: len(data), counts: 1}
	if f.link.packets {
		d.exits = f.exitsOf(data)
	}
	return d
}

// partOf is what the record says of a packet that is cut after n bytes, most of which are on their way already.
func (f *flow) partOf(p *timeline.Packet, n int) []timeline.Event {
	return []timeline.Event{f.rawEvent(f.direction.exit(), nil, fmt.Sprintf("the first %d of %d bytes of %s", n, p.Length, p))}
}

// insert hands on a packet that the source has not sent now, or says in the record that it is left out.
func (f *flow) insert(d delivery) {
	if !f.queue.insert(d) {
		f.link.note(timeline.Event{Kind: timeline.KindFault, Conn: f.link.number, Fault: &timeline.Fault{
			Text: "too much waits for a peer that does not read", Action: "leave a packet out " + f.direction.String(),
		}})
	}
}

// exitsOf is what the record says of a packet that the proxy has made.
func (f *flow) exitsOf(data []byte) []timeline.Event {
	return []timeline.Event{f.packetEvent(f.direction.exit(), Decode(data, f.version()))}
}

func (f *flow) packetEvent(at timeline.Point, p *timeline.Packet) timeline.Event {
	return timeline.Event{Kind: timeline.KindPacket, Conn: f.link.number, Point: at, Packet: p}
}

// rawEvent keeps no more of the bytes than a packet's event does.
func (f *flow) rawEvent(at timeline.Point, data []byte, reason string) timeline.Event {
	if len(data) > timeline.MaxRaw {
		reason = fmt.Sprintf("%s (%d bytes, the first %d of them here)", reason, len(data), timeline.MaxRaw)
	}
	kept := bytes.Clone(data[:min(len(data), timeline.MaxRaw)])
	return timeline.Event{Kind: timeline.KindRaw, Conn: f.link.number, Point: at, Data: kept, Text: reason}
}
