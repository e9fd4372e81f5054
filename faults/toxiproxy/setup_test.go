package toxiproxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
)

// setup is a server, and an upstream that the test plays.
type setup struct {
	t        testing.TB
	server   *Server
	upstream net.Listener
	dial     func(ctx context.Context, address string) (net.Conn, error)
}

// inBubble runs a test in virtual time, over a network in memory.
func inBubble(t *testing.T, options Options, test func(*testing.T, *setup)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New()
		options.Listen = n.Listen
		options.Dial = func(ctx context.Context, address string) (net.Conn, error) { return n.DialContext(ctx, "tcp", address) }
		test(t, newSetup(t, options))
	})
}

// onLoopback is a setup in real time, over TCP.
func onLoopback(t testing.TB, options Options) *setup {
	t.Helper()
	var dialer net.Dialer
	options.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	options.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	}
	return newSetup(t, options)
}

func newSetup(t testing.TB, options Options) *setup {
	t.Helper()
	s := &setup{t: t, server: New(options), dial: options.Dial}
	t.Cleanup(s.server.Close)
	var err error
	if s.upstream, err = options.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.upstream.Close() })
	return s
}

// ask sends a request to the API, without a network, and reads the answer into into, where that is not nil.
func (s *setup) ask(status int, method, path, body string, into any) {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	w := httptest.NewRecorder()
	s.server.Handler().ServeHTTP(w, r)
	if w.Code != status {
		s.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, w.Code, status, w.Body)
	}
	if status != http.StatusNoContent && w.Header().Get("Content-Type") != "application/json" {
		s.t.Errorf("%s %s: content of type %q", method, path, w.Header().Get("Content-Type"))
	}
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
		}
	}
}

// create makes a proxy called p, with more fields in its body, and returns its address.
func (s *setup) create(more string) (address string) {
	s.t.Helper()
	var p proxyView
	s.ask(http.StatusCreated, "POST", "/proxies",
		`{"name": "p", "upstream": "`+s.upstream.Addr().String()+`"`+more+`}`, &p)
	return p.Listen
}

// connect returns the two outer ends of a connection through a proxy.
func (s *setup) connect(address string) (client, upstream net.Conn) {
	s.t.Helper()
	client = s.reach(address)
	upstream, err := s.upstream.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { upstream.Close() })
	_ = upstream.SetDeadline(time.Now().Add(time.Hour))
	return client, upstream
}

// reach is connect where it may not get to the upstream.
func (s *setup) reach(address string) net.Conn {
	s.t.Helper()
	conn, err := s.dial(s.t.Context(), address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Hour))
	return conn
}

// arrival is what arrives at one end of a connection.
type arrival struct {
	bytes  int
	reads  int           // pieces that it came in
	last   time.Duration // when the last byte came
	end    time.Duration // when the connection ended
	ending string        // fin, rst or another cause
}

// receive reads to the end.
func receive(conn net.Conn) arrival {
	var a arrival
	began := time.Now()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		a.bytes += n
		if n > 0 {
			a.reads++
			a.last = time.Since(began)
		}
		if err != nil {
			a.end, a.ending = time.Since(began), cause(err)
			return a
		}
	}
}

func cause(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "fin"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "rst"
	}
	return err.Error()
}

// sendAndFinish sends some bytes, and FIN behind them. It is no matter where the other end is gone.
func sendAndFinish(conn net.Conn, bytes int) {
	_, _ = conn.Write(make([]byte, bytes))
	_ = conn.(interface{ CloseWrite() error }).CloseWrite()
}
