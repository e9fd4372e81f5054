package faults

import (
	"fmt"
	"slices"
	"strings"

	"mqtthil/faults/internal/form"
)

// PacketType is the type of an MQTT control packet, as in the high nibble of its first byte.
type PacketType byte

// The packet types, by the names that the standard gives them.
const (
	CONNECT PacketType = iota + 1
	CONNACK
	PUBLISH
	PUBACK
	PUBREC
	PUBREL
	PUBCOMP
	SUBSCRIBE
	SUBACK
	UNSUBSCRIBE
	UNSUBACK
	PINGREQ
	PINGRESP
	DISCONNECT
	AUTH
)

// typeNames is in the order of the types; 0 is no type.
var typeNames = [...]string{
	"", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
	"UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String returns the name that the record uses, such as PUBLISH.
func (t PacketType) String() string {
	if t < CONNECT || t > AUTH {
		return fmt.Sprintf("type %d", byte(t))
	}
	return typeNames[t]
}

// typeNamed is the reverse of String; 0 where there is no such type.
func typeNamed(name string) PacketType {
	return PacketType(max(0, slices.Index(typeNames[:], name)))
}

// MarshalText writes the name.
func (t PacketType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a name, in capitals or not.
func (t *PacketType) UnmarshalText(text []byte) error {
	if *t = typeNamed(strings.ToUpper(string(text))); *t == 0 {
		return fmt.Errorf("%q is no packet type; one is PUBLISH", text)
	}
	return nil
}

// UnmarshalYAML reads it from a rule file.
func (t *PacketType) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, t)
}
