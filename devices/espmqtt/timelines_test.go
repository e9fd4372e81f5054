package espmqtt_test

import (
	"fmt"
	"strings"
	"testing"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/transcript"
)

// TestTimelines goes through plays whose packets and times were observed on the real client, and that show how its timers
// work together. Packet identifiers count up from 1.
func TestTimelines(t *testing.T) {
	t.Parallel()
	const silent = `{"on": "PUBLISH", "do": []}, {"on": "SUBSCRIBE", "do": []}, {"on": "PUBREL", "do": []}`
	script := func(version int, connack, steps string, ms int) string {
		return fmt.Sprintf(`{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}, "session": {"protocol_ver": %d},
			"network": {"reconnect_timeout_ms": 2000}}, "kconfig": {"MQTT_MSG_ID_INCREMENTAL": true},
			"rules": [{"on": "CONNECT", "do": [{"send": %q}]}, %s], "steps": [%s], "run_ms": %d}`,
			version, connack, silent, steps, ms)
	}
	dropped := `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"}, 
		{"at_ms": 150, "cmd": "publish b x 1 1 0 0"}, {"at_ms": 200, "close": "fin"},
		{"at_ms": 300, "cmd": "publish c x 1 1 0 0"}, 
		{"at_ms": 300, "cmd": "publish d x 1 2 0 0"}, {"at_ms": 300, "cmd": "publish e x 1 0 0 1"}`
	for name, test := range map[string]struct {
		script string
		want   string // time since the newest connection in units of 10 ms, and packet: first byte and topic or identifier
	}{
		"two lost, a QoS 2 and a SUBSCRIBE": {
			script(2, "20020000", `{"at_ms": 2350, "cmd": "publish a x 1 1 0 0"}, {"at_ms": 2350, "cmd": "publish b x 1 1 0 0"},
				{"at_ms": 2350, "cmd": "publish c x 1 2 0 0"}, {"at_ms": 2350, "cmd": "subscribe s 0"},
				{"at_ms": 7350, "send": "40020001"}, {"at_ms": 9850, "send": "40020002"}, {"at_ms": 12360, "send": "50020003"}`, 14500),
			`235 32:a 239 32:b 239 34:c 239 82:s 400 3a:a 500 3a:a 600 3a:a 700 3a:a 835 3a:b 935 3a:b 1085 3c:c 1185 3c:c
			1236 62:3 1336 82:s 1336 62:3 1436 82:s 1436 62:3`,
		},
		"offline messages overtake in 3.1.1": {
			script(2, "20020000", dropped, 9600),
			"10 32:a 15 32:b 100 32:c 200 34:d 300 30:e 400 3a:a 500 3a:a 600 3a:a",
		},
		"and wait for their turn in 5.0": {
			script(3, "2003000000", dropped, 9600),
			"10 32:a 15 32:b 100 3a:a 200 3a:b 300 32:c 400 34:d 500 30:e 600 3a:a",
		},
		"receive maximum 2": {
			script(3, "2006000003210002", `{"at_ms": 50, "cmd": "publish a x 1 1 0 0"}, {"at_ms": 50, "cmd": "publish b x 2 1 0 0"},
				{"at_ms": 50, "cmd": "publish c x 3 1 0 0"}, {"at_ms": 50, "cmd": "publish d x 4 1 0 0"},
				{"at_ms": 50, "cmd": "publish e x 1 0 0 1"}, {"at_ms": 4250, "send": "40020001"}`, 5500),
			"5 32:a 9 32:b 100 30:e 200 3a:a 300 3a:a 400 3a:a 425 32:c 525 3a:b",
		},
		"disconnect on an idle link": {
			script(2, "20020000", `{"at_ms": 140, "cmd": "disconnect"}`, 2000), "100 e0:",
		},
		"stop": {
			script(2, "20020000", `{"at_ms": 50, "cmd": "stop"}`, 2000), "5 e0:",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := play(t, parseCase(t, test.script), espmqtt.Behaviour{})
			got, want := sent(rows), strings.Fields(test.want)
			if len(got) != len(want)/2 {
				t.Fatalf("the client sent %v, not %v", got, want)
			}
			for i, g := range got {
				var at int
				if _, err := fmt.Sscan(want[2*i], &at); err != nil {
					t.Fatal(err)
				}
				if g.what != want[2*i+1] || g.at < at*10-20 || g.at > at*10+25 {
					t.Errorf("packet %d is %s at %d ms, not %s at %d ms", i, g.what, g.at, want[2*i+1], at*10)
				}
			}
		})
	}
}

type sentPacket struct {
	at   int // ms since the connection
	what string
}

// sent lists what the client sent, but for CONNECT.
func sent(rows []transcript.Row) (all []sentPacket) {
	accepted := 0
	for _, r := range rows {
		if r.Kind == "accept" {
			accepted = r.At
		}
		if r.Kind != "tx" || r.Packet == "CONNECT" {
			continue
		}
		what := r.Hex[:2] + ":"
		switch r.Packet {
		case "PUBLISH":
			what += string(rune(unhexByte(r.Hex[8:10])))
		case "SUBSCRIBE":
			what += "s"
		case "PUBREL":
			what += fmt.Sprint(unhexByte(r.Hex[6:8]))
		}
		all = append(all, sentPacket{r.At - accepted, what})
	}
	return all
}

func unhexByte(text string) (b int) {
	_, _ = fmt.Sscanf(text, "%x", &b)
	return b
}
