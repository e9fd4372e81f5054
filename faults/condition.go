package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"mqtthil/faults/internal/form"
)

// Condition is what a link does to all that goes over it, whatever it means: it is slow, it loses, it is down. Make one
// with Latency, Bandwidth and the like and give it to Proxy.Impose. A Condition is a value and can be imposed more than
// once. A connection meets the conditions in the order in which they were imposed.
type Condition struct {
	kind      conditionKind
	direction Direction // 0 for both
	share     *float64  // of the connections, by chance; nil for all
	during    *window   // since the proxy was made; nil for always
}

// conditionKind is what a condition does. Each kind has a file of its own.
type conditionKind interface {
	// String says it in words, such as: latency 200ms.
	fmt.Stringer

	// name is that in a rule file.
	name() string
}

// carrier is a kind that works on the bytes of a direction.
type carrier interface {
	// path makes what one direction of one connection keeps of the condition.
	path(random *rand.Rand) path
}

// path is a condition at work on one direction of one connection.
type path interface {
	// carry hands on what becomes of a piece that comes along, in order of time, as the pieces that come in are. It
	// returns how many of the piece's bytes it is done with, and what on has said: false when the conditions change or
	// the link ends, and then the rest comes again. So a path must remember only what on has taken.
	carry(p piece, on onward) (done int, goOn bool)
}

// onward takes a piece on its way, and returns how many of its bytes are done with and whether to go on.
type onward func(piece) (done int, goOn bool)

// carryParts has a path hand on a piece's data in parts: next says how long the next one is and when it goes, and
// took what onward has done with of it.
func carryParts(p piece, on onward, next func(data []byte) (size int, at time.Time), took func(done int, at time.Time)) (int, bool) {
	done := 0
	for done < len(p.data) {
		size, at := next(p.data[done:])
		n, goOn := on(piece{at: at, data: p.data[done:][:size]})
		done += n
		if took(n, at); !goOn {
			return done, false
		}
	}
	return done, true
}

// heir is a path that goes on where the one before it stood, when a condition is replaced.
type heir interface{ inherit(from path) }

// piece is something that goes over a link at some time: bytes, or the end of the stream.
type piece struct {
	at     time.Time
	data   []byte
	ending Ending // FIN at the stream's end, and then no data
}

// fused is a kind that ends a connection by itself.
type fused interface {
	// fuse says how long it takes from when the condition and the connection are both there, and how it ends then; not at
	// all where how is empty.
	fuse() (after time.Duration, how Ending)
}

// Toward limits a condition to one direction. Of conditions that are about connecting, it has no meaning.
func (c Condition) Toward(direction Direction) Condition {
	c.direction = direction
	return c
}

// ForShare limits a condition to a share of the connections, from 0 to 1; chance says which. Refuse is for all or none.
func (c Condition) ForShare(share float64) Condition {
	c.share = &share
	return c
}

// During limits a condition to a span of time, counted from when the proxy was made. It does not end where to is 0.
func (c Condition) During(from, to time.Duration) Condition {
	c.during = &window{Duration(from), Duration(to)}
	return c
}

// String says it in words, such as: latency 200ms to the device.
func (c Condition) String() string {
	text := c.kind.String()
	if c.direction != 0 {
		text += " " + c.direction.String()
	}
	if c.share != nil {
		text += fmt.Sprintf(" for %v of the connections", *c.share)
	}
	if c.during != nil {
		text += " " + c.during.String()
	}
	return text
}

func (c Condition) concerns(d Direction) bool { return c.direction == 0 || c.direction == d }

// conditionForm is a Condition as rule files write it.
type conditionForm struct {
	Condition kindForm  `json:"condition"`
	Toward    Direction `json:"to,omitempty"`
	Share     *float64  `json:"share,omitempty"`
	During    *window   `json:"during,omitempty"`
}

// MarshalJSON writes it as in a rule file.
func (c Condition) MarshalJSON() ([]byte, error) {
	if c.direction == 0 && c.share == nil && c.during == nil {
		return kindForm{c.kind}.MarshalJSON()
	}
	return form.Marshal(conditionForm{kindForm{c.kind}, c.direction, c.share, c.during})
}

// UnmarshalYAML reads it from a rule file.
func (c *Condition) UnmarshalYAML(unmarshal func(any) error) error {
	var full conditionForm
	var keys map[string]form.Later
	var err error
	if unmarshal(&keys) == nil && keys["condition"].Given() {
		err = unmarshal(&full)
	} else {
		err = unmarshal(&full.Condition)
	}
	if err != nil {
		return err
	}
	*c = Condition{full.Condition.conditionKind, full.Toward, full.Share, full.During}
	return form.Located(unmarshal, c.check())
}

// check finds what makes no sense in a condition.
func (c Condition) check() error {
	switch {
	case c.kind == nil:
		return errors.New("condition is missing: what the link does, such as latency: 200ms")
	case c.share != nil && !(*c.share >= 0 && *c.share <= 1):
		return fmt.Errorf("share %v is not between 0 and 1", *c.share)
	case c.share != nil && c.kind == refuse{}:
		return errors.New("share does not go with refuse, which is for all or none")
	}
	if err := check(c.kind); err != nil {
		return fmt.Errorf("%s: %w", c.kind.name(), err)
	}
	return c.during.check()
}

type kindForm struct{ conditionKind }

// MarshalJSON writes it as in a rule file.
func (k kindForm) MarshalJSON() ([]byte, error) { return form.MarshalNamed(k.name(), k.conditionKind) }

// UnmarshalYAML reads it from a rule file.
func (k *kindForm) UnmarshalYAML(unmarshal func(any) error) (err error) {
	k.conditionKind, err = form.UnmarshalNamed(unmarshal, "condition", conditionKinds)
	return err
}

// conditionKinds are all conditions by their names in rule files.
var conditionKinds = form.Kinds[conditionKind]{
	"latency":      kindOf[latency, conditionKind],
	"bandwidth":    kindOf[bandwidth, conditionKind],
	"loss":         kindOf[loss, conditionKind],
	"slice":        kindOf[slicing, conditionKind],
	"limit":        kindOf[limit, conditionKind],
	"blackhole":    kindOf[blackhole, conditionKind],
	"swallow":      kindOf[swallow, conditionKind],
	"slow-close":   kindOf[slowClose, conditionKind],
	"reset":        kindOf[reset, conditionKind],
	"down":         kindOf[down, conditionKind],
	"refuse":       kindOf[refuse, conditionKind],
	"never-answer": kindOf[neverAnswer, conditionKind],
	"slow-accept":  kindOf[slowAccept, conditionKind],
}
