package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"mqtthil/faults/internal/form"
)

// Down takes the link away until the condition is removed. As over any network that comes back, nothing is lost: what was
// sent in the meantime arrives then. A connection that is made in the meantime reaches the broker then.
func Down() Condition { return Condition{kind: down{}} }

// Flapping takes the link away for a time, again and again, with another time between.
func Flapping(up, away time.Duration) Condition {
	return Condition{kind: down{Up: Duration(up), For: Duration(away)}}
}

type down struct {
	Up  Duration `json:"up,omitempty"`
	For Duration `json:"for,omitempty"` // 0: until it is removed
}

func (down) name() string { return "down" }

func (d down) String() string {
	if d.For == 0 {
		return "link down"
	}
	return fmt.Sprintf("link up for %s, down for %s, and so on", d.Up, d.For)
}

func (d down) check() error {
	if d.Up < 0 || d.For < 0 || (d.Up == 0) != (d.For == 0) {
		return errors.New("a link that comes and goes needs two times: up and for")
	}
	return nil
}

func (d down) path(*rand.Rand) path { return &away{down: d, since: time.Now()} }

func (d down) sharedPath() path { return d.path(nil) }

// away is a link that is down.
type away struct {
	down
	since time.Time
}

func (a *away) carry(p piece, on onward) (int, bool) {
	if a.For == 0 {
		p.at = a.since.Add(form.Never)
		return on(p)
	}
	period := time.Duration(a.Up + a.For)
	if at := p.at.Sub(a.since) % period; at >= time.Duration(a.Up) {
		p.at = p.at.Add(period - at)
	}
	return on(p)
}
