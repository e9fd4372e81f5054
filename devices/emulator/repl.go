package emulator

import "strings"

// The console of the application.
const (
	prompt     = "mqtt> "
	lineLimit  = 2048 // characters of a line; what is typed beyond is not taken
	notKnown   = "Unrecognized command\r\n"
	returnedOn = "Command returned non-zero error code: 0x1 (ERROR)\r\n"
)

// commander runs a command. It says whether there is such a command, and whether it succeeded.
type commander func(name string, arguments []string) (known, ok bool)

// repl is the console task: it echoes what is typed and runs each line, one after the other, until the power goes. It is
// a goroutine only while there is something to do.
func (p *power) repl(command commander) {
	var line editor
	p.write(prompt)
	p.typed.serve(func() {
		if p.begin() {
			go func() {
				defer p.tasks.Done()
				p.converse(command, &line)
			}()
		}
	})
}

// converse deals with all that was typed.
func (p *power) converse(command commander, line *editor) {
	awake := false
	for text := p.typed.take(); len(text) > 0; text = p.typed.take() {
		ended := false
		for _, b := range text {
			ended = line.typed(b)
		}
		p.write(line.takeEcho())
		if !ended { // the last byte of a text is the only one that may end a line
			continue
		}
		if !awake {
			p.wake()
			awake = true
		}
		p.run(command, line.take())
		if p.dead() {
			return
		}
		p.write(prompt)
	}
}

// editor is a line that is being typed. A line ends with CR, LF or both.
type editor struct {
	line    []byte
	echo    []byte
	afterCR bool
}

// typed takes a character and says whether it ends the line. Backspace takes one away.
func (e *editor) typed(b byte) (ended bool) {
	second := e.afterCR && b == '\n'
	e.afterCR = b == '\r'
	switch {
	case second:
	case b == '\r' || b == '\n':
		e.echo = append(e.echo, "\r\n"...)
		return true
	case b == 0x08 || b == 0x7f:
		if len(e.line) > 0 {
			e.line = e.line[:len(e.line)-1]
			e.echo = append(e.echo, "\b \b"...)
		}
	case len(e.line) < lineLimit:
		e.line = append(e.line, b)
		e.echo = append(e.echo, b)
	}
	return false
}

func (e *editor) take() string {
	line := string(e.line)
	e.line = nil // for most of the time nobody types
	return line
}

func (e *editor) takeEcho() string {
	echo := string(e.echo)
	e.echo = nil
	return echo
}

// run runs one line. The console says nothing to an empty one.
func (p *power) run(command commander, line string) {
	arguments := splitLine(line)
	if len(arguments) == 0 {
		return
	}
	known, ok := command(arguments[0], arguments[1:])
	if !known {
		p.write(notKnown)
	} else if !ok {
		p.write(returnedOn)
	}
}

// splitLine splits at blanks. An argument that begins with a double quote reaches to the next one, or to the end of the
// line; further on, a double quote is a character like any other. A backslash takes the blank, quote or backslash behind
// it as it is, and swallows any other character.
func splitLine(line string) []string {
	var arguments []string
	var word strings.Builder
	inside, quoted := false, false
	end := func() {
		if inside {
			arguments = append(arguments, word.String())
			word.Reset()
		}
		inside, quoted = false, false
	}
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case b == '\\':
			inside = true
			if i++; i < len(line) && strings.IndexByte(` "\`, line[i]) >= 0 {
				word.WriteByte(line[i])
			}
		case quoted && b == '"', !quoted && b == ' ':
			end()
		case b == '"' && !inside:
			inside, quoted = true, true
		default:
			inside = true
			word.WriteByte(b)
		}
	}
	end()
	return arguments
}
