package espmqtt

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// quirkCall shows a quirk by what a client in a rig returns or does.
type quirkCall struct {
	options options
	watch   func(*rig) string
	real    string // what watch says of the real client
	without string // and of one without the quirk
}

var quirkCalls = map[Quirk]quirkCall{
	QuirkIDReuse: {
		watch: func(r *rig) string {
			r.lastID = 1
			r.Publish("t", nil, 1, false)
			r.lastID = 1
			return fmt.Sprint(r.Publish("t", nil, 1, false))
		},
		real: "2", without: "3",
	},
	QuirkAliasResent: {
		options: options{config: v5Client, connack: "2006 0000 03 220005"},
		watch: func(r *rig) string {
			for _, topic := range []string{"t", ""} {
				if err := r.SetPublishProperty(&PublishProperty{TopicAlias: 1}); err != nil {
					r.t.Fatal(err)
				}
				r.Publish(topic, []byte("x"), 1, false)
				r.packet()
			}
			_ = r.conn.Close()
			r.accept("")
			return fmt.Sprintf("%x %x", r.packet(), r.packet())
		},
		real:    "3a0a00017400010323000178" + " 3a0900000002" + "0323000178",
		without: "3a0700017400010078" + " 3a0700017400020078",
	},
	QuirkResponseTopic: {
		options: options{config: v5Client, connack: "200a 0000 07 1a0004 696e666f"},
		watch: func(r *rig) string {
			if err := r.SetPublishProperty(&PublishProperty{ResponseTopic: text("resp")}); err != nil {
				r.t.Fatal(err)
			}
			r.Publish("t", nil, 0, false)
			return fmt.Sprintf("%x", r.packet())
		},
		real: "3010000174" + "0c080009726573702f696e6600", without: "3010000174" + "0c080009726573702f696e666f",
	},
	QuirkPropertiesBeyondBuffer: {
		options: options{config: func(c *Config) { v5Client(c); c.Buffer.Size, c.Buffer.OutSize = 64, 128 }},
		watch: func(r *rig) string {
			// A response topic of 100 bytes, of which 55 are in the buffer, and 10 bytes of payload behind it.
			r.send("3075 0001 74 67 080064" + strings.Repeat("72", 100) + strings.Repeat("70", 10))
			r.mu.Lock()
			first := r.events[len(r.events)-1]
			for _, e := range r.events {
				if e.ID == EventData && e.Offset == 0 {
					first = e
				}
			}
			r.mu.Unlock()
			topic := first.Properties.ResponseTopic
			return fmt.Sprintf("%s %q", r.happened(), topic[min(55, len(topic)):])
		},
		real: `before connected data("t",0,-45@0/10) data("",0,55@-45/10) ` +
			`"\f\x00\x00\x00a\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00` +
			`\f\x00\x00\x0010.0.0.1\x00\x00\x00\x00\f\x00\x00\x00mqtt\x00\x00\x00\x00\x00"`,
		without: `before connected disconnected ""`,
	},
	QuirkKeepAliveWebSocket: {
		options: options{stay: true, config: func(c *Config) {
			c.Broker.Address.URI = text("ws://10.0.0.1:1883")
			c.Network.TCPKeepAlive = TCPKeepAlive{Enable: true, Idle: 5, Interval: 5, Count: 3}
		}},
		watch: func(r *rig) string {
			r.upgrade(accepting)
			time.Sleep(100 * time.Millisecond)
			return r.happened()
		},
		real: "before", without: "before connected",
	},
	QuirkCustomEvents: {
		options: options{
			config: func(c *Config) { c.Buffer.Size = 64 },
			handler: func(r *rig, e Event) {
				if e.ID == EventData && e.Offset == 0 {
					_ = e.Client.DispatchCustomEvent(Event{Data: []byte("hello")})
				}
			},
		},
		watch: func(r *rig) string {
			r.send("3067 0001 74" + strings.Repeat("70", 100))
			time.Sleep(30 * time.Second)
			defer r.PowerOff() // or nobody would ever get the lock
			return r.happened()
		},
		real:    `before connected data("t",0,59@0/100)`,
		without: `before connected data("t",0,59@0/100) data("",0,41@59/100) user(hello)`,
	},
	QuirkTLSOptionsSkipped: {
		options: options{stay: true, config: func(c *Config) {
			c.Broker.Address.URI = text("mqtts://10.0.0.1:1883")
			c.Broker.Verification.CertificateBundle = true
			c.Credentials.Authentication.UseSecureElement = true
		}},
		watch: func(r *rig) string {
			if err := r.Start(); err != nil {
				r.t.Fatal(err)
			}
			conn, err := r.listener.Accept()
			if err != nil {
				r.t.Fatal(err)
			}
			r.conn = conn
			first := make([]byte, 1)
			_, err = conn.Read(first)
			return fmt.Sprintf("%x %v", first, err)
		},
		real: "16 <nil>", without: "00 EOF", // a handshake
	},
	QuirkStaleFragment: {
		options: options{config: func(c *Config) { c.Buffer.OutSize = 128 }},
		watch: func(r *rig) string {
			r.Enqueue(strings.Repeat("o", 60), make([]byte, 400), 1, false, true)
			r.packet()
			r.written()
			r.Publish("t", []byte("12345678901234567890"), 0, false)
			return fmt.Sprint(r.written())
		},
		real: "[25 59]", without: "[25]",
	},
	QuirkFailedPublishKept: {
		watch: func(r *rig) string {
			defer r.lock()() // so that the task does not see the end of the connection first
			if err := r.transport.(*socket).conn.Close(); err != nil {
				r.t.Fatal(err)
			}
			inHandler := &Client{client: r.client, inHandler: true}
			return fmt.Sprintf("%d, %d bytes", inHandler.Publish("t", nil, 1, false), r.outbox.Size())
		},
		real: "-1, 7 bytes", without: "1, 7 bytes",
	},
	QuirkStickyPort: {
		watch: func(r *rig) string {
			config := Config{}
			config.Broker.Address.URI = text("ws://10.0.0.1")
			config.Network.ReconnectTimeout = 1000
			if err := r.SetConfig(config); err != nil {
				r.t.Fatal(err)
			}
			_ = r.conn.Close()
			time.Sleep(3 * time.Second)
			defer r.lock()()
			return fmt.Sprint(r.port)
		},
		real: "1883", without: "80",
	},
	QuirkLastSubscriptionID: {
		options: options{config: v5Client},
		watch: func(r *rig) string {
			r.send("3009 0001 74 05 0b01 0bff01")
			r.mu.Lock()
			defer r.mu.Unlock()
			p := r.events[len(r.events)-1].Properties
			return fmt.Sprint(p.SubscriptionID, p.SubscriptionIDs)
		},
		real: "255 []", without: "255 [1 255]",
	},
	QuirkMixedCaseID: {
		options: options{config: func(c *Config) { c.Credentials.ClientID = nil }},
		watch:   func(r *rig) string { return r.settings.clientID },
		real:    "ESP32_abCDEF", without: "ESP32_ABCDEF",
	},
	QuirkNoTextForRejectedID: {
		options: options{connack: "20020002"},
		watch: func(r *rig) string {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, line := range r.logs {
				if _, text, found := strings.Cut(line, "Connection refused, "); found {
					return text
				}
			}
			return ""
		},
		real: "Unknown reason", without: "identifier rejected",
	},
}

