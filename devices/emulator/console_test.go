package emulator

import (
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"
)

// consoleText is what Espressif's application printed for lines that it was typed, most of them bad; but the descriptions
// in its help are mqtthil's.
//
//go:embed testdata/console.txt
var consoleText string

// TestConsoleText types the same lines, and expects the same text.
func TestConsoleText(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		_, text, _ := strings.Cut(strings.TrimSuffix(consoleText, "\n"), "\n>")
		for _, entry := range strings.Split(text, "\n>") {
			line, want, _ := strings.Cut(entry, "\n")
			if blob, ok := strings.CutPrefix(line, "> "); ok {
				command, blob, _ := strings.Cut(blob, " ")
				line = command + " " + base64.StdEncoding.EncodeToString([]byte(unescaped(blob)))
			}
			line = strings.TrimPrefix(line, " ")
			b.types(line + "\n")
			b.expect(line + "\r\n")
			got := strings.TrimSuffix(strings.ReplaceAll(b.expect(prompt), "\r\n", "\n"), "\n")
			if got = logTime.ReplaceAllString(got, "$1 (0)"); got != unescaped(want) {
				t.Errorf(">%s\nprints\n%s", entry, got)
			}
		}
	})
}

var (
	logTime     = regexp.MustCompile(`([EWI]) \(\d+\)`)
	escapedByte = regexp.MustCompile(`\\x[0-9a-f]{2}`)
)

// unescaped reads \xNN as a byte.
func unescaped(text string) string {
	return escapedByte.ReplaceAllStringFunc(text, func(b string) string {
		n, _ := strconv.ParseUint(b[2:], 16, 8) // the expression has found two digits
		return string([]byte{byte(n)})
	})
}

// blobCommand is a command with an argument in base64.
func blobCommand(command, blob string) string {
	return command + " " + base64.StdEncoding.EncodeToString([]byte(blob))
}

// TestConsoleExtensions: what the original does not read is read by its rules, in its words, and behind what it reads.
func TestConsoleExtensions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		const failed = "E (0) mqtt_conformance: Failed to parse json config\r\n" + returnedOn
		if got := b.command(blobCommand("init", `{"mqtt_config": {"session": {"protocol_ver": 3}}}`)); !strings.Contains(got, "initialized") {
			t.Fatalf("init: %q", got)
		}
		wrong := func(field, wanted, is string) string {
			return "E (0) mqtt_conformance: json config: " + field + " has an unexpected JSON type " +
				"([json.exception.type_error.302] type must be " + wanted + ", but is " + is + ")\r\n" + failed
		}
		for _, test := range []struct{ blob, printed string }{
			{`{"mqtt_config": {"buffer": {"size": "x"}}}`, wrong("'/buffer/size'", "number", "string")},
			{`{"mqtt_config": {"buffer": {"size": 1}, "session": {"keepalive": []}}}`, wrong("'/session/keepalive'", "number", "array")},
			{`{"mqtt_config": {"buffer": {"size": {}}, "session": {"keepalive": []}}}`, wrong("'/session/keepalive'", "number", "array")},
			{`{"mqtt_config": {"broker": {"address": {"hostname": null}}}}`, wrong("'/broker/address/hostname'", "string", "null")},
			{`{"mqtt_config": {"broker": {"address": {"transport": true}}}}`, wrong("'/broker/address/transport'", "number", "boolean")},
			{`{"mqtt_config": {"session": {"last_will": {"retain": "1"}}}}`, wrong("'/session/last_will/retain'", "number", "string")},
			{`{"mqtt_config": {"broker": {"verification": {"alpn_protos": ["a", 1]}}}}`,
				wrong("'/broker/verification/alpn_protos'", "string", "number")},
			{`{"mqtt_config": {"broker": {"verification": {"psk_hint_key": 1}}}}`,
				wrong("'/broker/verification/psk_hint_key'", "object", "number")},
			{`{"mqtt_config": {"session": {"last_will": {"retain": true, "qos": 1.5, "msg": "a\u0000b", "msg_len": 3}}}}`, ""},
			{`{"connect_property": {"user_property": [{"key": "a", "value": "b"}], "request_resp_info": true}}`, ""},
			{`{"connect_property": {"user_property": {}}}`, wrong("field 'user_property'", "array", "object")},
			{`{"connect_property": {"user_property": [1]}}`, wrong("field 'user_property'", "object", "number")},
			{`{"connect_property": {"user_property": [{"key": 1}]}}`, wrong("field 'user_property'", "string", "number")},
			{`{"unsubscribe_property": {"is_share_subscribe": 1}}`, wrong("field 'is_share_subscribe'", "boolean", "number")},
			{`{"unsubscribe_property": {}, "disconnect_property": {"disconnect_reason": []}}`,
				wrong("field 'disconnect_reason'", "number", "array")},
		} {
			if got := logTime.ReplaceAllString(b.command(blobCommand("config", test.blob)), "$1 (0)"); got != test.printed {
				t.Errorf("%s\nprints %q\nwant   %q", test.blob, got, test.printed)
			}
		}
	})
}

