package emulator

import (
	"fmt"
	"strings"
)

// helpArguments are those of the command help.
var helpArguments = []argument{
	{value: "<string>", about: "the command to tell of", optional: true},
	{short: "v", long: "verbose", value: "<0|1>", number: true, optional: true,
		about: "0: the commands alone, 1: what they do, too"},
}

// helpAbout is longer than a line of the help.
const (
	helpAbout = "Tell what the commands are, or of the one that is named what it does and which arguments it has."
	helpWidth = 77
)

// help lists the commands of ESP-IDF's console that have a text for it, or one of them.
func help(commands []command, values []given) (text string, ok bool) {
	name, level := values[0], 1
	if values[1].set {
		level = values[1].number
	}
	if !name.set && level != 0 && level != 1 {
		return fmt.Sprintf("help: invalid verbose level %d", level), false // without a line end
	}
	for _, c := range commands {
		switch {
		case c.about == "" || name.set && name.text != c.name:
		case name.set:
			return c.help(), true
		case level == 0:
			text += c.usage() + "\r\n"
		default:
			text += c.help()
		}
	}
	if name.set {
		return fmt.Sprintf("help: Unrecognized option '%s'. Please use correct command as argument "+
			"or type 'help' only to print help for all commands\r\n", name.text), false
	}
	return text, true
}

// usage is the line of a command with its arguments.
func (c *command) usage() string {
	line := c.name + " "
	for _, a := range c.arguments {
		syntax := a.value
		if a.short != "" {
			syntax = "-" + a.short + " " + syntax
		}
		if a.optional {
			syntax = "[" + syntax + "]"
		}
		line += " " + syntax
	}
	return line + "\r\n"
}

// help is what the help says of a command.
func (c *command) help() string {
	text := c.usage()
	line := " "
	for _, word := range strings.Fields(c.about) {
		if len(line)-1+len(word) > helpWidth {
			text += line + "\r\n"
			line = " "
		}
		line += " " + word
	}
	text += line + "\r\n"
	for _, a := range c.arguments {
		text += fmt.Sprintf("  %12s  %s\r\n", a.syntax(", ", a.value), a.about)
	}
	return text + "\r\n"
}