// quirkUpgrades show a quirk by what becomes of a WebSocket.
var quirkUpgrades = map[Quirk]struct{ answer, send, real, without string }{
	QuirkWebSocketUnchecked: {"HTTP/1.1 200 OK\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n\x82\x04\x20\x02\x00\x00", "",
		"before connected", "before error(1,0) disconnected"},
	QuirkWebSocketControl: {accepting, "\x89\x02hi", "before connected error(1,0) disconnected", "before connected"},
}

// QuirkShownByCalls says whether TestQuirkCalls shows a quirk.
func QuirkShownByCalls(q Quirk) bool {
	_, call := quirkCalls[q]
	_, upgrade := quirkUpgrades[q]
	return call || upgrade
}

// TestQuirkCalls shows the quirks that no script of a broker can.
func TestQuirkCalls(t *testing.T) {
	t.Parallel()
	for quirk, test := range quirkCalls {
		t.Run(string(quirk), func(t *testing.T) {
			t.Parallel()
			if test.real == test.without {
				t.Error("the two are the same")
			}
			for want, without := range map[string][]Quirk{test.real: nil, test.without: {quirk}} {
				o := test.options
				o.behaviour.Without = without
				inRig(t, o, func(r *rig) {
					if got := test.watch(r); got != want {
						t.Errorf("without %v: %s, not %s", without, got, want)
					}
				})
			}
		})
	}
	for quirk, test := range quirkUpgrades {
		t.Run(string(quirk), func(t *testing.T) {
			t.Parallel()
			if test.real == test.without {
				t.Error("the two are the same")
			}
			for want, without := range map[string][]Quirk{test.real: nil, test.without: {quirk}} {
				overWS(t, test.answer, func(r *rig) {
					time.Sleep(100 * time.Millisecond)
					if test.send != "" {
						r.sendRaw([]byte(test.send))
					}
					time.Sleep(1500 * time.Millisecond)
					_ = r.listener.Close()
					got := r.happened()
					if i := strings.Index(got, "disconnected"); i >= 0 {
						got = got[:i+len("disconnected")] // what comes then is the next attempt
					}
					if got != want {
						t.Errorf("without %v: %s, not %s", without, got, want)
					}
				}, without...)
			}
		})
	}
}

