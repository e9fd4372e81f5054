package transport_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/faults/transport"
)

// upgrade is a request without fault.
const upgrade = "GET /mqtt HTTP/1.1\r\nHost: bench.local:80\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// rawUpgrade makes a WebSocket and gives the connection below it, for a test to write frames of its own.
func rawUpgrade(t testing.TB, n network) net.Conn {
	t.Helper()
	conn, err := n.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	write(t, conn, []byte(upgrade))
	want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n" // as in RFC 6455, 1.3
	expect(t, conn, want)
	return conn
}

func TestBadUpgrade(t *testing.T) {
	t.Parallel()
	without := func(field string) string {
		var kept []string
		for _, line := range strings.Split(upgrade, "\r\n") {
			if !strings.HasPrefix(line, field) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\r\n")
	}
	for _, c := range []struct {
		name, request string
		status        int // 0: no answer
		want          string
	}{
		{"MQTT instead of HTTP", "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\n\n", 400, "malformed HTTP request"},
		{"nothing", "", 0, "ended without an HTTP request"},
		{"half a header", upgrade[:40], 0, "ended in the HTTP header, after 40 bytes"},
		{"a header that is too long", strings.Repeat("x", 20_000), 431, "longer than 8192 bytes"},
		{"another path", strings.Replace(upgrade, "/mqtt", "/other", 1), 404, `the WebSocket is at /mqtt, not at "/other"`},
		{"another method", strings.Replace(upgrade, "GET", "POST", 1), 405, "method"},
		{"HTTP/1.0", strings.Replace(upgrade, "HTTP/1.1", "HTTP/1.0", 1), 505, "version"},
		{"a version of old", strings.Replace(upgrade, "Version: 13", "Version: 8", 1), 426, "Sec-WebSocket-Version"},
		{"no upgrade", without("Upgrade"), 400, "Upgrade"},
		{"no key", without("Sec-WebSocket-Key"), 400, "Sec-WebSocket-Key"},
		{"a short key", strings.Replace(upgrade, "dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 1), 400, "Sec-WebSocket-Key"},
		{"no subprotocol", without("Sec-WebSocket-Protocol"), 400, "add Sec-WebSocket-Protocol: mqtt"},
		{"another subprotocol", strings.Replace(upgrade, "Protocol: mqtt", "Protocol: chat", 1), 400, "mqtt"},
		{"a header line that is none", strings.Replace(upgrade, "Host: bench", "Host", 1), 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newMemory(t)
				front := newFront(t, transport.Options{WebSocket: true, Path: "/mqtt"})
				accepted := n.accept(t, front)
				conn, err := n.dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					_, _ = io.WriteString(conn, c.request)
					_ = conn.(transport.Stream).CloseWrite()
				}()
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				switch {
				case c.status == 0 && err == nil:
					t.Errorf("status %d, want no answer", answer.StatusCode)
				case c.status != 0 && err != nil:
					t.Error(err)
				case c.status != 0 && answer.StatusCode != c.status:
					t.Errorf("status %d, want %d", answer.StatusCode, c.status)
				}
				_ = conn.Close()
				if at := <-accepted; at.err == nil || !strings.Contains(at.err.Error(), c.want) {
					t.Errorf("error %v, want %q", at.err, c.want)
				}
			})
		})
	}
}

// TestSilentClients has clients that say nothing, and the end of what they are accepted for.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	for _, w := range ways()[1:] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newMemory(t)
				for _, timeout := range []time.Duration{0, 3 * time.Second} {
					w.front.Timeout = timeout
					begin := time.Now()
					accepted := n.accept(t, newFront(t, w.front))
					conn, err := n.dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					at := <-accepted
					want := max(timeout, 30*time.Second)
					if timeout != 0 {
						want = timeout
					}
					if took := time.Since(begin); took != want || at.err == nil ||
						!strings.Contains(at.err.Error(), "no handshake in time: "+want.String()) {
						t.Errorf("after %s: %v; want %s", took, at.err, want)
					}
					_ = conn.Close()
				}

				ctx, cancel := context.WithCancel(t.Context())
				conn, err := n.dial(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				server, err := n.Accept()
				if err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Second, cancel)
				begin := time.Now()
				if _, err := newFront(t, w.front).Accept(ctx, server); err == nil || time.Since(begin) != time.Second {
					t.Errorf("after %s: %v", time.Since(begin), err)
				}
				if n, err := conn.Read(make([]byte, 1)); err == nil {
					t.Errorf("the client reads %d bytes, not the end", n)
				}
			})
		})
	}
}
