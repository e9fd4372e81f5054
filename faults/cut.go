package faults

import (
	"fmt"
	"strings"
)

// Place is where in or around a packet a connection is cut.
type Place int

// The places outside of the packet; AtByte makes those inside.
const (
	Before Place = 0
	After  Place = -1
)

// AtByte lets the first n bytes of the packet pass; all of it where it has no more than n.
func AtByte(n int) Place {
	if n < 0 {
		panic(fmt.Sprintf("faults: AtByte(%d): no packet has so few bytes", n))
	}
	return Place(n)
}

// Ending is how TCP ends a connection.
type Ending string

// The two ways: in order, or at once.
const (
	FIN Ending = "fin"
	RST Ending = "rst"
)

// Cut ends the connection at the packet, towards device and broker alike. It does so once, unless Times says otherwise.
//
// With FIN both get all that was handed on. With RST they lose what their kernels have not delivered yet, which over
// a network may include the packet itself; that is what RST means.
func Cut(m Match, where Place, how Ending) Rule {
	return Rule{match: m, action: cut{where, how}, times: 1}
}

type cut struct {
	where Place
	how   Ending
}

func (c cut) rule(packets string) string {
	how := strings.ToUpper(string(c.how))
	switch c.where {
	case Before:
		return fmt.Sprintf("cut with %s before %s", how, packets)
	case After:
		return fmt.Sprintf("cut with %s after %s", how, packets)
	default:
		return fmt.Sprintf("cut with %s at byte %d of %s", how, c.where, packets)
	}
}

func (c cut) String() string {
	switch c.where {
	case Before:
		return fmt.Sprintf("cut %s before the packet", c.how)
	case After:
		return fmt.Sprintf("cut %s after the packet", c.how)
	default:
		return fmt.Sprintf("cut %s at byte %d", c.how, c.where)
	}
}

func (c cut) apply(p *passage) error {
	var err error
	switch {
	case c.where == After:
		err = p.pass()
	case c.where > 0:
		err = p.passFirst(int(c.where))
	}
	p.end(c.how)
	return err
}

func (cut) endsStream() bool { return true }
