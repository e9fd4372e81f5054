package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"mqtthil/faults/transport"
	"mqtthil/harness/timeline"
)

// browser is a WebSocket client of another author.
type browser struct {
	*websocket.Conn
	answer *http.Response
	err    error
	tap    *tap
	pings  []string
}

func (n network) browse(t *testing.T) *browser {
	t.Helper()
	b := &browser{}
	dialer := websocket.Dialer{
		Subprotocols: []string{"mqtt"},
		NetDialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := n.dial(ctx)
			if err != nil {
				return nil, err
			}
			b.tap = &tap{Stream: conn.(transport.Stream)}
			return b.tap, nil
		},
	}
	b.Conn, b.answer, b.err = dialer.DialContext(t.Context(), "ws://"+host+"/mqtt", nil)
	if b.err == nil {
		b.SetPingHandler(func(text string) error {
			b.pings = append(b.pings, text)
			return b.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(time.Minute))
		})
		t.Cleanup(func() { _ = b.Close() })
	}
	return b
}

// message reads one.
func (b *browser) message() (kind int, text string, err error) {
	_ = b.SetReadDeadline(time.Now().Add(time.Minute))
	kind, data, err := b.ReadMessage()
	return kind, string(data), err
}

func TestWebSocketFaults(t *testing.T) {
	t.Parallel()
	const first, second = "a first message", "and a second one"
	closed := func(code int) func(*testing.T, *browser) {
		return func(t *testing.T, b *browser) {
			t.Helper()
			if _, text, err := b.message(); !websocket.IsCloseError(err, code) {
				t.Errorf("got %q, %v; want CLOSE %d", text, err, code)
			}
		}
	}
	messages := func(want ...string) func(*testing.T, *browser) {
		return func(t *testing.T, b *browser) {
			t.Helper()
			for _, w := range want {
				if kind, text, err := b.message(); err != nil || text != w || kind != websocket.BinaryMessage {
					t.Errorf("got %q of kind %d, %v; want %q", text, kind, err, w)
				}
			}
		}
	}
	refused := func(status int) func(*testing.T, *browser) {
		return func(t *testing.T, b *browser) {
			t.Helper()
			if !errors.Is(b.err, websocket.ErrBadHandshake) || b.answer.StatusCode != status {
				t.Errorf("got %v, %v; want a bad handshake with status %d", b.err, b.answer, status)
			}
		}
	}
	fails := func(text string) func(*testing.T, *browser) {
		return func(t *testing.T, b *browser) {
			t.Helper()
			if _, got, err := b.message(); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("got %q, %v; want %q", got, err, text)
			}
		}
	}
	and := func(checks ...func(*testing.T, *browser)) func(*testing.T, *browser) {
		return func(t *testing.T, b *browser) {
			t.Helper()
			for _, check := range checks {
				check(t, b)
			}
		}
	}
	// frames looks at the first bytes of the frames that came, as far as they show the frame's kind.
	frames := func(want string) func(*testing.T, *browser) {
		return func(t *testing.T, b *browser) {
			t.Helper()
			if got := kinds(t, b.tap.received()); !strings.HasPrefix(got, want) {
				t.Errorf("frames %s, want %s", got, want)
			}
		}
	}
	pings := func(n int) func(*testing.T, *browser) {
		return func(t *testing.T, b *browser) {
			t.Helper()
			if len(b.pings) != n || n > 0 && b.pings[0] != "mqtthil" {
				t.Errorf("%d PINGs %q, want %d", len(b.pings), b.pings, n)
			}
		}
	}

	for _, c := range []struct {
		fault  transport.Fault
		text   string
		check  func(*testing.T, *browser)
		fatal  bool // the bench has no connection either
		strike bool // the client has no connection
	}{
		{fault: transport.WrongAccept(), text: "wrong Sec-WebSocket-Accept", check: refused(101), strike: true},
		{fault: transport.NoAccept(), text: "no Sec-WebSocket-Accept", check: refused(101), strike: true},
		{fault: transport.Status(403), text: "HTTP status 403", check: refused(403), strike: true, fatal: true},
		{fault: transport.Status(200), text: "HTTP status 200", check: refused(200), strike: true, fatal: true},
		{fault: transport.Redirect("ws://elsewhere/mqtt"), text: "HTTP status 302 to ws://elsewhere/mqtt",
			check: and(refused(302), func(t *testing.T, b *browser) {
				if got := b.answer.Header.Get("Location"); got != "ws://elsewhere/mqtt" {
					t.Errorf("location %q", got)
				}
			}), strike: true, fatal: true},
		{fault: transport.NoSubprotocol(), text: "no subprotocol", check: and(messages(first, second),
			func(t *testing.T, b *browser) {
				if got := b.answer.Header["Sec-Websocket-Protocol"]; got != nil {
					t.Errorf("subprotocol %q", got)
				}
			})},
		{fault: transport.Subprotocol("chat"), text: `subprotocol "chat"`, check: and(messages(first, second),
			func(t *testing.T, b *browser) {
				if got := b.Subprotocol(); got != "chat" {
					t.Errorf("subprotocol %q", got)
				}
			})},
		{fault: transport.Fragments(4), text: "messages in fragments of no more than 4 bytes",
			check: and(messages(first, second), frames("b/4 c/4 c/4 C/3 b/4 c/4 c/4 C/4"), pings(0))},
		{fault: transport.FragmentsWithPing(7), text: "messages in fragments of no more than 7 bytes, with PING between them",
			check: and(messages(first, second), frames("b/7 P/7 c/7 P/7 C/1 b/7 P/7 c/7 P/7 C/2"), pings(4))},
		{fault: transport.SplitFrames(10), text: "frames of no more than 10 bytes",
			check: and(messages(first[:10], first[10:], second[:10], second[10:]), frames("B/10 B/5 B/10 B/6"))},
		{fault: transport.GatherFrames(2, time.Minute), text: "up to 2 messages in a frame, within 1m0s",
			check: and(messages(first+second), frames("B/31"))},
		{fault: transport.GatherFrames(3, time.Second), text: "up to 3 messages in a frame, within 1s",
			check: and(messages(first+second), frames("B/31"))},
		{fault: transport.Ping(), text: "PING before each frame", check: and(messages(first, second), pings(2))},
		{fault: transport.TextFrames(), text: "text frames", check: func(t *testing.T, b *browser) {
			if kind, text, err := b.message(); kind != websocket.TextMessage || text != first {
				t.Errorf("got %q of kind %d, %v", text, kind, err)
			}
		}},
		{fault: transport.MaskedFrames(), text: "masked frames", check: fails("MASK")},
		{fault: transport.WrongMask(), text: "frames with a mask that does not fit", check: fails("MASK")},
		{fault: transport.SlowHeaders(), text: "frame headers byte by byte", check: messages(first, second)},
		{fault: transport.CloseFrame(1012, 0), text: "CLOSE 1012 after 0 frames", check: closed(1012)},
		{fault: transport.CloseFrame(1001, 1), text: "CLOSE 1001 after 1 frames", check: and(messages(first), closed(1001))},
		{fault: transport.NoCloseFrame(), text: "no CLOSE frame", check: and(messages(first, second), closed(1006))},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if got := c.fault.String(); got != c.text {
					t.Errorf("text %q, want %q", got, c.text)
				}
				n := newMemory(t)
				rec := timeline.NewRecorder(nil)
				front := newFront(t, transport.Options{WebSocket: true, Path: "/mqtt", Record: rec})
				armed := add(t, front, c.fault.From(2).Times(1))
				for connection := 1; connection <= 3; connection++ {
					accepted := n.accept(t, front)
					b := n.browse(t)
					at := <-accepted
					faulty := connection == 2
					if faulty && (c.fatal != (at.err != nil) || c.strike != (b.err != nil)) || !faulty && (at.err != nil || b.err != nil) {
						t.Fatalf("connection %d: the bench %v, the client %v", connection, at.err, b.err)
					}
					if b.err == nil {
						if err := b.WriteMessage(websocket.BinaryMessage, []byte("hello")); err != nil {
							t.Error(err)
						}
						expect(t, at.stream, "hello")
						write(t, at.stream, []byte(first))
						write(t, at.stream, []byte(second))
						go func() { // which answers PINGs and CLOSE
							_, _ = io.Copy(io.Discard, at.stream)
							_ = at.stream.Close()
						}()
						if connection != 2 || strings.Contains(c.text, "no CLOSE") {
							_ = at.stream.CloseWrite()
						}
					} else if at.err == nil {
						_ = at.stream.Close()
					}
					if faulty {
						c.check(t, b)
					} else {
						and(messages(first, second), frames("B/15 B/16 X/2"), closed(1000), pings(0))(t, b)
					}
				}
				want := c.text + ", from the 2nd connection on, once"
				if got := struck(rec); armed.Fired() != 1 || len(got) != 1 || got[0] != want {
					t.Errorf("fired %d times, the record has %q, want %q", armed.Fired(), got, want)
				}
			})
		})
	}
}

