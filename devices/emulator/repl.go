package emulator

import (
	"errors"
	"strings"
)

// The console of the application.
const (
	prompt     = "mqtt> "
	lineLimit  = 2048 // characters of a line; what is typed beyond is not taken
	notKnown   = "Unrecognized command\r\n"
	returnedOn = "Command returned non-zero error code: 0x1 (ERROR)\r\n"
)

// repl is the console task: it echoes what is typed and runs each line, one after the other, until the power goes.
func (p *power) repl() {
	var line []byte
	p.write(prompt)
	for {
		select {
		case <-p.off:
			return
		case chunk := <-p.input:
			for len(chunk) > 0 && !p.dead() {
				end := strings.IndexAny(string(chunk), "\r\n")
				if end < 0 {
					line = p.take(line, chunk)
					break
				}
				line = p.take(line, chunk[:end])
				if chunk[end] == '\r' && end+1 < len(chunk) && chunk[end+1] == '\n' {
					end++
				}
				chunk = chunk[end+1:]
				p.write("\r\n")
				p.run(string(line))
				line = line[:0]
				p.write(prompt)
			}
		}
	}
}

// take adds typed characters to the line and echoes them; backspace takes one away.
func (p *power) take(line, typed []byte) []byte {
	for _, b := range typed {
		switch {
		case b == 0x08 || b == 0x7f:
			if len(line) > 0 {
				line = line[:len(line)-1]
			}
		case len(line) < lineLimit:
			line = append(line, b)
		}
	}
	p.write(string(typed))
	return line
}

// run runs one line.
func (p *power) run(line string) {
	arguments, err := splitLine(line)
	if err != nil || len(arguments) == 0 {
		return // the console says nothing to an empty line, nor to one it cannot split
	}
	known, ok := p.app.command(arguments[0], arguments[1:])
	if !known {
		p.write(notKnown)
	} else if !ok {
		p.write(returnedOn)
	}
}

// errUnbalanced is a line whose quotes do not close.
var errUnbalanced = errors.New("quotes do not close")

// splitLine splits at blanks; double quotes hold an argument together and a backslash takes the next character as it
// is.
func splitLine(line string) ([]string, error) {
	var arguments []string
	var word strings.Builder
	started, quoted := false, false
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case b == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			started = true
		case b == '"':
			quoted, started = !quoted, true
		case b == ' ' && !quoted:
			if started {
				arguments = append(arguments, word.String())
				word.Reset()
			}
			started = false
		default:
			word.WriteByte(b)
			started = true
		}
	}
	if quoted {
		return nil, errUnbalanced
	}
	if started {
		arguments = append(arguments, word.String())
	}
	return arguments, nil
}
