package emulator

import (
	"slices"
	"strings"
)

// The console of the application is ESP-IDF's, as it is where the terminal has not answered the question for its status:
// it echoes what is typed, and knows no keys but backspace. The question itself, an escape sequence, is not asked here: a
// terminal that answered it would have its answer taken for a line.
const (
	prompt     = "mqtt> "
	lineLimit  = 2047 // characters of a line: the last of them ends it
	wordLimit  = 31   // words of a line; what stands behind them is not read
	notKnown   = "Unrecognized command\r\n"
	returnedOn = "Command returned non-zero error code: 0x1 (ERROR)\r\n"
	greeting   = "\r\r\nType 'help' to get the list of commands.\r\r\n" +
		"Use UP/DOWN arrows to navigate through command history.\r\r\n" +
		"Press TAB when typing command name to auto-complete.\r\r\n" +
		"\r\r\nYour terminal application does not support escape sequences.\r\n\r\n" +
		"Line editing and history features are disabled.\r\n\r\n" +
		"On Windows, try using Windows Terminal or Putty instead.\r\r\n"
)

// commander runs a command. It says whether there is such a command, and whether it succeeded.
type commander func(name string, arguments []string) (known, ok bool)

// repl is the console task: it echoes what is typed and runs each line, one after the other, until the power goes. It is
// a goroutine only while there is something to do.
func (p *power) repl(command commander) {
	var line editor
	p.write(greeting + prompt)
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
		for _, b := range text {
			if !line.typed(b) {
				continue
			}
			if !awake {
				p.wake(lineCost)
				awake = true
			}
			p.write(line.takeEcho())
			p.run(command, line.take())
			if p.dead() {
				return
			}
			p.write(prompt)
		}
		p.write(line.takeEcho())
	}
}

// editor is a line that is being typed. It ends with CR or LF, or when it is full; the end that is typed then, or the
// other half of CR and LF, makes an empty line.
type editor struct {
	line []byte
	echo []byte
}

// typed takes a character and says whether it ends the line. Backspace takes one away; other control characters are
// nothing.
func (e *editor) typed(b byte) (ended bool) {
	switch {
	case b == '\r' || b == '\n':
		e.echo = append(e.echo, "\r\n"...)
		return true
	case b == 0x08 || b == 0x7f:
		if len(e.line) > 0 {
			e.line = e.line[:len(e.line)-1]
			e.echo = append(e.echo, '\b', ' ', b)
		}
	case b >= ' ':
		e.line = append(e.line, b)
		e.echo = append(e.echo, b)
	}
	if len(e.line) < lineLimit {
		return false
	}
	e.echo = append(e.echo, "\r\n"...)
	return true
}

// take takes the line, of which only printable ASCII characters are kept.
func (e *editor) take() string {
	line := slices.DeleteFunc(e.line, func(b byte) bool { return b > '~' })
	e.line = nil // for most of the time nobody types
	return string(line)
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
	return arguments[:min(len(arguments), wordLimit)]
}
