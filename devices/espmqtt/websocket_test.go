package espmqtt

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// overWS runs a test with a client whose upgrade request has been answered with status and headers; ACCEPT in them stands
// for the right key.
func overWS(t *testing.T, answer string, run func(*rig), without ...Quirk) {
	t.Helper()
	config := func(c *Config) { c.Broker.Address.URI = text("ws://10.0.0.1:1883/mqtt?x=1") }
	inRig(t, options{config: config, stay: true, behaviour: Behaviour{Without: without}}, func(r *rig) {
		r.upgrade(answer)
		run(r)
	})
}

// upgrade starts the client and answers its request for a WebSocket; ACCEPT in the answer is the right header's value.
func (r *rig) upgrade(answer string) {
	r.t.Helper()
	if err := r.Start(); err != nil {
		r.t.Fatal(err)
	}
	conn, err := r.listener.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.conn = conn
	buffer := make([]byte, 2048)
	n, err := conn.Read(buffer)
	if err != nil {
		r.t.Fatal(err)
	}
	request := string(buffer[:n])
	_, key, _ := strings.Cut(request, "Sec-WebSocket-Key: ")
	key, _, _ = strings.Cut(key, "\r\n")
	want := "GET " + cmp.Or(r.settings.path, "/") + " HTTP/1.1\r\nConnection: Upgrade\r\nHost: 10.0.0.1:1883\r\nUser-Agent: ESP32 Websocket Client\r\n" +
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	if request != want || len(key) != 24 {
		r.t.Fatalf("the request is\n%s, not\n%s", request, want)
	}
	r.sendRaw([]byte(strings.ReplaceAll(answer, "ACCEPT", acceptFor(key))))
}

// TestUpgrade: one header decides, and the status only where it redirects.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	const accepted, refused = "before", "before error(1,0) disconnected"
	for name, test := range map[string]struct{ answer, want string }{
		"101":       {"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n", accepted},
		"any case":  {"HTTP/1.1 200 OK\r\nSEC-WebSocket-accept: ACCEPT\r\n\r\n", accepted},
		"wrong key": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", refused},
		"no key":    {"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n", refused},
		"two keys": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
			refused},
		"two blanks": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept:  ACCEPT\r\n\r\n", refused},
		"no HTTP":    {"SSH-2.0-x\r\n\r\n", refused},
		"too long": {"HTTP/1.1 101 S\r\nX: " + strings.Repeat("x", 1100) + "\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
			refused},
		"redirection": {"HTTP/1.1 302 Found\r\nLocation: ws://x/\r\n\r\n", refused}, // after a CONNECT
		"to nowhere":  {"HTTP/1.1 302 Found\r\n\r\n", refused},
		"CONNACK at once": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x82\x04\x20\x02\x00\x00",
			"before connected"},
		"refused at once": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x82\x04\x20\x02\x00\x05", "before error(2,0) disconnected"},
		"a text frame": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x01\x02\x20\x02\x80\x02\x00\x00",
			"before connected"},
		"a masked frame": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x82\x81\x20\x00\x00\x00\x00\x82\x03\x02\x00\x00",
			"before connected"},
		"reserved bits":    {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\xc2\x04\x20\x02\x00\x00", refused},
		"reserved opcode":  {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x83\x04\x20\x02\x00\x00", refused},
		"a part of a ping": {"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x09\x00", refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overWS(t, test.answer, func(r *rig) { r.happens(test.want) })
		})
	}
}

const accepting = "HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x82\x04\x20\x02\x00\x00"

// TestFrames: each write is a frame of its own, its header and its payload written one after the other.
func TestFrames(t *testing.T) {
	t.Parallel()
	overWS(t, accepting, func(r *rig) {
		r.written()
		r.Publish("t", make([]byte, 3000), 0, false)
		if got, want := r.written(), []int{8, 1022, 8, 1024, 8, 960}; len(got) != 6 || got[0] != want[0] || got[1] != want[1] ||
			got[3] != want[3] || got[5] != want[5] {
			t.Errorf("writes of %v bytes, not %v", got, want)
		}
		r.happened()
		r.sendRaw([]byte("\x82\x06\x30\x04\x00\x01tp"))
		r.sendRaw([]byte("\x82\x0c\x30\x04\x00\x01ab\x30\x04\x00\x01cd"))
		r.sendRaw([]byte("\x82\x00"))
		r.sendRaw([]byte("\x8a\x00"))
		time.Sleep(3 * time.Second)
		r.happens(`data("t",0,1@0/1) data("a",0,1@0/1) data("c",0,1@0/1)`)
	})
}

// TestControlFrames: a ping is answered, and one with a payload ends the connection when the next look finds nothing.
func TestControlFrames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ send, want string }{
		"ping without payload": {"\x89\x00", ""},
		"ping with payload":    {"\x89\x02hi", "error(1,0) disconnected"},
		"pong with payload":    {"\x8a\x02hi", "error(1,0) disconnected"},
		"ping, then data":      {"\x89\x02hi\x82\x06\x30\x04\x00\x01tp", `data("t",0,1@0/1)`},
		"close":                {"\x88\x02\x03\xe8", "error(1,0) disconnected"},
		"half a header":        {"\x82", "error(1,0) disconnected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overWS(t, accepting, func(r *rig) {
				time.Sleep(100 * time.Millisecond)
				r.happened()
				r.written()
				r.sendRaw([]byte(test.send))
				if answered := len(r.written()) > 0; answered != (test.send[0] == 0x89 || test.send[0] == 0x88) {
					t.Errorf("answered: %v", answered)
				}
				time.Sleep(1100 * time.Millisecond)
				r.happens(test.want)
			})
		})
	}
}

// FuzzWebSocket reads frames out of anything: no panic, no hang, and never more bytes than came.
func FuzzWebSocket(f *testing.F) {
	f.Add([]byte("\x82\x06\x30\x04\x00\x01tp"), 3)
	f.Add([]byte("\x89\x02hi\x82\x7e\x00\x01x\x88\x00"), 1)
	f.Add([]byte("\x82\xff\x00\x00\x00\x00\x00\x00\x00\x02abcdxy"), 64)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		power := make(chan struct{})
		w := &webSocket{
			socket: newSocket(&memoryConn{pieces: [][]byte{bytes.Clone(data)}}, NewTimer(), power, silent),
			random: rand.New(rand.NewPCG(1, 2)),
			limit:  time.Second,
		}
		buffer := make([]byte, 1+max(0, min(size, 4096)))
		total := 0
		for turn := 0; ; turn++ {
			w.poll(time.Second)
			n, err := w.read(buffer, 0)
			if err != nil {
				return
			}
			if total += n; total > len(data) || turn > 2*len(data)+10 {
				t.Fatalf("%d bytes out of %d after %d reads", total, len(data), turn)
			}
		}
	})
}

// FuzzUpgradeAnswer lets anything answer an upgrade request.
func FuzzUpgradeAnswer(f *testing.F) {
	f.Add("HTTP/1.1 101 S\r\nSec-WebSocket-Accept: x")
	f.Add("HTTP/1.1 302 S\r\nLocation: x")
	f.Add("\xff\xff\xff\xffHTTP/\r\n\r\n") // lower case is longer
	f.Fuzz(func(t *testing.T, text string) {
		header, _, _ := strings.Cut(text, headerEnd)
		w := &webSocket{socket: &socket{print: silent}}
		if redirected, err := w.checkAnswer(text, header, "key"); redirected && err != nil {
			t.Errorf("%q: both redirected and %v", text, err)
		}
	})
}