// TestConsoleNumbers: numbers that a field does not hold are sent with their low bits, and fractions are cut off.
func TestConsoleNumbers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		b.command(blobCommand("init", `{"mqtt_config": {"broker": {"address": {"uri": "mqtt://broker"}},
			"credentials": {"client_id": "dut\u0000x"}, "session": {"protocol_ver": 3.9, "keepalive": 4294967306}}}`))
		b.command(blobCommand("config", `{"connect_property": {"receive_maximum": 65538.7, "session_expiry_interval": -1,
			"topic_alias_maximum": true, "maximum_packet_size": 4294967297}}`))
		b.types("start\n")
		conn, err := b.broker.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := b.receives(conn); string(got) != "\x10\x20\x00\x04MQTT\x05\x02\x00\x0a"+
			"\x10\x11\xff\xff\xff\xff\x27\x00\x00\x00\x01\x21\x00\x02\x22\x00\x01"+"\x00\x03dut" {
			t.Errorf("CONNECT: % x", got)
		}
		b.sends(conn, 0x20, 3, 0, 0, 0)
		b.expect("MQTT_EVENT_CONNECTED")
		b.command(blobCommand("config", `{"subscribe_property": {"subscribe_id": 70000, "retain_handle": 257}}`))
		b.types("subscribe a 1\n")
		if got := b.receives(conn)[4:]; string(got) != "\x03\x0b\xf0\x22\x00\x01a\x11" {
			t.Errorf("SUBSCRIBE: % x", got)
		}
		b.command(blobCommand("config", `{"disconnect_property": {"disconnect_reason": 260, "session_expiry_interval": 4294967297}}`))
		b.types("stop\n")
		if got := b.receives(conn); string(got) != "\xe0\x07\x04\x05\x11\x00\x00\x00\x01" {
			t.Errorf("DISCONNECT: % x", got)
		}
	})
}

