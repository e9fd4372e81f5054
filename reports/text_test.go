package reports

import (
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                             "",
		"bench/up grün ✓":              "bench/up grün ✓",
		"a\nb\r\tc\x00\x7f":            `a\nb\r\tc\x00\x7f`,
		"\xff\xc3(":                    `\xff\xc3(`,
		"\ufffd":                       "\ufffd",
		"\u0085\u202e\ufeff\U000e0001": `\x85\u{202e}\u{feff}\u{e0001}`,
		strings.Repeat("é", maxLine):   strings.Repeat("é", maxLine),
		strings.Repeat("é", maxLine+1): strings.Repeat("é", maxLine) + "… (802 bytes in all)",
	} {
		if got := line(in); got != want {
			t.Errorf("line(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                   "",
		"a\r\nb\n\tc\r\x1b\n\n":              "a\nb\n\tc" + `\r\x1b`,
		strings.Repeat("x\n", maxLines):      strings.Repeat("x\n", maxLines-1) + "x",
		strings.Repeat("x\n", maxLines+2):    strings.Repeat("x\n", maxLines) + "… (2 lines more)",
		strings.Repeat("x", maxBlock) + "yy": strings.Repeat("x", maxBlock) + "… (8002 bytes in all)",
	} {
		if got := block(in); got != want {
			t.Errorf("block(%.20q) is %q, want %q", in, got, want)
		}
	}
}

func TestDump(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		data   string
		length int
		want   string
	}{
		{"", 0, ""},
		{"\x32\x05\x00\x01a", 5, "32050001 61  2...a"},
		{strings.Repeat("a", 40), 40, strings.TrimSpace(strings.Repeat("61616161 ", 8)) + "  " + strings.Repeat("a", 32) +
			"… (40 bytes in all)"},
		{"ab", 2000, "6162  ab… (2000 bytes in all)"},
	} {
		if got := dump([]byte(c.data), c.length); got != c.want {
			t.Errorf("dump(%q) is %q, want %q", c.data, got, c.want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	got := commandLine([]string{"mqtthil", "run", "", "--label", "a && b", "it's", "--seed=1"})
	if want := `mqtthil run '' --label 'a && b' 'it'\''s' --seed=1`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
