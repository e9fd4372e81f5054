package faults

import (
	"errors"
	"fmt"
	"time"
)

// Split hands the packets on in pieces of at most size bytes, each in a write of its own and gap after the one before.
func Split(size int, gap time.Duration) Action {
	return split{size, Duration(gap)}
}

// Slow hands the packets on byte by byte, gap apart.
func Slow(gap time.Duration) Action { return Split(1, gap) }

type split struct {
	Size int      `json:"size"`
	Gap  Duration `json:"gap,omitempty"`
}

func (split) verb() string      { return "split" }
func (split) needsWholePacket() {}

func (s split) String() string {
	text := fmt.Sprintf("split into pieces of %d bytes", s.Size)
	if s.Size == 1 {
		text = "split byte by byte"
	}
	if s.Gap > 0 {
		text += fmt.Sprintf(", %s apart", s.Gap)
	}
	return text
}

func (s split) apply(p *passage) (bool, error) {
	p.manner = s
	return true, nil
}

func (s split) check() error {
	if s.Size < 1 || s.Gap < 0 {
		return errors.New("split needs a size of 1 byte or more, and no negative gap")
	}
	return nil
}