// kinds says which frames came behind the answer to the upgrade: Binary, Text, Continuation, Ping, pOng and X for CLOSE, small
// where it is not the last of its message; and how long they are.
func kinds(t *testing.T, stream []byte) string {
	t.Helper()
	_, stream, _ = bytes.Cut(stream, []byte("\r\n\r\n"))
	var text []string
	for len(stream) >= 2 {
		name := map[byte]string{0: "C", 1: "T", 2: "B", 8: "X", 9: "P", 10: "O"}[stream[0]&15]
		if stream[0]&0x80 == 0 {
			name = strings.ToLower(name)
		}
		n := int(stream[1])
		text = append(text, fmt.Sprintf("%s/%d", name, n))
		stream = stream[min(len(stream), 2+n):]
	}
	return strings.Join(text, " ")
}

// TestFaultOfStandingConnection adds faults while a connection stands, and removes them.
func TestFaultOfStandingConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		front := newFront(t, transport.Options{WebSocket: true})
		accepted := n.accept(t, front)
		b := n.browse(t)
		bench := (<-accepted).stream
		defer bench.Close()
		say := func(want string) {
			t.Helper()
			before := len(b.tap.received())
			write(t, bench, []byte("said"))
			if _, text, err := b.message(); text != "said" || err != nil {
				t.Errorf("got %q, %v", text, err)
			}
			all := b.tap.received()
			if got := kinds(t, append([]byte("\r\n\r\n"), all[before:]...)); got != want {
				t.Errorf("frames %s, want %s", got, want)
			}
		}
		say("B/4")
		fragments := add(t, front, transport.Fragments(2))
		other := add(t, front, transport.Ping().Nth(1)) // of those to come
		say("b/2 C/2")
		say("b/2 C/2")
		fragments.Remove()
		say("B/4")
		if fragments.Fired() != 1 || other.Fired() != 0 {
			t.Errorf("fired %d and %d times", fragments.Fired(), other.Fired())
		}
	})
}