// TestWebSocketInterrupted: without the quirk, control frames and split headers within a packet are no matter.
func TestWebSocketInterrupted(t *testing.T) {
	t.Parallel()
	overWS(t, accepting, func(r *rig) {
		time.Sleep(100 * time.Millisecond)
		r.happened()
		for _, piece := range []string{"\x82\x03\x30\x04\x00", "\x89\x00", "\x82", "\x03\x01t", "p"} {
			r.sendRaw([]byte(piece))
		}
		r.happens(`data("t",0,1@0/1)`)
	}, QuirkWebSocketControl)
}

// TestGoodbye: the reason codes that a client without QuirkSilentClose ends a connection with.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ send, want string }{
		"invalid header":            {"0000", "e0028100"},
		"unreadable properties":     {"3005 0001 74 01 ff", "e0028100"},
		"topic alias above maximum": {"3008 0001 74 03 230001 78", "e0029400"},
		"packet too large":          {"90ff7f", "e0029500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options{config: v5Client, behaviour: Behaviour{Without: []Quirk{QuirkSilentClose}}}
			inRig(t, o, func(r *rig) {
				if _, err := r.conn.Write(unhex(t, test.send)); err != nil {
					t.Fatal(err)
				}
				r.expect(test.want)
				if n, err := r.conn.Read(make([]byte, 1)); n > 0 || err == nil {
					t.Error("something comes behind DISCONNECT")
				}
			})
		})
	}
}

// TestLargeFromOutbox: without QuirkMaximumPacketSize, what was queued before the limit was known is dropped.
func TestLargeFromOutbox(t *testing.T) {
	t.Parallel()
	o := options{config: v5Client, stay: true, behaviour: Behaviour{Without: []Quirk{QuirkMaximumPacketSize}}}
	inRig(t, o, func(r *rig) {
		r.Publish("t", make([]byte, 100), 1, false)
		r.Publish("t", []byte("x"), 1, false)
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		r.accept("2008 0000 05 2700000032")
		r.expect("3207 0001 74 0002 00 78")
		r.happens("before connected deleted(1)")
	})
}
