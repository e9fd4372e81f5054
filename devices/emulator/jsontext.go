package emulator

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parseJSON reads a JSON text as the application's library, nlohmann's, does, and complains in its words. A value is nil,
// a bool, an int64 (a negative number), a uint64, a float64, a string, a []any or a map[string]any, whose members keep the
// last value of a key that comes twice. An error says what the library's exception says.
func parseJSON(text []byte) (value any, err error) {
	p := jsonParser{text: text, line: 1}
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case jsonFailure:
			value, err = nil, failure.error
		default:
			panic(failure)
		}
	}()
	p.next()
	value = p.value()
	if p.next(); p.token != endOfInput {
		p.fails("value", endOfInput)
	}
	return value, nil
}

// jsonFailure is what the parser panics with.
type jsonFailure struct{ error }

// errNumberOverflow is for a number that is beyond what a double can hold. The library throws another exception then.
var errNumberOverflow = errors.New("[json.exception.out_of_range.406] number overflow")

// The tokens, by the library's names for them.
const (
	noToken      = ""
	badToken     = "<parse error>"
	endOfInput   = "end of input"
	trueToken    = "true literal"
	falseToken   = "false literal"
	nullToken    = "null literal"
	stringToken  = "string literal"
	numberToken  = "number literal"
	arrayBegins  = "'['"
	arrayEnds    = "']'"
	objectBegins = "'{'"
	objectEnds   = "'}'"
	colonToken   = "':'"
	commaToken   = "','"
	anyValue     = "'[', '{', or a literal"
)

// jsonParser is the library's parser and scanner. Its methods panic with a jsonFailure.
type jsonParser struct {
	text []byte
	at   int // characters that were read; one more for each time that the end was met
	from int // where what the library shows as last read began: the last text or number, and not the last token

	line, column int
	ended        bool // the character that was read last is the end

	token   string // that was read last
	scalar  any    // its value, where it is a text or a number
	problem string // what is wrong with a badToken
}

const theEnd = -1

// read reads a character.
func (p *jsonParser) read() int {
	p.column++
	if p.ended = p.at >= len(p.text); p.ended {
		return theEnd
	}
	b := p.text[p.at]
	p.at++
	if b == '\n' {
		p.line++
		p.column = 0
	}
	return int(b)
}

// unread takes a read back.
func (p *jsonParser) unread() {
	if p.column > 0 {
		p.column--
	} else {
		p.line--
	}
	if !p.ended {
		p.at--
	}
}

// fails ends the parsing: what was expected is said where it is known.
func (p *jsonParser) fails(context, expected string) {
	what := "unexpected " + p.token
	if p.token == badToken {
		var last strings.Builder
		for _, b := range p.text[p.from:p.at] {
			if b < ' ' {
				fmt.Fprintf(&last, "<U+%04X>", b)
			} else {
				last.WriteByte(b)
			}
		}
		what = p.problem + "; last read: '" + last.String() + "'"
	}
	if expected != noToken {
		what += "; expected " + expected
	}
	panic(jsonFailure{fmt.Errorf("[json.exception.parse_error.101] parse error at line %d, column %d: "+
		"syntax error while parsing %s - %s", p.line, p.column, context, what)})
}

// value is the value that begins with the token that was read last.
func (p *jsonParser) value() any {
	switch p.token {
	case objectBegins:
		return p.object()
	case arrayBegins:
		return p.array()
	case trueToken:
		return true
	case falseToken:
		return false
	case nullToken:
		return nil
	case stringToken:
		return p.scalar
	case numberToken:
		if number, ok := p.scalar.(float64); ok && math.IsInf(number, 0) {
			panic(jsonFailure{errNumberOverflow})
		}
		return p.scalar
	case badToken:
		p.fails("value", noToken)
	}
	p.fails("value", anyValue)
	return nil
}

func (p *jsonParser) object() map[string]any {
	members := map[string]any{}
	if p.next(); p.token == objectEnds {
		return members
	}
	for {
		if p.token != stringToken {
			p.fails("object key", stringToken)
		}
		key := p.scalar.(string)
		if p.next(); p.token != colonToken {
			p.fails("object separator", colonToken)
		}
		p.next()
		members[key] = p.value()
		switch p.next(); p.token {
		case objectEnds:
			return members
		case commaToken:
			p.next()
		default:
			p.fails("object", objectEnds)
		}
	}
}

func (p *jsonParser) array() []any {
	elements := []any{}
	if p.next(); p.token == arrayEnds {
		return elements
	}
	for {
		elements = append(elements, p.value())
		switch p.next(); p.token {
		case arrayEnds:
			return elements
		case commaToken:
			p.next()
		default:
			p.fails("array", arrayEnds)
		}
	}
}

// next reads a token.
func (p *jsonParser) next() {
	p.token = p.scan()
}

func (p *jsonParser) bad(format string, about ...any) string {
	p.problem = fmt.Sprintf(format, about...)
	return badToken
}

func (p *jsonParser) scan() string {
	if p.at == 0 && !p.ended { // a byte order mark may come first
		if p.read() != 0xef {
			p.unread()
		} else if p.read() != 0xbb || p.read() != 0xbf {
			return p.bad("invalid BOM; must be 0xEF 0xBB 0xBF if given")
		}
	}
	b := p.read()
	for b == ' ' || b == '\t' || b == '\n' || b == '\r' {
		b = p.read()
	}
	switch b {
	case '[':
		return arrayBegins
	case ']':
		return arrayEnds
	case '{':
		return objectBegins
	case '}':
		return objectEnds
	case ':':
		return colonToken
	case ',':
		return commaToken
	case 't':
		return p.literal("rue", trueToken)
	case 'f':
		return p.literal("alse", falseToken)
	case 'n':
		return p.literal("ull", nullToken)
	case '"':
		return p.string()
	case theEnd, 0: // a NUL ends the text, as it does in C
		return endOfInput
	}
	if b == '-' || isDigit(b) {
		return p.number(b)
	}
	return p.bad("invalid literal")
}

