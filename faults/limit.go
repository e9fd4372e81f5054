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
	over bool
}

func (l *limited) carry(p piece, on []piece) []piece {
	if l.over {
		return on
	}
	if p.ending != "" || len(p.data) < l.left {
		l.left -= len(p.data)
		return append(on, p)
	}
	if l.over = true; l.left > 0 {
		on = append(on, piece{at: p.at, data: p.data[:l.left]})
	}
	return append(on, piece{at: p.at, ending: cutoff})
}
