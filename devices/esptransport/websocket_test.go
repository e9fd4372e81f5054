package esptransport

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

var keyLine = regexp.MustCompile(`Sec-WebSocket-Key: ([A-Za-z0-9+/]{22}==)\r\n`)

// readRequest reads the upgrade request and gives it with the key's answer.
func readRequest(conn net.Conn) (request, accept string) {
	buffer := make([]byte, 4096)
	n, _ := conn.Read(buffer)
	request = string(buffer[:n])
	if key := keyLine.FindStringSubmatch(request); key != nil {
		sum := sha1.Sum([]byte(key[1] + keyGUID))
		accept = base64.StdEncoding.EncodeToString(sum[:])
	}
	return request, accept
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "

// opened gives a WebSocket over a connection in memory, with what is below it and the server's end.
func opened(t testing.TB, log Log) (client *WebSocket, below *tap, server net.Conn) {
	t.Helper()
	below, server = pair(t)
	go func() {
		_, accept := readRequest(server)
		_, _ = io.WriteString(server, upgraded+accept+"\r\n\r\n")
	}()
	client, err := DialWebSocket(t.Context(), below, "broker", 80, "/mqtt", WebSocketOptions{Random: seeded(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	below.mu.Lock()
	below.writes = nil
	below.mu.Unlock()
	return client, below, server
}

func TestWebSocketRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		options    WebSocketOptions
		want       string
	}{
		{"as the real client sends it", "/mqtt", WebSocketOptions{},
			"GET /mqtt HTTP/1.1\r\nConnection: Upgrade\r\nHost: HOST:1884\r\nUser-Agent: ESP32 Websocket Client\r\n" +
				"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"},
		{"changed by the application", "", WebSocketOptions{Host: "other", UserAgent: "me", Headers: "X-Bench: 1\r\n"},
			"GET / HTTP/1.1\r\nConnection: Upgrade\r\nHost: other\r\nUser-Agent: me\r\n" +
				"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: KEY\r\nSec-WebSocket-Protocol: mqtt\r\n" +
				"X-Bench: 1\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				below, server := pair(t)
				go func() {
					_, accept := readRequest(server)
					_, _ = io.WriteString(server, upgraded+accept+"\r\n\r\n")
				}()
				c.options.Random = seeded()
				if _, err := DialWebSocket(t.Context(), below, "HOST", 1884, c.path, c.options); err != nil {
					t.Fatal(err)
				}
				writes := below.written()
				got := keyLine.ReplaceAllString(string(writes[0]), "Sec-WebSocket-Key: KEY\r\n")
				if len(writes) != 1 || got != c.want {
					t.Errorf("%d writes, the first:\n%q\nwant\n%q", len(writes), got, c.want)
				}
			})
		})
	}
}

