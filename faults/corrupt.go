package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Corrupt flips bits of one byte of the packets: that at the offset, from 0, or counted from the end where it is
// negative; a packet that has no such byte stays as it is. The mask says which bits; it must not be 0.
func Corrupt(offset int, mask byte) Action {
	if mask == 0 {
		panic("faults: Corrupt with a mask of 0 flips no bit")
	}
	return corrupt{Byte: &offset, Mask: mask}
}

// CorruptAnywhere flips one bit of the packets; chance says which.
func CorruptAnywhere() Action { return corrupt{} }

type corrupt struct {
	Byte *int `json:"byte,omitempty"` // nil for one by chance
	Mask byte `json:"mask,omitempty"` // 0 for one bit by chance
}

func (corrupt) verb() string      { return "corrupt" }
func (corrupt) needsWholePacket() {}

func (c corrupt) String() string {
	switch {
	case c.Byte == nil:
		return "corrupt a bit"
	case c.Mask == 0:
		return fmt.Sprintf("corrupt a bit of byte %d", *c.Byte)
	}
	return fmt.Sprintf("corrupt byte %d by %#02x", *c.Byte, c.Mask)
}

func (c corrupt) decide(random *rand.Rand, length int) Action {
	if c.Byte == nil {
		at := random.IntN(length)
		c.Byte = &at
	}
	if c.Mask == 0 {
		c.Mask = 1 << random.IntN(8)
	}
	return c
}

func (c corrupt) apply(p *passage) (bool, error) {
	at := *c.Byte
	if at < 0 {
		at += len(p.data)
	}
	if at >= 0 && at < len(p.data) {
		data := slices.Clone(p.data)
		data[at] ^= c.Mask
		p.replace(data)
	}
	return true, nil
}

func (c corrupt) check() error {
	if c.Byte == nil && c.Mask != 0 {
		return errors.New("mask needs byte: at which offset")
	}
	return nil
}
