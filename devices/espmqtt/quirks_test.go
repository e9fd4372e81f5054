package espmqtt_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/transcript"
)

// quirkCase is a script that shows a quirk.
type quirkCase struct {
	client string // of the configuration, beside address and client identifier
	config string // blobs for the command config
	rules  string
	steps  string
	kinds  string // other fields of the script
	ms     int
	// What only the trace of the real client has in it, and what only that of one without the quirk. Regular
	// expressions, of which one may be missing.
	only, instead string
}

// Parts of scripts.
const (
	v3     = `"session": {"protocol_ver": 2}, "network": {"reconnect_timeout_ms": 1000}`
	v5     = `"session": {"protocol_ver": 3}, "network": {"reconnect_timeout_ms": 1000}`
	silent = `{"on": "PUBLISH", "do": []}, {"on": "SUBSCRIBE", "do": []}, {"on": "PUBREL", "do": []}, {"on": "PUBREC", "do": []}`
)

func connack(hex string) string {
	return fmt.Sprintf(`{"on": "CONNECT", "do": [{"send": %q}]}, `, hex) + silent
}

// every is a step that is repeated from one time to another.
func every(ms, from, to int, step string) string {
	var steps []string
	for at := from; at <= to; at += ms {
		steps = append(steps, fmt.Sprintf(`{"at_ms": %d, %s}`, at, step))
	}
	return strings.Join(steps, ", ")
}

