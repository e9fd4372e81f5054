//go:build !linux

package faults

import (
	"errors"
	"net"
)

// splicer is for systems that can move bytes from one connection to another by themselves, and this is none.
type splicer struct{}

func newSplicer(net.Conn, net.Conn) *splicer { return nil }

const pipeSize = 0 // there is no splicer to use it

func (*splicer) peek([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (*splicer) take(int) (int, error)    { return 0, errors.ErrUnsupported }
func (*splicer) give() error              { return errors.ErrUnsupported }
func (*splicer) bytes() ([]byte, error)   { return nil, errors.ErrUnsupported }