// TestGatherGivesTheRest has messages that wait for others when the connection ends.
func TestGatherGivesTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		front := newFront(t, transport.Options{WebSocket: true})
		add(t, front, transport.GatherFrames(3, time.Hour))
		accepted := n.accept(t, front)
		b := n.browse(t)
		bench := (<-accepted).stream
		write(t, bench, []byte("one"))
		write(t, bench, []byte("two"))
		_ = bench.Close()
		if _, text, err := b.message(); text != "onetwo" || err != nil {
			t.Errorf("got %q, %v", text, err)
		}
	})
}

func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		front := newFront(t, transport.Options{WebSocket: true})
		add(t, front, transport.SlowHeaders())
		client := rawUpgradeAsync(t, n)
		server, err := n.Accept()
		if err != nil {
			t.Fatal(err)
		}
		noted := &tap{Stream: server.(transport.Stream)}
		bench, err := front.Accept(t.Context(), noted)
		if err != nil {
			t.Fatal(err)
		}
		defer bench.Close()
		<-client
		write(t, bench, bytes.Repeat([]byte{'x'}, 200))
		var sizes []int
		for _, p := range noted.writes()[1:] {
			sizes = append(sizes, len(p))
		}
		if want := []int{1, 1, 1, 1, 200}; fmt.Sprint(sizes) != fmt.Sprint(want) {
			t.Errorf("writes of %d bytes, want %d", sizes, want)
		}
	})
}

// rawUpgradeAsync makes a WebSocket that nobody accepts yet.
func rawUpgradeAsync(t *testing.T, n network) <-chan net.Conn {
	done := make(chan net.Conn, 1)
	go func() { done <- rawUpgrade(t, n) }()
	return done
}

