package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
	"mqtthil/harness/timeline"
)

// bench is a broker with a network to reach it on.
type bench struct {
	t    *testing.T
	rec  *timeline.Recorder
	b    *Broker
	dial func() (net.Conn, error)
}

// newBench starts a broker on loopback TCP, or in memory where memory is set.
func newBench(t *testing.T, memory bool, options Options) *bench {
	t.Helper()
	rec := timeline.NewRecorder(nil)
	b, err := New(rec, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	x := &bench{t: t, rec: rec, b: b}
	var l net.Listener
	if memory {
		network := simnet.New()
		l, err = network.Listen("broker:1883")
		x.dial = func() (net.Conn, error) { return network.DialContext(context.Background(), "tcp", "broker:1883") }
	} else {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		x.dial = func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(l); err != nil {
		t.Fatal(err)
	}
	return x
}

// client is one hand-driven connection.
type client struct {
	t *testing.T
	net.Conn
}

func (x *bench) client() *client {
	x.t.Helper()
	conn, err := x.dial()
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { conn.Close() })
	return &client{x.t, conn}
}

// connect opens a connection with an accepted CONNECT.
func (x *bench) connect(packet string, sessionPresent bool) *client {
	x.t.Helper()
	c := x.client()
	c.send(packet)
	if sessionPresent {
		c.expect("20 02 01 00")
	} else {
		c.expect("20 02 00 00")
	}
	return c
}

// send sends bytes given in the notation of raw.
func (c *client) send(packet string) {
	c.t.Helper()
	if _, err := c.Write(raw(packet)); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads exactly these bytes.
func (c *client) expect(packet string) {
	c.t.Helper()
	want := raw(packet)
	got := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := io.ReadFull(c, got)
	if err != nil || !bytes.Equal(got, want) {
		c.t.Fatalf("received % x (%v), want % x", got[:n], err, want)
	}
}

// expectEnd reads to the end of the connection, where nothing more may come.
func (c *client) expectEnd() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	rest, err := io.ReadAll(c)
	if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("received % x (%v), want the end of the connection", rest, err)
	}
}

// raw reads bytes written in hex, with strings in apostrophes, which get their length in front.
func raw(packet string) []byte {
	var out []byte
	for i, part := range strings.Split(packet, "'") {
		if i%2 == 1 {
			out = binary.BigEndian.AppendUint16(out, uint16(len(part)))
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			panic(err)
		}
		out = append(out, b...)
	}
	return out
}

// wait returns when the record has an event with this hook for the n-th time, and returns the event.
func (x *bench) wait(hook string, n int) timeline.Event {
	x.t.Helper()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for {
		changed := x.rec.Changed()
		if found := x.events(hook); len(found) >= n {
			return found[n-1]
		}
		select {
		case <-changed:
		case <-timeout.C:
			x.t.Fatalf("no %s, number %d, within 10 s; the record has %v", hook, n, x.hooks())
		}
	}
}

func (x *bench) events(hook string) []timeline.Event {
	var found []timeline.Event
	for _, e := range x.rec.Events() {
		if e.Kind == timeline.KindBroker && e.Broker.Hook == hook {
			found = append(found, e)
		}
	}
	return found
}

// hooks returns the record in short: hook and text.
func (x *bench) hooks() []string {
	var hooks []string
	for _, e := range x.rec.Events() {
		if e.Kind == timeline.KindBroker {
			hooks = append(hooks, strings.TrimSuffix(e.Broker.Hook+": "+e.Broker.Text, ": "))
		} else {
			hooks = append(hooks, fmt.Sprintf("%s: %s", e.Kind, e.Text))
		}
	}
	return hooks
}

func equal[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// everywhere runs a test over loopback TCP in real time and over memory in virtual time.
func everywhere(t *testing.T, test func(*testing.T, bool)) {
	t.Parallel()
	t.Run("tcp", func(t *testing.T) {
		t.Parallel()
		test(t, false)
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { test(t, true) })
	})
}

