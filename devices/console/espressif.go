package console

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mqtthil/devices"
	"mqtthil/harness/timeline"
)

// Espressif is the dialect of Espressif's MQTT conformance application, release 1.1.0 of esp-mqtt, with the fields and
// lines that mqtthil adds to it: the whole client configuration in init, and event lines under the tag mqtthil.
type Espressif struct{}

// lineLimit is the longest line that the application's console takes, in characters. One more would end the line by
// itself, and its line end would be an empty line with a prompt of its own.
const lineLimit = 2046

// Talk begins to talk to a device. Nothing of what is said depends on what was said before.
func (e Espressif) Talk(func(string)) devices.Talk { return e }

// Close ends nothing.
func (Espressif) Close() {}

// Prompt is the application's prompt.
func (Espressif) Prompt() string { return "mqtt> " }

// Awaited is the prompt.
func (e Espressif) Awaited() (what, hint string) {
	return fmt.Sprintf("prompt %q", e.Prompt()), "does it run the conformance application?"
}

// Nudge is an empty line: it ends what stands typed, and a prompt follows.
func (Espressif) Nudge() string { return "" }

// Command is the line for a request. It fails where the console could not take the line, or would make something else of
// it.
func (Espressif) Command(r devices.Request) (string, error) {
	line := string(r.Action)
	hint := "the console takes no more"
	var err error
	switch r.Action {
	case devices.ActionInit:
		var config map[string]any
		if config, err = clientConfig(r.Config); err == nil {
			blob, _ := json.Marshal(map[string]any{"mqtt_config": config}) // of texts and numbers: it cannot fail
			line += " " + base64.StdEncoding.EncodeToString(blob)
		}
	case devices.ActionSubscribe:
		err = errors.Join(typable("topic filter", r.Topic), service(r.QoS))
		line += dashes(r.Topic) + fmt.Sprintf(" %s %d", quote(r.Topic), r.QoS)
	case devices.ActionUnsubscribe:
		err = typable("topic filter", r.Topic)
		line += dashes(r.Topic) + " " + quote(r.Topic)
	case devices.ActionPublish:
		pattern, repetitions := period(r.Payload)
		err = errors.Join(typable("topic", r.Topic), typable("payload", pattern), service(r.QoS))
		line += dashes(r.Topic, pattern) + fmt.Sprintf(" %s %s %d %d %d %d",
			quote(r.Topic), quote(pattern), repetitions, r.QoS, bit(r.Retain), bit(r.Enqueue))
		hint = "a long payload has to repeat a short pattern"
	case devices.ActionStart, devices.ActionStop, devices.ActionDisconnect, devices.ActionReconnect, devices.ActionDestroy:
	default:
		err = errors.New("the console has no such command")
	}
	if err != nil {
		return "", err
	}
	if len(line) > lineLimit {
		return "", fmt.Errorf("a line of %d characters, more than the %d of the console: %s", len(line), lineLimit, hint)
	}
	return line, nil
}

// typable says why a text cannot be typed as an argument: control characters edit or end the line, and of what is not
// ASCII the console drops every byte.
func typable(what, text string) error {
	i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f })
	if i < 0 {
		return nil
	}
	character, size := utf8.DecodeRuneInString(text[i:])
	if character == utf8.RuneError && size == 1 {
		return fmt.Errorf("%s: byte 0x%02x cannot be typed on the console, which takes ASCII alone", what, text[i])
	}
	return fmt.Errorf("%s: character %q cannot be typed on the console, which takes printable ASCII alone", what, character)
}

// dashes is what has to stand before arguments of which one begins with a dash, or else the console takes that for an
// option.
func dashes(arguments ...string) string {
	if slices.ContainsFunc(arguments, func(a string) bool { return strings.HasPrefix(a, "-") }) {
		return " --"
	}
	return ""
}

// service says why a quality of service is none.
func service(qos devices.QoS) error {
	if qos > devices.QoS2 {
		return fmt.Errorf("quality of service %d: it is 0, 1 or 2", qos)
	}
	return nil
}

