// Package console holds the languages that devices speak on their consoles: the dialects of package devices.
package console

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"mqtthil/devices"
	"mqtthil/harness/timeline"
)

// Espressif is the dialect of Espressif's MQTT conformance application, release 1.1.0 of esp-mqtt, with the fields and
// lines that mqtthil adds to it: the whole client configuration in init, and event lines under the tag mqtthil.
type Espressif struct{}

// lineLimit is the longest line that the application's console takes, in characters.
const lineLimit = 2048

// Prompt is the application's prompt.
func (Espressif) Prompt() string { return "mqtt> " }

// Command is the line for a request. It fails where the console could not take the line.
func (Espressif) Command(r devices.Request) (string, error) {
	line := string(r.Action)
	switch r.Action {
	case devices.ActionInit:
		blob, err := json.Marshal(map[string]any{"mqtt_config": clientConfig(r.Config)})
		if err != nil {
			return "", err
		}
		line += " " + base64.StdEncoding.EncodeToString(blob)
	case devices.ActionSubscribe:
		line += fmt.Sprintf(" %s %d", quote(r.Topic), r.QoS)
	case devices.ActionUnsubscribe:
		line += " " + quote(r.Topic)
	case devices.ActionPublish:
		pattern, repetitions := period(r.Payload)
		line += fmt.Sprintf(" %s %s %d %d %d %d", quote(r.Topic), quote(pattern), repetitions, r.QoS, bit(r.Retain), bit(r.Enqueue))
	}
	if len(line) > lineLimit {
		return "", fmt.Errorf("a line of %d characters: the console takes %d; a long payload has to repeat a short pattern",
			len(line), lineLimit)
	}
	if strings.ContainsAny(line, "\r\n\x00") {
		return "", fmt.Errorf("a line end or NUL in topic or payload: the console cannot take it")
	}
	return line, nil
}

// clientConfig is a Config with the names of esp_mqtt_client_config_t; what is not set is left out.
func clientConfig(c devices.Config) map[string]any {
	config := map[string]any{}
	set := func(value any, given bool, path ...string) {
		if !given {
			return
		}
		m := config
		for _, key := range path[:len(path)-1] {
			if m[key] == nil {
				m[key] = map[string]any{}
			}
			m = m[key].(map[string]any)
		}
		m[path[len(path)-1]] = value
	}
	milliseconds := func(d time.Duration, path ...string) { set(d.Milliseconds(), d != 0, path...) }

	set("mqtt://"+c.Broker, c.Broker != "", "broker", "address", "uri")
	set(c.ClientID, c.ClientID != "", "credentials", "client_id")
	set(c.Username, c.Username != "", "credentials", "username")
	set(c.Password, c.Password != "", "credentials", "authentication", "password")
	set(int(c.KeepAlive.Seconds()), c.KeepAlive != 0, "session", "keepalive")
	set(true, c.PersistentSession, "session", "disable_clean_session")
	if w := c.Will; w != nil {
		set(w.Topic, true, "session", "last_will", "topic")
		set(w.Payload, true, "session", "last_will", "msg")
		set(w.QoS, true, "session", "last_will", "qos")
		set(bit(w.Retain), true, "session", "last_will", "retain")
	}
	milliseconds(c.RetransmitTimeout, "session", "message_retransmit_timeout")
	milliseconds(c.NetworkTimeout, "network", "timeout_ms")
	milliseconds(c.ReconnectTimeout, "network", "reconnect_timeout_ms")
	set(c.BufferSize, c.BufferSize != 0, "buffer", "size")
	set(c.OutBufferSize, c.OutBufferSize != 0, "buffer", "out_size")
	return config
}

// period finds the shortest pattern of which s is a repetition, in linear time: the console's publish command takes a
// pattern and a number.
func period(s string) (pattern string, repetitions int) {
	if s == "" {
		return "x", 0
	}
	// border[i] is the length of the longest proper prefix of s[:i+1] that is also its suffix.
	border := make([]int, len(s))
	for i := 1; i < len(s); i++ {
		n := border[i-1]
		for n > 0 && s[i] != s[n] {
			n = border[n-1]
		}
		if s[i] == s[n] {
			n++
		}
		border[i] = n
	}
	length := len(s) - border[len(s)-1]
	if len(s)%length != 0 {
		length = len(s)
	}
	return s[:length], len(s) / length
}