func TestTheLifeOfASession(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		c := x.connect("10 0d 'MQTT' 04 00 0005 'a'", false)
		c.send("82 08 0007 't/#' 02")
		c.expect("90 03 0007 02")
		c.send("33 08 't/u' 0008 68")
		c.expect("40 02 0008 32 08 't/u' 0001 68") // the message itself comes back by the subscription
		c.send("40 02 0001")
		c.send("34 08 't/v' 0009 69")
		c.expect("50 02 0009")
		c.send("62 02 0009")
		c.send("a2 07 000a 't/#'")
		c.send("e0 00")
		x.wait("disconnect", 1)

		x.connect("10 0d 'MQTT' 04 00 0005 'a'", true)
		x.wait("session-established", 2)
		want := []timeline.Broker{
			{Hook: "connect", Text: "MQTT 3.1.1, keep alive 5 s"},
			{Hook: "session-established", Text: "new session"},
			{Hook: "subscribed", Topic: "t/#", QoS: 2, ID: 7},
			{Hook: "published", Topic: "t/u", QoS: 1, Retain: true, ID: 8, Payload: []byte("h")},
			{Hook: "qos-complete", QoS: 1, ID: 8, Text: "from the client"},
			{Hook: "qos-complete", QoS: 1, ID: 1, Text: "to the client"},
			{Hook: "published", Topic: "t/v", QoS: 2, ID: 9, Payload: []byte("i")},
			{Hook: "qos-complete", QoS: 2, ID: 9, Text: "from the client"},
			{Hook: "unsubscribed", Topic: "t/#", ID: 10},
			{Hook: "disconnect", Text: "DISCONNECT received"},
			{Hook: "connect", Text: "MQTT 3.1.1, keep alive 5 s"},
			{Hook: "session-established", Text: "session present"},
		}
		var got []timeline.Broker
		for _, e := range x.rec.Events() {
			if e.Broker.Client != "a" {
				t.Errorf("%s of client %q", e.Broker.Hook, e.Broker.Client)
			}
			e.Broker.Client = ""
			got = append(got, *e.Broker)
		}
		equal(t, got, want)
	})
}

func TestPublishReachesAClient(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		c := x.connect("10 0d 'MQTT' 04 02 0000 'a'", false)
		c.send("82 08 0001 'd/#' 02")
		c.expect("90 03 0001 02")
		payload := []byte("one")
		if err := x.b.Publish("d/1", payload, 0, false); err != nil {
			t.Fatal(err)
		}
		c.expect("30 08 'd/1' 6f6e65")
		if err := x.b.Publish("d/2", payload, 2, true); err != nil {
			t.Fatal(err)
		}
		copy(payload, "two")
		c.expect("34 0a 'd/2' 0001 6f6e65")
		c.send("50 02 0001")
		c.expect("62 02 0001")
		c.send("70 02 0001")
		equal(t, x.wait("qos-complete", 1).Broker, &timeline.Broker{
			Hook: "qos-complete", Client: "a", QoS: 2, ID: 1, Text: "to the client",
		})
		kept, ok := x.b.Retained("d/2")
		if string(kept) != "one" || !ok {
			t.Errorf("retained %q, %v", kept, ok)
		}
		if _, ok := x.b.Retained("d/1"); ok {
			t.Error("d/1 is retained")
		}
	})
}

