package emulator

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// argument is an entry of a command's argument table, as argtable3 has them: a text or a number that the command takes
// once. What has a short and a long name is an option, and may be left out; what has none is known by its place.
type argument struct {
	short, long string
	value       string // what messages call its value
	about       string
	number      bool
	optional    bool
}

// given is what a line says for an argument.
type given struct {
	set    bool
	text   string
	number int
}

// syntaxLimit is how many characters of an option a message has room for.
const syntaxLimit = 198

// syntax is the option with a value behind it, as messages have it.
func (a *argument) syntax(separator, value string) string {
	text := value
	if a.short != "" {
		text = "-" + a.short + separator + "--" + a.long + "=" + value
	}
	return text[:min(len(text), syntaxLimit)]
}

// readArguments reads the words behind a command by its table. Where they do not fit, it says so in lines for the error
// stream; of more than most errors, the last line says that there are too many.
func readArguments(command string, words []string, table []argument, most int) (values []given, errors string) {
	r := argumentReader{table: table, most: most, values: make([]given, len(table))}
	r.places(r.options(words))
	if len(r.errors) == 0 {
		for i, a := range table {
			if !a.optional && !r.values[i].set {
				r.fails("missing option %s", a.syntax("|", a.value))
			}
		}
	}
	for _, text := range r.errors {
		errors += command + ": " + text + "\r\n"
	}
	return r.values, errors
}

type argumentReader struct {
	table  []argument
	most   int // errors that are told
	values []given
	errors []string
}

func (r *argumentReader) fails(format string, about ...any) {
	if len(r.errors) < r.most {
		r.errors = append(r.errors, fmt.Sprintf(format, about...))
	} else {
		r.errors[r.most-1] = "too many errors to display"
	}
}

// options reads the options among the words, as getopt_long of ESP-IDF's C library does, and returns what is left for
// the arguments that are known by their place. Words in front of an unknown option are lost to these. An unknown option
// counts once per character, and is called -? whatever it is.
//
// A dash alone is an option without a name. The library then goes on behind it in memory, where the next word stands, and
// takes that for options; behind the last word it finds whatever an earlier line has left there, here one character.
func (r *argumentReader) options(words []string) []string {
	words = slices.Clone(words)
	const first = 1       // place of an option's first character
	at, place := 0, first // the word that is read, and where in it
	from := 0             // the first of the words that were passed over to find it
	for at < len(words) {
		if place == first {
			from = at
			for at < len(words) && !strings.HasPrefix(words[at], "-") {
				at++
			}
			switch {
			case at == len(words):
				return words[from:]
			case words[at] == "--":
				return slices.Delete(words, at, at+1)[from:]
			case words[at] == "-":
				at++
				behind := "?"
				if at < len(words) && words[at] != "" {
					behind = words[at]
				}
				for range behind {
					r.unknownOption()
				}
				continue
			}
		}
		word := words[at]
		option, value := -1, ""
		long := place == first && strings.HasPrefix(word, "--")
		if long {
			place++
			var name string
			name, value, _ = strings.Cut(word[place:], "=")
			option = slices.IndexFunc(r.table, func(a argument) bool { // the beginning of a name will do
				return a.long != "" && strings.HasPrefix(a.long, name)
			})
		}
		if option < 0 {
			long = false
			name := word[place : place+1]
			place++
			option = slices.IndexFunc(r.table, func(a argument) bool { return a.short == name })
			value = strings.TrimPrefix(word[place:], "=")
		}
		used := 1
		switch {
		case option < 0:
			r.unknownOption()
			if place == len(word) {
				at, place = at+1, first
			}
			continue
		case value == "" && at+1 == len(words):
			r.fails("option \"%s\" requires an argument", word)
			return nil
		case value == "":
			used, value = 2, words[at+1]
			if long && value == "" {
				r.fails("option \"\" requires an argument")
			}
		}
		r.scanned(option, value)
		words = slices.Delete(words, at, at+used)
		at, place = from, first
	}
	return nil
}

func (r *argumentReader) unknownOption() { r.fails(`invalid option "-?"`) }

