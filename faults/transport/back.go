package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Back reaches a broker through a transport. With neither TLS nor WebSocket it is plain TCP.
type Back struct {
	// Dial makes the TCP connection.
	Dial func(ctx context.Context) (net.Conn, error)

	// TLS is how the client goes about TLS: the authorities that it trusts, its own certificate, and the server's name,
	// which must be set. Nil stands for no TLS.
	TLS *tls.Config

	// WebSocket puts MQTT into WebSocket frames, at Path on Host, which stand in the HTTP request. Without them they are
	// /mqtt, and the address of the broker's end of the connection.
	WebSocket  bool
	Host, Path string

	// Timeout is how long a handshake may take, that of TLS and that of WebSocket each; 0 stands for HandshakeTimeout.
	Timeout time.Duration
}

// Connect dials the broker, does the handshakes and returns the stream of MQTT bytes above them, which is a Stream.
func (b Back) Connect(ctx context.Context) (net.Conn, error) {
	conn, err := b.Dial(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := asStream(conn)
	if err != nil {
		return nil, err
	}
	timeout := cmp.Or(b.Timeout, HandshakeTimeout)
	if b.TLS != nil {
		if b.TLS.ServerName == "" && !b.TLS.InsecureSkipVerify {
			_ = stream.Close()
			return nil, errors.New("TLS with the broker: no ServerName is set to check its certificate for")
		}
		if stream, err = dialTLS(ctx, stream, b.TLS, timeout); err != nil {
			return nil, fmt.Errorf("TLS handshake with the broker at %s: %w", conn.RemoteAddr(), err)
		}
	}
	if b.WebSocket {
		address := &url.URL{
			Scheme: "ws", // of TLS there is already what there has to be
			Host:   cmp.Or(b.Host, conn.RemoteAddr().String()),
			Path:   cmp.Or(b.Path, "/mqtt"),
		}
		if stream, err = dialWebSocket(ctx, stream, address, timeout); err != nil {
			return nil, fmt.Errorf("WebSocket handshake with the broker at %s: %w", conn.RemoteAddr(), err)
		}
	}
	return stream, nil
}
