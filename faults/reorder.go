package faults

import (
	"errors"
	"fmt"
)

// Reorder collects n packets that fit and hands them on in reverse order; then it collects the next n. What is
// collected when the stream ends is handed on before its end, in the order in which it came.
func Reorder(n int) Action {
	mustCount("Reorder", n)
	return reorder{Packets: n}
}

type reorder struct {
	Packets int `json:"packets"`
	armed   *Armed
}

func (reorder) verb() string           { return "reorder" }
func (r reorder) String() string       { return fmt.Sprintf("reorder %d packets", r.Packets) }
func (reorder) needsWholePacket()      {}
func (r reorder) bind(a *Armed) Action { r.armed = a; return r }

func (r reorder) apply(p *passage) (bool, error) {
	f := p.flow
	if f.collected == nil {
		f.collected = map[*Armed][]delivery{}
	}
	collected := append(f.collected[r.armed], p.delivery)
	if len(collected) < r.Packets {
		f.collected[r.armed] = collected
		return false, nil
	}
	delete(f.collected, r.armed)
	for i := len(collected) - 1; i >= 0; i-- {
		if err := f.deliver(collected[i]); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (r reorder) check() error {
	if r.Packets < 2 {
		return errors.New("reorder needs a number of packets, from 2")
	}
	return nil
}
