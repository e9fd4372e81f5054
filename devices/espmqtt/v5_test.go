package espmqtt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func v5Client(c *Config) { c.Session.Protocol = ProtocolV5 }

// TestPublishProperties: their order, that they count once, and what response information does to the response topic.
func TestPublishProperties(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: v5Client}, func(r *rig) {
		property := PublishProperty{PayloadFormatIndicator: true, MessageExpiryInterval: 30,
			ResponseTopic: text("r"), ContentType: text("c")}
		if err := r.SetPublishProperty(&property); err != nil {
			t.Fatal(err)
		}
		r.Publish("t", nil, 1, false)
		r.expect("3215 0001 74 0001 0f 0101 020000001e 08000172 03000163")
		r.Publish("t", nil, 1, false)
		r.expect("3206 0001 74 0002 00")
		if err := r.SetPublishProperty(&PublishProperty{TopicAlias: 1}); !errors.Is(err, ErrFail) {
			t.Errorf("an alias that the broker does not know of: %v", err)
		}
	})
	connack := "2010 0000 0d 220005 1a0004 696e666f 210014"
	inRig(t, options{config: v5Client, connack: connack}, func(r *rig) {
		if err := r.SetPublishProperty(&PublishProperty{TopicAlias: 5, ResponseTopic: text("resp")}); err != nil {
			t.Fatal(err)
		}
		r.Publish("", nil, 0, false)
		r.expect("3012 0000 0f 230005 080009 726573702f696e6600")
	})
}

func TestSubscribeProperties(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: v5Client}, func(r *rig) {
		r.lastID = 0x0aab
		property := SubscribeProperty{SubscriptionID: 300, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}
		if err := r.SetSubscribeProperty(&property); err != nil {
			t.Fatal(err)
		}
		r.Subscribe("f", 1)
		r.expect("820a 0aac 03 0bac02 0001 66 2d")
		r.Subscribe("f", 2)
		r.expect("8207 0aad 00 0001 66 02")
		if err := r.SetSubscribeProperty(&SubscribeProperty{Shared: true, ShareName: "s"}); err != nil {
			t.Fatal(err)
		}
		if got := r.Subscribe("f", 3); got != Failure {
			t.Errorf("QoS 3: %d", got)
		}
		r.Subscribe("f", 0)
		r.expect("8210 0aae 00 000a 2473686172652f732f66 00")
		for what, wrong := range map[string]SubscribeProperty{
			"retain handling 3":    {RetainHandling: 3},
			"shared without name":  {Shared: true},
			"shared with no local": {Shared: true, ShareName: "s", NoLocal: true},
		} {
			if err := r.SetSubscribeProperty(&wrong); !errors.Is(err, ErrFail) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := r.SetUnsubscribeProperty(&UnsubscribeProperty{Shared: true}); !errors.Is(err, ErrFail) {
			t.Errorf("unsubscribe, shared without name: %v", err)
		}
	})
	inRig(t, options{config: v5Client, connack: "2005 0000 02 2a00"}, func(r *rig) {
		if err := r.SetUnsubscribeProperty(&UnsubscribeProperty{Shared: true, ShareName: "s"}); !errors.Is(err, ErrFail) {
			t.Errorf("unsubscribe, shared where the broker has no such thing: %v", err)
		}
	})
}