func TestWebSocketAnswer(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 101 Switching Protocols\r\n"
	for _, c := range []struct {
		name   string
		answer string // ACCEPT stands for the right key
		fails  string // the log line; empty: success
		read   string // what Read then gives
	}{
		{"plain", ok + "Sec-WebSocket-Accept: ACCEPT\r\n\r\n", "", ""},
		{"a frame behind it", ok + "Sec-WebSocket-Accept: ACCEPT\r\n\r\n\x82\x02hi", "", "hi"},
		{"status 200", "HTTP/1.1 200 OK\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", "", ""},
		{"name in another case", ok + "SEC-websocket-accept: ACCEPT\r\n\r\n", "", ""},
		{"another subprotocol", ok + "Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: chat\r\n\r\n", "", ""},
		{"wrong", ok + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
			"Invalid websocket key", ""},
		{"two spaces", ok + "Sec-WebSocket-Accept:  ACCEPT\r\n\r\n", "Invalid websocket key", ""},
		{"no space", ok + "Sec-WebSocket-Accept:ACCEPT\r\n\r\n", "Sec-WebSocket-Accept not found", ""},
		{"missing", ok + "\r\n", "Sec-WebSocket-Accept not found", ""},
		{"twice", ok + "Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
			"Multiple Sec-WebSocket-Accept headers", ""},
		{"no HTTP", "220 smtp.example.org ESMTP\r\n\r\n", "HTTP upgrade failed", ""},
		{"as long as may be", padded(ok+"Sec-WebSocket-Accept: ACCEPT\r\n", 1023), "", ""},
		{"too long", padded(ok+"Sec-WebSocket-Accept: ACCEPT\r\n", 1024),
			"Header size exceeded buffer size or delimiter not found", ""},
		{"redirection to nowhere", "HTTP/1.1 302 Found\r\n\r\n", "Location header not found", ""},
		{"the end", "", "Error read response for Upgrade header", ""},
		{"the end in the middle", ok, "Error read response for Upgrade header", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				below, server := pair(t)
				go func() {
					_, accept := readRequest(server)
					_, _ = io.WriteString(server, strings.ReplaceAll(c.answer, "ACCEPT", accept))
					_ = server.(*simnet.Conn).CloseWrite()
				}()
				var log lines
				conn, err := DialWebSocket(t.Context(), below, "broker", 80, "/mqtt",
					WebSocketOptions{Random: seeded(), Log: log.log})
				if c.fails != "" {
					var own *Error
					if err == nil || !log.have("E transport_ws: "+c.fails) {
						t.Fatalf("error %v, log:\n%s", err, strings.Join(log, "\n"))
					}
					if (!errors.As(err, &own) || own.LastError != 0) && !errors.Is(err, io.EOF) {
						t.Errorf("got %v: no error of the WebSocket, and not the end either", err)
					}
					if _, err := below.Write([]byte{0}); !errors.Is(err, net.ErrClosed) {
						t.Error("the connection was left open")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if c.read != "" {
					p := make([]byte, 100)
					if n, err := conn.Read(p); err != nil || string(p[:n]) != c.read {
						t.Errorf("read %q, %v; want %q", p[:n], err, c.read)
					}
				}
			})
		})
	}
}

// padded fills an answer up, so that with its end it has so many bytes once the key stands in it.
func padded(answer string, size int) string {
	const keySize = 28
	filler := size - len(answer) - keySize + len("ACCEPT") - len("X: \r\n\r\n")
	return answer + "X: " + strings.Repeat("x", filler) + "\r\n\r\n"
}

func TestWebSocketRedirection(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"301", "302", "303", "307", "308"} {
		synctest.Test(t, func(t *testing.T) {
			below, server := pair(t)
			go func() {
				readRequest(server)
				_, _ = io.WriteString(server, "HTTP/1.1 "+status+" Elsewhere\r\nLocation: ws://elsewhere/\r\n\r\n")
			}()
			var log lines
			conn, err := DialWebSocket(t.Context(), below, "broker", 80, "/mqtt", WebSocketOptions{Random: seeded(), Log: log.log})
			if err != nil {
				t.Fatalf("%s: %v", status, err)
			}
			if n, err := conn.Write([]byte{0x10, 0}); n != 2 || err != nil {
				t.Errorf("%s: writing gave %d, %v", status, n, err)
			}
			_, err = conn.Read(make([]byte, 1))
			var own *Error
			if !errors.As(err, &own) || own.LastError != 0 || !log.have("Non-zero RSV bits detected (rsv=0x40)") {
				t.Errorf("%s: reading gave %v", status, err)
			}
		})
	}
}