var quirkCases = map[espmqtt.Quirk]quirkCase{
	espmqtt.QuirkLivePublish: {client: v3, rules: silent, steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"}`, ms: 4000,
		only: `tx 3a`},
	espmqtt.QuirkSubscribeAgain: {client: v3, rules: silent, steps: `{"at_ms": 100, "cmd": "subscribe s 0"}`, ms: 4000,
		only: `(?s)tx 82.*tx 82`},
	espmqtt.QuirkLivePubrel: {client: v3, rules: `{"on": "PUBREL", "do": []}`,
		steps: `{"at_ms": 100, "cmd": "publish a x 1 2 0 0"}`, ms: 4000, only: `(?s)tx 62.*tx 62`},
	espmqtt.QuirkOldestOnly: {client: v3, rules: silent, steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"},
		{"at_ms": 150, "cmd": "publish b x 1 1 0 0"}`, ms: 4000, instead: `tx 3a..000162`},
	espmqtt.QuirkOvertaking: {client: v3, rules: silent, steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"},
		{"at_ms": 200, "close": "fin"}, {"at_ms": 300, "cmd": "publish b x 1 1 0 0"}`, ms: 4200,
		only: `(?s)tx 32..000162.*tx 3a..000161`, instead: `(?s)tx 3a..000161.*tx 32..000162`},
	espmqtt.QuirkOutboxOverSessions: {client: v3, rules: silent, steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"},
		{"at_ms": 200, "close": "fin"}`, ms: 7000, instead: `(?s)tx 32..000161.*accept.*tx 32..000161`},
	espmqtt.QuirkSessionPresent: {client: v3, rules: connack("20020100"), ms: 800,
		only: `EVENT_CONNECTED`, instead: `ERROR type=1`},
	espmqtt.QuirkUnackedExpire: {client: v3, rules: silent, steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"}`, ms: 5000,
		kinds: `"MQTT_OUTBOX_EXPIRED_TIMEOUT_MS": 2000`, only: `EVENT_DELETED`},
	espmqtt.QuirkQoS2Again: {client: v3, rules: silent,
		steps: every(100, 100, 200, `"publish": {"topic": "t", "qos": 2, "id": 5, "payload": "x"}`),
		ms:    1000, only: `(?s)EVENT_DATA topic.*EVENT_DATA topic`},
	espmqtt.QuirkUnknownIDs: {client: v5, rules: silent, steps: `{"at_ms": 100, "send": "50020007"},
		{"at_ms": 200, "send": "62020007"}`, ms: 1000,
		only: `(?s)tx 620400070000.*tx 700400070000`, instead: `(?s)tx 620400079200.*tx 700400079200`},
	espmqtt.QuirkPubrecFailure: {client: v5, rules: `{"on": "PUBLISH", "do": [{"send": "5003{id}97"}]}, {"on": "PUBREL", "do": []}`,
		steps: `{"at_ms": 100, "cmd": "publish a x 1 2 0 0"}`, ms: 1000, only: `tx 62`, instead: `EVENT_PUBLISHED`},
	espmqtt.QuirkFailureAsSuccess: {client: v5, rules: `{"on": "PUBLISH", "do": [{"send": "4003{id}87"}]}`,
		steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"}`, ms: 1000, only: `EVENT_PUBLISHED`, instead: `ERROR type=4`},
	espmqtt.QuirkDisconnectKeepsOpen: {client: v5, steps: `{"at_ms": 100, "send": "e0028b00"}`, ms: 900,
		instead: `closed_by_device`},
	espmqtt.QuirkEmptyDisconnect: {client: v5, steps: `{"at_ms": 100, "send": "e000"}`, ms: 900,
		only: `DISCONNECT_REASON=-1`, instead: `DISCONNECT_REASON=0`},
	espmqtt.QuirkDisconnectIgnored: {client: v3, steps: `{"at_ms": 100, "send": "e000"}`, ms: 900,
		instead: `(?s)ERROR type=1.*EVENT_DISCONNECTED`},
	espmqtt.QuirkSilentClose: {client: v5, steps: `{"at_ms": 100, "send": "0000"}`, ms: 900, instead: `tx e0028100`},
	espmqtt.QuirkAliasesKept: {client: v5, config: `{"connect_property": {"topic_alias_maximum": 5}}`,
		steps: `{"at_ms": 100, "publish": {"topic": "t", "payload": "x", "props": "230001"}}, {"at_ms": 200, "close": "fin"},
			{"at_ms": 2500, "publish": {"topic": "", "payload": "x", "props": "230001"}}`,
		ms: 3000, only: `(?s)accept.*accept.*EVENT_DATA topic=t`},
	espmqtt.QuirkQuotaLeak: {client: v5, rules: connack("2006000003210001"), kinds: `"MQTT_OUTBOX_EXPIRED_TIMEOUT_MS": 2000`,
		steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"}, {"at_ms": 4000, "cmd": "publish b x 1 1 0 0"}`, ms: 5500,
		instead: `tx 32..000162`},
	espmqtt.QuirkReceiveMaximumZero: {client: v5, rules: connack("2006000003210000"), ms: 800,
		only: `EVENT_CONNECTED`, instead: `EVENT_ERROR`},
	espmqtt.QuirkServerLimitsKept: {client: v5, rules: `{"on": "CONNECT", "conn": 1, "do": [{"send": "20050000022400"}]}`,
		steps: `{"at_ms": 200, "close": "fin"}, {"at_ms": 2500, "cmd": "publish a x 1 1 0 0"}`, ms: 3000,
		only: `Publish failed`, instead: `tx 32`},
	espmqtt.QuirkConnackIntoConnect: {client: v5,
		rules: `{"on": "CONNECT", "conn": 1, "do": [{"send": "200b0000081300041100000001"}]}`,
		steps: `{"at_ms": 2200, "close": "fin"}`, ms: 4500,
		only: `tx 10..00044d515454050200040511`, instead: `(?s)accept.*tx c000.*accept.*tx 10..00044d51545405020078000001`},
	espmqtt.QuirkMaximumPacketSize: {client: v5, rules: connack("20080000052700000032"),
		steps: `{"at_ms": 100, "cmd": "publish a x 100 1 0 0"}`, ms: 900, only: `tx 32`, instead: `Publish failed`},
	espmqtt.QuirkBlockedSubscribe: {client: v5,
		rules: `{"on": "CONNECT", "conn": 2, "do": [{"send": "2006000003210001"}]}, ` + silent,
		steps: `{"at_ms": 100, "cmd": "publish a x 1 1 0 0"}, {"at_ms": 120, "cmd": "publish b x 1 1 0 0"},
			{"at_ms": 140, "cmd": "subscribe s 0"}, {"at_ms": 200, "close": "fin"}`, ms: 6000,
		instead: `(?s)accept.*accept.*tx 82`},
	espmqtt.QuirkPingAnyway: {client: `"session": {"keepalive": 4}`, steps: every(500, 500, 6000, `"cmd": "publish a x 1 0 0 0"`),
		ms: 6000, only: `tx c0`},
	espmqtt.QuirkOnlyPingresp: {client: `"session": {"keepalive": 4}`, rules: `{"on": "PINGREQ", "do": []}`,
		steps: every(500, 500, 6500, `"publish": {"topic": "t", "payload": "x"}`), ms: 7000, only: `EVENT_DISCONNECTED`},
	espmqtt.QuirkKeepAliveTruncated: {client: `"session": {"keepalive": 70000}`, ms: 500,
		only: `tx 10..00044d51545404021170`, instead: `tx 10..00044d5154540402ffff`},
	espmqtt.QuirkStallOfPoll: {client: v3, steps: `{"at_ms": 100, "send": "3005"}, {"at_ms": 2500, "send": "0001747070"}`,
		ms: 3000, only: `EVENT_DISCONNECTED`, instead: `EVENT_DATA topic=t`},
	espmqtt.QuirkLengthReentry: {client: v3, steps: `{"at_ms": 100, "send": "400280"}, {"at_ms": 300, "send": "ff"},
		{"at_ms": 500, "send": "300400017831"}`, ms: 1000, only: `EVENT_ERROR`, instead: `EVENT_DATA topic=x`},
	espmqtt.QuirkIncompleteMessage: {client: `"buffer": {"size": 64}, "network": {"timeout_ms": 1000, "reconnect_timeout_ms": 9000}`,
		steps: `{"at_ms": 100, "send": "32b402` + "0001741122" + strings.Repeat("70", 100) + `"}`, ms: 2000,
		only: `tx 40021122`, instead: `EVENT_DISCONNECTED`},
	espmqtt.QuirkHeaderCut: {client: `"buffer": {"size": 64, "out_size": 128}`,
		steps: `{"at_ms": 100, "publish": {"topic": "` + strings.Repeat("t", 58) + `", "qos": 1, "id": 4386,
			"payload": {"pattern": "x", "reps": 70}}}`, ms: 900, only: `tx 400211`, instead: `EVENT_ERROR`},
	espmqtt.QuirkSlowQueue: {client: v3, steps: `{"at_ms": 100, "cmd": "publish a x 1 0 0 1"},
		{"at_ms": 110, "cmd": "publish b x 1 0 0 1"}, {"at_ms": 120, "cmd": "publish c x 1 0 0 1"}`, ms: 3500,
		only: `(?m)^30\d\d tx 30..000163`, instead: `(?m)^10\d\d tx 30..000163`},
	espmqtt.QuirkLateReconnect: {client: `"network": {"reconnect_timeout_ms": 2000}`,
		steps: `{"at_ms": 100, "close": "fin"}`, ms: 4000, only: `(?m)^3[01]\d\d accept`, instead: `(?m)^21\d\d accept`},
	espmqtt.QuirkDisconnectUndone: {client: v3, steps: `{"at_ms": 100, "cmd": "disconnect"}`, ms: 5000,
		only: `(?s)accept.*accept`},
	espmqtt.QuirkRefreshAbrupt: {client: `"network": {"refresh_connection_after_ms": 1500}`, ms: 2500, instead: `tx e000`},
	espmqtt.QuirkInvalidSent: {client: v3, steps: `{"at_ms": 100, "cmd": "publish t x 1 3 0 0"}`, ms: 900,
		only: `tx 36`, instead: `Publish failed`},
	espmqtt.QuirkConnackOffsets: {client: v3, rules: connack("200400000000"), ms: 900,
		only: `EVENT_CONNECTED`, instead: `EVENT_ERROR`},
	espmqtt.QuirkMalformedConnack: {client: v5, rules: connack("2005000002ff00"), ms: 900,
		only: `ERROR type=2 connect_return_code=0`, instead: `ERROR type=1`},
	espmqtt.QuirkOverlongLength: {client: v3, steps: `{"at_ms": 100, "send": "d08000"}`, ms: 900, instead: `EVENT_ERROR`},
	espmqtt.QuirkWebSocketNoClose: {client: `"broker": {"address": {"uri": "ws://${HOST}:${PORT}/mqtt"}}`,
		kinds: "ws", steps: `{"at_ms": 500, "cmd": "disconnect"}`, ms: 2500, instead: `frame 8`},
	espmqtt.QuirkSubackUnchecked: {client: v3, rules: `{"on": "SUBSCRIBE", "do": [{"send": "9004{id}0000"}]}`,
		steps: `{"at_ms": 100, "cmd": "subscribe s 0"}`, ms: 900, only: `EVENT_SUBSCRIBED`, instead: `EVENT_DISCONNECTED`},
	espmqtt.QuirkRefusedForEver: {client: v3, rules: connack("20020005"), ms: 5000, only: `(?s)accept.*accept`},
}

// TestQuirks plays for each quirk a case with the real client's behaviour and with the quirk switched off.
func TestQuirks(t *testing.T) {
	t.Parallel()
	for _, quirk := range espmqtt.Quirks() {
		t.Run(string(quirk), func(t *testing.T) {
			t.Parallel()
			c, ok := quirkCases[quirk]
			if !ok {
				if !espmqtt.QuirkShownByCalls(quirk) {
					t.Error("no test shows the quirk")
				}
				return
			}
			script := parseCase(t, c.script())
			real := text(play(t, script, espmqtt.Behaviour{}))
			without := text(play(t, script, espmqtt.Behaviour{Without: []espmqtt.Quirk{quirk}}))
			check := func(who, trace, pattern string, want bool) {
				if pattern != "" && regexp.MustCompile(pattern).MatchString(trace) != want {
					t.Errorf("%s: %q is there: %v, want %v\n%s", who, pattern, !want, want, trace)
				}
			}
			check("real", real, c.only, true)
			check("real", real, c.instead, false)
			check("without", without, c.only, false)
			check("without", without, c.instead, true)
			if c.only == "" && c.instead == "" {
				t.Error("the case shows nothing")
			}
		})
	}
}

// script is the case as a transcript's.
func (c quirkCase) script() string {
	client := `"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}, `
	if strings.Contains(c.client, `"broker"`) {
		client = ""
	}
	transport, kconfig := "", c.kinds
	if c.kinds == "ws" {
		transport, kconfig = "ws", ""
	}
	if kconfig != "" {
		kconfig += ", "
	}
	return fmt.Sprintf(`{"client": {%s"credentials": {"client_id": "a"}, %s}, "config": [%s], "rules": [%s], "steps": [%s],
		"transport": %q, "kconfig": {%s"MQTT_MSG_ID_INCREMENTAL": true}, "run_ms": %d}`,
		client, c.client, c.config, c.rules, c.steps, transport, kconfig, c.ms)
}

// text is a trace, a row per line.
func text(rows []transcript.Row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%d %s %s%s%s", r.At, r.Kind, r.Hex, r.Head, r.Text)
		if r.Kind == "frame" {
			fmt.Fprint(&b, r.Opcode)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
