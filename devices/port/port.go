// Package port holds the ways to a device's console: a serial line, a process's standard streams, any byte stream. A
// Port is all that the driver of a device needs; what else a port can do, such as reset the board, it says by the
// interfaces that it implements.
package port

import (
	"context"
	"io"
)

// Port is a device's console as a byte stream. A Read that returns an error means that the port is lost, or closed.
// Close ends a Read that waits.
type Port interface {
	io.ReadWriteCloser
	// String names the port, for errors and records.
	String() string
}

// Resetter is a Port that can reset its board, as the button on the board does. Where it turns out that this one cannot,
// the error wraps errors.ErrUnsupported.
type Resetter interface {
	Reset(ctx context.Context) error
}

// Power is a Port that can take its board's power away and give it back.
type Power interface {
	PowerOff(ctx context.Context) error
	PowerOn(ctx context.Context) error
}
