package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

// Limit lets a number of bytes pass on each connection and then ends it with FIN.
func Limit(bytes int) Condition { return Condition{kind: limit{bytes}} }

type limit struct {
	Bytes int `json:"bytes"`
}

func (limit) name() string           { return "limit" }
func (l limit) String() string       { return fmt.Sprintf("limit %d bytes", l.Bytes) }
func (l limit) path(*rand.Rand) path { return &limited{left: l.Bytes} }

func (l limit) check() error {
	if l.Bytes < 0 {
		return errors.New("limit cannot be less than 0 bytes")
	}
	return nil
}

// limited is a direction that ends after a number of bytes.
type limited struct {
	left int
}

func (l *limited) carry(p piece, on onward) (done int, goOn bool) {
	goOn = true
	if part := p.data[:min(len(p.data), l.left)]; p.ending != "" || len(part) > 0 {
		done, goOn = on(piece{at: p.at, data: part, ending: p.ending})
		l.left -= done
	}
	if !goOn || l.left > 0 || p.ending != "" {
		return done, goOn
	}
	_, goOn = on(piece{at: p.at, ending: cutoff})
	return done, goOn
}
