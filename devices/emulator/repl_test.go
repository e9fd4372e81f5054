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
		{"\xff \xc3", []string{"\xff", "\xc3"}},
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
			got := splitLine(line)
			want := []string{string(r.Action), topic}
			switch {
			case r.Action == devices.ActionSubscribe:
				want = append(want, digit)
			case r.Action == devices.ActionPublish && len(got) == 7:
				if pattern := got[2]; payload != "" && strings.ReplaceAll(payload, pattern, "") != "" {
					t.Errorf("%q: pattern %q of payload %q", line, pattern, payload)
				}
				want = append(want, got[2], got[3], digit, "1", "0")
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q is read as %q, want %q", line, got, want)
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
		"line feed":            {"a\nb\n", []string{"a", "b"}, "a\r\nb\r\n", ""},
		"carriage return":      {"a\rb\r", []string{"a", "b"}, "a\r\nb\r\n", ""},
		"both":                 {"a\r\n\r\nb\r\n", []string{"a", "", "b"}, "a\r\n\r\nb\r\n", ""},
		"the other way":        {"a\n\rb", []string{"a", ""}, "a\r\n\r\nb", "b"},
		"unfinished":           {"abc", nil, "abc", "abc"},
		"backspace":            {"ab\x08\x7f\x7fc\n", []string{"c"}, "ab\b \b\b \bc\r\n", ""},
		"too long":             {long + "yz\n", []string{long}, long + "\r\n", ""},
		"too long, taken back": {long + "yz\x08w\n", []string{long[1:] + "w"}, long + "\b \bw\r\n", ""},
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
