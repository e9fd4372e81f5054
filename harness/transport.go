package harness

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"slices"
	"strings"

	"mqtthil/devices"
	"mqtthil/faults/authority"
	"mqtthil/faults/transport"
)

// Transports are the names of what Options.Transport can be: how the device reaches the proxy, which takes the transport
// off, so that packets stay visible.
func Transports() []string { return []string{"tcp", "tls", "mutual-tls", "psk", "ws", "wss"} }

// way is the transport of a run, with the bench's own authority where it has TLS.
type way struct {
	name      string
	authority *authority.Authority
	client    devices.TLS // what the device has to have
	key       []byte      // that it shares with the bench
}

// newWay makes what the transport needs, once for a run.
func newWay(o Options) (*way, error) {
	w := &way{name: o.Transport}
	if !slices.Contains(Transports(), w.name) {
		return nil, fmt.Errorf("%w: unknown transport %q; it is one of %s", ErrUsage, w.name, strings.Join(Transports(), ", "))
	}
	if w.name == "psk" {
		if o.Time != Real {
			return nil, fmt.Errorf("%w: transport psk is stunnel's, a process: add --time real", ErrUsage)
		}
		w.key = []byte("a key for benches")
		w.client = devices.TLS{Identity: "bench", Key: hex.EncodeToString(w.key)}
		return w, nil
	}
	if w.name != "tls" && w.name != "mutual-tls" && w.name != "wss" {
		return w, nil
	}
	var err error
	if w.authority, err = authority.New(authority.Options{}); err != nil {
		return nil, fmt.Errorf("the bench's certificate authority: %w", err)
	}
	w.client.CA = string(w.authority.PEM())
	if w.name != "mutual-tls" {
		return w, nil
	}
	if o.Console == "espressif" {
		return nil, fmt.Errorf("%w: a certificate and its key do not fit a line of Espressif's console: add --console stub", ErrUsage)
	}
	certificate, err := w.authority.Client("dut")
	if err != nil {
		return nil, fmt.Errorf("the device's certificate: %w", err)
	}
	key, err := authority.KeyPEM(certificate)
	if err != nil {
		return nil, fmt.Errorf("the device's key: %w", err)
	}
	for _, der := range certificate.Certificate {
		w.client.Certificate += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	w.client.PrivateKey = string(key)
	return w, nil
}

// scheme is that of the device's URI.
func (w *way) scheme() string {
	switch w.name {
	case "tls", "mutual-tls", "psk":
		return "mqtts"
	case "ws", "wss":
		return w.name
	}
	return "mqtt"
}

// accept is the bench's end of the transport, for a device that reaches it at that host; nil where there is nothing to
// take off.
func (w *way) accept(b *Bench, host string) (func(context.Context, int, net.Conn) (net.Conn, error), error) {
	if w.name == "tcp" || w.name == "psk" {
		return nil, nil
	}
	front, err := transport.NewFront(transport.Options{
		Authority: w.authority, Names: []string{host}, ClientCertificate: w.name == "mutual-tls",
		WebSocket: w.scheme() == "ws" || w.scheme() == "wss", Record: b.Record,
	})
	if err != nil {
		return nil, err
	}
	b.Front = front
	return func(ctx context.Context, number int, conn net.Conn) (net.Conn, error) {
		return front.Accept(transport.WithConnection(ctx, number), conn)
	}, nil
}

// shield puts stunnel in front of the proxy where the transport is its business, and returns the address to connect to.
func (w *way) shield(b *Bench, host, proxy string) (string, error) {
	if w.name != "psk" {
		return proxy, nil
	}
	stunnel, err := transport.StartStunnel(b.ctx, net.JoinHostPort(host, "0"), proxy,
		transport.PSK{Identity: w.client.Identity, Key: w.key})
	if err != nil {
		return "", err
	}
	b.closing(func() { _ = stunnel.Close() })
	return stunnel.Addr().String(), nil
}