func (p *jsonParser) literal(rest, token string) string {
	for i := range len(rest) {
		if p.read() != int(rest[i]) {
			return p.bad("invalid literal")
		}
	}
	return token
}

func isDigit(b int) bool { return '0' <= b && b <= '9' }

// number reads a number of which the first character was read.
func (p *jsonParser) number(b int) string {
	p.from = p.at - 1
	begin, whole := p.from, true
	digits := func() {
		for isDigit(b) {
			b = p.read()
		}
	}
	if b == '-' {
		if b = p.read(); !isDigit(b) {
			return p.bad("invalid number; expected digit after '-'")
		}
	}
	if b == '0' {
		b = p.read()
	} else {
		digits()
	}
	if b == '.' {
		whole = false
		if b = p.read(); !isDigit(b) {
			return p.bad("invalid number; expected digit after '.'")
		}
		digits()
	}
	if b == 'e' || b == 'E' {
		whole = false
		b = p.read()
		if b == '+' || b == '-' {
			if b = p.read(); !isDigit(b) {
				return p.bad("invalid number; expected digit after exponent sign")
			}
		} else if !isDigit(b) {
			return p.bad("invalid number; expected '+', '-', or digit after exponent")
		}
		digits()
	}
	p.unread()
	text := string(p.text[begin:p.at])
	if whole {
		if number, err := strconv.ParseUint(text, 10, 64); err == nil {
			p.scalar = number
			return numberToken
		}
		if number, err := strconv.ParseInt(text, 10, 64); err == nil {
			p.scalar = number
			return numberToken
		}
	}
	p.scalar, _ = strconv.ParseFloat(text, 64) // out of range it is infinite
	return numberToken
}

// string reads a text of which the quote was read.
func (p *jsonParser) string() string {
	p.from = p.at - 1
	var text []byte
	for {
		b := p.read()
		switch {
		case b == theEnd:
			return p.bad("invalid string: missing closing quote")
		case b == '"':
			p.scalar = string(text)
			return stringToken
		case b == '\\':
			var fine bool
			if text, fine = p.escaped(text); !fine {
				return badToken
			}
		case b < ' ':
			return p.control(b)
		case b < utf8.RuneSelf:
			text = append(text, byte(b))
		default:
			size, fine := p.beyondASCII(b)
			if !fine {
				return p.bad("invalid string: ill-formed UTF-8 byte")
			}
			text = append(text, p.text[p.at-size:p.at]...)
		}
	}
}

// beyondASCII reads the rest of a character of several bytes, up to the first byte that does not belong there.
func (p *jsonParser) beyondASCII(first int) (size int, fine bool) {
	low, high := 0x80, 0xbf // of the second byte
	switch {
	case 0xc2 <= first && first <= 0xdf:
		size = 2
	case 0xe0 <= first && first <= 0xef:
		size = 3
	case 0xf0 <= first && first <= 0xf4:
		size = 4
	default:
		return 0, false
	}
	switch first {
	case 0xe0:
		low = 0xa0
	case 0xed:
		high = 0x9f
	case 0xf0:
		low = 0x90
	case 0xf4:
		high = 0x8f
	}
	for range size - 1 {
		if b := p.read(); b < low || b > high {
			return 0, false
		}
		low, high = 0x80, 0xbf
	}
	return size, true
}

// controlNames are the names of the characters that a text must not have as they are.
var controlNames = strings.Fields("NUL SOH STX ETX EOT ENQ ACK BEL BS HT LF VT FF CR SO SI " +
	"DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US")

func (p *jsonParser) control(b int) string {
	short := map[int]string{'\b': ` or \b`, '\t': ` or \t`, '\n': ` or \n`, '\f': ` or \f`, '\r': ` or \r`}[b]
	return p.bad(`invalid string: control character U+%04X (%s) must be escaped to \u%04X%s`, b, controlNames[b], b, short)
}

// escapes are the characters that a backslash can stand before, and what they mean.
var escapes = map[int]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped appends what is written behind a backslash.
func (p *jsonParser) escaped(text []byte) (longer []byte, fine bool) {
	b := p.read()
	if c, ok := escapes[b]; ok {
		return append(text, c), true
	}
	if b != 'u' {
		p.bad("invalid string: forbidden character after backslash")
		return nil, false
	}
	r, fine := p.codePoint()
	switch {
	case !fine:
		return nil, false
	case 0xd800 <= r && r <= 0xdbff:
		const alone = "invalid string: surrogate U+D800..U+DBFF must be followed by U+DC00..U+DFFF"
		if p.read() != '\\' || p.read() != 'u' {
			p.bad(alone)
			return nil, false
		}
		second, fine := p.codePoint()
		if !fine {
			return nil, false
		}
		if second < 0xdc00 || second > 0xdfff {
			p.bad(alone)
			return nil, false
		}
		r = 0x10000 + (r-0xd800)<<10 + second - 0xdc00
	case 0xdc00 <= r && r <= 0xdfff:
		p.bad("invalid string: surrogate U+DC00..U+DFFF must follow U+D800..U+DBFF")
		return nil, false
	}
	return utf8.AppendRune(text, r), true
}

// codePoint reads four hexadecimal digits.
func (p *jsonParser) codePoint() (r rune, fine bool) {
	for range 4 {
		b := p.read()
		if b == theEnd || digit(byte(b)) >= 16 {
			p.bad(`invalid string: '\u' must be followed by 4 hex digits`)
			return 0, false
		}
		r = r<<4 | rune(digit(byte(b)))
	}
	return r, true
}
