package faults

import (
	"fmt"
	"time"

	"mqtthil/harness/timeline"
)

// passage is a packet whose turn it is, and all that an action can do to it.
type passage struct {
	flow *flow
	delivery
}

// pass hands the packet on, and what was forged to go behind it.
func (p *passage) pass() error {
	err := p.flow.handOut(p.delivery)
	for _, d := range p.behind {
		if err == nil {
			err = p.flow.handOut(d)
		}
	}
	p.behind = nil
	return err
}

// passFirst hands on the first n bytes of the packet.
func (p *passage) passFirst(n int) error {
	return p.passPart(p.data[:n], "the first %d of %d bytes of %s")
}

// passFrom hands on all but the first n bytes of the packet.
func (p *passage) passFrom(n int) error {
	return p.passPart(p.data[n:], "the last %d of %d bytes of %s")
}

func (p *passage) passPart(part []byte, reason string) error {
	d := p.delivery
	d.data, d.exits, d.behind = part, nil, nil
	if len(p.exits) > 0 {
		reason = fmt.Sprintf(reason, len(part), p.size, p.exits[0].Packet)
		d.exits = []timeline.Event{p.flow.rawEvent(p.flow.direction.exit(), part, reason)}
	} else if p.streamed != nil {
		d.exits = p.flow.partOf(p.streamed, len(part))
	}
	return p.flow.handOut(d)
}

// replace puts other bytes in the packet's place.
func (p *passage) replace(data []byte) {
	p.data, p.size = data, len(data)
	if len(p.exits) > 0 {
		p.exits = p.flow.exitsOf(data)
	}
}

// id is the packet's identifier; 0 where it has none.
func (p *passage) id() uint16 {
	var r reading
	r.read(p.data, p.size, p.flow.version(), nil)
	return r.id
}

// holdUntil waits, as long as there is a link to hand the packet on to.
func (p *passage) holdUntil(t time.Time) {
	p.flow.waitUntil(t, nil)
	p.at = t
}
