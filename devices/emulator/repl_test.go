package emulator

import (
	"slices"
	"strings"
	"testing"

	"mqtthil/devices"
	"mqtthil/devices/console"
)

func TestSplitLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line      string
		arguments []string
	}{
		{"", nil},
		{"   ", nil},
		{"start", []string{"start"}},
		{"  subscribe  a/b   1 ", []string{"subscribe", "a/b", "1"}},
		{`publish "a b" "c \"d\" \\" 1`, []string{"publish", "a b", `c "d" \`, "1"}},
		{`""`, []string{""}},
		{`a "" b`, []string{"a", "", "b"}},
		{`a\ b`, []string{"a b"}},
		{`\"`, []string{`"`}},
		{`a"b c"d`, []string{`a"b`, `c"d`}}, // inside an argument a quote is a character
		{`"a"b`, []string{"a", "b"}},        // a closing quote ends the argument
		{`"a b`, []string{"a b"}},           // the end of the line closes a quote
		{`\n\t`, []string{""}},              // unknown escapes are swallowed
		{`a\`, []string{"a"}},
		{`\`, []string{""}},
		{`"\`, []string{""}},
		{"a\tb", []string{"a\tb"}},
		{strings.Repeat("a ", 40), strings.Fields(strings.Repeat("a ", wordLimit))},
		{strings.Repeat("a ", 30) + "b c d", append(strings.Fields(strings.Repeat("a ", 30)), "b")},
	}
	for _, test := range tests {
		if got := splitLine(test.line); !slices.Equal(got, test.arguments) {
			t.Errorf("splitLine(%q) = %q, want %q", test.line, got, test.arguments)
		}
	}
}

// FuzzSplitCommand types what the bench would type, and holds what the console reads against what was meant.
func FuzzSplitCommand(f *testing.F) {
	f.Add("a/b", "hello", byte(1))
	f.Add(`say "hi"`, `back\slash \"`, byte(2))
	f.Add("", "", byte(0))
	f.Add(" ", `"`, byte(0))
	f.Add("grüße", "\xff ", byte(1))
	f.Add("-a", "--", byte(1))
	f.Add("--", "-v-v", byte(2))
	f.Add("-", "\\", byte(0))
	commands := new(conformance).commands()
	f.Fuzz(func(t *testing.T, topic, payload string, qos byte) {
		qos %= 3
		digit := string('0' + rune(qos))
		for _, r := range []devices.Request{
			{Action: devices.ActionSubscribe, Topic: topic, QoS: devices.QoS(qos)},
			{Action: devices.ActionUnsubscribe, Topic: topic},
			{Action: devices.ActionPublish, Topic: topic, Payload: payload, QoS: devices.QoS(qos), Retain: true},
		} {
			line, err := console.Espressif{}.Talk(nil).Command(r)
			if err != nil {
				continue // cannot be typed
			}
			words := splitLine(line)
			at := slices.IndexFunc(commands, func(c command) bool { return c.name == words[0] })
			got, errors := readArguments(words[0], words[1:], commands[at].arguments, 1)
			if errors != "" {
				t.Fatalf("%q is taken for wrong: %s", line, errors)
			}
			want := []given{{set: true, text: topic}}
			switch {
			case r.Action == devices.ActionSubscribe:
				want = append(want, given{true, digit, int(qos)})
			case r.Action == devices.ActionPublish:
				pattern, repetitions := got[1].text, got[2].number
				if strings.Repeat(pattern, repetitions) != payload {
					t.Errorf("%q: pattern %q of payload %q", line, pattern, payload)
				}
				want = append(want, got[1], got[2], given{true, digit, int(qos)}, given{true, "1", 1}, given{true, "0", 0})
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q is read as %v, want %v", line, got, want)
			}
		}
	})
}

func TestEditor(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", lineLimit)
	tests := map[string]struct {
		typed string
		lines []string
		echo  string
		rest  string
	}{
		"line feed":          {"a\nb\n", []string{"a", "b"}, "a\r\nb\r\n", ""},
		"carriage return":    {"a\rb\r", []string{"a", "b"}, "a\r\nb\r\n", ""},
		"both":               {"a\r\nb\r\n", []string{"a", "", "b", ""}, "a\r\n\r\nb\r\n\r\n", ""},
		"the other way":      {"a\n\rb", []string{"a", ""}, "a\r\n\r\nb", "b"},
		"unfinished":         {"abc", nil, "abc", "abc"},
		"backspace":          {"ab\x08\x7f\x7fc\n", []string{"c"}, "ab\b \b\b \x7fc\r\n", ""},
		"control characters": {"\x00a\tb\x1b[A\x03\x04\n", []string{"ab[A"}, "ab[A\r\n", ""},
		"not ASCII":          {"a\xc3\xbc\x80\xffb\x08\x08\n", []string{"a"}, "a\xc3\xbc\x80\xffb\b \b\b \b\r\n", ""},
		"too long":           {long + "yz\n", []string{long, "yz"}, long + "\r\nyz\r\n", ""},
		"full":               {long + "\n", []string{long, ""}, long + "\r\n\r\n", ""},
		"nearly, taken back": {long[1:] + "\x08w\n", []string{long[2:] + "w"}, long[1:] + "\b \bw\r\n", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var e editor
			var lines []string
			echo := ""
			for _, b := range []byte(test.typed) {
				if e.typed(b) {
					lines = append(lines, e.take())
				}
				echo += e.takeEcho()
			}
			if !slices.Equal(lines, test.lines) || echo != test.echo || string(e.line) != test.rest {
				t.Errorf("lines %.80q, echo %.80q, rest %.80q", lines, echo, e.line)
			}
		})
	}
}
