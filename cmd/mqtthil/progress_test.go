package main

import (
	"strings"
	"testing"
)

func TestFit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line  string
		width int
		want  string
	}{
		{"[1/9] short", 80, "[1/9] short"},
		{"12345", 6, "12345"},
		{"12345", 5, "123…"}, // the last column stays free: some terminals wrap there
		{"ÄÖÜäöü", 5, "ÄÖÜ…"},
		{"12345", 2, "…"},
		{"12345", 1, "…"},
	} {
		if got := fit(test.line, test.width); got != test.want {
			t.Errorf("%q in %d columns: %q, want %q", test.line, test.width, got, test.want)
		}
	}
}

func TestIndent(t *testing.T) {
	t.Parallel()
	if got, want := indent("one\ntwo \x1b[2J\x07\n"), "one\n            two \uFFFD[2J\uFFFD"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := indent(strings.Repeat("line\n", 20)); !strings.HasSuffix(got, "… 8 more lines in the report") {
		t.Errorf("%q", got)
	}
}