// TestUserProperties: every packet that has user properties and correlation data sends them, in their place.
func TestUserProperties(t *testing.T) {
	t.Parallel()
	pairs := UserProperties{{"k", "v"}, {"k", "w"}}
	const onWire = "260001 6b 0001 76 260001 6b 0001 77"
	will := func(c *Config) {
		v5Client(c)
		c.Session.LastWill = LastWill{Topic: text("w"), Message: text("m")}
	}
	inRig(t, options{config: will, stay: true}, func(r *rig) {
		property := ConnectProperty{MaximumPacketSize: 9, UserProperty: pairs, WillUserProperty: pairs[:1],
			ResponseTopic: text("r"), CorrelationData: "\x00c"}
		if err := r.SetConnectProperty(property); err != nil {
			t.Fatal(err)
		}
		if err := r.SetConnectProperty(ConnectProperty{MaximumPacketSize: 9}); err != nil { // which leaves them as they are
			t.Fatal(err)
		}
		pairs[0].Key = "x" // too late: the client has a copy
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		r.accept("")
		want := unhex(t, "1038 0004 4d515454 05 06 0078 13 2700000009"+onWire+"0001 61"+
			"10 08000172 090002 0063 260001 6b 0001 76"+"0001 77 0001 6d")
		if !bytes.Equal(r.connect, want) {
			t.Errorf("CONNECT is\n%x, not\n%x", r.connect, want)
		}

		published := PublishProperty{ResponseTopic: text("r"), CorrelationData: "c", UserProperty: pairs, ContentType: text("t")}
		if err := r.SetPublishProperty(&published); err != nil {
			t.Fatal(err)
		}
		pairs[0].Key = "k" // in time: the client has a pointer
		r.Publish("t", nil, 0, false)
		r.expect("301e 0001 74 1a 08000172 09000163" + onWire + "03000174")
		if err := r.SetSubscribeProperty(&SubscribeProperty{SubscriptionID: 1, UserProperty: pairs}); err != nil {
			t.Fatal(err)
		}
		r.Subscribe("f", 0)
		r.expect("8217 0001 10 0b01" + onWire + "0001 66 00")
		if err := r.SetUnsubscribeProperty(&UnsubscribeProperty{Shared: true, ShareName: "s", UserProperty: pairs}); err != nil {
			t.Fatal(err)
		}
		r.Unsubscribe("f")
		r.expect("a21d 0002 0e" + onWire + "000a 2473686172652f732f66")
		r.Unsubscribe("f") // the property has been used up
		r.expect("a206 0003 00 0001 66")
		if err := r.SetDisconnectProperty(DisconnectProperty{UserProperty: pairs}); err != nil {
			t.Fatal(err)
		}
		if err := r.Disconnect(); err != nil {
			t.Fatal(err)
		}
		r.expect("e010 00 0e" + onWire)
	})
}

// TestPropertyUsedUp: a property counts for the first packet that is built, also where that cannot be sent.
func TestPropertyUsedUp(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: v5Client}, func(r *rig) {
		if err := r.SetSubscribeProperty(&SubscribeProperty{SubscriptionID: 1}); err != nil {
			t.Fatal(err)
		}
		if got := r.Subscribe("", 0); got != Failure || r.v5.subscribe == nil {
			t.Errorf("without a filter: %d, property %v", got, r.v5.subscribe)
		}
		defer r.lock()() // so that the task does not see the end of the connection first
		if err := r.transport.(*socket).conn.Close(); err != nil {
			t.Fatal(err)
		}
		inHandler := &Client{client: r.client, inHandler: true}
		if got := inHandler.Subscribe("f", 0); got != Failure || r.v5.subscribe != nil {
			t.Errorf("without a connection: %d, property %v", got, r.v5.subscribe)
		}
	})
}

// TestUserPropertyList: the calls on a list of user properties.
func TestUserPropertyList(t *testing.T) {
	t.Parallel()
	var list UserProperties
	if err := list.Set(); !errors.Is(err, ErrFail) || list != nil {
		t.Errorf("a list of nothing: %v, %v", list, err)
	}
	if _, err := list.Get(1); !errors.Is(err, ErrFail) || list.Count() != 0 {
		t.Errorf("reading no list: %v", err)
	}
	for _, p := range []UserProperty{{"a", "1"}, {"b\x00c", "2"}} {
		if err := list.Set(p); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := list.Get(5); err != nil || !slices.Equal(got, []UserProperty{{"a", "1"}, {"b", "2"}}) || list.Count() != 2 {
		t.Errorf("the list is %v: %v", got, err)
	}
	if got, err := list.Get(1); err != nil || len(got) != 1 {
		t.Errorf("the first of the list is %v: %v", got, err)
	}
	if _, err := list.Get(0); !errors.Is(err, ErrFail) {
		t.Errorf("no room: %v", err)
	}
	for list.Count() != 0 {
		_ = list.Set(UserProperty{})
	}
	if len(list) != 256 {
		t.Errorf("a count of eight bits comes round at %d", len(list))
	}
	if list.Delete(); list != nil {
		t.Errorf("deleted, the list is %v", list)
	}
}

func TestDisconnectProperties(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: v5Client}, func(r *rig) {
		if err := r.SetDisconnectProperty(DisconnectProperty{Reason: 4, SessionExpiryInterval: 99}); err != nil {
			t.Fatal(err)
		}
		if err := r.Disconnect(); err != nil {
			t.Fatal(err)
		}
		r.expect("e007 04 05 1100000063")
		r.accept("")
		if err := r.Disconnect(); err != nil {
			t.Fatal(err)
		}
		r.expect("e002 00 00")
	})
}

