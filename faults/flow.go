package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"mqtthil/harness/timeline"
)

// flow is one direction of a link. One goroutine takes in what the source sends, records it and chooses what is done to
// it; another does that, in order, and hands it on to the sink. So nothing that is held back hides what comes behind.
type flow struct {
	link      *link
	direction Direction
	opposite  *flow
	source    *side
	sink      *side

	splitter splitter
	stopped  bool          // a rule has ended the stream for all that comes in now
	late     int           // bytes that came in after the link had ended
	readDone chan struct{} // closed when all that the source sent has arrived

	queue *queue
}

// lateBytes bounds what is still taken in and recorded after the proxy has ended a link with FIN: a peer that sends on
// and on, as if nothing had happened, must not keep the proxy busy for ever.
const lateBytes = queueBytes

// takeIn runs until the source's stream has ended.
func (f *flow) takeIn() {
	defer close(f.readDone)
	for {
		n, err := f.source.conn.Read(f.splitter.room())
		f.splitter.received(n)
		if reason := f.link.foreign.Load(); reason != nil {
			f.splitter.giveUp("the device's stream: " + *reason)
		}
		for p := range f.splitter.pieces() {
			f.arrive(p)
		}
		if err != nil {
			if p, ok := f.splitter.rest(); ok {
				f.arrive(p)
			}
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

// arrive records a piece and lines it up. Where nothing is handed on any more, that it arrived is all there is to tell.
func (f *flow) arrive(p piece) {
	d := delivery{data: p.data, reason: p.reason, arrived: time.Now()}
	if p.reason != "" {
		if f.splitter.firstConnect && f.splitter.reason != "" {
			f.link.foreign.Store(&p.reason)
		}
		f.link.rec.Append(f.rawEvent(f.direction.entry(), p.data, p.reason))
		f.push(d)
		return
	}

	d.packet = Decode(p.data, byte(f.link.version.Load()))
	if f.direction == DeviceToBroker && d.packet.Connect != nil {
		f.link.version.Store(uint32(d.packet.Connect.Version))
	}
	arrival := f.link.rec.Append(f.packetEvent(f.direction.entry(), d.packet))
	if f.stopped || f.link.hasEnded() {
		return
	}
	d.action = f.link.rules.choose(arrival, f.direction)
	f.push(d)
	f.stopped = d.action != nil && d.action.endsStream()
}

// sourceEnded tells the record and the sink how the stream ended, given the error of the last Read.
func (f *flow) sourceEnded(err error) {
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
		// The proxy's own doing, see link.end.
	case errors.Is(err, io.EOF) && !f.source.metRST():
		f.link.sawFIN(f.source)
		f.push(delivery{ending: FIN})
	case errors.Is(err, io.EOF):
		f.link.lost(f.source, string(RST))
		f.push(delivery{ending: RST})
	default:
		f.link.lost(f.source, cause(err))
		f.push(delivery{ending: RST})
	}
}

func (f *flow) push(d delivery) {
	if !f.stopped {
		f.queue.push(d)
	}
}

// handOn runs until the link has ended.
func (f *flow) handOn() {
	for d, ok := f.queue.pop(); ok; d, ok = f.queue.pop() {
		if err := f.deliver(d); err != nil {
			f.sinkFailed(err)
		}
	}
	f.link.sendFIN(f) // unless the link ended otherwise
}

func (f *flow) deliver(d delivery) error {
	p := &passage{f, d}
	switch {
	case d.ending == FIN:
		f.link.sendFIN(f)
		return nil
	case d.ending == RST:
		f.link.end(RST)
		return nil
	case d.packet == nil:
		return f.send(d.data, f.rawEvent(f.direction.exit(), d.data, d.reason))
	case d.action != nil:
		return d.action.apply(p)
	default:
		return p.pass()
	}
}

// send writes bytes to the sink, right after the event that tells of it. Where the sink takes nothing any more, the
// bytes end here.
func (f *flow) send(data []byte, exit timeline.Event) error {
	if !f.link.recordExit(f, exit) {
		return nil
	}
	return f.sink.write(data)
}

// sinkFailed deals with a Write that failed: what the source sends cannot arrive any more, and the source must be told
// as the sink's RST would have told it, after all that the sink sent before.
func (f *flow) sinkFailed(err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return // the proxy's own doing, see link.end
	}
	f.link.lost(f.sink, cause(err))
	select {
	case <-f.opposite.readDone:
		f.opposite.queue.push(delivery{ending: RST})
	case <-f.link.ended:
	}
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