func TestWebSocketHandshakeThatStalls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		timeout time.Duration
		context time.Duration
		answer  string
		want    time.Duration
	}{
		{"no answer", 10 * time.Second, time.Minute, "", 10 * time.Second},
		{"half an answer", 10 * time.Second, time.Minute, "HTTP/1.1 101", 15 * time.Second},
		{"the context ends first", 10 * time.Second, 7 * time.Second, "HTTP/1.1 101", 7 * time.Second},
		{"only the context ends", 0, 20 * time.Second, "", 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				below, server := pair(t)
				go func() {
					readRequest(server)
					time.Sleep(5 * time.Second)
					_, _ = io.WriteString(server, c.answer)
				}()
				ctx, cancel := context.WithTimeout(t.Context(), c.context)
				defer cancel()
				start := time.Now()
				_, err := DialWebSocket(ctx, below, "broker", 80, "/", WebSocketOptions{Random: seeded(), Timeout: c.timeout})
				var own *Error
				if !errors.As(err, &own) || own.LastError != 0 || time.Since(start) != c.want {
					t.Errorf("after %v: %v; want an error after %v", time.Since(start), err, c.want)
				}
			})
		})
	}
}

func TestWebSocketRequestTooLong(t *testing.T) {
	t.Parallel()
	below, _ := pair(t)
	var log lines
	_, err := DialWebSocket(t.Context(), below, "broker", 80, "/"+strings.Repeat("x", 1000),
		WebSocketOptions{Random: seeded(), Log: log.log})
	if err == nil || len(below.written()) > 0 || !log.have("Error in request generation") {
		t.Errorf("%v, %d writes", err, len(below.written()))
	}
}

// unframe takes one masked frame apart.
func unframe(t *testing.T, head, payload []byte) (first byte, plain []byte) {
	t.Helper()
	mask := head[len(head)-4:]
	if head[1]&0x80 == 0 {
		t.Fatal("the frame is not masked")
	}
	for i := range payload {
		plain = append(plain, payload[i]^mask[i%4])
	}
	return head[0], plain
}

func TestWebSocketWrite(t *testing.T) {
	t.Parallel()
	connect, _ := hex.DecodeString("101800044d51545404020078000c45535033325f313233343536")
	for _, c := range []struct {
		name    string
		payload []byte
		head    string // before the mask
	}{
		{"CONNECT of the transcript", connect, "829a"},
		{"125 bytes", make([]byte, 125), "82fd"},
		{"126 bytes", make([]byte, 126), "82fe007e"},
		{"65535 bytes", make([]byte, 65535), "82feffff"},
		{"65536 bytes", make([]byte, 65536), "82ff0000000000010000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, below, server := opened(t, nil)
				go func() { _, _ = io.Copy(io.Discard, server) }()
				if n, err := client.Write(c.payload); n != len(c.payload) || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
				_ = client.Close()
				writes := below.written()
				if len(writes) != 2 {
					t.Fatalf("%d writes, want header and payload", len(writes))
				}
				if got := hex.EncodeToString(writes[0][:len(writes[0])-4]); got != c.head {
					t.Errorf("header %s, want %s", got, c.head)
				}
				if _, plain := unframe(t, writes[0], writes[1]); !bytes.Equal(plain, c.payload) {
					t.Error("another payload arrived")
				}
				_ = server.Close()
			})
		})
	}
}

// step is what a Read gives: payload, nothing (a control frame), or an error.
type step struct {
	payload string
	err     string // eof, timeout, ws
}

func TestWebSocketRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 100)
	for _, c := range []struct {
		name  string
		bytes string // what the server sends at once
		end   bool   // and closes its side
		steps []step
		sent  []string // the client's frames: first byte and payload
		log   string
	}{
		{name: "binary, text, continuation", bytes: "\x82\x01a\x01\x01b\x80\x01c",
			steps: []step{{"a", ""}, {"b", ""}, {"c", ""}, {"", "timeout"}}},
		{name: "masked", bytes: "\x82\x85\x01\x02\x03\x04igohn", steps: []step{{"hello", ""}}},
		{name: "126 to 65535 bytes", bytes: "\x82\x7e\x03\xe8" + long, steps: []step{{long, ""}}},
		{name: "8 bytes of length", bytes: "\x82\x7f\x00\x00\x00\x00\x00\x00\x03\xe8" + long, steps: []step{{long, ""}}},
		{name: "empty frame is no data", bytes: "\x82\x00\x82\x01a", steps: []step{{"", ""}, {"a", ""}}},
		{name: "PING is answered", bytes: "\x89\x02pi\x82\x01a",
			steps: []step{{"", ""}, {"a", ""}, {"", "timeout"}}, sent: []string{"\x8api"}},
		{name: "empty PING is answered", bytes: "\x89\x00",
			steps: []step{{"", ""}, {"", "timeout"}, {"", "timeout"}}, sent: []string{"\x8a"}},
		{name: "after a PING that nothing follows", bytes: "\x89\x02pi",
			steps: []step{{"", ""}, {"", "ws"}}, sent: []string{"\x8api"},
			log: "E transport_ws: Control frame payload read failed (expected=2, got=-1)"},
		{name: "PONG is ignored", bytes: "\x8a\x00\x82\x01a", steps: []step{{"", ""}, {"a", ""}}},
		{name: "control frame between two frames of a packet", bytes: "\x02\x01a\x89\x00\x80\x01b",
			steps: []step{{"a", ""}, {"", ""}, {"b", ""}}, sent: []string{"\x8a"}},
		{name: "CLOSE", bytes: "\x88\x02\x03\xe8", steps: []step{{"", "ws"}, {"", "ws"}}, sent: []string{"\x88"},
			log: "I transport_ws: Got CLOSE frame with status code=1000"},
		{name: "CLOSE and the end", bytes: "\x88\x02\x03\xe9", end: true,
			steps: []step{{"", ""}, {"", "eof"}}, sent: []string{"\x88"},
			log: "I transport_ws: Connection terminated gracefully"},
		{name: "CLOSE and more", bytes: "\x88\x00\x82\x01a", steps: []step{{"", "ws"}}, sent: []string{"\x88"}},
		{name: "the end", bytes: "\x82\x01a", end: true, steps: []step{{"a", ""}, {"", "eof"}}},
		{name: "the end in a header", bytes: "\x82", end: true, steps: []step{{"", "eof"}}},
		{name: "the end in a payload", bytes: "\x82\x03ab", end: true, steps: []step{{"ab", ""}, {"", "eof"}}},
		{name: "half a header", bytes: "\x82", steps: []step{{"", "ws"}, {"", "ws"}},
			log: "W transport_ws: Requested to read 2, actually read 1 bytes"},
		{name: "half a length", bytes: "\x82\x7e\x00", steps: []step{{"", "ws"}},
			log: "W transport_ws: Requested to read 2, actually read 1 bytes"},
		{name: "half a payload", bytes: "\x82\x02a", steps: []step{{"a", ""}, {"", "timeout"}, {"", "timeout"}}},

		// What no server should send.
		{name: "RSV1", bytes: "\xc2\x01a", steps: []step{{"", "ws"}, {"", "ws"}}},
		{name: "RSV2", bytes: "\xa2\x01a", steps: []step{{"", "ws"}}},
		{name: "RSV3", bytes: "\x92\x01a", steps: []step{{"", "ws"}}},
		{name: "opcode 3", bytes: "\x83\x01a", steps: []step{{"", "ws"}}},
		{name: "opcode 7", bytes: "\x87\x01a", steps: []step{{"", "ws"}}},
		{name: "opcode 11", bytes: "\x8b\x01a", steps: []step{{"", "ws"}}},
		{name: "opcode 15", bytes: "\x8f\x01a", steps: []step{{"", "ws"}}},
		{name: "fragmented PING", bytes: "\x09\x00", steps: []step{{"", "ws"}}},
		{name: "fragmented CLOSE", bytes: "\x08\x00", steps: []step{{"", "ws"}}},
		{name: "PING of 126 bytes", bytes: "\x89\x7e\x00\x7e" + strings.Repeat("x", 126), steps: []step{{"", "ws"}}},
		{name: "short PING in a long form", bytes: "\x89\x7e\x00\x02pi", steps: []step{{"", ""}}, sent: []string{"\x8api"}},
		{name: "PING of 2^63 bytes", bytes: "\x89\x7f\x80\x00\x00\x00\x00\x00\x00\x00", steps: []step{{"", "ws"}}},
		{name: "2 GiB", bytes: "\x82\x7f\x00\x00\x00\x00\x80\x00\x00\x00", steps: []step{{"", "ws"}}},
		{name: "just below 2 GiB", bytes: "\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xffabc",
			steps: []step{{"abc", ""}, {"", "timeout"}}},
		{name: "2^64 - 1 bytes", bytes: "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", steps: []step{{"", "ws"}}},
		{name: "PING whose payload does not come", bytes: "\x89\x02p", steps: []step{{"", "ws"}}},
		{name: "CLOSE with half a status", bytes: "\x88\x01\x03", steps: []step{{"", "ws"}}, sent: []string{"\x88"}},
		{name: "mask of an empty frame is taken for a frame", bytes: "\x82\x80\xff\xff\xff\xff",
			steps: []step{{"", ""}, {"", "ws"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log lines
				client, below, server := opened(t, log.log)
				_, _ = io.WriteString(server, c.bytes)
				if c.end {
					_ = server.(*simnet.Conn).CloseWrite()
				}
				for i, want := range c.steps {
					_ = client.SetReadDeadline(time.Now().Add(time.Nanosecond)) // a board's wait of 0
					p := make([]byte, 2048)
					n, err := client.Read(p)
					var own *Error
					kind := ""
					switch {
					case errors.As(err, &own) && own.LastError == 0 && own.StackError == 0:
						kind = "ws"
					case errors.Is(err, os.ErrDeadlineExceeded):
						kind = "timeout"
					case err == io.EOF:
						kind = "eof"
					case err != nil:
						kind = err.Error()
					}
					if string(p[:n]) != want.payload || kind != want.err {
						t.Fatalf("read %d gave %q, %v; want %q, %s", i+1, p[:n], err, want.payload, want.err)
					}
				}
				var sent []string
				for writes := below.written(); len(writes) > 0; {
					head, payload := writes[0], []byte(nil)
					writes = writes[1:]
					if head[1]&0x7f > 0 {
						payload, writes = writes[0], writes[1:]
					}
					first, plain := unframe(t, head, payload)
					sent = append(sent, string(first)+string(plain))
				}
				for i := range sent { // a byte, not a rune
					sent[i] = latin(sent[i])
				}
				if !slices.Equal(sent, c.sent) {
					t.Errorf("sent %q, want %q", sent, c.sent)
				}
				if c.log != "" && !log.have(c.log) {
					t.Errorf("the log has no line %q:\n%s", c.log, strings.Join(log, "\n"))
				}
			})
		})
	}
}