// TestBadFrames has the device send frames that it must not.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		bytes string
		want  string // of the error; empty: io.EOF
		code  string // of the CLOSE frame
	}{
		{"not masked", "\x82\x01a", "MASK", "\x03\xea"},
		{"text", "\x81\x81\x00\x00\x00\x00a", "a text frame: MQTT has to be sent in binary frames", "\x03\xeb"},
		{"text that is no UTF-8", "\x81\x81\x00\x00\x00\x00\xff", "a text frame", "\x03\xeb"},
		{"reserved opcode", "\x83\x80\x00\x00\x00\x00", "reserved", "\x03\xea"},
		{"reserved bit", "\xc2\x80\x00\x00\x00\x00", "rsv", "\x03\xea"},
		{"length without end", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "most significant bit", "\x03\xea"},
		{"continuation of nothing", "\x80\x80\x00\x00\x00\x00", "continuation", "\x03\xea"},
		{"message in a message", "\x02\x80\x00\x00\x00\x00\x82\x80\x00\x00\x00\x00", "continuation", "\x03\xea"},
		{"long PING", "\x89\xfe\x00\x7e\x00\x00\x00\x00", "control frame", "\x03\xea"},
		{"PING in fragments", "\x09\x80\x00\x00\x00\x00", "control frame", "\x03\xea"},
		{"CLOSE with half a code", "\x88\x81\x00\x00\x00\x00\x03", "half a status code", "\x03\xea"},
		{"CLOSE with a code of no use", "\x88\x82\x00\x00\x00\x00\x00\x00", "CLOSE frame 00 00", "\x03\xea"},
		{"CLOSE with a reason that is no UTF-8", "\x88\x83\x00\x00\x00\x00\x03\xe8\xff", "utf8", "\x03\xea"},
		{"CLOSE", "\x88\x82\x00\x00\x00\x00\x03\xe8", "", "\x03\xe8"},
		{"CLOSE without a code", "\x88\x80\x00\x00\x00\x00", "", "\x03\xe8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newMemory(t)
				accepted := n.accept(t, newFront(t, transport.Options{WebSocket: true}))
				device := rawUpgrade(t, n)
				bench := (<-accepted).stream
				defer bench.Close()
				write(t, device, []byte("\x82\x82\x00\x00\x00\x00ok"+c.bytes))
				expect(t, bench, "ok")
				for range 2 { // it stays so
					_, err := bench.Read(make([]byte, 10))
					if c.want == "" && err != io.EOF ||
						c.want != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(c.want))) {
						t.Errorf("got %v, want %q", err, c.want)
					}
				}
				_ = bench.CloseWrite()
				if got := string(read(t, device, 100)); got != "\x88\x02"+c.code {
					t.Errorf("the device gets % x, want CLOSE % x", got, c.code)
				}
			})
		})
	}
}

// TestHugeFrame announces a frame of many gigabytes. What has come of it is there to read.
func TestHugeFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		accepted := n.accept(t, newFront(t, transport.Options{WebSocket: true}))
		device := rawUpgrade(t, n)
		bench := (<-accepted).stream
		defer bench.Close()
		write(t, device, []byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00some of it"))
		expect(t, bench, "some of it")
	})
}

// TestPong has the device ping, also while nobody takes what the bench sends.
func TestPong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		accepted := n.accept(t, newFront(t, transport.Options{WebSocket: true}))
		device := rawUpgrade(t, n)
		bench := (<-accepted).stream
		defer bench.Close()
		go func() { _, _ = io.Copy(io.Discard, bench) }()
		write(t, device, []byte("\x89\x84\x01\x02\x03\x04"+string([]byte{'p' ^ 1, 'i' ^ 2, 'n' ^ 3, 'g' ^ 4})))
		expect(t, device, "\x8a\x04ping")

		const size = 1 << 20
		written := make(chan error, 1)
		go func() {
			_, err := bench.Write(make([]byte, size))
			written <- err
		}()
		synctest.Wait() // the Write waits for room
		for range 1000 {
			write(t, device, []byte("\x89\x80\x00\x00\x00\x00"))
		}
		write(t, device, []byte("\x89\x81\x00\x00\x00\x00!"))
		synctest.Wait()
		if got := read(t, device, 10+size); len(got) != 10+size {
			t.Errorf("%d bytes", len(got))
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
		expect(t, device, "\x8a\x01!") // the newest is the one that counts
	})
}

// TestFaultsThatCannotStrike are refused where they are added.
func TestFaultsThatCannotStrike(t *testing.T) {
	t.Parallel()
	plain := newFront(t, transport.Options{})
	for fault, want := range map[*transport.Fault]string{
		faultOf(transport.UnknownCA()): "one of TLS, which is off here",
		faultOf(transport.Ping()):      "one of WebSocket, which is off here",
	} {
		if _, err := plain.Add(*fault); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", fault, err)
		}
	}
	secure := newFront(t, transport.Options{Authority: ca(), Names: []string{host}})
	if _, err := secure.Add(transport.LargeChain(-1)); err == nil || !strings.Contains(err.Error(), "-1 bytes") {
		t.Errorf("got %v", err)
	}
	for _, options := range []transport.Options{{Authority: ca()}, {ClientCertificate: true}} {
		if _, err := transport.NewFront(options); err == nil {
			t.Errorf("%+v passes", options)
		}
	}
	one, two := net.Pipe()
	defer two.Close()
	if _, err := plain.Accept(t.Context(), one); err == nil || !strings.Contains(err.Error(), "CloseWrite") {
		t.Errorf("got %v", err)
	}
}
