package transcript

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"mqtthil/devices/espmqtt"
	"mqtthil/harness/simnet"
)

// playText plays a case in virtual time and gives what the broker and the client's task saw, without times.
func playText(t *testing.T, text string) (onWire, events string) {
	t.Helper()
	var script Case
	if err := json.Unmarshal([]byte(text), &script); err != nil {
		t.Fatal(err)
	}
	var seen, posted []string
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New()
		rows, err := Play(&script, Network{Host: "127.0.0.1", Listen: network.Listen, Dial: Nagle(network.DialContext)},
			espmqtt.Behaviour{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			switch {
			case r.Kind == kindFromDevice:
				seen = append(seen, r.Packet)
			case r.Kind == kindClosedByBroker:
				seen = append(seen, r.How)
			case observerOf(r) == wire:
				seen = append(seen, r.Kind)
			case observerOf(r) == task && strings.HasPrefix(r.Text, "MQTT_EVENT_"):
				name, _, _ := strings.Cut(strings.TrimPrefix(r.Text, "MQTT_EVENT_"), " ")
				posted = append(posted, strings.TrimSuffix(name, ","))
			}
		}
	})
	return strings.Join(seen, " "), strings.Join(posted, " ")
}

const client = `"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}, "network": {"reconnect_timeout_ms": 200}}`

func TestPlay(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ script, onWire, events string }{
		"refused until": {`{` + client + `, "refuse_until_ms": 250, "run_ms": 400}`,
			"accept CONNECT", "BEFORE_CONNECT ERROR DISCONNECTED BEFORE_CONNECT CONNECTED"},
		"default replies": {`{` + client + `, "steps": [{"at_ms": 50, "cmd": "subscribe f 1"},
			{"at_ms": 60, "cmd": "publish t x 1 2 0 0"}], "run_ms": 400}`,
			"accept CONNECT SUBSCRIBE PUBLISH PUBREL", "BEFORE_CONNECT CONNECTED SUBSCRIBED SUBSCRIBED PUBLISHED"},
		"closed": {`{` + client + `, "steps": [{"at_ms": 50, "close": "fin"}], "run_ms": 200}`,
			"accept CONNECT fin", "BEFORE_CONNECT CONNECTED ERROR DISCONNECTED"},
		"not listening": {`{` + client + `, "steps": [{"at_ms": 40, "listen": false}, {"at_ms": 50, "close": "fin"},
			{"at_ms": 500, "listen": true}], "run_ms": 700}`,
			"accept CONNECT fin accept CONNECT",
			"BEFORE_CONNECT CONNECTED ERROR DISCONNECTED BEFORE_CONNECT ERROR DISCONNECTED BEFORE_CONNECT CONNECTED"},
		"reset from outside is noticed late": {`{` + client + `, "steps": [{"at_ms": 50, "close": "rst"}], "run_ms": 900}`,
			"accept CONNECT rst", "BEFORE_CONNECT CONNECTED"},
		"reset by a rule is noticed at once": {`{` + client + `, "rules": [{"on": "PUBLISH", "do": [{"close": "rst"}]}],
			"steps": [{"at_ms": 50, "cmd": "publish t x 1 0 0 0"}], "run_ms": 200}`,
			"accept CONNECT PUBLISH rst", "BEFORE_CONNECT CONNECTED ERROR DISCONNECTED"},
		"half closed": {`{` + client + `, "steps": [{"at_ms": 50, "close": "half"}], "run_ms": 200}`,
			"accept CONNECT half", "BEFORE_CONNECT CONNECTED ERROR DISCONNECTED"},
		"a rule for the second": {`{` + client + `, "rules": [{"on": "SUBSCRIBE", "from": 2, "to": 2,
			"do": [{"wait_ms": 20}, {"send": "9003{id}80"}]}],
			"steps": [{"at_ms": 50, "cmd": "subscribe f 0"}, {"at_ms": 60, "cmd": "subscribe g 0"}], "run_ms": 200}`,
			"accept CONNECT SUBSCRIBE SUBSCRIBE", "BEFORE_CONNECT CONNECTED SUBSCRIBED SUBSCRIBED SUBSCRIBE_FAILED SUBSCRIBED"},
		"stop": {`{` + client + `, "steps": [{"at_ms": 50, "cmd": "stop"}], "run_ms": 1200}`,
			"accept CONNECT DISCONNECT closed_by_device", "BEFORE_CONNECT CONNECTED"},
		"in chunks": {`{` + client + `, "steps": [{"at_ms": 50, "publish": {"topic": "t", "payload": "hello"}, "chunk": 3, "gap_ms": 20}],
			"run_ms": 300}`,
			"accept CONNECT", "BEFORE_CONNECT CONNECTED DATA DATA_PAYLOAD DATA_COMPLETE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onWire, events := playText(t, test.script)
			if onWire != test.onWire {
				t.Errorf("on the wire: %s\nand not:     %s", onWire, test.onWire)
			}
			if events != test.events {
				t.Errorf("events:  %s\nand not: %s", events, test.events)
			}
		})
	}
}