// TestConsoleClientSays: what the client logs about calls that it refuses.
func TestConsoleClientSays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		uri := func(text string) string { return `{"mqtt_config": {"broker": {"address": {"uri": "` + text + `"}}}}` }
		for _, test := range []struct{ blob, printed string }{
			{uri("nowhere"), "mqtt_client: Error parse uri (1) = nowhere"},
			{uri(""), "mqtt_client: esp_mqtt_client_set_uri(1124): Memory exhausted"},
			{uri("mqtt://a%zz@b"), "mqtt_client: Error parse uri (non-hexadecimal data after %) = mqtt://a%zz@b"},
			{`{"connect_property": {}}`, "mqtt5_client: MQTT protocol version is not v5"},
			{`{"publish_property": {}}`, "mqtt5_client: MQTT protocol version is not v5"},
			{`{"subscribe_property": {}}`, "mqtt5_client: MQTT protocol version is not v5"},
			{`{"disconnect_property": {}}`, "mqtt5_client: MQTT protocol version is not v5"},
		} {
			b.command(blobCommand("init", uri("mqtt://broker")))
			got := logTime.ReplaceAllString(b.command(blobCommand("config", test.blob)), "$1 (0)")
			if got != "E (0) "+test.printed+"\r\n" { // the application does not look at what the client returns
				t.Errorf("%s\nprints %q, want %q", test.blob, got, test.printed)
			}
			if strings.Contains(test.blob, "uri") { // the client has no configuration any more
				b.types("start\n")
				b.expect("(LoadProhibited)")
				b.expect("RESET reason=PANIC")
				b.expect(prompt)
			}
		}
		if got := b.command("destroy"); strings.Contains(got, "mqtt_client") { // it is not stopped, for it was not started
			t.Errorf("destroy: %q", got)
		}
	})
}

// TestConsoleWithoutV5: a build without MQTT 5.0 makes no client for that, and knows no properties.
func TestConsoleWithoutV5(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		options := Options{}
		kconfig := options.DefaultKconfig()
		kconfig.Protocol5 = false
		options.Kconfig = &kconfig
		b := run(t, options)
		b.expect(prompt)
		const failed = "Command returned non-zero error code: 0x1 (ERROR)\r\n"
		const unknown = "E (0) mqtt_conformance: json config: no recognized category present\r\n"
		for _, test := range []struct{ command, blob, printed string }{
			{"init", `{"mqtt_config": {"session": {"protocol_ver": 3}}}`, "E (0) mqtt_client: Please first enable MQTT_PROTOCOL_5 " +
				"feature in menuconfig\r\nE (0) mqtt_conformance: Failed to initialize client\r\n" + failed},
			{"init", `{"connect_property": {}}`, unknown + "E (0) mqtt_conformance: Invalid JSON config\r\n" +
				"E (0) mqtt_conformance: init requires mqtt client config\r\n" + failed},
			{"init", `{"mqtt_config": {}}`, "I (0) mqtt_conformance: Mqtt client initialized\r\n"},
			{"config", `{"connect_property": {}}`, unknown + "E (0) mqtt_conformance: Failed to parse json config\r\n" + failed},
			{"config", `{"unsubscribe_property": {}}`, unknown + "E (0) mqtt_conformance: Failed to parse json config\r\n" + failed},
		} {
			got := logTime.ReplaceAllString(b.command(blobCommand(test.command, test.blob)), "$1 (0)")
			if got != test.printed {
				t.Errorf("%s %s\nprints %q\nwant   %q", test.command, test.blob, got, test.printed)
			}
		}
	})
}

// TestConsolePanics: exceptions that the application does not catch, and what it writes where no memory is.
func TestConsolePanics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		for _, test := range []struct{ line, words string }{
			{blobCommand("init", `{"mqtt_config": {"session": {"keepalive": 1e999}}}`), "abort() was called"},
			{"publish a x 262145 0 0 0", "abort() was called"},
			{"publish a abc 1431655766 0 0 0", "(StoreProhibited)"}, // 2 bytes, of 2^32 + 2
		} {
			if strings.HasPrefix(test.line, "publish") {
				b.initializes()
			}
			b.types(test.line + "\n")
			b.expect(test.line + "\r\n")
			if last, _, _ := strings.Cut(b.expect("Rebooting...\r\n"), "Backtrace"); !strings.Contains(last, test.words) {
				t.Errorf("%s: %q", test.line, last)
			}
			b.expect("RESET reason=PANIC")
			b.expect(prompt)
		}
		b.initializes()
		if got := b.command("publish a abcd 1073741824 1 0 0"); !strings.Contains(got, "Publish requested") { // 2^32 bytes are none
			t.Errorf("a length that overflows to 0: %q", got)
		}
	})
}

