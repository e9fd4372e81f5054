package frame

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Frame{
		"\x1eCMD 1 {\"do\":\"start\"} 80d4f285": {Kind: Command, Number: 1, Body: `{"do":"start"}`},
		"\x1eGOT 0 376ea94d":                    {Kind: Got},
		"\x1eEVT+ 2147483647 {\"a\": \"grü 4bbd5f89": {
			Kind: Event, More: true, Number: math.MaxInt32, Body: `{"a": "grü`},
	} {
		if got := want.String(); got != text {
			t.Errorf("%q, want %q", got, text)
		}
		if got, err := Parse(text[1:]); err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}

// signed puts the right checksum behind a text.
func signed(text string) string { return text + " " + checksum(text) }

func TestDamaged(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"":                                     ErrForm,
		"CMD 1":                                ErrForm,
		"CMD 1 {}":                             ErrForm,
		"GOT 0 376EA94D":                       ErrForm,
		"GOT 0 376ea94":                        ErrForm,
		"GOT 0 376ea94e":                       ErrChecksum,
		"GOT 1 376ea94d":                       ErrChecksum,
		"GOT  0 376ea94d":                      ErrChecksum,
		signed("GOT 00"):                       ErrForm,
		signed("GOT -1"):                       ErrForm,
		signed("GOT 2147483648"):               ErrForm,
		signed("GOT 99999999999999999999"):     ErrForm,
		signed("GOT x"):                        ErrForm,
		signed("GOT 0 "):                       ErrForm,
		signed("got 0"):                        ErrForm,
		signed("+ 0"):                          ErrForm,
		signed("GOT++ 0"):                      ErrForm,
		signed(" 0"):                           ErrForm,
		signed("GOT"):                          ErrForm,
		signed("CMD 1 \xff"):                   ErrUTF8,
		signed("CMD 1 a\tb"):                   ErrForm,
		signed("CMD 1 a\x1bb"):                 ErrForm,
		signed("CMD 1 " + long(Limit)):         ErrTooLong,
		signed("CMD 1 " + long(Limit-2-6-9+1)): ErrTooLong,
	} {
		if f, err := Parse(text); !errors.Is(err, want) || f != (Frame{}) {
			t.Errorf("%.50q is %.50v, %v, want %v", text, f, err, want)
		}
	}
	if _, err := Parse(signed("CMD 1 " + long(Limit-2-6-9))); err != nil {
		t.Errorf("the longest frame: %v", err)
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// TestOneBit turns every bit of a frame round: none of these passes for a frame.
func TestOneBit(t *testing.T) {
	t.Parallel()
	whole := Frame{Kind: Event, Number: 17, Body: `{"event":"MQTT_EVENT_PUBLISHED","msg_id":4711}`}.String()[1:]
	for i := range len(whole) * 8 {
		damaged := []byte(whole)
		damaged[i/8] ^= 1 << (i % 8)
		if f, err := Parse(string(damaged)); err == nil {
			t.Errorf("%q passes as %+v", damaged, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`CMD 1 {"do":"start"} 80d4f285`)
	f.Add("GOT 0 376ea94d")
	f.Add("EVT+ 2147483647 {\"a\": \"grü 4bbd5f89")
	f.Add(signed("GOT 00"))
	f.Add("I (5) wifi: GOT 0 376ea94d")
	f.Fuzz(func(t *testing.T, text string) {
		frame, err := Parse(text)
		if err != nil {
			if frame != (Frame{}) {
				t.Errorf("%v, and yet %+v", err, frame)
			}
			return
		}
		if got := frame.String(); got != Start+text {
			t.Errorf("%q is read as %q", text, got)
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add("", uint(0))
	f.Add(strings.Repeat("grüße ", 100), uint(0))
	f.Add(strings.Repeat("€", 300), uint(100))
	f.Fuzz(func(t *testing.T, text string, more uint) {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			return
		}
		limit := Smallest + int(more%(Limit-Smallest+1))
		var joined strings.Builder
		frames := Split(Command, math.MaxInt32-uint32(len(text)), text, limit)
		for i, part := range frames {
			whole := part.String()
			got, err := Parse(whole[1:])
			if err != nil || got != part || len(whole)+1 > limit || part.More != (i < len(frames)-1) ||
				part.Number != frames[0].Number+uint32(i) {
				t.Errorf("part %d of %d bytes: %+v, %v", i, len(whole), part, err)
			}
			joined.WriteString(part.Body)
		}
		if joined.String() != text {
			t.Errorf("%q became %q", text, joined.String())
		}
	})
}
