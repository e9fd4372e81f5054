package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Swallow loses all bytes, but neither end of a connection: FIN and RST go through, as a program would let them that reads
// and does nothing. Where then is not empty, it is how the connection ends after a time, which may be 0; before an RST there
// is no FIN.
func Swallow(after time.Duration, then Ending) Condition {
	return Condition{kind: swallow{Duration(after), then}}
}

type swallow struct {
	After Duration `json:"after,omitempty"`
	Then  Ending   `json:"then,omitempty"` // FIN or RST; empty: go on for ever
}

func (swallow) name() string                    { return "swallow" }
func (s swallow) path(*rand.Rand) path          { return swallower{s.Then} }
func (s swallow) fuse() (time.Duration, Ending) { return time.Duration(s.After), s.Then }

func (s swallow) String() string {
	if s.Then == "" {
		return "swallow all bytes"
	}
	return fmt.Sprintf("swallow all bytes, end with %s after %s", s.Then.text(), s.After)
}

func (s swallow) check() error {
	switch {
	case s.Then == "" && s.After != 0:
		return errors.New("after needs then: how the connection ends after that time")
	case s.Then != "" && s.Then != FIN && s.Then != RST:
		return fmt.Errorf("then %s: it is fin or rst", s.Then)
	}
	return notNegative("after", s.After)
}

// swallower is a direction in which at most the end arrives.
type swallower struct{ then Ending }

func (s swallower) carry(p piece, on onward) (int, bool) {
	if p.ending != "" && s.then != RST {
		return on(p)
	}
	return len(p.data), true
}