// TestUserPropertiesFreedTwice: a board does not outlive an event with user properties where it is asked for that.
func TestUserPropertiesFreedTwice(t *testing.T) {
	t.Parallel()
	const pair = "\x26\x00\x01k\x00\x01v"
	for name, test := range map[string]struct {
		connack, publish string
		last             string // line
	}{
		"CONNACK": {"\x20\x0a\x00\x00\x07" + pair, "", "CONNACK_USER_PROPERTY key=k val=v\r\n"},
		"PUBLISH": {"\x20\x03\x00\x00\x00", "\x30\x0b\x00\x01a\x07" + pair, "MQTT_EVENT_DATA_COMPLETE msg_id=0 total=0\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, quirks := range [][]Quirk{nil, Quirks()} {
				synctest.Test(t, func(t *testing.T) {
					b := run(t, Options{Quirks: quirks})
					b.expect(prompt)
					b.command(blobCommand("init", `{"mqtt_config": {"broker": {"address": {"uri": "mqtt://broker"}},
						"credentials": {"client_id": "dut"}, "session": {"protocol_ver": 3}}}`))
					b.types("start\n")
					conn := b.accepts()
					b.sends(conn, []byte(test.connack+test.publish)...)
					b.expect(test.last)
					if quirks != nil {
						b.expect("assert failed")
						b.expect("RESET reason=PANIC")
						b.expect(prompt)
						return
					}
					if got := b.command("outbox"); !strings.Contains(got, "OUTBOX size=0") {
						t.Errorf("the client is gone: %q", got)
					}
				})
			}
		})
	}
}

// FuzzParseJSON holds the parser against package json: they have to agree on what is JSON.
func FuzzParseJSON(f *testing.F) {
	for _, blob := range regexp.MustCompile(`(?m)^>> \w+ (.*)$`).FindAllStringSubmatch(consoleText, -1) {
		f.Add([]byte(unescaped(blob[1])))
	}
	f.Add([]byte("-0"))
	f.Add([]byte(`[1.5e-7, 18446744073709551616, -9223372036854775808, -0, 1e999, "\ud83d\ude00\u00fc\/"]`))
	surrogate := regexp.MustCompile(`(?i)\\ud[89a-f]`)
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := parseJSON(text)
		if strings.ContainsRune(string(text), 0) || strings.HasPrefix(string(text), "\xef") || err == errNumberOverflow ||
			!utf8.Valid(text) || surrogate.Match(text) {
			return // where the application's library and package json differ
		}
		if valid := json.Valid(text); valid != (err == nil) {
			t.Fatalf("%q is JSON: %t; but %v", text, valid, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "[json.exception.parse_error.101] parse error at line ") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			return // too deep
		}
		if !reflect.DeepEqual(floats(value), floats(want)) {
			t.Errorf("%q is read as %v, want %v", text, value, want)
		}
	})
}

// floats is a value whose numbers are all of the same type, as in package json, with one zero.
func floats(value any) any {
	switch v := value.(type) {
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case float64:
		return v + 0
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = floats(v[key])
		}
	}
	return value
}

// FuzzReadArguments reads any words by the tables of all commands.
func FuzzReadArguments(f *testing.F) {
	for _, line := range regexp.MustCompile(`(?m)^> (.*)$`).FindAllStringSubmatch(consoleText, -1) {
		f.Add(line[1])
	}
	commands := new(conformance).commands()
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range commands {
			for most := 1; most <= 2 && c.arguments != nil; most++ {
				values, errors := readArguments(c.name, splitLine(line), c.arguments, most)
				if n := strings.Count(errors, c.name+": "); errors != "" && (!strings.HasSuffix(errors, "\r\n") || n < 1) {
					t.Errorf("%s %s: %q", c.name, line, errors)
				}
				for i, a := range c.arguments {
					if errors == "" && !a.optional && !values[i].set {
						t.Errorf("%s %s: nothing for %s, and no error", c.name, line, a.value)
					}
				}
			}
		}
	})
}
