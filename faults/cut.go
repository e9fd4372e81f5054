package faults

import (
	"errors"
	"fmt"
	"time"
)

// Cut ends the connection at the packet, towards device and broker alike.
//
// With FIN both get all that was handed on. With RST they lose what their kernels have not delivered yet, which over
// a network may include the packet itself; that is what RST means.
func Cut(at Place, with Ending) Action { return cut{At: at, With: with} }

// Pause is a Cut by silence that lasts for a time. Then the connection ends as then says, or goes on where then is
// empty: with all that was sent in the meantime, as over a network that was away.
func Pause(at Place, lasting time.Duration, then Ending) Action {
	return cut{At: at, With: Silence, For: Duration(lasting), Then: then}
}

type cut struct {
	At   Place    `json:"at"`
	With Ending   `json:"with"`
	For  Duration `json:"for,omitempty"`  // of a silence; 0: until the peers end the connection
	Then Ending   `json:"then,omitempty"` // after that time; empty: go on
}

func (cut) verb() string { return "cut" }

func (c cut) String() string {
	text := fmt.Sprintf("cut with %s %s", c.With.text(), c.At)
	if c.For > 0 {
		text = fmt.Sprintf("go silent for %s %s", c.For, c.At)
		if c.Then != "" {
			text += ", then " + c.Then.text()
		}
	}
	return text
}

func (c cut) endsStream() bool { return c.For == 0 || c.Then != "" }

// takesAway: who gets the rest of a packet must not get it twice.
func (cut) takesAway() {}

func (c cut) apply(p *passage) (bool, error) {
	n := c.At.bytes(p.size)
	var err error
	if n >= p.size {
		err = p.pass()
	} else if n > 0 {
		err = p.passFirst(n)
	}
	if err == nil {
		err = p.flow.unglue()
	}
	switch {
	case c.With != Silence || c.For == 0:
		p.flow.end(c.With)
	case c.Then == FIN || c.Then == RST:
		p.flow.link.silence()
		p.holdUntil(time.Now().Add(time.Duration(c.For)))
		p.flow.end(c.Then)
	default:
		p.flow.freeze(time.Duration(c.For))
		p.holdUntil(time.Now().Add(time.Duration(c.For)))
		if c.Then == HalfClose {
			p.flow.end(HalfClose)
		} else if n < len(p.data) && err == nil {
			err = p.passFrom(n)
		}
	}
	return false, err
}

// check finds what makes no sense in a cut.
func (c cut) check() error {
	switch {
	case c.With == "":
		return errors.New("cut needs with: fin, rst, half-close or silence")
	case !c.With.isKnown() || c.Then != "" && !c.Then.isKnown():
		return fmt.Errorf("with %q, then %q: there are fin, rst, half-close and silence", c.With, c.Then)
	case c.For < 0:
		return errors.New("a silence cannot last for less than nothing")
	case (c.For != 0 || c.Then != "") && c.With != Silence:
		return errors.New("for and then go with silence only")
	case c.Then != "" && c.For == 0:
		return errors.New("then needs for: how long the silence lasts")
	case c.Then == Silence:
		return errors.New("what comes after a silence cannot be silence")
	}
	return nil
}
