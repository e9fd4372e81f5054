package devices

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestSplitter(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text  string
		lines []string
		rest  string
	}{
		"nothing":                        {text: ""},
		"unfinished":                     {text: "abc", rest: "abc"},
		"line feed":                      {text: "one\ntwo\n", lines: []string{"one", "two"}},
		"carriage return":                {text: "one\r\ntwo\r\r\n", lines: []string{"one", "two"}},
		"empty lines":                    {text: "\n\r\n\nx\n\n", lines: []string{"x"}},
		"colours":                        {text: "\x1b[0;32mI (5) tag: text\x1b[0m\n", lines: []string{"I (5) tag: text"}},
		"unfinished escape":              {text: "a\x1b[0;3", rest: "a"},
		"escape without a bracket":       {text: "a\x1bb\n", lines: []string{"ab"}},
		"escape ended by the line":       {text: "a\x1b[0\nb\n", lines: []string{"a", "b"}},
		"escape ended by garbage":        {text: "\x1b[0\xffI (5) x\n", lines: []string{"\uFFFDI (5) x"}},
		"escape after escape":            {text: "\x1b\x1b[1mx\n", lines: []string{"x"}},
		"prompt":                         {text: "mqtt> ", lines: []string{"mqtt> "}},
		"coloured prompt":                {text: "\x1b[32mmqtt> \x1b[0mecho\r\n", lines: []string{"mqtt> ", "echo"}},
		"prompt and a log line":          {text: "mqtt> I (5) t: x\r\n", lines: []string{"mqtt> ", "I (5) t: x"}},
		"prompts":                        {text: "mqtt> mqtt> \r\nmqtt> ", lines: []string{"mqtt> ", "mqtt> ", "mqtt> "}},
		"prompt inside a line":           {text: "publish t mqtt> x\n", lines: []string{"publish t mqtt> x"}},
		"prompt without its blank":       {text: "mqtt>\n", lines: []string{"mqtt>"}},
		"no UTF-8":                       {text: "\xff\xfeets Jul 29\n", lines: []string{"\uFFFDets Jul 29"}},
		"no UTF-8 behind the prompt":     {text: "mqtt> \xc3", lines: []string{"mqtt> "}, rest: "\uFFFD"},
		"escape cut off behind a prompt": {text: "mqtt> \x1b[0", lines: []string{"mqtt> "}},
		"UTF-8":                          {text: "grüße\n", lines: []string{"grüße"}},
		"NUL":                            {text: "\x00x\n", lines: []string{"\x00x"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := splitter{prompt: "mqtt> "}
			if got := s.feed([]byte(test.text)); !slices.Equal(got, test.lines) {
				t.Errorf("feed(%q) = %q, want %q", test.text, got, test.lines)
			}
			if got := s.rest(); got != test.rest {
				t.Errorf("rest after %q is %q, want %q", test.text, got, test.rest)
			}
		})
	}
}

func TestSplitterWithoutPrompt(t *testing.T) {
	t.Parallel()
	var s splitter
	if got := s.feed([]byte("mqtt> \nx\n")); !slices.Equal(got, []string{"mqtt> ", "x"}) {
		t.Errorf("lines are %q", got)
	}
}

// TestSplitterMemory feeds garbage without a line end: it is cut, and no more than one line of it is held.
func TestSplitterMemory(t *testing.T) {
	t.Parallel()
	s := splitter{prompt: "mqtt> "}
	garbage := bytes.Repeat([]byte{0xff, 'U', 0x80, 0x1b}, 1<<10)
	text := 0
	for range 1 << 10 {
		for _, line := range s.feed(garbage) {
			text += len(line)
		}
		if len(s.line) > lineLimit || cap(s.line) > 2*lineLimit {
			t.Fatalf("holds %d bytes in %d", len(s.line), cap(s.line))
		}
	}
	if text == 0 {
		t.Error("gave no line")
	}
	if got := s.feed([]byte("\nagain\n")); got[len(got)-1] != "again" {
		t.Errorf("after the garbage: %.50q", got)
	}
	if cap(s.line) > maxSpare {
		t.Errorf("keeps %d bytes of memory after a long line", cap(s.line))
	}
}

// TestSplitterSpeed feeds a long line byte by byte: work must not grow with the square of its length, or the test
// would not end.
func TestSplitterSpeed(t *testing.T) {
	t.Parallel()
	s := splitter{prompt: "mqtt> "}
	for range lineLimit - 1 {
		if got := s.feed([]byte{'x'}); got != nil {
			t.Fatalf("a line of %d bytes too early", len(got[0]))
		}
	}
	if got := s.feed([]byte{'x'}); len(got) != 1 || len(got[0]) != lineLimit {
		t.Errorf("%d lines instead of one of the limit's length", len(got))
	}
}

// FuzzSplitter holds bytes that arrive one at a time, and in two pieces, against the same bytes all at once.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("\x1b[32mmqtt> \x1b[0mI (5) tag: text\r\n"), 3)
	f.Add([]byte("mqtt> \xc3\xa9\n\xff\x1b[\n"), 7)
	f.Add([]byte("mqtt> mqtt> start\r\nmqtt> "), 9)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		lines := func(pieces ...[]byte) []string {
			s := splitter{prompt: "mqtt> "}
			var all []string
			for _, piece := range pieces {
				all = append(all, s.feed(piece)...)
			}
			return append(all, s.rest())
		}
		whole := lines(data)
		if got := lines(bytes.SplitAfter(data, nil)...); !slices.Equal(got, whole) {
			t.Errorf("one rune at a time %q, all at once %q", got, whole)
		}
		single := make([][]byte, len(data))
		for i := range data {
			single[i] = data[i : i+1]
		}
		if got := lines(single...); !slices.Equal(got, whole) {
			t.Errorf("one at a time %q, all at once %q", got, whole)
		}
		cut = max(0, min(cut, len(data)))
		if got := lines(data[:cut], data[cut:]); !slices.Equal(got, whole) {
			t.Errorf("cut at %d %q, all at once %q", cut, got, whole)
		}
		for _, line := range whole[:len(whole)-1] {
			if line == "" || strings.ContainsAny(line, "\r\n\x1b") {
				t.Errorf("line %q", line)
			}
		}
	})
}