// latin makes a byte of each rune.
func latin(s string) string {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func TestWebSocketLongWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _, server := opened(t, nil)
		go func() { // every byte by itself, which a board with time to wait does not mind
			for _, b := range []byte("\x82\x7e\x00\x82" + strings.Repeat("x", 130)) {
				time.Sleep(time.Millisecond)
				_, _ = server.Write([]byte{b})
			}
		}()
		_ = client.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, err := io.ReadAll(io.LimitReader(client, 130))
		if len(got) != 130 || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}

func TestWebSocketCloseSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, below, server := opened(t, nil)
		_, _ = client.Write([]byte{0xe0, 0})
		_ = client.Close()
		if got, err := io.ReadAll(server); len(got) != 8 || err != nil || len(below.written()) != 2 {
			t.Errorf("the server got %x, %v; want DISCONNECT's frame and the end", got, err)
		}
	})
}

func TestWebSocketSameSeedSameBytes(t *testing.T) {
	t.Parallel()
	var runs [2][]byte
	for i := range runs {
		synctest.Test(t, func(t *testing.T) {
			client, below, server := opened(t, nil)
			_, _ = client.Write([]byte("hello"))
			_, _ = io.WriteString(server, "\x89\x01x")
			_, _ = client.Read(make([]byte, 1))
			runs[i] = bytes.Join(below.written(), nil)
		})
	}
	if len(runs[0]) == 0 || !bytes.Equal(runs[0], runs[1]) {
		t.Errorf("%x\n%x", runs[0], runs[1])
	}
}