func TestPropertiesNeedV5(t *testing.T) {
	t.Parallel()
	c, err := newClient(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"connect":     c.SetConnectProperty(ConnectProperty{}),
		"publish":     c.SetPublishProperty(&PublishProperty{}),
		"subscribe":   c.SetSubscribeProperty(&SubscribeProperty{}),
		"unsubscribe": c.SetUnsubscribeProperty(&UnsubscribeProperty{}),
		"disconnect":  c.SetDisconnectProperty(DisconnectProperty{}),
	} {
		if !errors.Is(err, ErrFail) {
			t.Errorf("%s properties on a client of 3.1.1: %v", what, err)
		}
	}
}

// TestCarriedOver: what CONNACK said shows in the next CONNECT, and limits stay where the next CONNACK is silent.
func TestCarriedOver(t *testing.T) {
	t.Parallel()
	connack := "201a 0000 17 110000000a 130004 120002 6964 2401 2500 210014 220001"
	inRig(t, options{config: v5Client, connack: connack}, func(r *rig) {
		r.happens("before connected")
		for what, got := range map[string]int{
			"QoS 2":           r.Publish("t", nil, 2, false),
			"retain":          r.Publish("t", nil, 0, true),
			"enqueue, QoS 2":  r.Enqueue("t", nil, 2, false, true),
			"subscribe QoS 2": r.Subscribe("f", 2),
		} {
			if got != Failure {
				t.Errorf("%s in spite of the broker: %d", what, got)
			}
		}
		_ = r.conn.Close()
		r.accept("")
		if got, want := hex.EncodeToString(r.connect), "101400044d51545405020004"+"05110000000a"+"00026964"; got != want {
			t.Errorf("the next CONNECT is %s, not %s", got, want)
		}
		if got := r.Publish("t", nil, 2, false); got != Failure {
			t.Errorf("QoS 2 on the next connection: %d", got)
		}
	})
}

func TestConnackV5(t *testing.T) {
	t.Parallel()
	for connack, want := range map[string]string{
		"2003000000":               "before connected",
		"20020000":                 "before connected",
		"2003008700":               "before error(2,0) disconnected",
		"20050000027f00":           "before error(2,0) disconnected", // an unknown property
		"200500000226ff":           "before error(2,0) disconnected", // a property cut short
		"20030000ff":               "before error(2,0) disconnected", // a length that does not end
		"2003000005":               "before error(2,0) disconnected", // properties beyond the packet
		"200a0000072600016b000176": "before connected",
		"200800000512ffff61 62":    "before error(2,0) disconnected",
		"2008000005270000000021":   "before connected error(1,0) disconnected", // the byte behind is a packet of its own
	} {
		t.Run(connack, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{config: v5Client, connack: connack}, func(r *rig) {
				if got := r.happened(); got != want && !strings.HasPrefix(want, got+" error") {
					t.Errorf("events %s, not %s", got, want)
				}
			})
		})
	}
}

// TestReceiveV5 holds events and answers against the real client's, with an input buffer of 64 bytes.
func TestReceiveV5(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		send   string
		want   string
		answer string
	}{
		"QoS 1":                     {"3208 0001 74 1122 00 7061", `data("t",4386,2@0/2)`, "4004 1122 0000"},
		"QoS 2":                     {"3407 0001 74 1122 00 70 6202 1122", `data("t",4386,1@0/1)`, "5004 1122 0000|7004 1122 0000"},
		"alias set and used":        {"3007 0001 74 03 230001 3006 0000 03 230001", `data("t",0,0@0/0) data("t",0,0@0/0)`, ""},
		"alias unknown":             {"3006 0000 03 230001", "disconnected", ""},
		"alias above the maximum":   {"3007 0001 74 03 230003", "disconnected", ""},
		"unknown property":          {"3006 0001 74 02 7f00", "disconnected", ""},
		"property cut short":        {"3006 0001 74 02 0200", "disconnected", ""},
		"properties too long":       {"3004 0001 74 0a", "disconnected", ""},
		"no properties":             {"3003 0001 74", "disconnected", ""},
		"correlation data too long": {"3009 0001 74 05 09 0064 6161", "data(\"t\",0,-98@0/-98)", ""},
		"empty topic":               {"3003 0000 00", `data("",0,0@0/0)`, ""},
		"fragments": {"3250 0001 74 1122 00" + strings.Repeat("70", 74),
			`data("t",4386,56@0/74) data("",4386,18@56/74)`, "4004 1122 0000"},
		"server DISCONNECT": {"e0028b00", "disconnected", ""},
		"AUTH":              {"f000", "error(1,0) disconnected", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := func(c *Config) { v5Client(c); c.Buffer.Size, c.Buffer.OutSize = 64, 128 }
			connect := func(r *rig) {
				if err := r.SetConnectProperty(ConnectProperty{TopicAliasMaximum: 2}); err != nil {
					t.Fatal(err)
				}
				if err := r.Start(); err != nil {
					t.Fatal(err)
				}
				r.accept("")
			}
			inRig(t, options{config: config, stay: true}, func(r *rig) {
				connect(r)
				r.happened()
				r.send(test.send)
				time.Sleep(100 * time.Millisecond)
				r.happens(test.want)
				for _, answer := range slices.DeleteFunc(strings.Split(test.answer, "|"), func(s string) bool { return s == "" }) {
					r.expect(answer)
				}
			})
		})
	}
}

