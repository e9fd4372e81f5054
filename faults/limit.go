package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// Limit lets a number of bytes pass in each direction of each connection, and then ends the connection with FIN. Where it
// takes the place of another Limit, what that one has let pass counts.
func Limit(bytes int64) Condition { return Condition{kind: limit{bytes}} }

type limit struct {
	Bytes int64 `json:"bytes"`
}

func (limit) name() string           { return "limit" }
func (l limit) String() string       { return fmt.Sprintf("limit %d bytes", l.Bytes) }
func (l limit) path(*rand.Rand) path { return &limited{most: l.Bytes, passed: new(int64)} }

func (l limit) check() error {
	if l.Bytes < 0 {
		return errors.New("limit cannot be less than 0 bytes")
	}
	return nil
}

// limited is a direction that ends after a number of bytes.
type limited struct {
	most   int64
	passed *int64 // what has arrived, before Replace too
}

func (l *limited) inherit(from path) {
	if before, ok := from.(*limited); ok {
		l.passed = before.passed
	}
}

func (l *limited) carry(p piece, on onward) (done int, goOn bool) {
	goOn = true
	left := max(l.most-*l.passed, 0)
	if part := p.data[:min(int64(len(p.data)), left)]; p.ending != "" || len(part) > 0 {
		done, goOn = on(piece{at: p.at, data: part, ending: p.ending})
		*l.passed += int64(done)
	}
	if !goOn || *l.passed < l.most || p.ending != "" {
		return done, goOn
	}
	_, goOn = on(piece{at: p.at, ending: cutoff})
	return done, goOn
}