// TestPlayFaults: a script that makes no sense is an error, and no trace of a client that did nothing.
func TestPlayFaults(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"bad hexadecimal":      `{` + client + `, "steps": [{"at_ms": 50, "send": "xy"}], "run_ms": 100}`,
		"unknown build option": `{` + client + `, "kconfig": {"MQTT_NONSENSE": 1}, "run_ms": 100}`,
		"frame without ws":     `{` + client + `, "steps": [{"at_ms": 50, "frame": 9}], "run_ms": 100}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var script Case
			if err := json.Unmarshal([]byte(text), &script); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				network := simnet.New()
				if _, err := Play(&script, Network{Host: "127.0.0.1", Listen: network.Listen, Dial: network.DialContext},
					espmqtt.Behaviour{}); err == nil {
					t.Error("no error")
				}
			})
		})
	}
}

func FuzzCase(f *testing.F) {
	f.Add([]byte(`{"rules": [{"on": "PUBLISH", "do": [{"send": "{id}", "listen": true}]}],
		"steps": [{"at_ms": 1, "publish": {"payload": {"pattern": "a", "reps": 3}}}]}`))
	f.Add([]byte(`{"steps": [{"publish": {"payload": "x", "qos": 2, "props": "zz"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var script Case
		if json.Unmarshal(data, &script) != nil {
			return
		}
		for _, s := range script.Steps {
			if s.Publish != nil {
				_, _ = s.Publish.bytes(5)
			}
		}
	})
}

// FuzzReadPacket reads packets out of anything that a device may send.
func FuzzReadPacket(f *testing.F) {
	f.Add("\x10\x0c\x00\x04MQTT\x04\x02\x00\x78\x00\x00", true)
	f.Add("\x82\x06\x00\x01\x00\x01f\x01\xc0\x00", false)
	f.Fuzz(func(t *testing.T, bytes string, v5 bool) {
		version := byte(4)
		if v5 {
			version = 5
		}
		in := strings.NewReader(bytes)
		for {
			p, err := readPacket(in)
			if err != nil {
				return
			}
			p.id()
			p.version()
			p.defaultReply(version)
		}
	})
}

// TestReadable: bytes that are not UTF-8 are read as Python's decoder reads them, one U+FFFD for each maximal part of a
// character, and blanks at the end are not kept.
func TestReadable(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"I (1) x: a \t\r\n":            "I (1) x: a",
		"a\xe2\x82b":                   "a\ufffdb",
		"\xff\xfe":                     "\ufffd\ufffd",
		"\xf0\x9f\x98":                 "\ufffd",
		"\xed\xa0\x80":                 "\ufffd\ufffd\ufffd",
		"\xc0\xaf":                     "\ufffd\ufffd",
		"\xe2\x82\xff\x80":             "\ufffd\ufffd\ufffd",
		"\xf4\x90\x80\x80":             "\ufffd\ufffd\ufffd\ufffd",
		"gr\u00fc\u00dfe \u65e5\u672c": "gr\u00fc\u00dfe \u65e5\u672c",
	} {
		if got := readable(raw); got != want {
			t.Errorf("%q is read as %q, not %q", raw, got, want)
		}
	}
}