// TestQuota: no more unacknowledged messages than the broker allows; QoS 0 passes, and an acknowledgement lets one out.
func TestQuota(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: v5Client, connack: "2006 0000 03 210002"}, func(r *rig) {
		for range 4 {
			r.Publish("t", nil, 1, false)
		}
		r.Enqueue("t", nil, 0, false, true)
		r.expect("3206 0001 74 0001 00")
		r.expect("3206 0001 74 0002 00")
		r.expect("3004 0001 74 00")
		r.expect("3a06 0001 74 0001 00")
		r.send("4002 0001")
		r.expect("3206 0001 74 0003 00")
		_ = r.conn.Close()
		r.accept("2006 0000 03 210001") // all of them again, in their order
		r.expect("3a06 0001 74 0002 00")
		r.send("4003 0002 87")
		r.expect("3a06 0001 74 0003 00")
		if got := r.happened(); !strings.Contains(got, "published(1)") || !strings.HasSuffix(got, "published(2)") {
			t.Errorf("events %s", got)
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte{0x26, 0, 1, 'k', 0, 1, 'v', 0x1f, 0, 2, 'o', 'k'})
	f.Fuzz(func(t *testing.T, list []byte) {
		for _, p := range (&client{}).userProperties(list) {
			if !bytes.Contains(list, []byte(p.Key)) || !bytes.Contains(list, []byte(p.Value)) {
				t.Errorf("%q is not in %x", p, list)
			}
		}
		if _, length := variableInteger(list); length > len(list) || length > 4 {
			t.Errorf("a variable byte integer of %d bytes in %d", length, len(list))
		}
	})
}

// TestUnprepared: a client that was made for 3.1.1, and then is given version 5.0, crashes where it needs what it has only
// when it is made for that.
func TestUnprepared(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*rig){
		"publish":              func(r *rig) { r.Publish("t", nil, 0, false) },
		"enqueue":              func(r *rig) { r.Enqueue("t", nil, 1, false, true) },
		"subscribe":            func(r *rig) { r.Subscribe("f", 0) },
		"unsubscribe":          func(r *rig) { r.Unsubscribe("f") },
		"disconnect":           func(r *rig) { _ = r.Disconnect() },
		"stop":                 func(r *rig) { _ = r.Stop() },
		"connect property":     func(r *rig) { _ = r.SetConnectProperty(ConnectProperty{}) },
		"publish property":     func(r *rig) { _ = r.SetPublishProperty(&PublishProperty{}) },
		"subscribe property":   func(r *rig) { _ = r.SetSubscribeProperty(&SubscribeProperty{}) },
		"unsubscribe property": func(r *rig) { _ = r.SetUnsubscribeProperty(&UnsubscribeProperty{}) },
		"disconnect property":  func(r *rig) { _ = r.SetDisconnectProperty(DisconnectProperty{Reason: 4}) },
		"PUBLISH":              func(r *rig) { r.send("3005 0001 74 00 70") },
		"DISCONNECT":           func(r *rig) { r.send("e000") },
		"end":                  func(r *rig) { _ = r.conn.Close() },
		"nothing":              nil,
		"no property":          func(r *rig) { _ = r.SetDisconnectProperty(DisconnectProperty{}) },
		"PUBREC":               func(r *rig) { r.send("5002 0007") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{}, func(r *rig) {
				config := Config{}
				v5Client(&config)
				if err := r.SetConfig(config); err != nil {
					t.Fatal(err)
				}
				survives := do == nil || name == "no property" || name == "PUBREC"
				if do != nil {
					do(r)
				}
				time.Sleep(2 * time.Second)
				if r.dead() == survives {
					t.Errorf("the board has crashed: %v", r.dead())
				}
			})
		})
	}
}
