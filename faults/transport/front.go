package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"mqtthil/faults/authority"
	"mqtthil/harness/timeline"
)

// Record is what faults are written to when they strike; a *timeline.Recorder is one.
type Record interface {
	Append(timeline.Event) timeline.Event
}

// HandshakeTimeout is how long a handshake may take where the options do not say otherwise.
const HandshakeTimeout = 30 * time.Second

// Options say which transport a Front terminates. The zero value is plain TCP.
type Options struct {
	// Authority issues the certificates that the device is shown; nil stands for no TLS.
	Authority *authority.Authority
	// Names are the host names and IP addresses that the device reaches the bench by. With TLS there has to be one.
	Names []string
	// ClientCertificate has the device prove itself by a certificate of the Authority.
	ClientCertificate bool

	// WebSocket puts MQTT into WebSocket frames, above TLS where that is on.
	WebSocket bool
	// Path is the only one that WebSockets are found at, such as /mqtt; empty for any.
	Path string

	// Timeout is how long a handshake may take, that of TLS and that of WebSocket each; 0 stands for HandshakeTimeout.
	// What a fault holds up does not count.
	Timeout time.Duration

	// Record takes the faults that strike; nil for none.
	Record Record
}

// Front terminates a transport on the device's side. All methods may be called from any goroutine.
type Front struct {
	options Options
	tls     *tls.Config // nil: no TLS

	mu    sync.Mutex // never held while anything waits
	armed []*Armed
	added int // faults ever, to number them
}

// NewFront makes a Front without faults. With TLS it has a certificate issued, whose key stays the same for its life.
func NewFront(options Options) (*Front, error) {
	f := &Front{options: options}
	if f.options.Timeout == 0 {
		f.options.Timeout = HandshakeTimeout
	}
	if options.Authority == nil {
		if options.ClientCertificate {
			return nil, errors.New("a client certificate is asked for, and there is no TLS: give an Authority as well")
		}
		return f, nil
	}
	own, err := options.Authority.Server(options.Names...)
	if err != nil {
		return nil, err
	}
	f.tls = serverConfig(options, own)
	return f, nil
}

// Add arms a fault, also while connections stand. Faults of the frames of a WebSocket strike standing connections too,
// unless Nth or From say which; all others strike at the handshake. It is an error where the Front does not have the
// transport that the fault is one of, or where a certificate cannot be issued.
func (f *Front) Add(fault Fault) (*Armed, error) {
	switch fault.kind.needs() {
	case layerTLS:
		if f.tls == nil {
			return nil, fmt.Errorf("fault %q can never strike: it is one of TLS, which is off here", fault)
		}
	case layerWebSocket:
		if !f.options.WebSocket {
			return nil, fmt.Errorf("fault %q can never strike: it is one of WebSocket, which is off here", fault)
		}
	}
	if issued, ok := fault.kind.(*certificateKind); ok {
		ready, err := issued.issued(f.options)
		if err != nil {
			return nil, fmt.Errorf("fault %q: %w", fault, err)
		}
		fault.kind = ready
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added++
	a := &Armed{front: f, fault: fault, number: f.added}
	f.armed = append(f.armed, a)
	return a, nil
}

// Faults returns the faults that are armed.
func (f *Front) Faults() []*Armed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.armed)
}

// forget takes a fault out. The caller holds mu.
func (f *Front) forget(a *Armed) {
	f.armed = slices.DeleteFunc(f.armed, func(other *Armed) bool { return other == a })
}

// connectionKey is where a context has the number of a connection.
type connectionKey struct{}

// WithConnection gives Accept the number that a connection has in the record, for the faults that strike it.
func WithConnection(ctx context.Context, number int) context.Context {
	return context.WithValue(ctx, connectionKey{}, number)
}

// Accept does the handshakes on a connection that a device has made, and returns the stream of MQTT bytes above them,
// which is a Stream. With an error, conn is closed; that may have waited some seconds for the device to read why. The end
// of ctx ends the handshakes; after them it has no meaning.
func (f *Front) Accept(ctx context.Context, conn net.Conn) (net.Conn, error) {
	stream, err := asStream(conn)
	if err != nil {
		return nil, err
	}
	number, _ := ctx.Value(connectionKey{}).(int)
	chances := f.meet(number)
	p := &plan{}
	for _, c := range chances {
		if k, ok := c.armed.fault.kind.(handshakeKind); ok {
			k.prepare(p, c)
		}
	}
	if f.tls != nil {
		if stream, err = acceptTLS(ctx, stream, f.tls, f.options.Timeout, p); err != nil {
			return nil, fmt.Errorf("TLS handshake with the device at %s: %w", conn.RemoteAddr(), err)
		}
	}
	if f.options.WebSocket {
		socket, err := acceptWebSocket(ctx, stream, f.options.Path, f.options.Timeout, p)
		if err != nil {
			return nil, fmt.Errorf("WebSocket handshake with the device at %s: %w", conn.RemoteAddr(), err)
		}
		socket.faults = &frameFaults{front: f, number: number, chances: chances, filters: make(map[*Armed]frameFilter)}
		if err := socket.open(); err != nil {
			_ = socket.Close()
			return nil, fmt.Errorf("WebSocket to the device at %s: %w", conn.RemoteAddr(), err)
		}
		stream = socket
	}
	return stream, nil
}

// meet counts a connection for each fault, and gives each its chance.
func (f *Front) meet(number int) []*chance {
	f.mu.Lock()
	defer f.mu.Unlock()
	var chances []*chance
	for _, a := range f.armed {
		a.connections++
		chances = append(chances, &chance{armed: a, number: number, count: a.connections})
	}
	return chances
}

// plan is what is going to happen in the handshakes of one connection, besides what has to.
type plan struct {
	hello   []func(*tls.Config, *wire) error // asked when the device's ClientHello has come
	pauses  []*pause
	records splitting           // TLS records
	tcp     splitting           // TCP segments
	late    []func(*wire) error // after the TLS handshake
	mute    []*chance           // no close_notify
	answers []func(*answer)     // to the HTTP request
}
