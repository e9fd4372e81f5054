package faults

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Rewrite changes fields of the packets. A packet that has no such field, or cannot be read, is left as it is in that
// field. Make the changes with Field values, such as NewID(7).
func Rewrite(fields ...Field) Action {
	r := rewrite{}
	for _, set := range fields {
		set(&r)
	}
	return r
}

// Field is one change of Rewrite.
type Field func(*rewrite)

// NewID changes the packet identifier.
func NewID(id uint16) Field { return func(r *rewrite) { r.ID = &id } }

// NewQoS changes the quality of service of a PUBLISH; a packet identifier comes and goes with it.
func NewQoS(qos byte) Field { return func(r *rewrite) { r.QoS = &qos } }

// NewDUP changes the DUP flag of a PUBLISH.
func NewDUP(on bool) Field { return func(r *rewrite) { r.DUP = &on } }

// NewRetain changes the retain flag of a PUBLISH.
func NewRetain(on bool) Field { return func(r *rewrite) { r.Retain = &on } }

// NewTopic changes the topic of a PUBLISH.
func NewTopic(topic string) Field { return func(r *rewrite) { r.Topic = (*text)(&topic) } }

// NewPayload changes the payload of a PUBLISH.
func NewPayload(payload string) Field { return func(r *rewrite) { r.Payload = (*text)(&payload) } }

// NewCode changes the return or reason code: of CONNACK, of the first topic filter in SUBACK and UNSUBACK, and in 5.0 of
// all other packets that may have one.
func NewCode(code byte) Field { return func(r *rewrite) { r.Code = &code } }

// NewSessionPresent changes that flag of a CONNACK.
func NewSessionPresent(on bool) Field { return func(r *rewrite) { r.SessionPresent = &on } }

// NewFlags changes the low four bits of the packet's first byte.
func NewFlags(flags byte) Field { return func(r *rewrite) { r.Flags = &flags } }

// NewBytes puts other bytes in the packet's place, see Template.
func NewBytes(packet Template) Field { return func(r *rewrite) { r.Bytes = packet } }

type rewrite struct {
	ID             *uint16  `json:"id,omitempty"`
	QoS            *byte    `json:"qos,omitempty"`
	DUP            *bool    `json:"dup,omitempty"`
	Retain         *bool    `json:"retain,omitempty"`
	Topic          *text    `json:"topic,omitempty"`
	Payload        *text    `json:"payload,omitempty"`
	Code           *byte    `json:"code,omitempty"`
	SessionPresent *bool    `json:"session-present,omitempty"`
	Flags          *byte    `json:"flags,omitempty"`
	Bytes          Template `json:"bytes,omitempty"`
}

func (rewrite) verb() string      { return "rewrite" }
func (rewrite) needsWholePacket() {}

func (r rewrite) String() string {
	var changes []string
	add := func(format string, value any) { changes = append(changes, fmt.Sprintf(format, value)) }
	if r.ID != nil {
		add("id to %d", *r.ID)
	}
	if r.QoS != nil {
		add("QoS to %d", *r.QoS)
	}
	if r.DUP != nil {
		add("DUP to %t", *r.DUP)
	}
	if r.Retain != nil {
		add("retain to %t", *r.Retain)
	}
	if r.Topic != nil {
		add("topic to %q", *r.Topic)
	}
	if r.Payload != nil {
		add("payload to %q", *r.Payload)
	}
	if r.Code != nil {
		add("code to %#02x", *r.Code)
	}
	if r.SessionPresent != nil {
		add("session present to %t", *r.SessionPresent)
	}
	if r.Flags != nil {
		add("flags to %#x", *r.Flags)
	}
	if r.Bytes != "" {
		add("bytes to %s", r.Bytes)
	}
	return "rewrite " + strings.Join(changes, ", ")
}

func (r rewrite) check() error {
	switch {
	case r == rewrite{}:
		return errors.New("rewrite needs a field to change, such as id")
	case r.QoS != nil && *r.QoS > 3:
		return fmt.Errorf("qos %d does not fit two bits", *r.QoS)
	case r.Flags != nil && *r.Flags > 15:
		return fmt.Errorf("flags %#x do not fit four bits", *r.Flags)
	case r.Topic != nil && len(*r.Topic) > 65535:
		return errors.New("topic is longer than 65535 bytes")
	case r.Bytes != "":
		return r.Bytes.check()
	}
	return nil
}

func (r rewrite) apply(p *passage) (bool, error) {
	var packet reading
	packet.read(p.data, len(p.data), p.flow.version(), nil)
	if r.Bytes != "" {
		p.replace(r.Bytes.bytes(packet.id))
		return true, nil
	}
	if data := r.edit(&packet); data != nil {
		p.replace(data)
	}
	return true, nil
}

// edit returns the changed packet, nil where it cannot be read.
func (r rewrite) edit(p *reading) []byte {
	_, n := binary.Uvarint(p.raw[1:min(len(p.raw), 1+lengthBytes)])
	if n <= 0 {
		return nil
	}
	first, body := p.raw[0], slices.Clone(p.raw[1+n:])
	at := func(offset int) int { return offset - 1 - n }
	if p.kind == PUBLISH && p.payloadAt > 0 {
		first, body = r.publish(p)
	} else {
		if r.ID != nil && p.idAt > 0 {
			binary.BigEndian.PutUint16(body[at(p.idAt):], *r.ID)
		}
		switch {
		case r.Code == nil:
		case p.hasCode && p.codeAt > 0:
			body[at(p.codeAt)] = *r.Code
		case p.version == version5 && p.kind >= PUBACK && p.kind <= PUBCOMP, p.version == version5 && p.kind == DISCONNECT:
			body = append(body, *r.Code)
		}
		if r.SessionPresent != nil && p.kind == CONNACK && len(body) > 0 {
			body[0] = body[0]&^1 | flag(*r.SessionPresent, 1)
		}
	}
	if r.Flags != nil {
		first = first&0xf0 | *r.Flags
	}
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

// publish is first byte and body of a PUBLISH with the changes.
func (r rewrite) publish(p *reading) (first byte, body []byte) {
	first = p.raw[0]
	set := func(on *bool, bit byte) {
		if on != nil {
			first = first&^bit | flag(*on, bit)
		}
	}
	set(r.DUP, 8)
	set(r.Retain, 1)
	if r.QoS != nil {
		first = first&^6 | *r.QoS<<1
	}
	topic := p.raw[p.topicAt:][:binary.BigEndian.Uint16(p.raw[p.topicAt-2:])]
	if r.Topic != nil {
		topic = []byte(*r.Topic)
	}
	id := max(p.id, 1)
	if r.ID != nil {
		id = *r.ID
	}
	payload := p.payload()
	if r.Payload != nil {
		payload = []byte(*r.Payload)
	}
	body = append(binary.BigEndian.AppendUint16(nil, uint16(len(topic))), topic...)
	if first&6 != 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	if p.lengthAt > 0 {
		body = append(body, p.raw[p.lengthAt:p.payloadAt]...)
	}
	return first, append(body, payload...)
}