func TestSubscribeRecordsMessages(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		if err := x.b.Publish("up/kept", []byte("old"), 0, true); err != nil {
			t.Fatal(err)
		}
		for _, filter := range []string{"#", "up/+"} {
			if err := x.b.Subscribe(filter, 1); err != nil {
				t.Fatal(err)
			}
		}
		c := x.connect("10 0d 'MQTT' 04 02 0000 'a'", false)
		c.send("34 0a 'up/1' 0005 6869")
		c.expect("50 02 0005")
		c.send("62 02 0005")
		c.expect("70 02 0005")
		big := bytes.Repeat([]byte("x"), maxPayload+3)
		if err := x.b.Publish("down", big, 0, false); err != nil {
			t.Fatal(err)
		}
		var got []timeline.Broker
		for _, e := range x.events("message") {
			got = append(got, *e.Broker)
		}
		equal(t, got, []timeline.Broker{
			{Hook: "message", Client: "inline", Topic: "up/kept", Retain: true, Payload: []byte("old")},
			{Hook: "message", Client: "inline", Topic: "up/kept", Retain: true, Payload: []byte("old")},
			{Hook: "message", Client: "a", Topic: "up/1", QoS: 1, Payload: []byte("hi")},
			{Hook: "message", Client: "inline", Topic: "down", Payload: big[:maxPayload],
				Text: "payload of 65539 bytes, cut to 65536"},
		})
	})
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name    string
		packet  string
		answer  string
		refusal string
	}{
		{"good password", "10 13 'MQTT' 04 c2 0000 'a' 'u' 'p'", "20 02 00 00", ""},
		{"wrong password", "10 13 'MQTT' 04 c2 0000 'a' 'u' 'q'", "20 02 00 04", "bad user name or password (return code 4)"},
		{"wrong user", "10 13 'MQTT' 04 c2 0000 'a' 'v' 'p'", "20 02 00 04", "bad user name or password (return code 4)"},
		{"no user", "10 0d 'MQTT' 04 02 0000 'a'", "20 02 00 04", "bad user name or password (return code 4)"},
		{"wrong password, MQTT 5.0", "10 14 'MQTT' 05 c2 0000 00 'a' 'u' 'q'",
			"20 21 00 86 1e 1f 'bad username or password' 21 0400", "bad username or password (reason code 0x86)"},
		{"unknown level", "10 0d 'MQTT' 09 02 0000 'a'", "20 02 00 01", "unacceptable protocol level (return code 1)"},
		{"no client identifier", "10 0c 'MQTT' 04 00 0000 ''", "20 02 00 02", "client identifier rejected (return code 2)"},
		{"reserved flag", "10 0d 'MQTT' 04 03 0000 'a'", "",
			"protocol violation: reserved bit not 0; closed without CONNACK"},
		{"not CONNECT", "c0 00", "",
			"no CONNACK: read connection: protocol violation: first packet must be connect"},
		{"cut off", "10 0d 'MQTT'", "", "no CONNACK: read connection: unexpected EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, memory bool) {
				x := newBench(t, memory, Options{Users: map[string]string{"u": "p"}})
				c := x.client()
				c.send(test.packet)
				if test.answer != "" {
					c.expect(test.answer)
				}
				if test.refusal == "" {
					x.wait("session-established", 1)
					return
				}
				if test.name == "cut off" {
					c.Close()
				} else {
					c.expectEnd()
				}
				equal(t, x.wait("connect-refused", 1).Broker.Text, test.refusal)
				if n := len(x.events("connect-refused")); n != 1 {
					t.Errorf("%d refusals: %q", n, x.hooks())
				}
			})
		})
	}
}

func TestAWillOfNoBytes(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		c := x.connect("10 12 'MQTT' 04 2e 0000 'a' 'w' ''", false)
		c.Close()
		equal(t, x.wait("will-sent", 1).Broker, &timeline.Broker{
			Hook: "will-sent", Client: "a", Topic: "w", QoS: 1, Retain: true,
		})
		equal(t, x.wait("disconnect", 1).Broker.Text, "connection lost: closed by the client without DISCONNECT")
	})
}

// A second connection takes the session; the first gets no DISCONNECT, which MQTT 3.1.1 does not know from a broker.
func TestTakeover(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		first := x.connect("10 0d 'MQTT' 04 00 0000 'a'", false)
		x.connect("10 0d 'MQTT' 04 00 0000 'a'", true)
		first.expectEnd()
		equal(t, x.wait("disconnect", 1).Broker.Text,
			"taken over by a new connection of the same client identifier")
	})
}

