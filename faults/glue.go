package faults

import (
	"errors"
	"fmt"

	"mqtthil/harness/timeline"
)

// Glue hands the packets on in one write with the n packets that follow, whatever these are. Until those have come,
// or the stream has ended, it waits.
func Glue(n int) Action {
	return glue{n}
}

type glue struct {
	Packets int `json:"packets"`
}

func (glue) verb() string      { return "glue" }
func (glue) needsWholePacket() {}

func (g glue) String() string {
	if g.Packets == 1 {
		return "glue to the next packet"
	}
	return fmt.Sprintf("glue to the next %d packets", g.Packets)
}

func (g glue) apply(p *passage) (bool, error) {
	if p.flow.glued == nil {
		p.flow.glued = &gluing{}
	}
	p.flow.glued.missing = max(p.flow.glued.missing, g.Packets+1)
	return true, nil
}

func (g glue) check() error {
	if g.Packets < 1 {
		return errors.New("glue needs a number of packets, from 1")
	}
	return nil
}

// gluing is what waits in a flow for more packets to come.
type gluing struct {
	missing int // packets
	data    []byte
	exits   []timeline.Event
}
