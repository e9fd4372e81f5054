package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// serverConfig is a sound server. Sessions are not resumed, since a resumed one shows no certificate, and a fault of
// certificates would miss it.
func serverConfig(options Options, own tls.Certificate) *tls.Config {
	config := &tls.Config{
		Certificates:                []tls.Certificate{own},
		MinVersion:                  tls.VersionTLS12,
		NextProtos:                  nil,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		ClientCAs:                   options.Authority.Pool(),
	}
	if options.ClientCertificate {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

// acceptTLS does the handshake as a server.
func acceptTLS(ctx context.Context, below Stream, sound *tls.Config, timeout time.Duration, p *plan) (Stream, error) {
	limit := allow(ctx, below, timeout)
	w := &wire{Stream: below, limit: limit, pauses: p.pauses, records: &p.records, tcp: &p.tcp}
	config := sound.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		changed := sound.Clone()
		// The device may ask for any protocol by ALPN, such as mqtt or x-amzn-mqtt-ca. It gets its first choice: the bench
		// stands in for whatever broker the device is made for.
		if len(hello.SupportedProtos) > 0 {
			changed.NextProtos = hello.SupportedProtos[:1]
		}
		for _, change := range p.hello {
			if err := change(changed, w); err != nil {
				return nil, err
			}
		}
		return changed, nil
	}
	conn := tls.Server(w, config)
	err := conn.Handshake()
	w.finished.Store(true)
	for _, act := range p.late {
		if err == nil {
			err = act(w)
		}
	}
	if err := limit.end(err); err != nil {
		farewell(ctx, below, err)
		return nil, err
	}
	return &tlsStream{Conn: conn, below: w, writing: newToken(), records: &p.records, mute: p.mute}, nil
}

// dialTLS does the handshake as a client.
func dialTLS(ctx context.Context, below Stream, config *tls.Config, timeout time.Duration) (Stream, error) {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true
	limit := allow(ctx, below, timeout)
	conn := tls.Client(below, config)
	if err := limit.end(conn.Handshake()); err != nil {
		farewell(ctx, below, err)
		return nil, err
	}
	return &tlsStream{Conn: conn, below: below, writing: newToken(), records: &splitting{}}, nil
}

// tlsStream is a TLS connection that ends in TCP's ways.
type tlsStream struct {
	*tls.Conn
	below   Stream
	abrupt  atomic.Bool // Close says nothing: linger time 0
	records *splitting
	mute    []*chance // to end without close_notify

	writing token
	ended   bool // CloseWrite was called; guarded by writing
}

// Read gives what the records hold as they come. The end of TCP's stream is the end, wherever in a record it is.
func (s *tlsStream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (s *tlsStream) Write(p []byte) (n int, err error) {
	s.writing.take()
	defer s.writing.give()
	if s.ended {
		return 0, s.opError(syscall.EPIPE)
	}
	for {
		sent, err := s.Conn.Write(p[n : n+s.records.piece(len(p)-n)])
		if n += sent; err != nil || n == len(p) {
			return n, err
		}
	}
}

func (s *tlsStream) CloseWrite() error {
	s.writing.take()
	defer s.writing.give()
	if s.ended {
		return nil
	}
	s.ended = true
	s.sayGoodbye()
	return s.below.CloseWrite()
}

// sayGoodbye sends close_notify, for which crypto/tls gives the connection 5 seconds. That it cannot be sent matters to
// nobody any more.
func (s *tlsStream) sayGoodbye() {
	for _, c := range s.mute {
		if c.strike() {
			return
		}
	}
	_ = s.Conn.CloseWrite()
}

// Close gives up a Write that is under way, and then cannot say goodbye.
func (s *tlsStream) Close() error {
	if s.writing.tryTake() {
		if !s.ended && !s.abrupt.Load() {
			s.ended = true
			s.sayGoodbye()
		}
		s.writing.give()
	}
	return s.below.Close()
}

// SetLinger chooses how Close ends the connection, as (*net.TCPConn).SetLinger does.
func (s *tlsStream) SetLinger(sec int) error {
	s.abrupt.Store(sec == 0)
	return s.below.SetLinger(sec)
}

func (s *tlsStream) opError(err error) error {
	return &net.OpError{Op: "write", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(),
		Err: os.NewSyscallError("write", err)}
}