// A retained message that is published as soon as the client knows of its subscription reaches it once.
func TestARetainedMessageRightAfterSUBACK(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		c := x.connect("10 0d 'MQTT' 04 02 0000 'a'", false)
		message, pong, last := raw("30 06 'd/1' 78"), raw("d0 00"), "30 06 'd/2' 78"
		for range 200 {
			c.send("82 08 0001 'd/#' 00")
			c.expect("90 03 0001 00")
			if err := x.b.Publish("d/1", []byte("x"), 0, true); err != nil {
				t.Fatal(err)
			}
			c.send("c0 00") // what SUBSCRIBE brings about has happened when this is answered
			got := make([]byte, len(message)+len(pong))
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, append(bytes.Clone(message), pong...)) && !bytes.Equal(got, append(pong, message...)) {
				t.Fatalf("received % x, want the message and PINGRESP", got)
			}
			if err := x.b.Publish("d/2", []byte("x"), 0, false); err != nil {
				t.Fatal(err)
			}
			c.expect(last)
			c.send("a2 07 0002 'd/#'")
			c.expect("b0 02 0002")
			if err := x.b.Publish("d/1", nil, 0, true); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCausesOfDisconnection(t *testing.T) {
	const connect5 = "10 15 'MQTT' 05 06 0000 00 'a' 00 'w' 'm'"
	tests := []struct {
		name  string
		end   func(*client)
		cause string
		will  int
	}{
		{"DISCONNECT", func(c *client) { c.send("e0 00") }, "DISCONNECT received", 0},
		{"DISCONNECT that asks for the will", func(c *client) { c.send("e0 02 04 00") },
			"DISCONNECT received, which asks for the will", 1},
		{"FIN", func(c *client) { c.Close() }, "connection lost: closed by the client without DISCONNECT", 1},
		{"FIN inside a packet", func(c *client) { c.send("30 05 00"); c.Close() },
			"connection lost: closed by the client without DISCONNECT", 1},
		{"RST", func(c *client) {
			c.Conn.(interface{ SetLinger(int) error }).SetLinger(0)
			c.Close()
		}, "connection reset by peer", 1},
		{"wrong flags", func(c *client) { c.send("60 02 0001") }, "closed by the broker: malformed packet: flags", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, memory bool) {
				x := newBench(t, memory, Options{})
				c := x.client()
				c.send(connect5)
				x.wait("session-established", 1)
				c.expect("20 06 00 00 03 21 0400")
				test.end(c)
				if got := x.wait("disconnect", 1).Broker.Text; !strings.HasSuffix(got, test.cause) {
					t.Errorf("cause %q, want %q", got, test.cause)
				}
				equal(t, len(x.events("will-sent")), test.will)
			})
		})
	}
}

// What a clean session leaves behind is given up when it ends.
func TestTheEndOfACleanSession(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		c := x.connect("10 0d 'MQTT' 04 02 0000 'a'", false)
		c.send("82 10 0001 'd/#' 01 'd/#/e' 01")
		c.expect("90 04 0001 01 80")
		if err := x.b.Publish("d/1", []byte("m"), 1, false); err != nil {
			t.Fatal(err)
		}
		c.expect("32 08 'd/1' 0001 6d")
		c.send("e0 00")
		x.wait("unsubscribed", 1)
		equal(t, x.hooks()[2:], []string{
			"subscribed", "subscribed: refused with 0x80",
			"disconnect: DISCONNECT received", "qos-dropped: at PUBLISH", "unsubscribed: the session ended",
		})
	})
}

// The old connection of a device ends at the moment at which its new one is accepted. Whichever comes first, the new
// session must stay.
func TestReconnectingAtOnceKeepsTheNewSession(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		for i := range 200 {
			c := x.connect("10 0d 'MQTT' 04 02 0000 'a'", false)
			c.send("82 08 0001 'd/#' 00")
			c.expect("90 03 0001 00")
			if err := x.b.Publish("d/1", []byte{byte(i)}, 0, false); err != nil {
				t.Fatal(err)
			}
			c.expect("30 06 'd/1' " + hex.EncodeToString([]byte{byte(i)}))
			if i%2 == 0 {
				c.Close()
			}
		}
	})
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for _, seconds := range []int{1, 5, 60} {
		synctest.Test(t, func(t *testing.T) {
			x := newBench(t, true, Options{})
			c := x.connect(fmt.Sprintf("10 13 'MQTT' 04 06 %04x 'a' 'w' 'm'", seconds), false)
			keepAlive := time.Duration(seconds) * time.Second
			time.Sleep(keepAlive) // a client may be late by half
			c.send("c0 00")
			c.expect("d0 00")
			pinged := time.Now()
			c.SetReadDeadline(time.Time{})
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("reading: %v, want the end of the connection", err)
			}
			equal(t, time.Since(pinged), keepAlive*3/2)
			synctest.Wait()
			equal(t, x.hooks(), []string{
				fmt.Sprintf("connect: MQTT 3.1.1, keep alive %d s, clean session, will w", seconds),
				"session-established: new session",
				fmt.Sprintf("keep-alive-expired: no packet for %v, 1.5 times the keep alive", keepAlive*3/2),
				"will-sent",
				"disconnect: closed by the broker: keep alive expired",
			})
		})
	}
}

