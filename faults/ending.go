package faults

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mqtthil/faults/internal/form"
)

// Ending is how a connection ends.
type Ending string

// The ways to end: in order, at once, in order in one direction only, or without a word.
const (
	FIN Ending = "fin"
	RST Ending = "rst"
	// HalfClose ends the direction that the packet goes in with FIN. The other direction goes on.
	HalfClose Ending = "half-close"
	// Silence hands nothing on any more, either way, and ends nothing: what both sides send is lost, and neither learns
	// that the other has gone.
	Silence Ending = "silence"
)

// UnmarshalText reads the ending's name.
func (e *Ending) UnmarshalText(text []byte) error {
	*e = Ending(text)
	if !e.isKnown() {
		return fmt.Errorf("%q is none of fin, rst, half-close and silence", text)
	}
	return nil
}

func (e Ending) isKnown() bool { return slices.Contains([]Ending{FIN, RST, HalfClose, Silence}, e) }

// UnmarshalYAML reads it from a rule file.
func (e *Ending) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, e)
}

// text is the ending as rules say it.
func (e Ending) text() string {
	if e == FIN || e == RST {
		return strings.ToUpper(string(e))
	}
	return string(e)
}

// Place is where in or around a packet a connection is cut. A negative one counts from the packet's end.
type Place int

// The places outside of the packet; AtByte makes those inside.
const (
	Before Place = 0
	After  Place = 1<<31 - 1
)

// AtByte lets the first n bytes of the packet pass, all of it where it has no more than n. A negative n lets all but the
// last -n bytes pass: AtByte(-1) is before the last byte.
func AtByte(n int) Place { return Place(n) }

// bytes is how many bytes of a packet of that length pass.
func (p Place) bytes(length int) int {
	switch {
	case p == After:
		return length
	case p < 0:
		return max(length+int(p), 0)
	}
	return min(int(p), length)
}

// String says it in words, such as: at byte 3.
func (p Place) String() string {
	switch {
	case p == Before:
		return "before it"
	case p == After:
		return "after it"
	case p == -1:
		return "before its last byte"
	case p < 0:
		return fmt.Sprintf("before its last %d bytes", -int(p))
	}
	return fmt.Sprintf("at byte %d", int(p))
}

// MarshalJSON writes before, after or a number of bytes.
func (p Place) MarshalJSON() ([]byte, error) {
	switch p {
	case Before:
		return []byte(`"before"`), nil
	case After:
		return []byte(`"after"`), nil
	}
	return fmt.Appendf(nil, "%d", int(p)), nil
}

// UnmarshalYAML reads what MarshalJSON writes.
func (p *Place) UnmarshalYAML(unmarshal func(any) error) error {
	var written form.Text
	if err := unmarshal(&written); err != nil {
		return err
	}
	switch written {
	case "before":
		*p = Before
	case "after":
		*p = After
	default:
		n, err := strconv.Atoi(string(written))
		if err != nil || n < -mostBytes || n > mostBytes {
			return form.Located(unmarshal, fmt.Errorf("place %q is none of before, after and a number of bytes, at most %d", written,
				mostBytes))
		}
		*p = AtByte(n)
	}
	return nil
}

// mostBytes are those of the largest packet that there can be.
const mostBytes = 1 + lengthBytes + 1<<28 - 1
