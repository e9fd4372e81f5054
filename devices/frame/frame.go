// Package frame is the outer form of what is said on mqtthil's stub console, the same in both directions: lines that
// can be told from log lines and garbage, and of which a damaged one is noticed. firmware-stub/README.md has the whole
// protocol.
//
//	RS kind SP number [SP body] SP checksum LF
package frame

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Start is the character that begins a frame and occurs nowhere else in it: ASCII's record separator.
const Start = "\x1e"

// Bounds of a frame, in bytes from Start to the line end, both included.
const (
	Limit    = 1024 // no frame is longer
	Smallest = 128  // what every device can take at once
)

// overhead is what the longest kind and number, the marks and the checksum take of a frame.
const overhead = 40

// Kinds of frames that the bench sends.
const (
	Command = "CMD"   // number of the command; body: what to do
	Got     = "GOT"   // number of the last event that has come, and all before it
	Again   = "AGAIN" // number of the event to be sent again, and all behind it
	Who     = "WHO"   // 0: asks for Ready
)

// Kinds of frames that the device sends.
const (
	Ready  = "HIL-READY" // version of the protocol; body: who the device is
	Ack    = "ACK"       // number of the command that has come
	Nak    = "NAK"       // number of the last command that has come; body: what was wrong with what came now
	Result = "RES"       // number of the command; body: what came of it
	Event  = "EVT"       // number of the event; body: what happened
)

// more stands behind the kind of a frame whose text the next frame goes on with.
const more = "+"

// Frame is one frame.
type Frame struct {
	Kind   string
	More   bool   // the body is a part of a text that the next frame goes on with
	Number uint32 // at most math.MaxInt32
	Body   string
}

// What can be wrong with a frame. Their texts are the codes that a device says it with.
var (
	ErrTooLong  = errors.New("too-long")
	ErrChecksum = errors.New("checksum")
	ErrUTF8     = errors.New("utf8")
	ErrForm     = errors.New("form")
)

// String is the frame without its line end.
func (f Frame) String() string {
	text := f.Kind
	if f.More {
		text += more
	}
	text += " " + strconv.FormatUint(uint64(f.Number), 10)
	if f.Body != "" {
		text += " " + f.Body
	}
	return Start + text + " " + checksum(text)
}

// checksum is that of a frame's text, from its kind to its body: the CRC-32 of Ethernet and of zip.
func checksum(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// Parse reads a frame, from behind Start to before its line end.
func Parse(text string) (Frame, error) {
	if len(Start)+len(text)+1 > Limit {
		return Frame{}, fmt.Errorf("%w: a frame has at most %d bytes", ErrTooLong, Limit)
	}
	i := strings.LastIndexByte(text, ' ')
	if i < 0 || len(text)-i-1 != 8 || strings.Trim(text[i+1:], "0123456789abcdef") != "" {
		return Frame{}, fmt.Errorf("%w: a frame ends with a blank and eight hexadecimal digits in lower case", ErrForm)
	}
	text, given := text[:i], text[i+1:]
	if want := checksum(text); given != want {
		return Frame{}, fmt.Errorf("%w: it is %s, but should be %s", ErrChecksum, given, want)
	}
	if !utf8.ValidString(text) {
		return Frame{}, fmt.Errorf("%w: a frame is UTF-8 text", ErrUTF8)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		return Frame{}, fmt.Errorf("%w: a control character", ErrForm)
	}
	kind, rest, _ := strings.Cut(text, " ")
	number, body, hasBody := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n > math.MaxInt32 || number != strconv.FormatUint(n, 10) {
		return Frame{}, fmt.Errorf("%w: %.20q is no number from 0 to %d", ErrForm, number, math.MaxInt32)
	}
	f := Frame{Number: uint32(n), Body: body}
	f.Kind, f.More = strings.CutSuffix(kind, more)
	if f.Kind == "" || strings.Trim(f.Kind, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || hasBody && body == "" {
		return Frame{}, fmt.Errorf("%w: a frame is a kind in capital letters, a number and a body", ErrForm)
	}
	return f, nil
}

// Split makes frames of a text, of at most limit bytes each, with numbers from first on. A text is cut between
// characters, so that every frame is UTF-8.
func Split(kind string, first uint32, text string, limit int) (frames []Frame) {
	size := limit - overhead
	for ; len(text) > size; first++ {
		n := size
		for n > 1 && !utf8.RuneStart(text[n]) {
			n--
		}
		frames = append(frames, Frame{Kind: kind, More: true, Number: first, Body: text[:n]})
		text = text[n:]
	}
	return append(frames, Frame{Kind: kind, Number: first, Body: text})
}