// Mochi's own deadline for the longest keep alive would be after nine hours.
func TestTheLongestKeepAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network, _ := net.Pipe()
		c := newConnection(network)
		go c.write()
		defer c.Close()
		var expired time.Duration
		start := time.Now()
		c.setKeepAlive(65535*time.Second, func() { expired = time.Since(start) })
		if err := c.SetDeadline(start.Add(32766 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("reading: %v", err)
		}
		equal(t, expired, 65535*time.Second*3/2)
	})
}

// A client that does not read holds up neither those who publish to it nor virtual time, and Close does not wait for it.
func TestAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newBench(t, true, Options{})
		c := x.connect("10 0d 'MQTT' 04 02 0000 'a'", false)
		c.send("82 08 0001 'd/#' 01")
		c.expect("90 03 0001 01")
		payload := make([]byte, 100_000)
		for range 100 {
			if err := x.b.Publish("d/1", payload, 1, false); err != nil {
				t.Fatal(err)
			}
			c.send("c0 00")
		}
		time.Sleep(time.Minute)
		start := time.Now()
		if err := x.b.Close(); err != nil {
			t.Error(err)
		}
		equal(t, time.Since(start), flushTime)
	})
}

// Whatever state its connections are in, Close ends them; synctest sees to it that no goroutine stays.
func TestClose(t *testing.T) {
	everywhere(t, func(t *testing.T, memory bool) {
		x := newBench(t, memory, Options{})
		x.client().send("10")
		x.client()
		idle := x.connect("10 13 'MQTT' 04 06 003c 'a' 'w' 'm'", false)
		if err := x.b.Close(); err != nil {
			t.Error(err)
		}
		idle.expectEnd()
		equal(t, x.wait("disconnect", 1).Broker.Text, "closed by the broker")
		equal(t, len(x.events("will-sent")), 1)

		if err := x.b.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if err := x.b.Publish("t", nil, 0, false); !errors.Is(err, errClosed) {
			t.Errorf("Publish after Close: %v", err)
		}
		if err := x.b.Subscribe("t", 0); !errors.Is(err, errClosed) {
			t.Errorf("Subscribe after Close: %v", err)
		}
		if err := x.b.Serve(&brokenListener{}); !errors.Is(err, errClosed) {
			t.Errorf("Serve after Close: %v", err)
		}
	})
}

// A broker out of reach for a while keeps its sessions.
func TestServingAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := timeline.NewRecorder(nil)
		b, err := New(rec, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		network := simnet.New()
		x := &bench{t: t, rec: rec, b: b, dial: func() (net.Conn, error) {
			return network.DialContext(t.Context(), "tcp", "broker:1883")
		}}
		for _, present := range []bool{false, true} {
			l, err := network.Listen("broker:1883")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Serve(l); err != nil {
				t.Fatal(err)
			}
			x.connect("10 0d 'MQTT' 04 00 0000 'a'", present).Close()
			l.Close()
			if _, err := x.dial(); err == nil {
				t.Error("connected to a closed listener")
			}
		}
	})
}

type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, errors.New("no more sockets") }
func (brokenListener) Addr() net.Addr            { return &net.TCPAddr{Port: 1883} }
func (brokenListener) Close() error              { return errors.New("cannot close") }

func TestAListenerThatFails(t *testing.T) {
	t.Parallel()
	rec := timeline.NewRecorder(nil)
	b, err := New(rec, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(brokenListener{}); err != nil {
		t.Fatal(err)
	}
	err = b.Close()
	if err == nil || !strings.Contains(err.Error(), "close listener :1883: cannot close") {
		t.Errorf("Close: %v", err)
	}
	equal(t, (&bench{rec: rec}).hooks(), []string{
		"harness: broker: accept on :1883: no more sockets; nobody can connect there any more",
	})
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	b, err := New(timeline.NewRecorder(nil), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for want, err := range map[string]error{
		`broker: publish to "t": QoS 3 does not exist`:        b.Publish("t", nil, 3, false),
		`broker: publish to "t/#": protocol violation: topic`: b.Publish("t/#", nil, 0, false),
		`broker: subscribe to "t": QoS 3 does not exist`:      b.Subscribe("t", 3),
		`broker: subscribe to "#/t": topic filter invalid`:    b.Subscribe("#/t", 0),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