// clientConfig is a Config with the names of esp_mqtt_client_config_t, for JSON; what is not set is left out. It fails
// for a value that the names cannot carry, rather than to ask for another one.
func clientConfig(c devices.Config) (map[string]any, error) {
	config := map[string]any{}
	var problems []error
	set := func(value any, given bool, path ...string) {
		if !given {
			return
		}
		name := strings.Join(path, ".")
		switch v := value.(type) {
		case string:
			if !utf8.ValidString(v) || strings.Contains(v, "\x00") {
				problems = append(problems, fmt.Errorf("%s: %.20q is no UTF-8 text without NUL, which is what JSON can carry", name, v))
			}
		case int:
			if v < 0 {
				problems = append(problems, fmt.Errorf("%s: %d is negative", name, v))
			}
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
	duration := func(d, unit time.Duration, path ...string) {
		if d%unit != 0 {
			problems = append(problems, fmt.Errorf("%s: %v is no multiple of %v", strings.Join(path, "."), d, unit))
		}
		set(int(d/unit), d != 0, path...)
	}

	set(cmp.Or(c.Scheme, "mqtt")+"://"+c.Broker, c.Broker != "", "broker", "address", "uri")
	set(c.TLS.CA, c.TLS.CA != "", "broker", "verification", "certificate")
	set(c.TLS.Key, c.TLS.Key != "", "broker", "verification", "psk_hint_key", "key")
	set(c.TLS.Identity, c.TLS.Key != "", "broker", "verification", "psk_hint_key", "hint")
	set(c.TLS.Certificate, c.TLS.Certificate != "", "credentials", "authentication", "certificate")
	set(c.TLS.PrivateKey, c.TLS.PrivateKey != "", "credentials", "authentication", "key")
	set(c.ClientID, c.ClientID != "", "credentials", "client_id")
	set(c.Username, c.Username != "", "credentials", "username")
	set(c.Password, c.Password != "", "credentials", "authentication", "password")
	duration(c.KeepAlive, time.Second, "session", "keepalive")
	set(true, c.PersistentSession, "session", "disable_clean_session")
	if w := c.Will; w != nil {
		set(w.Topic, true, "session", "last_will", "topic")
		set(w.Payload, true, "session", "last_will", "msg")
		set(int(w.QoS), true, "session", "last_will", "qos")
		set(bit(w.Retain), true, "session", "last_will", "retain")
		problems = append(problems, service(w.QoS))
	}
	duration(c.RetransmitTimeout, time.Millisecond, "session", "message_retransmit_timeout")
	duration(c.NetworkTimeout, time.Millisecond, "network", "timeout_ms")
	duration(c.ReconnectTimeout, time.Millisecond, "network", "reconnect_timeout_ms")
	set(c.BufferSize, c.BufferSize != 0, "buffer", "size")
	set(c.OutBufferSize, c.OutBufferSize != 0, "buffer", "out_size")
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return config, nil
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
	logLine    = regexp.MustCompile(`([EWIDV]) \([\d:.]+\) ([^\s:]+): (.*)$`)
	answerLine = regexp.MustCompile(`^(Publish|Subscribe|Unsubscribe) (requested|failed), msg_id=(-?\d+)$`)
	fieldPair  = regexp.MustCompile(`([a-z_]+)=(\S*)`)
	resetLine  = regexp.MustCompile(`rst:0x([0-9a-f]+) \(([^)]*)\)(?:,boot:0x([0-9a-f]+))?`)
)

// whole is a line that has to be read as a whole, because its values are any text, blanks included. Each named group is
// a field, where the line has it.
type whole struct {
	name string
	line *regexp.Regexp
}

func (w whole) read(text string) (timeline.Device, bool) {
	m := w.line.FindStringSubmatchIndex(text)
	if m == nil {
		return timeline.Device{}, false
	}
	fields := map[string]string{}
	for i, field := range w.line.SubexpNames() {
		if field != "" && m[2*i] >= 0 {
			fields[field] = text[m[2*i]:m[2*i+1]]
		}
	}
	return timeline.Device{Name: w.name, Fields: fields}, true
}

var wholeLines = []whole{
	{"MQTT_EVENT_DATA", regexp.MustCompile(
		`^MQTT_EVENT_DATA(?: topic=(?P<topic>.*))? qos=(?P<qos>\d+) len=(?P<len>\d+) offset=(?P<offset>\d+) total=(?P<total>\d+)$`)},
	{"MQTT_EVENT_DATA_PAYLOAD", regexp.MustCompile(`^MQTT_EVENT_DATA_PAYLOAD (?P<payload>.*)$`)},
	{"CONNACK_USER_PROPERTY", regexp.MustCompile(`^CONNACK_USER_PROPERTY key=(?P<key>.*?) val=(?P<val>.*)$`)},
	{"DATA_PROP", regexp.MustCompile(`^DATA_PROP (?P<property>user_property) key=(?P<key>.*?) val=(?P<val>.*)$`)},
	{"DATA_PROP", regexp.MustCompile(`^DATA_PROP (?P<property>[a-z_]+)=(?P<value>.*)$`)},
	{"DISCONNECT_REASON", regexp.MustCompile(`^DISCONNECT_REASON=(?P<reason>\d+)$`)},
	{"OTHER_EVENT", regexp.MustCompile(`^Other event id:(?P<id>-?\d+)$`)},
	{"MQTT_EVENT_ERROR", regexp.MustCompile(`^MQTT_EVENT_ERROR \((?P<kind>no error_handle)\)$`)},
	{"MQTT_EVENT_ERROR", regexp.MustCompile(`^MQTT_EVENT_ERROR (?P<kind>[A-Z_]+)(?: code=(?P<code>\d+))?$`)},
}

// ParseLog reads a log line. Other output may stand before it on the same line.
func ParseLog(line string) (Log, bool) {
	m := logLine.FindStringSubmatch(line)
	if m == nil {
		return Log{}, false
	}
	return Log{Level: m[1][0], Tag: m[2], Text: m[3]}, true
}

// Names of the device events that are no MQTT events, beside those that every dialect has.
const (
	answer       = "ANSWER"        // of a command; fields command, result, msg_id
	said         = "SAID"          // any other line of the application; field text
	unrecognized = "UNRECOGNIZED"  // the console does not know the command
	returned     = "COMMAND_ERROR" // the command returned an error
)

// Parse reads a line: the application's events and answers, and the ROM's banner. The name of an event is the one that
// is printed, such as MQTT_EVENT_PUBLISHED or DATA_PROP, and its fields are what is printed with it.
func (Espressif) Parse(line string) []timeline.Device {
	log, ok := ParseLog(line)
	switch {
	case ok && (log.Tag == "mqtt_conformance" || log.Tag == "mqtthil"):
		return []timeline.Device{parseText(log.Text)}
	case ok:
		return nil
	case strings.Contains(line, "Unrecognized command"):
		return []timeline.Device{{Name: unrecognized, Reply: true}}
	case strings.Contains(line, "Command returned non-zero error code"):
		return []timeline.Device{{Name: returned, Reply: true}}
	}
	if boot, ok := parseReset(line); ok {
		return []timeline.Device{boot}
	}
	return nil
}

// parseReset reads the ROM's banner: the cause of the reset.
func parseReset(line string) (timeline.Device, bool) {
	if m := resetLine.FindStringSubmatch(line); m != nil {
		fields := map[string]string{"reset": m[1], "text": m[2]}
		if m[3] != "" {
			fields["boot"] = m[3]
		}
		return timeline.Device{Name: devices.Boot, Fields: fields}, true
	}
	return timeline.Device{}, false
}

func parseText(text string) timeline.Device {
	if m := answerLine.FindStringSubmatch(text); m != nil {
		return timeline.Device{Name: answer, Reply: true, Fields: map[string]string{
			"command": strings.ToLower(m[1]), "result": m[2], "msg_id": m[3], "text": text}}
	}
	for _, w := range wholeLines {
		if device, ok := w.read(text); ok {
			return device
		}
	}
	name, rest, _ := strings.Cut(text, " ")
	name = strings.TrimSuffix(name, ",")
	if !strings.HasPrefix(name, "MQTT_EVENT_") && name != "ERROR" && name != "OUTBOX" {
		return timeline.Device{Name: said, Reply: true, Fields: map[string]string{"text": text}}
	}
	device := timeline.Device{Name: name, Fields: map[string]string{}}
	for _, pair := range fieldPair.FindAllStringSubmatch(rest, -1) {
		device.Fields[pair[1]] = pair[2]
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
	devices.ActionPublish:    {"Invalid pattern repetitions": false},
}

// Answer says whether a device event ends a request.
func (Espressif) Answer(r devices.Request, e timeline.Device) (devices.Result, bool) {
	text := e.Fields["text"]
	switch e.Name {
	case devices.Prompt: // to destroy what is not there is done in silence; any other command says something
		return devices.Result{OK: true, Text: "no client"}, r.Action == devices.ActionDestroy
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
