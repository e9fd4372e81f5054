package faults

import (
	"errors"
	"fmt"
	"slices"
)

// Reorder collects n packets that fit and hands them on in reverse order; then it collects the next n. What is
// collected when the stream ends is handed on before its end, in the order in which it came. Of packets that are more than
// 16 MiB together it collects fewer.
func Reorder(n int) Action {
	return reorder{Packets: n}
}

type reorder struct {
	Packets int    `json:"packets"`
	armed   *Armed // whose packets are reordered together
}

func (reorder) verb() string      { return "reorder" }
func (r reorder) String() string  { return fmt.Sprintf("reorder %d packets", r.Packets) }
func (reorder) needsWholePacket() {}

func (r reorder) bind(a *Armed) Action {
	if r.armed == nil {
		r.armed = a
	}
	return r
}

func (r reorder) apply(p *passage) (bool, error) {
	f := p.flow
	f.collected = append(f.collected, collected{r.armed, p.delivery})
	var mine []delivery
	bytes := 0
	for _, c := range f.collected {
		if c.by == r.armed {
			mine = append(mine, c.delivery)
			bytes += len(c.data)
		}
	}
	if len(mine) < r.Packets && bytes < heldBytes {
		return false, nil
	}
	f.collected = slices.DeleteFunc(f.collected, func(c collected) bool { return c.by == r.armed })
	for _, d := range slices.Backward(mine) {
		if err := f.deliver(d); err != nil {
			return false, err
		}
	}
	return false, nil
}

// collected is a packet that waits in a flow for others that the same rule is about to reorder.
type collected struct {
	by *Armed
	delivery
}

func (r reorder) check() error {
	if r.Packets < 2 {
		return errors.New("reorder needs a number of packets, from 2")
	}
	return nil
}
