package devices

import (
	"bytes"
	"strings"
)

// lineLimit bounds a line, in bytes: garbage without a line end is cut there.
const lineLimit = 64 << 10

// splitter cuts a console's bytes into lines. The prompt counts as a line of its own although no line end follows it,
// so that what another task prints behind it is not taken for a part of it.
type splitter struct {
	prompt  string
	partial []byte
}

// feed takes bytes and returns the lines that they complete, without line ends and terminal escape sequences.
func (s *splitter) feed(data []byte) []string {
	var lines []string
	s.partial = append(s.partial, data...)
	for {
		end := bytes.IndexByte(s.partial, '\n')
		switch text := plain(s.partial); {
		case s.prompt != "" && strings.HasPrefix(text, s.prompt):
			lines = append(lines, s.prompt)
			s.partial = append([]byte(nil), text[len(s.prompt):]...)
			continue
		case end < 0 && len(s.partial) > lineLimit:
			end = lineLimit
			lines = append(lines, plain(s.partial[:end]))
			s.partial = s.partial[end:]
			continue
		case end < 0:
			return lines
		}
		if line := plain(s.partial[:end]); line != "" {
			lines = append(lines, line)
		}
		s.partial = s.partial[end+1:]
	}
}

// rest is an unfinished last line.
func (s *splitter) rest() string { return plain(s.partial) }

// plain takes carriage returns and terminal escape sequences out of a line, and what is no UTF-8.
func plain(line []byte) string {
	var text strings.Builder
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case b == '\r':
		case b == 0x1b && i+1 < len(line) && line[i+1] == '[':
			for i += 2; i < len(line) && (line[i] < 0x40 || line[i] > 0x7e); i++ {
			}
		default:
			text.WriteByte(b)
		}
	}
	return strings.ToValidUTF8(text.String(), "\uFFFD")
}