// places reads words into the arguments that are known by their place. A word that an argument does not take is offered
// to those behind it, and the last of these says what is wrong with it.
func (r *argumentReader) places(words []string) {
	problem := ""
	for i := range r.table {
		for r.table[i].short == "" && len(words) > 0 {
			failure := r.scan(i, words[0])
			if failure != "" {
				problem = failure
				break
			}
			words, problem = words[1:], ""
		}
		if len(words) == 0 {
			return
		}
	}
	if problem != "" {
		r.fails("%s", problem)
		words = words[1:]
	}
	for _, word := range words {
		r.fails("unexpected argument \"%s\"", word)
	}
}

func (r *argumentReader) scanned(i int, word string) {
	if failure := r.scan(i, word); failure != "" {
		r.fails("%s", failure)
	}
}

// scan reads a word as an argument, or says why it is none.
func (r *argumentReader) scan(i int, word string) (failure string) {
	a, value := &r.table[i], &r.values[i]
	if value.set {
		return "excess option " + a.syntax("|", word)
	}
	if a.number {
		number, found, overflow := readNumber(word)
		switch {
		case !found:
			return fmt.Sprintf("invalid argument \"%s\" to option %s", word, a.syntax("|", a.value))
		case overflow:
			return fmt.Sprintf("integer overflow at option %s (%s is too large)", a.syntax("|", a.value), word)
		}
		value.number = number
	}
	value.set, value.text = true, word
	return ""
}

// readNumber reads a number as argtable3 does: decimal, or with 0x, 0o or 0b in front; with KB, MB or GB behind it, in
// which case alone it says that the number is too large. Without these, one that is too large is the largest.
func readNumber(text string) (number int, found, overflow bool) {
	rest := ""
	for _, prefix := range []struct {
		letter string
		base   int
	}{{"x", 16}, {"o", 8}, {"b", 2}} {
		if number, rest, found = readPrefixed(text, prefix.letter, prefix.base); found {
			break
		}
	}
	if !found {
		if number, rest, found = readInteger(text, 10); !found {
			return 0, false, false
		}
	}
	scale := 1
	for i, unit := range []string{"KB", "MB", "GB"} {
		if len(rest) >= len(unit) && strings.EqualFold(rest[:len(unit)], unit) {
			scale, rest = 1<<(10*(i+1)), rest[len(unit):]
			break
		}
	}
	if strings.Trim(rest, " ") != "" {
		return 0, false, false
	}
	return number * scale, true, number > math.MaxInt32/scale || number < math.MinInt32/scale
}

// readPrefixed reads a number whose base a letter says: sign, zero, letter, and then a number that may have blanks and a
// sign of its own.
func readPrefixed(text, letter string, base int) (number int, rest string, found bool) {
	sign, rest := readSign(text)
	if len(rest) < 2 || rest[0] != '0' || !strings.EqualFold(rest[1:2], letter) {
		return 0, text, false
	}
	number, rest, found = readInteger(rest[2:], base)
	return int(int32(sign * number)), rest, found
}

// readInteger is strtol, for a long of 32 bits.
func readInteger(text string, base int) (number int, rest string, found bool) {
	sign, rest := readSign(text)
	if base == 16 && len(rest) > 2 && strings.EqualFold(rest[:2], "0x") && digit(rest[2]) < base {
		rest = rest[2:]
	}
	amount := int64(0)
	for len(rest) > 0 && digit(rest[0]) < base {
		amount = min(amount*int64(base)+int64(digit(rest[0])), math.MaxInt32+1)
		rest, found = rest[1:], true
	}
	return int(min(int64(sign)*amount, math.MaxInt32)), rest, found
}

func readSign(text string) (sign int, rest string) {
	rest = strings.TrimLeft(text, " ")
	switch {
	case strings.HasPrefix(rest, "-"):
		return -1, rest[1:]
	case strings.HasPrefix(rest, "+"):
		return 1, rest[1:]
	}
	return 1, rest
}

// digit is what a character is worth as a digit; what is none is worth more than any.
func digit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'z':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'Z':
		return int(b-'A') + 10
	}
	return math.MaxInt
}
