package faults

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// property is one property of an MQTT 5.0 packet. Its value is number or text, and a user property has a key beside it.
type property struct {
	id     byte
	number uint32
	key    []byte
	text   []byte
}

const (
	propertyTopicAlias       = 0x23
	propertyTopicAliasMax    = 0x22
	propertyAssignedClientID = 0x12
	propertyUser             = 0x26
)

// The forms of a property's value.
const (
	formByte = iota + 1
	formTwo
	formFour
	formVariable
	formText
	formBinary
	formPair
)

// properties are all that MQTT 5.0 knows, by their identifiers, with the names by which rules know them.
var properties = [...]struct {
	name string
	form int
}{
	0x01: {"payload-format-indicator", formByte},
	0x02: {"message-expiry-interval", formFour},
	0x03: {"content-type", formText},
	0x08: {"response-topic", formText},
	0x09: {"correlation-data", formBinary},
	0x0b: {"subscription-identifier", formVariable},
	0x11: {"session-expiry-interval", formFour},
	0x12: {"assigned-client-identifier", formText},
	0x13: {"server-keep-alive", formTwo},
	0x15: {"authentication-method", formText},
	0x16: {"authentication-data", formBinary},
	0x17: {"request-problem-information", formByte},
	0x18: {"will-delay-interval", formFour},
	0x19: {"request-response-information", formByte},
	0x1a: {"response-information", formText},
	0x1c: {"server-reference", formText},
	0x1f: {"reason-string", formText},
	0x21: {"receive-maximum", formTwo},
	0x22: {"topic-alias-maximum", formTwo},
	0x23: {"topic-alias", formTwo},
	0x24: {"maximum-qos", formByte},
	0x25: {"retain-available", formByte},
	0x26: {"user-property", formPair},
	0x27: {"maximum-packet-size", formFour},
	0x28: {"wildcard-subscription-available", formByte},
	0x29: {"subscription-identifier-available", formByte},
	0x2a: {"shared-subscription-available", formByte},
}

// propertyNamed is the identifier of a property's name; 0 where there is none.
func propertyNamed(name string) byte {
	if name == "" {
		return 0
	}
	for id := range properties {
		if properties[id].name == name {
			return byte(id)
		}
	}
	return 0
}

// value is the property's value as rules and records write it: a number, a text, or key=value.
func (p property) value() string {
	switch properties[p.id].form {
	case formText:
		return string(p.text)
	case formBinary:
		return fmt.Sprintf("%x", p.text)
	case formPair:
		return string(p.key) + "=" + string(p.text)
	}
	return fmt.Sprint(p.number)
}

// eachProperty walks over properties, as far as they can be read.
func eachProperty(raw []byte) iter.Seq[property] {
	return func(yield func(property) bool) {
		for w := (walk{raw: raw}); w.at < len(raw); {
			p := property{id: w.bytes(1)[0]}
			if int(p.id) >= len(properties) {
				return
			}
			switch properties[p.id].form {
			case formByte:
				p.number = bigEndian(w.bytes(1))
			case formTwo:
				p.number = bigEndian(w.bytes(2))
			case formFour:
				p.number = bigEndian(w.bytes(4))
			case formVariable:
				n, size := binary.Uvarint(raw[w.at:min(len(raw), w.at+lengthBytes)])
				p.number = uint32(n)
				if w.skip(size); size <= 0 {
					return
				}
			case formText, formBinary:
				p.text = w.text()
			case formPair:
				p.key, p.text = w.text(), w.text()
			default:
				return
			}
			if w.short || !yield(p) {
				return
			}
		}
	}
}

func bigEndian(b []byte) (n uint32) {
	for _, v := range b {
		n = n<<8 | uint32(v)
	}
	return n
}

// hasProperty says whether there is a property of that identifier with that value; any value will do where it is nil.
func hasProperty(raw []byte, id byte, value *text) bool {
	for p := range eachProperty(raw) {
		if p.id == id && (value == nil || p.value() == string(*value)) {
			return true
		}
	}
	return false
}
