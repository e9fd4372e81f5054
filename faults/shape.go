package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mochi-mqtt/server/v2/packets"
)

var errTooShort = errors.New("malformed packet: shorter than its fields say")

// checkShape walks over the fields of a packet's body and says whether they fill it to the last byte. The codec does
// not look for that: it ignores bytes that are too many and lets properties run into what follows them.
func checkShape(kind PacketType, qos, version byte, body []byte) error {
	if kind == AUTH && version != version5 {
		return errors.New("AUTH exists in MQTT 5.0 only")
	}
	f := fields{rest: body, version: version}
	switch kind {
	case CONNECT:
		f.connect()
	case CONNACK:
		f.skip(2)
		f.properties(kind)
	case PUBLISH:
		f.text()
		if qos > 0 {
			f.skip(2)
		}
		f.properties(kind)
		f.skip(len(f.rest))
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		f.skip(2)
		f.reason(kind)
	case SUBSCRIBE:
		f.skip(2)
		f.properties(kind)
		for f.more() {
			f.text()
			f.skip(1)
		}
	case UNSUBSCRIBE:
		f.skip(2)
		f.properties(kind)
		for f.more() {
			f.text()
		}
	case SUBACK:
		f.skip(2)
		f.properties(kind)
		f.skip(len(f.rest))
	case UNSUBACK:
		f.skip(2)
		f.properties(kind)
		if version == version5 {
			f.skip(len(f.rest))
		}
	case DISCONNECT, AUTH:
		f.reason(kind)
	}
	if f.err == nil && len(f.rest) > 0 {
		return fmt.Errorf("malformed packet: bytes after the last field: %d", len(f.rest))
	}
	return f.err
}

// fields walks over the fields of a body. After an error it stands still.
type fields struct {
	rest    []byte
	version byte
	err     error
}

func (f *fields) more() bool {
	return f.err == nil && len(f.rest) > 0
}

func (f *fields) skip(n int) {
	switch {
	case f.err != nil:
	case n > len(f.rest):
		f.err = errTooShort
	default:
		f.rest = f.rest[n:]
	}
}

// byte returns the next byte, 0 where there is none.
func (f *fields) byte() byte {
	before := f.rest
	if f.skip(1); f.err != nil {
		return 0
	}
	return before[0]
}

// text skips a string or binary field, which has its length in front.
func (f *fields) text() {
	before := f.rest
	if f.skip(2); f.err == nil {
		f.skip(int(binary.BigEndian.Uint16(before)))
	}
}

func (f *fields) connect() {
	f.text()
	f.version = f.byte()
	flags := f.byte()
	f.skip(2)
	f.properties(CONNECT)
	f.text()
	if flags&0x04 != 0 {
		f.properties(PacketType(packets.WillProperties))
		f.text()
		f.text()
	}
	if flags&0x80 != 0 {
		f.text()
	}
	if flags&0x40 != 0 {
		f.text()
	}
}

// reason skips what ends an acknowledgement, a DISCONNECT or an AUTH in 5.0: a reason code and properties, of which
// both or the latter may be missing.
func (f *fields) reason(kind PacketType) {
	if f.version != version5 || !f.more() {
		return
	}
	if f.skip(1); f.more() {
		f.properties(kind)
	}
}

// properties skips the properties of a 5.0 packet and has the codec read them, on their own and to their last byte.
func (f *fields) properties(kind PacketType) {
	if f.version != version5 || f.err != nil {
		return
	}
	length, size := binary.Uvarint(f.rest[:min(len(f.rest), lengthBytes)])
	if size == 0 {
		f.err = packets.ErrMalformedProperties
		return
	}
	before := f.rest
	if f.skip(size + int(length)); f.err != nil {
		return
	}
	var p packets.Properties
	if _, err := p.Decode(byte(kind), bytes.NewBuffer(before[:size+int(length)])); err != nil {
		f.err = fmt.Errorf("%w: %w", packets.ErrMalformedProperties, err)
	}
}
