package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// Limit lets a number of bytes pass on each connection and then ends it with FIN. Where it takes the place of another
// Limit, what that one has let pass counts.
func Limit(bytes int) Condition { return Condition{kind: limit{bytes}} }

type limit struct {
	Bytes int `json:"bytes"`
}

func (limit) name() string           { return "limit" }
func (l limit) String() string       { return fmt.Sprintf("limit %d bytes", l.Bytes) }
func (l limit) path(*rand.Rand) path { return &limited{most: l.Bytes, passed: new(int)} }

func (l limit) check() error {
	if l.Bytes < 0 {
		return errors.New("limit cannot be less than 0 bytes")
	}
	return nil
}

// limited is a direction that ends after a number of bytes.
type limited struct {
	most    int
	passed  *int // what has arrived
	carried int  // what is on its way
}

func (l *limited) inherit(from path) {
	if before, ok := from.(*limited); ok {
		l.passed = before.passed
	}
}

func (l *limited) carry(p piece, on []piece) []piece {
	left := max(l.most-*l.passed-l.carried, 0)
	if p.ending != "" || len(p.data) < left {
		l.carried += len(p.data)
		return append(on, p)
	}
	if left > 0 {
		on = append(on, piece{at: p.at, data: p.data[:left]})
	}
	return append(on, piece{at: p.at, ending: cutoff})
}

func (l *limited) settle(arrived int) {
	*l.passed += min(arrived, l.carried)
	l.carried = 0
}
