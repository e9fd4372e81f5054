package faults

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"mqtthil/harness/timeline"
)

// reading is what rules look at in a packet: where its fields are, found without decoding it and without memory of its
// own. Of a packet of which only the beginning is there, fields behind that are missing; of one that breaks the standard,
// those from the broken one on.
type reading struct {
	raw     []byte // the packet, or its beginning; nil in a record that has not kept it
	size    int    // bytes of the whole packet
	kind    PacketType
	flags   byte
	version byte // protocol level of the connection

	topic   string // of a PUBLISH; a view of raw
	id      uint16
	code    byte
	hasCode bool

	idAt       int // offsets in raw; 0 where the packet has no such field
	codeAt     int
	topicAt    int // of a PUBLISH's topic, behind its length
	lengthAt   int // of the properties' length
	properties []byte
	payloadAt  int // behind the last byte of the variable header
	filters    []timeline.Filter
	clientID   string // of a CONNECT
}

func (r *reading) qos() byte    { return r.flags >> 1 & 3 }
func (r *reading) dup() bool    { return r.flags&8 != 0 }
func (r *reading) retain() bool { return r.flags&1 != 0 }

// payload is that of a PUBLISH, as far as it is there.
func (r *reading) payload() []byte {
	if r.kind != PUBLISH || r.payloadAt == 0 || r.payloadAt > len(r.raw) {
		return nil
	}
	return r.raw[r.payloadAt:]
}

// view is a string that shares b's memory: to be looked at while b stays as it is, and not to be kept.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// read finds the fields of a packet of that many bytes, of which raw is all or the beginning; aliases are the topics that
// stand for topic aliases in its direction.
func (r *reading) read(raw []byte, size int, version byte, aliases map[uint16]string) {
	*r = reading{raw: raw, size: size, kind: PacketType(raw[0] >> 4), flags: raw[0] & 15, version: version}
	_, n := binary.Uvarint(raw[1:min(len(raw), 1+lengthBytes)])
	if n <= 0 {
		return
	}
	w := walk{raw: raw, at: 1 + n}
	switch r.kind {
	case CONNECT:
		r.connect(&w)
	case CONNACK:
		w.skip(1)
		r.readCode(&w)
		r.readProperties(&w)
	case PUBLISH:
		topic := w.text()
		r.topicAt = w.at - len(topic)
		if r.qos() > 0 {
			r.readID(&w)
		}
		r.readProperties(&w)
		if !w.short {
			r.payloadAt = w.at
		}
		r.topic = view(topic)
		if alias := r.alias(); len(topic) == 0 && alias != 0 {
			r.topic = aliases[alias]
		}
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		r.readID(&w)
		if version == version5 && w.at < size {
			r.readCode(&w)
			if w.at < size {
				r.readProperties(&w)
			}
		}
	case SUBSCRIBE, UNSUBSCRIBE:
		r.readID(&w)
		r.readProperties(&w)
		r.payloadAt = w.at
	case SUBACK, UNSUBACK:
		r.readID(&w)
		r.readProperties(&w)
		r.readCode(&w)
	case DISCONNECT, AUTH:
		if version == version5 && w.at < size {
			r.readCode(&w)
			if w.at < size {
				r.readProperties(&w)
			}
		}
	}
}

func (r *reading) connect(w *walk) {
	w.text()
	if level := w.bytes(1); level != nil {
		r.version = level[0]
	}
	w.skip(3)
	r.readProperties(w)
	r.clientID = view(w.text())
}

func (r *reading) readID(w *walk) {
	if b := w.bytes(2); b != nil {
		r.id, r.idAt = binary.BigEndian.Uint16(b), w.at-2
	}
}

func (r *reading) readCode(w *walk) {
	if b := w.bytes(1); b != nil {
		r.code, r.hasCode, r.codeAt = b[0], true, w.at-1
	}
}

func (r *reading) readProperties(w *walk) {
	if r.version != version5 || w.short || w.at >= r.size {
		return
	}
	length, n := binary.Uvarint(w.raw[w.at:min(len(w.raw), w.at+lengthBytes)])
	if n <= 0 {
		w.short = true
		return
	}
	r.lengthAt = w.at
	w.skip(n)
	r.properties = w.bytes(int(length))
}

// alias is the topic alias in the packet, 0 where there is none.
func (r *reading) alias() uint16 {
	for p := range eachProperty(r.properties) {
		if p.id == propertyTopicAlias {
			return uint16(p.number)
		}
	}
	return 0
}

// hasFilter says whether a SUBSCRIBE or UNSUBSCRIBE has the topic filter.
func (r *reading) hasFilter(filter string) bool {
	if r.payloadAt == 0 || r.raw == nil {
		return slices.ContainsFunc(r.filters, func(f timeline.Filter) bool { return f.Topic == filter })
	}
	for w := (walk{raw: r.raw, at: r.payloadAt}); !w.short && w.at < len(r.raw); {
		if string(w.text()) == filter {
			return true
		}
		if r.kind == SUBSCRIBE {
			w.skip(1)
		}
	}
	return false
}

// readRecorded takes the fields from a record instead.
func (r *reading) readRecorded(p *timeline.Packet) {
	if len(p.Raw) > 0 {
		r.read(p.Raw, p.Length, p.Version, nil)
	} else {
		*r = reading{size: p.Length, kind: typeNamed(p.Type), flags: p.Flags, version: p.Version}
		r.code, r.hasCode = r.recordedCode(p)
	}
	r.kind = typeNamed(p.Type)
	if r.kind == PUBLISH {
		r.flags = r.flags&^15 | flag(p.DUP, 8) | p.QoS<<1 | flag(p.Retain, 1)
	}
	if p.Topic != "" { // which may be what a topic alias stands for
		r.topic = p.Topic
	}
	r.id, r.filters = p.ID, p.Filters
	if p.Code != 0 {
		r.code, r.hasCode = p.Code, true
	}
	if p.Connect != nil {
		r.clientID, r.version = p.Connect.ClientID, p.Connect.Version
	}
}

// recordedCode is the code of a packet whose bytes the record has not kept. Where it is 0, it may also have been left out.
func (r *reading) recordedCode(p *timeline.Packet) (code byte, has bool) {
	switch {
	case p.Error != "":
		return 0, false
	case r.kind == CONNACK:
		return p.Code, true
	case len(p.Codes) > 0:
		return p.Codes[0], true
	case r.kind >= PUBACK && r.kind <= PUBCOMP:
		return p.Code, r.version == version5 && r.size > 4
	case r.kind == DISCONNECT || r.kind == AUTH:
		return p.Code, r.version == version5 && r.size > 2
	}
	return 0, false
}

func flag(on bool, bit byte) byte {
	if on {
		return bit
	}
	return 0
}

// walk steps over a packet's fields. Where a field is not all there, it is short from then on and gives nothing.
type walk struct {
	raw   []byte
	at    int
	short bool
}

func (w *walk) bytes(n int) []byte {
	if w.short || n < 0 || n > len(w.raw)-w.at {
		w.short = true
		return nil
	}
	w.at += n
	return w.raw[w.at-n : w.at : w.at]
}

func (w *walk) skip(n int) { w.bytes(n) }

// text is a string or binary field, which has its length in front.
func (w *walk) text() []byte {
	length := w.bytes(2)
	if length == nil {
		return nil
	}
	return w.bytes(int(binary.BigEndian.Uint16(length)))
}