// quote makes s one argument of the console.
func quote(s string) string {
	if s != "" && !strings.ContainsAny(s, " \"\\") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Log is a log line of ESP-IDF.
type Log struct {
	Level byte // E, W, I, D or V
	Tag   string
	Text  string
}

var (
	logLine    = regexp.MustCompile(`([EWIDV]) \((\d+)\) ([^\s:]+): (.*)$`)
	dataLine   = regexp.MustCompile(`^MQTT_EVENT_DATA(?: topic=(.*))? qos=(\d+) len=(\d+) offset=(\d+) total=(\d+)$`)
	answerLine = regexp.MustCompile(`^(Publish|Subscribe|Unsubscribe) (requested|failed), msg_id=(-?\d+)$`)
	fieldPair  = regexp.MustCompile(`([a-z_]+)=(\S*)`)
	resetLine  = regexp.MustCompile(`rst:0x([0-9a-f]+) \(([^)]*)\)`)
)

// ParseLog reads a log line. Other output may stand before it on the same line.
func ParseLog(line string) (Log, bool) {
	m := logLine.FindStringSubmatch(line)
	if m == nil {
		return Log{}, false
	}
	return Log{Level: m[1][0], Tag: m[3], Text: m[4]}, true
}

// Names of the device events that are no MQTT events.
const (
	boot         = "BOOT"          // the ROM's banner; field reset
	answer       = "ANSWER"        // of a command; fields command, result, msg_id
	said         = "SAID"          // any other line of the application; field text
	unrecognized = "UNRECOGNIZED"  // the console does not know the command
	returned     = "COMMAND_ERROR" // the command returned an error
)

// Parse reads a line: the application's events and answers, and the ROM's banner.
func (Espressif) Parse(line string) (timeline.Device, bool) {
	log, ok := ParseLog(line)
	switch {
	case ok && (log.Tag == "mqtt_conformance" || log.Tag == "mqtthil"):
		return parseText(log.Text), true
	case ok:
		return timeline.Device{}, false
	case strings.Contains(line, "Unrecognized command"):
		return timeline.Device{Name: unrecognized}, true
	case strings.Contains(line, "Command returned non-zero error code"):
		return timeline.Device{Name: returned}, true
	}
	if m := resetLine.FindStringSubmatch(line); m != nil {
		return timeline.Device{Name: boot, Fields: map[string]string{"reset": m[1], "text": m[2]}}, true
	}
	return timeline.Device{}, false
}

func parseText(text string) timeline.Device {
	if m := answerLine.FindStringSubmatch(text); m != nil {
		return timeline.Device{Name: answer, Fields: map[string]string{
			"command": strings.ToLower(m[1]), "result": m[2], "msg_id": m[3], "text": text}}
	}
	if m := dataLine.FindStringSubmatch(text); m != nil {
		return timeline.Device{Name: "MQTT_EVENT_DATA", Fields: map[string]string{
			"topic": m[1], "qos": m[2], "len": m[3], "offset": m[4], "total": m[5]}}
	}
	if payload, ok := strings.CutPrefix(text, "MQTT_EVENT_DATA_PAYLOAD "); ok {
		return timeline.Device{Name: "MQTT_EVENT_DATA_PAYLOAD", Fields: map[string]string{"payload": payload}}
	}
	name, rest, _ := strings.Cut(text, " ")
	name = strings.TrimSuffix(name, ",")
	if !strings.HasPrefix(name, "MQTT_EVENT_") && name != "ERROR" {
		return timeline.Device{Name: said, Fields: map[string]string{"text": text}}
	}
	device := timeline.Device{Name: name, Fields: map[string]string{}}
	for _, pair := range fieldPair.FindAllStringSubmatch(rest, -1) {
		device.Fields[pair[1]] = pair[2]
	}
	if name == "MQTT_EVENT_ERROR" { // its kind stands before the fields, such as CONNECTION_REFUSED code=5
		device.Fields["kind"], _, _ = strings.Cut(rest, " ")
	}
	return device
}

// doneTexts are the lines that end a command which prints nothing with an identifier, and whether they mean success.
var doneTexts = map[devices.Action]map[string]bool{
	devices.ActionInit: {"Mqtt client initialized": true, "MQTT client already initialized": false,
		"Failed to initialize client": false, "Invalid JSON config": false, "init requires mqtt client config": false},
	devices.ActionStart:      {"Mqtt client started": true, "Failed to start mqtt client task": false},
	devices.ActionStop:       {"Mqtt client stopped": true, "Failed to stop mqtt client task": false},
	devices.ActionDisconnect: {"Mqtt client disconnected": true, "Failed to request disconnection": false},
	devices.ActionReconnect:  {"Mqtt client will reconnect": true, "Failed to request reconnection": false},
	devices.ActionDestroy:    {"mqtt client for tests destroyed": true},
}

// Answer says whether a device event ends a request.
func (Espressif) Answer(r devices.Request, e timeline.Device) (devices.Result, bool) {
	text := e.Fields["text"]
	switch e.Name {
	case unrecognized:
		return devices.Result{Text: "Unrecognized command"}, true
	case returned:
		return devices.Result{Text: "Command returned non-zero error code"}, true
	case answer:
		if e.Fields["command"] != string(r.Action) {
			return devices.Result{}, false
		}
		id, err := strconv.Atoi(e.Fields["msg_id"])
		return devices.Result{OK: err == nil && e.Fields["result"] == "requested", PacketID: id, Text: text}, true
	case said:
		if ok, done := doneTexts[r.Action][text]; done {
			return devices.Result{OK: ok, Text: text}, true
		}
		if text == "MQTT client not initialized, call init first" {
			return devices.Result{Text: text}, true
		}
	}
	return devices.Result{}, false
}
