package devices

import "strings"

// lineLimit bounds a line, in bytes: garbage without a line end is cut there. It is more than a chip's memory holds, so
// that no line which a device means is ever cut.
const lineLimit = 1 << 20

// splitter cuts a console's bytes into lines, byte by byte, so that the lines do not depend on how the bytes arrive.
// Carriage returns and terminal escape sequences are left out, empty lines too. The prompt counts as a line of its own
// although no line end follows it, so that what another task prints behind it is not taken for a part of it.
type splitter struct {
	prompt string
	line   []byte // the unfinished line
	escape escape
}

// escape is how far into a terminal escape sequence the bytes are.
type escape int

const (
	noEscape  escape = iota
	escaped          // after ESC
	parameter        // after ESC and the bracket: up to the letter that ends the sequence
)

// feed takes bytes and returns the lines that they complete.
func (s *splitter) feed(data []byte) []string {
	var lines []string
	for _, b := range data {
		if !s.shows(b) {
			continue
		}
		if b != '\n' {
			s.line = append(s.line, b)
		}
		if b == '\n' && len(s.line) > 0 || s.isPrompt() || len(s.line) == lineLimit {
			lines = append(lines, s.rest())
			s.line = s.line[:0]
			if cap(s.line) > maxSpare {
				s.line = nil
			}
		}
	}
	return lines
}

// isPrompt says whether the unfinished line is the prompt. The comparison of lengths comes first because it is made for
// every byte.
func (s *splitter) isPrompt() bool {
	return len(s.line) == len(s.prompt) && len(s.line) > 0 && string(s.line) == s.prompt
}

// maxSpare bounds the memory that is kept for the next line.
const maxSpare = 4096

// shows says whether a byte is text or a line end, and no part of an escape sequence. A byte that no sequence can hold
// ends it, so that garbage that looks like the beginning of one hides no more than itself.
func (s *splitter) shows(b byte) bool {
	switch before := s.escape; {
	case b == 0x1b:
		s.escape = escaped
		return false
	case before == escaped && b == '[':
		s.escape = parameter
		return false
	case before == parameter && 0x20 <= b && b <= 0x3f:
		return false
	case before == parameter && 0x40 <= b && b <= 0x7e:
		s.escape = noEscape
		return false
	}
	s.escape = noEscape
	return b != '\r'
}

// rest is the unfinished line. What is no UTF-8 is replaced.
func (s *splitter) rest() string { return strings.ToValidUTF8(string(s.line), "\uFFFD") }
