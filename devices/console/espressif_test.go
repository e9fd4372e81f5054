package console_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mqtthil/devices"
	"mqtthil/devices/console"
	"mqtthil/harness/timeline"
)

// espressif is what is said to a device; the dialect has no memory of it.
var espressif = console.Espressif{}.Talk(nil)

// parse is the event that a line tells, of which there is at most one.
func parse(line string) (timeline.Device, bool) {
	for _, event := range espressif.Parse(line) {
		return event, true
	}
	return timeline.Device{}, false
}

func TestCommand(t *testing.T) {
	t.Parallel()
	publish := func(topic, payload string) devices.Request {
		return devices.Request{Action: devices.ActionPublish, Topic: topic, Payload: payload}
	}
	tests := map[string]struct {
		request devices.Request
		line    string
	}{
		"start":      {devices.Request{Action: devices.ActionStart}, "start"},
		"stop":       {devices.Request{Action: devices.ActionStop}, "stop"},
		"disconnect": {devices.Request{Action: devices.ActionDisconnect}, "disconnect"},
		"reconnect":  {devices.Request{Action: devices.ActionReconnect}, "reconnect"},
		"destroy":    {devices.Request{Action: devices.ActionDestroy}, "destroy"},
		"subscribe":  {devices.Request{Action: devices.ActionSubscribe, Topic: "a/+/#", QoS: 2}, "subscribe a/+/# 2"},
		"subscribe to a filter with a blank": {
			devices.Request{Action: devices.ActionSubscribe, Topic: "a b", QoS: 1}, `subscribe "a b" 1`},
		"subscribe to nothing": {devices.Request{Action: devices.ActionSubscribe}, `subscribe "" 0`},
		"unsubscribe":          {devices.Request{Action: devices.ActionUnsubscribe, Topic: "a/b"}, "unsubscribe a/b"},
		"publish":              {publish("a", "hello"), "publish a hello 1 0 0 0"},
		"publish, all set": {devices.Request{Action: devices.ActionPublish, Topic: "a", Payload: "x", QoS: 2,
			Retain: true, Enqueue: true}, "publish a x 1 2 1 1"},
		"publish nothing":        {publish("a", ""), "publish a x 0 0 0 0"},
		"publish a repetition":   {publish("a", "abcabcabc"), "publish a abc 3 0 0 0"},
		"publish one character":  {publish("a", strings.Repeat("x", 100_000)), "publish a x 100000 0 0 0"},
		"publish a half":         {publish("a", "abcab"), "publish a abcab 1 0 0 0"},
		"publish quotes":         {publish("a", `say "hi"\`), `publish a "say \"hi\"\\" 1 0 0 0`},
		"publish a dash":         {publish("a", "-"), "publish -- a - 1 0 0 0"},
		"publish many dashes":    {publish("a", "----"), "publish -- a - 4 0 0 0"},
		"publish below zero":     {publish("a", "-12.5"), "publish -- a -12.5 1 0 0 0"},
		"subscribe to a dash":    {devices.Request{Action: devices.ActionSubscribe, Topic: "-a/#"}, "subscribe -- -a/# 0"},
		"unsubscribe from one":   {devices.Request{Action: devices.ActionUnsubscribe, Topic: "--"}, "unsubscribe -- --"},
		"publish a long pattern": {publish("a", strings.Repeat("x", 2000)+"y"), "publish a " + strings.Repeat("x", 2000) + "y 1 0 0 0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line, err := espressif.Command(test.request)
			if err != nil || line != test.line {
				t.Errorf("Command = %q, %v, want %q", line, err, test.line)
			}
		})
	}
}

func TestCommandRefuses(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 2100)
	for i := range noise {
		noise[i] = byte('a' + random.IntN(26))
	}
	publish := func(topic, payload string) devices.Request {
		return devices.Request{Action: devices.ActionPublish, Topic: topic, Payload: payload}
	}
	init := func(c devices.Config) devices.Request { return devices.Request{Action: devices.ActionInit, Config: c} }
	tests := map[string]struct {
		request devices.Request
		says    []string // what the error must tell
	}{
		"no action":             {devices.Request{}, []string{"no such command"}},
		"unknown action":        {devices.Request{Action: "reboot"}, []string{"no such command"}},
		"too long":              {publish("a", string(noise)), []string{"2118 characters", "2046", "short pattern"}},
		"line end":              {publish("a", "x\ny"), []string{"payload", `'\n'`}},
		"carriage return":       {publish("a\r", "x"), []string{"topic", `'\r'`}},
		"NUL":                   {publish("a", "x\x00"), []string{"payload", `'\x00'`}},
		"backspace":             {publish("a", "x\x08y"), []string{"payload", `'\b'`}},
		"delete":                {publish("a", "x\x7fy"), []string{"payload", `'\x7f'`}},
		"escape":                {devices.Request{Action: devices.ActionSubscribe, Topic: "\x1b[A"}, []string{"topic filter", `'\x1b'`}},
		"tab":                   {devices.Request{Action: devices.ActionUnsubscribe, Topic: "a\tb"}, []string{"topic filter", `'\t'`}},
		"umlaut":                {publish("grüße", "x"), []string{"topic", "'ü'", "ASCII"}},
		"no UTF-8":              {publish("a", "é\xff"[2:]), []string{"payload", "0xff", "ASCII"}},
		"quality of service":    {devices.Request{Action: devices.ActionSubscribe, Topic: "a", QoS: 3}, []string{"service 3"}},
		"of the will":           {init(devices.Config{Will: &devices.Will{Topic: "a", QoS: 7}}), []string{"service 7"}},
		"part of a second":      {init(devices.Config{KeepAlive: 1500 * time.Millisecond}), []string{"session.keepalive", "1.5s"}},
		"part of a millisecond": {init(devices.Config{NetworkTimeout: time.Microsecond}), []string{"network.timeout_ms", "1µs"}},
		"negative time":         {init(devices.Config{ReconnectTimeout: -time.Second}), []string{"reconnect_timeout_ms", "negative"}},
		"negative size":         {init(devices.Config{BufferSize: -1}), []string{"buffer.size", "negative"}},
		"will that is no text":  {init(devices.Config{Will: &devices.Will{Payload: "\xff"}}), []string{"last_will.msg", `"\xff"`}},
		"name with NUL":         {init(devices.Config{ClientID: "a\x00b"}), []string{"client_id", "NUL"}},
		"large will": {init(devices.Config{Will: &devices.Will{Topic: "t", Payload: string(noise)}}),
			[]string{"characters", "2046"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line, err := espressif.Command(test.request)
			if err == nil {
				t.Fatalf("Command = %q", line)
			}
			for _, part := range test.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

func TestCommandInit(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		config devices.Config
		blob   string
	}{
		"nothing": {devices.Config{}, `{"mqtt_config": {}}`},
		"broker":  {devices.Config{Broker: "bench:1883"}, `{"mqtt_config": {"broker": {"address": {"uri": "mqtt://bench:1883"}}}}`},
		"empty will": {devices.Config{Will: &devices.Will{Topic: "gone"}},
			`{"mqtt_config": {"session": {"last_will": {"topic": "gone", "msg": "", "qos": 0, "retain": 0}}}}`},
		"everything": {
			devices.Config{Broker: "[::1]:1883", ClientID: "id <&>", Username: "user", Password: "pass\"word", KeepAlive: time.Minute,
				PersistentSession: true, Will: &devices.Will{Topic: "t", Payload: "näh", QoS: 2, Retain: true},
				RetransmitTimeout: 1500 * time.Millisecond, NetworkTimeout: 2 * time.Second, ReconnectTimeout: time.Millisecond,
				BufferSize: 512, OutBufferSize: 256},
			`{"mqtt_config": {
				"broker": {"address": {"uri": "mqtt://[::1]:1883"}},
				"credentials": {"client_id": "id <&>", "username": "user", "authentication": {"password": "pass\"word"}},
				"session": {"keepalive": 60, "disable_clean_session": true, "message_retransmit_timeout": 1500,
					"last_will": {"topic": "t", "msg": "näh", "qos": 2, "retain": 1}},
				"network": {"timeout_ms": 2000, "reconnect_timeout_ms": 1},
				"buffer": {"size": 512, "out_size": 256}}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line, err := espressif.Command(devices.Request{Action: devices.ActionInit, Config: test.config})
			if err != nil {
				t.Fatal(err)
			}
			encoded, ok := strings.CutPrefix(line, "init ")
			if !ok {
				t.Fatalf("line %q", line)
			}
			text, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			if err := errors.Join(json.Unmarshal(text, &got), json.Unmarshal([]byte(test.blob), &want)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("blob (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzCommandPublish holds pattern and repetitions, read back from the line, against the payload, and against every
// shorter pattern.
func FuzzCommandPublish(f *testing.F) {
	for _, payload := range []string{"", "a", "aa", "abab", "ababa", "aabaab", "abaababaab", "xyzxyzx"} {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		line, err := espressif.Command(devices.Request{Action: devices.ActionPublish, Topic: "t", Payload: payload})
		if err != nil || strings.ContainsAny(payload, ` "\`) {
			return // quoting is the emulator's test
		}
		words := strings.Split(line, " ")
		if len(words) != 7 {
			t.Fatalf("line %q", line)
		}
		pattern := words[2]
		if strings.Repeat(pattern, len(payload)/len(pattern)) != payload {
			t.Errorf("pattern %q of %q", pattern, payload)
		}
		for n := 1; n < len(pattern) && payload != ""; n++ {
			if len(payload)%n == 0 && strings.Repeat(payload[:n], len(payload)/n) == payload {
				t.Errorf("pattern %q, and %q is shorter", pattern, payload[:n])
			}
		}
	})
}

func TestParse(t *testing.T) {
	t.Parallel()
	type fields = map[string]string
	tests := []struct {
		line   string
		name   string // empty: no event
		fields fields
	}{
		{"I (5) mqtt_conformance: Other event id:7", "OTHER_EVENT", fields{"id": "7"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_CONNECTED session_present=1", "MQTT_EVENT_CONNECTED", fields{"session_present": "1"}},
		{"I (5) mqtt_conformance: CONNACK_USER_PROPERTY key=a b val=c d", "CONNACK_USER_PROPERTY", fields{"key": "a b", "val": "c d"}},
		{"I (5) mqtt_conformance: CONNACK_USER_PROPERTY key= val=", "CONNACK_USER_PROPERTY", fields{"key": "", "val": ""}},
		{"W (5) mqtt_conformance: DISCONNECT_REASON=139", "DISCONNECT_REASON", fields{"reason": "139"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DISCONNECTED", "MQTT_EVENT_DISCONNECTED", fields{}},
		{"I (5) mqtt_conformance: MQTT_EVENT_SUBSCRIBED, msg_id=17", "MQTT_EVENT_SUBSCRIBED", fields{"msg_id": "17"}},
		{"W (5) mqtt_conformance: MQTT_EVENT_SUBSCRIBE_FAILED msg_id=17", "MQTT_EVENT_SUBSCRIBE_FAILED", fields{"msg_id": "17"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_SUBSCRIBED data_len=1 return_code=0x80", "MQTT_EVENT_SUBSCRIBED",
			fields{"data_len": "1", "return_code": "0x80"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_UNSUBSCRIBED, msg_id=9", "MQTT_EVENT_UNSUBSCRIBED", fields{"msg_id": "9"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_UNSUBSCRIBED data_len=2 reason_code=0x11", "MQTT_EVENT_UNSUBSCRIBED",
			fields{"data_len": "2", "reason_code": "0x11"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_PUBLISHED, msg_id=65535", "MQTT_EVENT_PUBLISHED", fields{"msg_id": "65535"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA topic=a/b qos=1 len=5 offset=0 total=5", "MQTT_EVENT_DATA",
			fields{"topic": "a/b", "qos": "1", "len": "5", "offset": "0", "total": "5"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA topic=odd qos=9 len=9 offset=9 total=9 qos=1 len=5 offset=0 total=5", "MQTT_EVENT_DATA",
			fields{"topic": "odd qos=9 len=9 offset=9 total=9", "qos": "1", "len": "5", "offset": "0", "total": "5"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA qos=1 len=5 offset=1024 total=2000", "MQTT_EVENT_DATA",
			fields{"qos": "1", "len": "5", "offset": "1024", "total": "2000"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA_PAYLOAD hello, msg_id=5", "MQTT_EVENT_DATA_PAYLOAD", fields{"payload": "hello, msg_id=5"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA_PAYLOAD ", "MQTT_EVENT_DATA_PAYLOAD", fields{"payload": ""}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA_PAYLOAD I (6) mqtt_conformance: MQTT_EVENT_CONNECTED session_present=0",
			"MQTT_EVENT_DATA_PAYLOAD", fields{"payload": "I (6) mqtt_conformance: MQTT_EVENT_CONNECTED session_present=0"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA_PAYLOAD Unrecognized command rst:0x1 (POWERON_RESET)",
			"MQTT_EVENT_DATA_PAYLOAD", fields{"payload": "Unrecognized command rst:0x1 (POWERON_RESET)"}},
		{"I (5) mqtt_conformance: DATA_PROP payload_format_indicator=1", "DATA_PROP", fields{"property": "payload_format_indicator", "value": "1"}},
		{"I (5) mqtt_conformance: DATA_PROP content_type=text/plain; charset=utf-8", "DATA_PROP",
			fields{"property": "content_type", "value": "text/plain; charset=utf-8"}},
		{"I (5) mqtt_conformance: DATA_PROP response_topic=a b", "DATA_PROP", fields{"property": "response_topic", "value": "a b"}},
		{"I (5) mqtt_conformance: DATA_PROP correlation_data=\uFFFD", "DATA_PROP", fields{"property": "correlation_data", "value": "\uFFFD"}},
		{"I (5) mqtt_conformance: DATA_PROP subscribe_id=3", "DATA_PROP", fields{"property": "subscribe_id", "value": "3"}},
		{"I (5) mqtt_conformance: DATA_PROP user_property key=k val=v w", "DATA_PROP",
			fields{"property": "user_property", "key": "k", "val": "v w"}},
		{"I (5) mqtt_conformance: MQTT_EVENT_DATA_COMPLETE msg_id=17 total=2000", "MQTT_EVENT_DATA_COMPLETE",
			fields{"msg_id": "17", "total": "2000"}},
		{"W (5) mqtt_conformance: MQTT_EVENT_ERROR CONNECTION_REFUSED code=5", "MQTT_EVENT_ERROR", fields{"kind": "CONNECTION_REFUSED", "code": "5"}},
		{"E (5) mqtt_conformance: MQTT_EVENT_ERROR TCP_TRANSPORT", "MQTT_EVENT_ERROR", fields{"kind": "TCP_TRANSPORT"}},
		{"E (5) mqtt_conformance: MQTT_EVENT_ERROR type=3", "MQTT_EVENT_ERROR", fields{"type": "3"}},
		{"E (5) mqtt_conformance: MQTT_EVENT_ERROR (no error_handle)", "MQTT_EVENT_ERROR", fields{"kind": "no error_handle"}},

		// What mqtthil adds.
		{"I (5) mqtthil: MQTT_EVENT_BEFORE_CONNECT", "MQTT_EVENT_BEFORE_CONNECT", fields{}},
		{"I (5) mqtthil: MQTT_EVENT_DELETED, msg_id=4", "MQTT_EVENT_DELETED", fields{"msg_id": "4"}},
		{"I (5) mqtthil: OUTBOX size=120", "OUTBOX", fields{"size": "120"}},
		{"I (5) mqtthil: ERROR type=1 connect_return_code=0 esp_tls_last_esp_err=0x8008 esp_tls_stack_err=0x0 cert_flags=0x0 sock_errno=104",
			"ERROR", fields{"type": "1", "connect_return_code": "0", "esp_tls_last_esp_err": "0x8008", "esp_tls_stack_err": "0x0",
				"cert_flags": "0x0", "sock_errno": "104"}},

		// Answers.
		{"I (5) mqtt_conformance: Publish requested, msg_id=0", "ANSWER",
			fields{"command": "publish", "result": "requested", "msg_id": "0", "text": "Publish requested, msg_id=0"}},
		{"E (5) mqtt_conformance: Unsubscribe failed, msg_id=-1", "ANSWER",
			fields{"command": "unsubscribe", "result": "failed", "msg_id": "-1", "text": "Unsubscribe failed, msg_id=-1"}},
		{"I (5) mqtt_conformance: Mqtt client started", "SAID", fields{"text": "Mqtt client started"}},
		{"E (5) mqtt_conformance: json config: not an object", "SAID", fields{"text": "json config: not an object"}},
		{"Unrecognized command", "UNRECOGNIZED", nil},
		{"Command returned non-zero error code: 0x1 (ERROR)", "COMMAND_ERROR", nil},

		// The ROM.
		{"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "BOOT", fields{"reset": "1", "text": "POWERON_RESET", "boot": "13"}},
		{"\uFFFD\x00rst:0xf (BROWNOUT)", "BOOT", fields{"reset": "f", "text": "BROWNOUT"}},

		// Other shapes of log lines.
		{"\uFFFD\uFFFDI (5) mqtt_conformance: MQTT_EVENT_DISCONNECTED", "MQTT_EVENT_DISCONNECTED", fields{}},
		{"mqtt> I (5) mqtt_conformance: MQTT_EVENT_DISCONNECTED", "MQTT_EVENT_DISCONNECTED", fields{}},
		{"I (00:00:05.123) mqtt_conformance: MQTT_EVENT_DISCONNECTED", "MQTT_EVENT_DISCONNECTED", fields{}},

		// What is no event.
		{"I (5) mqtt_client: MQTT_EVENT_DISCONNECTED", "", nil},
		{"W (5) wifi: Unrecognized command", "", nil},
		{"I (x) mqtt_conformance: MQTT_EVENT_DISCONNECTED", "", nil},
		{"mqtt_conformance: MQTT_EVENT_DISCONNECTED", "", nil},
		{"MQTT_EVENT_CONNECTED session_present=1", "", nil},
		{"ets Jul 29 2019 12:21:46", "", nil},
		{"", "", nil},
	}
	for _, test := range tests {
		got, ok := parse(test.line)
		want := timeline.Device{Name: test.name, Fields: test.fields}
		switch test.name {
		case "ANSWER", "SAID", "UNRECOGNIZED", "COMMAND_ERROR":
			want.Reply = true
		}
		if diff := cmp.Diff(want, got); diff != "" || ok != (test.name != "") {
			t.Errorf("Parse(%q): %t (-want +got):\n%s", test.line, ok, diff)
		}
	}
}

func TestParseLog(t *testing.T) {
	t.Parallel()
	tests := map[string]console.Log{
		"W (1234) wifi: beacon: timeout":          {Level: 'W', Tag: "wifi", Text: "beacon: timeout"},
		"garbage E (1) a: W (2) b: x":             {Level: 'E', Tag: "a", Text: "W (2) b: x"},
		"I (00:00:01.234) a: ":                    {Level: 'I', Tag: "a"},
		"W (1234) wifi:beacon timeout":            {}, // the tag ends with a colon and a blank
		"Z (1234) wifi: beacon timeout":           {},
		"I () a: x":                               {},
		"I (5 ms) a: x":                           {},
		"Core  0 register dump: PC (0x1): failed": {},
	}
	for line, want := range tests {
		got, ok := console.ParseLog(line)
		if got != want || ok != (want.Level != 0) {
			t.Errorf("ParseLog(%q) = %+v, %t, want %+v", line, got, ok, want)
		}
	}
}

// TestAnswer types what the application prints for each action, and holds what comes of it against what is meant.
func TestAnswer(t *testing.T) {
	t.Parallel()
	const log, failure = "I (5) mqtt_conformance: ", "E (5) mqtt_conformance: "
	const notInitialized = "MQTT client not initialized, call init first"
	ok := func(text string) devices.Result { return devices.Result{OK: true, Text: text} }
	no := func(text string) devices.Result { return devices.Result{Text: text} }
	tests := []struct {
		action devices.Action
		line   string
		result devices.Result
	}{
		{devices.ActionInit, log + "Mqtt client initialized", ok("Mqtt client initialized")},
		{devices.ActionInit, failure + "Invalid JSON config", no("Invalid JSON config")},
		{devices.ActionInit, failure + "init requires mqtt client config", no("init requires mqtt client config")},
		{devices.ActionInit, failure + "Failed to initialize client", no("Failed to initialize client")},
		{devices.ActionInit, "W (5) mqtt_conformance: MQTT client already initialized", no("MQTT client already initialized")},
		{devices.ActionStart, log + "Mqtt client started", ok("Mqtt client started")},
		{devices.ActionStart, failure + "Failed to start mqtt client task", no("Failed to start mqtt client task")},
		{devices.ActionStart, failure + notInitialized, no(notInitialized)},
		{devices.ActionStop, log + "Mqtt client stopped", ok("Mqtt client stopped")},
		{devices.ActionStop, failure + "Failed to stop mqtt client task", no("Failed to stop mqtt client task")},
		{devices.ActionStop, failure + notInitialized, no(notInitialized)},
		{devices.ActionDisconnect, log + "Mqtt client disconnected", ok("Mqtt client disconnected")},
		{devices.ActionDisconnect, failure + "Failed to request disconnection", no("Failed to request disconnection")},
		{devices.ActionReconnect, log + "Mqtt client will reconnect", ok("Mqtt client will reconnect")},
		{devices.ActionReconnect, failure + "Failed to request reconnection", no("Failed to request reconnection")},
		{devices.ActionDestroy, log + "mqtt client for tests destroyed", ok("mqtt client for tests destroyed")},
		{devices.ActionSubscribe, log + "Subscribe requested, msg_id=17",
			devices.Result{OK: true, PacketID: 17, Text: "Subscribe requested, msg_id=17"}},
		{devices.ActionSubscribe, failure + "Subscribe failed, msg_id=-1",
			devices.Result{PacketID: -1, Text: "Subscribe failed, msg_id=-1"}},
		{devices.ActionUnsubscribe, log + "Unsubscribe requested, msg_id=18",
			devices.Result{OK: true, PacketID: 18, Text: "Unsubscribe requested, msg_id=18"}},
		{devices.ActionUnsubscribe, failure + "Unsubscribe failed, msg_id=-1",
			devices.Result{PacketID: -1, Text: "Unsubscribe failed, msg_id=-1"}},
		{devices.ActionPublish, log + "Publish requested, msg_id=19",
			devices.Result{OK: true, PacketID: 19, Text: "Publish requested, msg_id=19"}},
		{devices.ActionPublish, failure + "Publish failed, msg_id=-2",
			devices.Result{PacketID: -2, Text: "Publish failed, msg_id=-2"}},
		{devices.ActionPublish, failure + "Invalid pattern repetitions", no("Invalid pattern repetitions")},
		{devices.ActionPublish, failure + notInitialized, no(notInitialized)},
	}
	for _, test := range tests {
		event, parsed := parse(test.line)
		if !parsed {
			t.Errorf("%q is no event", test.line)
			continue
		}
		result, done := espressif.Answer(devices.Request{Action: test.action}, event)
		if !done || result != test.result {
			t.Errorf("%s: %q means %+v, %t, want %+v", test.action, test.line, result, done, test.result)
		}
		for _, other := range []devices.Action{devices.ActionInit, devices.ActionStart, devices.ActionStop, devices.ActionDisconnect,
			devices.ActionReconnect, devices.ActionDestroy, devices.ActionSubscribe, devices.ActionUnsubscribe, devices.ActionPublish} {
			if other == test.action || test.result.Text == notInitialized {
				continue
			}
			if result, done := espressif.Answer(devices.Request{Action: other}, event); done {
				t.Errorf("%s: %q means %+v, but it answers %s", other, test.line, result, test.action)
			}
		}
	}
}

// TestAnswerOfTheConsole is about what the console itself says, whatever the command was.
func TestAnswerOfTheConsole(t *testing.T) {
	t.Parallel()
	for _, action := range []devices.Action{devices.ActionInit, devices.ActionDestroy, devices.ActionPublish} {
		for _, line := range []string{"Unrecognized command", "Command returned non-zero error code: 0x1 (ERROR)"} {
			event, _ := parse(line)
			if result, done := espressif.Answer(devices.Request{Action: action}, event); !done || result.OK || result.Text == "" {
				t.Errorf("%s: %q means %+v, %t", action, line, result, done)
			}
		}
		result, done := espressif.Answer(devices.Request{Action: action}, timeline.Device{Name: devices.Prompt})
		if silent := action == devices.ActionDestroy; done != silent || done && !result.OK {
			t.Errorf("%s: a prompt means %+v, %t", action, result, done)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("I (5) mqtt_conformance: MQTT_EVENT_DATA topic=a qos=1 len=5 offset=0 total=5")
	f.Add("\xffE (5) mqtt_conformance: MQTT_EVENT_ERROR CONNECTION_REFUSED code=5")
	f.Add("I (5) mqtthil: ERROR type=1 sock_errno=104")
	f.Add("I (5) mqtt_conformance: Publish requested, msg_id=99999999999999999999")
	f.Add("rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)")
	f.Fuzz(func(t *testing.T, line string) {
		event, ok := parse(line)
		if ok != (event.Name != "") || !ok && event.Fields != nil {
			t.Fatalf("%t with %+v", ok, event)
		}
		for key, value := range event.Fields {
			if key == "" || !strings.Contains(strings.ToLower(line), strings.ToLower(value)) {
				t.Errorf("field %q=%q is not in the line", key, value)
			}
			if utf8.ValidString(line) && !utf8.ValidString(value) {
				t.Errorf("field %q=%q is no UTF-8, unlike the line", key, value)
			}
		}
		for _, action := range []devices.Action{devices.ActionInit, devices.ActionPublish, devices.ActionDestroy} {
			if result, done := espressif.Answer(devices.Request{Action: action}, event); !done && result != (devices.Result{}) {
				t.Errorf("%s: no answer, but %+v", action, result)
			}
		}
	})
}
