package faults

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/mochi-mqtt/server/v2/packets"

	"mqtthil/harness/timeline"
)

// The protocol levels of MQTT, as a CONNECT names them.
const (
	version31  = 3
	version311 = 4
	version5   = 5
)

// Decode reads one whole control packet of a connection with the given protocol level: 3 for MQTT 3.1, 4 for 3.1.1, 5
// for 5.0, anything else is taken for 4. A CONNECT names its own. The result shares no memory with raw.
//
// A packet that cannot be read has the reason in Error, and beside the fields that every packet has only what can be
// told for certain: the flags of a PUBLISH and the packet identifier, where there are bytes for it.
func Decode(raw []byte, version byte) *timeline.Packet {
	p := &timeline.Packet{
		Length: len(raw),
		Raw:    bytes.Clone(raw[:min(len(raw), timeline.MaxRaw)]),
		Sum:    crc32.ChecksumIEEE(raw),

		Version: version,
	}
	if len(raw) == 0 {
		p.Error = "no bytes"
		return p
	}
	kind := PacketType(raw[0] >> 4)
	p.Type, p.Flags = kind.String(), raw[0]&0x0f
	if kind == PUBLISH {
		p.DUP, p.QoS, p.Retain = p.Flags&8 != 0, p.Flags>>1&3, p.Flags&1 != 0
	}

	remaining, size := binary.Uvarint(raw[1:min(len(raw), 1+lengthBytes)])
	if size == 0 {
		p.Error = "malformed packet: remaining length"
		return p
	}
	body := raw[1+size:]
	p.ID = identifier(kind, p.QoS, body)
	if int(remaining) != len(body) {
		p.Error = fmt.Sprintf("malformed packet: remaining length is %d, bytes are %d", remaining, len(body))
		return p
	}
	decoded, err := read(raw[0], body, version)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	fill(p, kind, decoded, body)
	fillProperties(p, raw, version)
	return p
}

// identifier finds the packet identifier without reading anything else; 0 where there is none.
func identifier(kind PacketType, qos byte, body []byte) uint16 {
	switch kind {
	case PUBLISH:
		if qos == 0 || len(body) < 2 {
			return 0
		}
		body = body[min(len(body), 2+int(binary.BigEndian.Uint16(body))):]
	case PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK:
	default:
		return 0
	}
	if len(body) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(body)
}

// read has the codec read a packet. The codec indexes past the end of some malformed packets and overlooks what is
// wrong with others, so its panics are errors here and the shape of the packet is checked first.
func read(first byte, body []byte, version byte) (p *packets.Packet, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			p, err = nil, fmt.Errorf("malformed packet: the codec failed: %v", cause)
		}
	}()

	kind := PacketType(first >> 4)
	p = &packets.Packet{ProtocolVersion: version}
	if version == version31 && (kind == PUBREL || kind == SUBSCRIBE || kind == UNSUBSCRIBE) {
		first &^= 8 // MQTT 3.1 lets these carry DUP, the codec does not
	}
	if kind == CONNACK && len(body) == 2 {
		p.ProtocolVersion = version311 // a broker that knows no 5.0 refuses in the older form
	}
	if err := p.FixedHeader.Decode(first); err != nil {
		return nil, err
	}
	p.FixedHeader.Remaining = len(body)
	if err := checkShape(kind, p.FixedHeader.Qos, p.ProtocolVersion, body); err != nil {
		return nil, err
	}

	return p, decodeBody(p, kind, body)
}

func decodeBody(p *packets.Packet, kind PacketType, body []byte) error {
	switch kind {
	case CONNECT:
		return p.ConnectDecode(body)
	case CONNACK:
		return p.ConnackDecode(body)
	case PUBLISH:
		return p.PublishDecode(body)
	case PUBACK:
		return p.PubackDecode(body)
	case PUBREC:
		return p.PubrecDecode(body)
	case PUBREL:
		return p.PubrelDecode(body)
	case PUBCOMP:
		return p.PubcompDecode(body)
	case SUBSCRIBE:
		return p.SubscribeDecode(body)
	case SUBACK:
		return p.SubackDecode(body)
	case UNSUBSCRIBE:
		return p.UnsubscribeDecode(body)
	case UNSUBACK:
		return p.UnsubackDecode(body)
	case PINGREQ:
		return p.PingreqDecode(body)
	case PINGRESP:
		return p.PingrespDecode(body)
	case DISCONNECT, AUTH:
		if len(body) < 2 { // the reason code alone, or nothing: legal in 5.0, but the codec does not read it
			if len(body) == 1 {
				p.ReasonCode = body[0]
			}
			return nil
		}
		if kind == AUTH {
			return p.AuthDecode(body)
		}
		return p.DisconnectDecode(body)
	}
	return packets.ErrNoValidPacketAvailable
}

// fill copies out of the codec's packet, whose strings are views of the bytes that were read.
func fill(p *timeline.Packet, kind PacketType, d *packets.Packet, body []byte) {
	p.ID, p.Code = d.PacketID, d.ReasonCode
	switch kind {
	case CONNECT:
		p.Connect = connect(d, body)
		p.Version = p.Connect.Version
	case CONNACK:
		p.SessionPresent = d.SessionPresent
	case PUBLISH:
		p.Topic = strings.Clone(d.TopicName)
		p.PayloadLength, p.PayloadSum = len(d.Payload), crc32.ChecksumIEEE(d.Payload)
	case SUBSCRIBE, UNSUBSCRIBE:
		for _, f := range d.Filters {
			p.Filters = append(p.Filters, timeline.Filter{Topic: strings.Clone(f.Filter), QoS: f.Qos})
		}
	case SUBACK, UNSUBACK:
		p.Codes = bytes.Clone(d.ReasonCodes)
	}
	if p.Flags&8 != 0 { // of a packet that is not a PUBLISH: then it is MQTT 3.1, see read
		p.DUP = true
	}
}

// fillProperties copies the properties of a packet that can be read.
func fillProperties(p *timeline.Packet, raw []byte, version byte) {
	var r reading
	r.read(raw, len(raw), version, nil)
	for property := range eachProperty(r.properties) {
		p.Properties = append(p.Properties, timeline.Property{
			Name: properties[property.id].name, Value: strings.Clone(property.value()),
		})
	}
}

func connect(d *packets.Packet, body []byte) *timeline.Connect {
	c := &timeline.Connect{
		Protocol:     string(d.Connect.ProtocolName),
		Version:      d.ProtocolVersion,
		Flags:        body[2+len(d.Connect.ProtocolName)+1], // after the name's length, the name and the level
		ClientID:     strings.Clone(d.Connect.ClientIdentifier),
		KeepAlive:    d.Connect.Keepalive,
		CleanSession: d.Connect.Clean,
		HasUsername:  d.Connect.UsernameFlag,
		Username:     string(d.Connect.Username),
		HasPassword:  d.Connect.PasswordFlag,
	}
	if d.Connect.WillFlag {
		c.Will = &timeline.Will{
			Topic:   strings.Clone(d.Connect.WillTopic),
			Payload: bytes.Clone(d.Connect.WillPayload),
			QoS:     d.Connect.WillQos,
			Retain:  d.Connect.WillRetain,
		}
	}
	return c
}
