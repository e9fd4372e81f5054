package faults

import (
	"fmt"
	"time"
)

// passage is a packet whose turn it is, and all that an action can do to it.
type passage struct {
	flow *flow
	delivery
}

// pass hands the packet on.
func (p *passage) pass() error {
	return p.flow.send(p.data, p.flow.packetEvent(p.flow.direction.exit(), p.packet))
}

// passFirst hands on the first n bytes of the packet, or all of it where it has no more.
func (p *passage) passFirst(n int) error {
	if n >= len(p.data) {
		return p.pass()
	}
	reason := fmt.Sprintf("the first %d of %d bytes of %s", n, len(p.data), p.packet)
	return p.flow.send(p.data[:n], p.flow.rawEvent(p.flow.direction.exit(), p.data[:n], reason))
}

// holdUntil waits, as long as there is a link to hand the packet on to.
func (p *passage) holdUntil(t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.flow.link.ended:
	}
}

// end ends the link, both sides of it.
func (p *passage) end(how Ending) {
	p.flow.link.end(how)
}
