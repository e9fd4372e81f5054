package faults

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mqtthil/faults/internal/form"
)

// Template is a packet to be made up, in words: either its bytes in hexadecimal, in which {id} stands for the packet
// identifier of the packet that caused it, such as "40 02 {id}"; or the name of a packet that is little more than its
// type, such as "PUBACK", "PUBREC 7 0x87" (with a packet identifier of its own, and a reason code of 5.0), "PINGRESP" or
// "DISCONNECT 0x8b".
type Template string

// UnmarshalYAML reads it from a rule file.
func (t *Template) UnmarshalYAML(unmarshal func(any) error) error {
	var written form.Text
	if err := unmarshal(&written); err != nil {
		return err
	}
	*t = Template(written)
	return form.Located(unmarshal, t.check())
}

func (t Template) check() error {
	_, err := t.encode(1)
	return err
}

func (t Template) bytes(id uint16) []byte {
	data, _ := t.encode(id) // On and rule files have found errors already
	return data
}

// flagsOf are those that the standard demands of packets that a Template can name.
var flagsOf = map[PacketType]byte{PUBACK: 0, PUBREC: 0, PUBREL: 2, PUBCOMP: 0, PINGREQ: 0, PINGRESP: 0, DISCONNECT: 0, CONNACK: 0}

func (t Template) encode(id uint16) ([]byte, error) {
	words := strings.Fields(string(t))
	if len(words) == 0 {
		return nil, errors.New("a packet is missing: its bytes in hexadecimal, or a name such as PUBACK")
	}
	kind := typeNamed(strings.ToUpper(words[0]))
	if kind == 0 {
		text := strings.ReplaceAll(strings.Join(words, ""), "{id}", fmt.Sprintf("%04x", id))
		data, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("packet %q is neither a name nor bytes in hexadecimal: %w", string(t), err)
		}
		return data, nil
	}
	flags, ok := flagsOf[kind]
	if !ok {
		return nil, fmt.Errorf("packet %q: a %s has to be given as bytes in hexadecimal", string(t), kind)
	}
	var body []byte
	numbers := words[1:]
	number := func(bits int) (uint16, error) {
		n, err := strconv.ParseUint(numbers[0], 0, bits)
		numbers = numbers[1:]
		if err != nil {
			return 0, fmt.Errorf("packet %q: %w", string(t), err)
		}
		return uint16(n), nil
	}
	var err error
	switch kind {
	case CONNACK:
		body = []byte{0}
		if len(numbers) == 0 {
			body = append(body, 0)
		}
	case PINGREQ, PINGRESP, DISCONNECT:
	default:
		if len(numbers) > 0 {
			if id, err = number(16); err != nil {
				return nil, err
			}
		}
		body = []byte{byte(id >> 8), byte(id)}
	}
	if len(numbers) > 0 && kind != PINGREQ && kind != PINGRESP {
		code, err := number(8)
		if err != nil {
			return nil, err
		}
		body = append(body, byte(code))
	}
	if len(numbers) > 0 {
		return nil, fmt.Errorf("packet %q: %s is more than a %s has", string(t), numbers[0], kind)
	}
	return append([]byte{byte(kind)<<4 | flags, byte(len(body))}, body...), nil
}
