package espmqtt

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
)

// rig is a client and the far end of its connection, inside a synctest bubble.
type rig struct {
	*Client
	t        *testing.T
	listener net.Listener
	conn     net.Conn // the broker's end of the newest connection
	connect  []byte   // the CONNECT that came over it

	mu     sync.Mutex
	events []Event
	writes [][]byte // what the client wrote, call by call
	logs   []string
}

// options of a rig; a nil function changes nothing.
type options struct {
	config    func(*Config)
	kconfig   func(*Kconfig)
	connack   string // hexadecimal; empty for an accepting one of the version
	stay      bool   // do not connect
	handler   func(*rig, Event)
	behaviour Behaviour
	outbox    func() Outbox // of the application; nil: the client's own
	newTimer  func() Timer  // nil: Go's
}

// inRig runs a test with a client that is connected, unless the options say otherwise.
func inRig(t *testing.T, o options, run func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New()
		listener, err := network.Listen("10.0.0.1:1883")
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{t: t, listener: listener}
		config, kconfig := Config{}, DefaultKconfig()
		config.Broker.Address.URI = text("mqtt://10.0.0.1")
		config.Credentials.ClientID = text("a")
		config.Network.ReconnectTimeout = 1000
		kconfig.Protocol5, kconfig.ReportDeletedMessages, kconfig.MessageIDIncremental = true, true, true
		kconfig.CustomOutbox = o.outbox != nil
		if o.config != nil {
			o.config(&config)
		}
		if o.kconfig != nil {
			o.kconfig(&kconfig)
		}
		environment := Environment{
			MAC:       [6]byte{0x24, 0x0a, 0xc4, 0xab, 0xcd, 0xef},
			Random:    rand.New(rand.NewPCG(1, 2)),
			NewOutbox: o.outbox,
			NewTimer:  o.newTimer,
			Log: func(level byte, tag, text string) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.logs = append(r.logs, fmt.Sprintf("%c %s: %s", level, tag, text))
			},
			Dial: func(ctx context.Context, n, address string) (net.Conn, error) {
				conn, err := network.DialContext(ctx, n, address)
				if err != nil {
					return nil, err
				}
				return &loggedConn{Conn: conn, rig: r}, nil
			},
		}
		handle := func(e Event) {
			copied := e
			copied.Data = append([]byte(nil), e.Data...)
			r.mu.Lock()
			r.events = append(r.events, copied)
			r.mu.Unlock()
			if o.handler != nil {
				o.handler(r, e)
			}
		}
		if r.Client, err = New(config, kconfig, environment, o.behaviour, handle); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if r.conn != nil {
				_ = r.conn.Close()
			}
			_ = r.listener.Close()
			if err := r.Destroy(); err != nil {
				t.Error(err)
			}
		}()
		if !o.stay {
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			r.accept(o.connack)
		}
		run(r)
	})
}

// loggedConn notes what the client writes.
type loggedConn struct {
	net.Conn
	rig *rig
}

func (c *loggedConn) Write(p []byte) (int, error) {
	c.rig.mu.Lock()
	c.rig.writes = append(c.rig.writes, append([]byte(nil), p...))
	c.rig.mu.Unlock()
	return c.Conn.Write(p)
}

// accept takes the next connection, reads its CONNECT and answers.
func (r *rig) accept(connack string) {
	r.t.Helper()
	conn, err := r.listener.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	r.conn = conn
	r.connect = r.packet()
	if connack == "" {
		connack = "20020000"
		if r.settings.protocol == ProtocolV5 {
			connack = "2003000000"
		}
	}
	r.send(connack)
	synctest.Wait()
}

// packet reads one packet from the client.
func (r *rig) packet() []byte {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(time.Minute))
	packet := make([]byte, 1)
	_, err := io.ReadFull(r.conn, packet)
	length := 0
	for shift := 0; err == nil; shift += 7 {
		digit := make([]byte, 1)
		_, err = io.ReadFull(r.conn, digit)
		packet = append(packet, digit[0])
		if length |= int(digit[0]&0x7f) << shift; digit[0] < 0x80 {
			break
		}
	}
	body := make([]byte, length)
	if err == nil {
		_, err = io.ReadFull(r.conn, body)
	}
	if err != nil {
		r.t.Fatalf("no packet from the client: %v", err)
	}
	return append(packet, body...)
}

// expect reads the next packet and compares it; x stands for any digit.
func (r *rig) expect(want string) {
	r.t.Helper()
	want = strings.ReplaceAll(want, " ", "")
	got := hex.EncodeToString(r.packet())
	match := len(got) == len(want)
	for i := range want {
		match = match && (want[i] == 'x' || want[i] == got[i])
	}
	if !match {
		r.t.Fatalf("the client sent\n%s, not\n%s", got, want)
	}
}

// send sends bytes to the client and lets it deal with them.
func (r *rig) send(bytes string) {
	r.t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(bytes, " ", ""))
	if err != nil {
		r.t.Fatal(err)
	}
	r.sendRaw(data)
}

func (r *rig) sendRaw(data []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(data); err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	synctest.Wait()
}

// happened gives the events since the last call, as short texts.
func (r *rig) happened() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var texts []string
	for _, e := range r.events {
		switch e.ID {
		case EventError:
			texts = append(texts, fmt.Sprintf("error(%d,%x)", e.Error.Type, e.Error.TLSLastError))
		case EventConnected:
			texts = append(texts, "connected")
		case EventDisconnected:
			texts = append(texts, "disconnected")
		case EventSubscribed:
			texts = append(texts, fmt.Sprintf("subscribed(%d,%x,%d)", e.MessageID, e.Data, e.Error.Type))
		case EventUnsubscribed:
			texts = append(texts, fmt.Sprintf("unsubscribed(%d,%x)", e.MessageID, e.Data))
		case EventPublished:
			texts = append(texts, fmt.Sprintf("published(%d)", e.MessageID))
		case EventData:
			texts = append(texts, fmt.Sprintf("data(%q,%d,%d@%d/%d)", e.Topic, e.MessageID, e.DataLength(), e.Offset, e.TotalLength))
		case EventBeforeConnect:
			texts = append(texts, "before")
		case EventUser:
			texts = append(texts, fmt.Sprintf("user(%s)", e.Data))
		case EventDeleted:
			texts = append(texts, fmt.Sprintf("deleted(%d)", e.MessageID))
		}
	}
	r.events = nil
	return strings.Join(texts, " ")
}

// happens compares the events since the last look.
func (r *rig) happens(want string) {
	r.t.Helper()
	if got := r.happened(); got != want {
		r.t.Fatalf("events\n%s, not\n%s", got, want)
	}
}

// written gives the sizes of the client's writes since the last call.
func (r *rig) written() (sizes []int) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.writes {
		sizes = append(sizes, len(w))
	}
	r.writes = nil
	return sizes
}

func text(s string) *string { return &s }

// silent is a console that nobody reads.
func silent(byte, string, string, ...any) {}
