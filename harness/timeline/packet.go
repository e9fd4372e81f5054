package timeline

import "fmt"

// Packet is one MQTT control packet as it was on the wire, with the fields that judges and reports read.
type Packet struct {
	Type   string `json:"type"`            // such as PUBLISH; the standard's name in capitals
	Flags  byte   `json:"flags,omitempty"` // low nibble of the first byte, as sent
	Length int    `json:"length"`          // bytes of the whole packet, fixed header included
	Raw    []byte `json:"raw,omitempty"`   // the packet's bytes, at most MaxRaw of them
	Sum    uint32 `json:"sum"`             // CRC-32 (IEEE) of the whole packet
	Error  string `json:"error,omitempty"` // why the codec could not read it; then only the fields above are set

	Version byte `json:"version,omitempty"` // protocol level of the connection: 3, 4 or 5; 0 where it is unknown
	// Streamed says that the packet was relayed as it came, for it is too large to be held. Then no sums are known.
	Streamed bool `json:"streamed,omitempty"`

	ID     uint16 `json:"id,omitempty"` // packet identifier; 0 where the packet has none
	DUP    bool   `json:"dup,omitempty"`
	QoS    byte   `json:"qos,omitempty"`
	Retain bool   `json:"retain,omitempty"`

	Topic         string `json:"topic,omitempty"` // of a PUBLISH; that which a topic alias stands for, where it is left out
	PayloadLength int    `json:"payload_length,omitempty"`
	PayloadSum    uint32 `json:"payload_sum,omitempty"` // CRC-32 (IEEE) of the payload

	Connect        *Connect `json:"connect,omitempty"`
	SessionPresent bool     `json:"session_present,omitempty"` // of a CONNACK
	Code           byte     `json:"code,omitempty"`            // return or reason code of CONNACK, PUBACK … DISCONNECT
	Filters        []Filter `json:"filters,omitempty"`         // of SUBSCRIBE and UNSUBSCRIBE
	Codes          []byte   `json:"codes,omitempty"`           // of SUBACK and UNSUBACK

	Properties []Property `json:"properties,omitempty"` // of MQTT 5.0, in the order in which they were sent
}

// Property is a property of an MQTT 5.0 packet.
type Property struct {
	Name  string `json:"name"`  // as in the standard, in lower case with hyphens: message-expiry-interval
	Value string `json:"value"` // a decimal number, text, binary data in hexadecimal, or key=value of a user property
}

// MaxRaw bounds the bytes of a packet that its record keeps: enough for every packet but a large PUBLISH.
const MaxRaw = 1024

// Connect holds the fields of a CONNECT.
type Connect struct {
	Protocol     string `json:"protocol"` // protocol name: MQTT or MQIsdp
	Version      byte   `json:"version"`  // protocol level: 3, 4 or 5
	Flags        byte   `json:"flags"`    // connect flags, as sent
	ClientID     string `json:"client_id"`
	KeepAlive    uint16 `json:"keep_alive"` // seconds; 0 turns it off
	CleanSession bool   `json:"clean_session,omitempty"`
	Will         *Will  `json:"will,omitempty"`
	HasUsername  bool   `json:"has_username,omitempty"`
	Username     string `json:"username,omitempty"`
	HasPassword  bool   `json:"has_password,omitempty"` // the password itself is not recorded apart from Raw
}

// Will is the last will in a CONNECT.
type Will struct {
	Topic   string `json:"topic"`
	Payload []byte `json:"payload,omitempty"`
	QoS     byte   `json:"qos,omitempty"`
	Retain  bool   `json:"retain,omitempty"`
}

// Filter is one topic filter of a SUBSCRIBE or UNSUBSCRIBE.
type Filter struct {
	Topic string `json:"topic"`
	QoS   byte   `json:"qos,omitempty"` // requested; 0 for UNSUBSCRIBE
}

// String names the packet in one short line, such as: PUBLISH id 7 QoS 1 DUP bench/up (5 bytes).
func (p *Packet) String() string {
	s := p.Type
	if p.ID != 0 {
		s += fmt.Sprintf(" id %d", p.ID)
	}
	if p.Error != "" {
		return fmt.Sprintf("%s, %d bytes, unreadable: %s", s, p.Length, p.Error)
	}
	switch p.Type {
	case "PUBLISH":
		s += fmt.Sprintf(" QoS %d", p.QoS)
		if p.DUP {
			s += " DUP"
		}
		if p.Retain {
			s += " retain"
		}
		s += fmt.Sprintf(" %s (%d bytes)", p.Topic, p.PayloadLength)
	case "CONNECT":
		if c := p.Connect; c != nil {
			s += fmt.Sprintf(" %q keep alive %d s", c.ClientID, c.KeepAlive)
			if c.CleanSession {
				s += " clean"
			}
			if c.Will != nil {
				s += " will " + c.Will.Topic
			}
		}
	case "CONNACK":
		s += fmt.Sprintf(" code %d", p.Code)
		if p.SessionPresent {
			s += " session present"
		}
	case "SUBSCRIBE":
		for _, f := range p.Filters {
			s += fmt.Sprintf(" %s (QoS %d)", f.Topic, f.QoS)
		}
	case "UNSUBSCRIBE":
		for _, f := range p.Filters {
			s += " " + f.Topic
		}
	case "SUBACK", "UNSUBACK":
		if len(p.Codes) > 0 {
			s += fmt.Sprintf(" codes % x", p.Codes)
		}
	}
	return s
}
