package emulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"
)

// object is a JSON object whose keys keep their order.
type object []member

// member is a key with its value: an object, objects, or what package json knows.
type member struct {
	key   string
	value any
}

// put adds a member.
func (o *object) put(key string, value any) { *o = append(*o, member{key, value}) }

// putBytes adds bytes: as a text where they are one, or else in base64 under a key with 64 behind it. A text has no NUL,
// which would end it in C.
func (o *object) putBytes(key string, value []byte) {
	if utf8.Valid(value) && bytes.IndexByte(value, 0) < 0 {
		o.put(key, string(value))
		return
	}
	o.put(key+"64", base64.StdEncoding.EncodeToString(value))
}

// json is the object's text, in one line. Its values are none that have no text.
func (o object) json() string {
	text, _ := o.MarshalJSON()
	return string(text)
}

// MarshalJSON writes the object. Characters of HTML are not escaped, as package json does by itself.
func (o object) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	separator := byte('{')
	for _, m := range o {
		for _, part := range []any{m.key, m.value} {
			text.WriteByte(separator)
			if err := encoder.Encode(part); err != nil {
				return nil, err
			}
			text.Truncate(text.Len() - 1) // the line end
			separator = ':'
		}
		separator = ','
	}
	if len(o) == 0 {
		text.WriteByte(separator)
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}