func TestWebSocketOverTLS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner, below, server, serverBelow := secured(t)
		defer serverBelow.Close()
		go func() {
			_, accept := readRequest(server)
			_, _ = io.WriteString(server, upgraded+accept+"\r\n\r\n")
		}()
		client, err := DialWebSocket(t.Context(), inner, "broker", 443, "/mqtt", WebSocketOptions{Random: seeded()})
		if err != nil {
			t.Fatal(err)
		}
		before := len(below.written())
		go func() { _, _ = client.Write([]byte("hello")) }()
		frame := make([]byte, 2+4+5)
		if _, err := io.ReadFull(server, frame); err != nil {
			t.Fatal(err)
		}
		if records := len(below.written()) - before; records != 2 {
			t.Errorf("%d records, want header and payload", records)
		}
		_ = client.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a time-out", err)
		}
		_ = client.SetReadDeadline(time.Time{})
		_ = server.Close()
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("got %v, want the end", err)
		}
		_ = client.Close()
	})
}

// script is a connection that gives what it holds in pieces of a given size, and takes everything.
type script struct {
	net.Conn
	data  []byte
	piece int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p[:min(len(p), s.piece)], s.data)
	s.data = s.data[n:]
	return n, nil
}
func (*script) Write(p []byte) (int, error)      { return len(p), nil }
func (*script) Close() error                     { return nil }
func (*script) SetDeadline(time.Time) error      { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

func FuzzWebSocketRead(f *testing.F) {
	f.Add([]byte("\x82\x02hi\x89\x02pi\x88\x02\x03\xe8"), uint8(1))
	f.Add([]byte("\x02\x7e\x00\x80\x80\x7f\x00\x00\x00\x00\x00\x00\x00\x01x"), uint8(200))
	f.Add([]byte("\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		data = data[:min(len(data), 4096)] // more of the same finds nothing new
		w := &WebSocket{
			Conn:    &script{data: data, piece: int(piece) + 1},
			options: WebSocketOptions{Random: seeded()}, turn: make(chan struct{}, 1),
		}
		p := make([]byte, 64)
		total := 0
		for range 2*len(data) + 2 {
			n, err := w.Read(p)
			if total += n; err != nil {
				break
			}
		}
		if total > len(data) {
			t.Fatalf("%d bytes of payload from %d", total, len(data))
		}
	})
}

// TestWebSocketMemory is not parallel, because it looks at what the whole program takes.
func TestWebSocketMemory(t *testing.T) {
	var data []byte
	for range 100 { // nothing of what a frame announces may be set aside for it
		data = append(data, "\x82\x7f\x00\x00\x00\x00\x7f\xff\xff\xff"...)
		data = append(data, "\x89\x7f\x00\x00\x00\x00\x7f\xff\xff\xff"...)
	}
	p := make([]byte, 64)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for start := 0; start < len(data); start += 10 {
		w := &WebSocket{Conn: &script{data: data[start:], piece: 7}, options: WebSocketOptions{Random: seeded()}}
		for range 100 {
			_, _ = w.Read(p)
		}
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 4<<20 {
		t.Errorf("reading took %d bytes", taken)
	}
}

func FuzzWebSocketAnswer(f *testing.F) {
	f.Add([]byte(upgraded + "x\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 302 Found\r\nLocation: ws://x\r\n\r\n"))
	f.Add([]byte("http/ 1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := DialWebSocket(t.Context(), &script{data: data, piece: 100}, "broker", 80, "/", WebSocketOptions{Random: seeded()})
		if (w == nil) != (err != nil) {
			t.Fatalf("WebSocket %v, error %v", w, err)
		}
	})
}
