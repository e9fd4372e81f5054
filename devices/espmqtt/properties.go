package espmqtt

import (
	"encoding/binary"
	"errors"
)

// Identifiers of the properties of MQTT 5.0.
const (
	propPayloadFormat       = 0x01
	propMessageExpiry       = 0x02
	propContentType         = 0x03
	propResponseTopic       = 0x08
	propCorrelationData     = 0x09
	propSubscriptionID      = 0x0b
	propSessionExpiry       = 0x11
	propAssignedClientID    = 0x12
	propServerKeepAlive     = 0x13
	propAuthMethod          = 0x15
	propAuthData            = 0x16
	propWillDelay           = 0x18
	propResponseInformation = 0x1a
	propServerReference     = 0x1c
	propReasonString        = 0x1f
	propReceiveMaximum      = 0x21
	propTopicAliasMaximum   = 0x22
	propTopicAlias          = 0x23
	propMaximumQoS          = 0x24
	propRetainAvailable     = 0x25
	propUserProperty        = 0x26
	propMaximumPacketSize   = 0x27
	propWildcardAvailable   = 0x28
	propSubIDAvailable      = 0x29
	propSharedAvailable     = 0x2a
)

// longestProperty is the longest text in a property that the client takes, in bytes.
const longestProperty = 16384

// appendProperties appends properties with their length before them.
func appendProperties(b, properties []byte) []byte {
	return append(appendLength(b, len(properties)), properties...)
}

// The functions that append one property, where it has a value. A property of two texts has the key in the first one.

func appendProperty32(b []byte, id byte, value uint32) []byte {
	if value == 0 {
		return b
	}
	return binary.BigEndian.AppendUint32(append(b, id), value)
}

func appendProperty16(b []byte, id byte, value uint16) []byte {
	if value == 0 {
		return b
	}
	return binary.BigEndian.AppendUint16(append(b, id), value)
}

func appendPropertyBool(b []byte, id byte, value bool) []byte {
	if !value {
		return b
	}
	return append(b, id, 1)
}

func appendPropertyText(b []byte, id byte, value *string) []byte {
	if value == nil {
		return b
	}
	return appendString(append(b, id), *value)
}

// appendPropertyData appends bytes with their length before them.
func appendPropertyData(b []byte, id byte, data string) []byte {
	if data == "" {
		return b
	}
	return appendString(append(b, id), data)
}

// errProperties is a list of properties that cannot be read.
var errProperties = errors.New("malformed properties")

// properties reads properties off a packet, one after the other. The first that goes wrong makes err.
type properties struct {
	rest []byte
	err  error
}

// next takes an identifier. It is false at the end, and after an error.
func (p *properties) next() (id byte, ok bool) {
	if p.err != nil || len(p.rest) == 0 {
		return 0, false
	}
	id, p.rest = p.rest[0], p.rest[1:]
	return id, true
}

// bytes takes n bytes.
func (p *properties) bytes(n int) []byte {
	if p.err != nil || n > len(p.rest) {
		p.err = errProperties
		return make([]byte, min(n, 8))
	}
	taken := p.rest[:n:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *properties) byte() byte     { return p.bytes(1)[0] }
func (p *properties) uint16() uint16 { return binary.BigEndian.Uint16(p.bytes(2)) }
func (p *properties) uint32() uint32 { return binary.BigEndian.Uint32(p.bytes(4)) }

// text takes a text with its length before it.
func (p *properties) text() []byte {
	n := int(p.uint16())
	if n > longestProperty {
		p.err = errProperties
	}
	if p.err != nil {
		return nil
	}
	return p.bytes(n)
}

// userProperty takes a pair of texts, of which the client keeps copies for C.
func (p *properties) userProperty() UserProperty {
	return UserProperty{Key: cText(string(p.text())), Value: cText(string(p.text()))}
}

// variable takes a variable byte integer.
func (p *properties) variable() int {
	n, length := variableInteger(p.rest)
	p.bytes(length)
	return n
}

// variableInteger reads a variable byte integer of up to four bytes. One that ends too early is what there is of it, one
// that does not end takes no bytes.
func variableInteger(b []byte) (n, length int) {
	for length < len(b) && length < 4 {
		digit := b[length]
		n |= int(digit&0x7f) << (7 * length)
		length++
		if digit&0x80 == 0 {
			return n, length
		}
	}
	if length == 4 {
		return 0, 0
	}
	return n, length
}
