package faults

import (
	"bytes"
	"strings"

	"mqtthil/harness/timeline"
)

// learn keeps what later packets of the connection are read by: protocol level, client identifier, topic aliases.
func (f *flow) learn(s *sight) {
	switch s.kind {
	case CONNECT:
		if f.direction == DeviceToBroker {
			f.link.level.Store(uint32(s.version))
			f.link.setClientID(s.clientID)
			f.opposite.aliasing.Store(aliasMaximum(s.properties))
		}
	case CONNACK:
		if f.direction == BrokerToDevice {
			f.opposite.aliasing.Store(aliasMaximum(s.properties))
			for p := range eachProperty(s.properties) {
				if p.id == propertyAssignedClientID {
					f.link.setClientID(string(p.text))
				}
			}
		}
	case PUBLISH:
		if alias := s.alias(); alias != 0 && uint32(alias) <= f.aliasing.Load() && s.topicAt > 0 && s.raw[s.topicAt-1]|s.raw[s.topicAt-2] != 0 {
			if f.aliases == nil {
				f.aliases = map[uint16]string{}
			}
			f.aliases[alias] = strings.Clone(s.topic)
		}
	}
}

// aliasMaximum is how many topic aliases the sender of these properties allows.
func aliasMaximum(properties []byte) uint32 {
	for p := range eachProperty(properties) {
		if p.id == propertyTopicAliasMax {
			return p.number
		}
	}
	return 0
}

// version is the connection's protocol level, 0 as long as it is unknown.
func (f *flow) version() byte { return byte(f.link.level.Load()) }

// recorded is the packet as the record has it.
func (f *flow) recorded(s *sight, streamed bool) *timeline.Packet {
	if !streamed {
		p := Decode(s.raw, s.version)
		if p.Topic == "" && p.Error == "" {
			p.Topic = strings.Clone(s.topic)
		}
		return p
	}
	p := &timeline.Packet{Type: s.kind.String(), Flags: s.flags, Length: s.size, Version: s.version, Streamed: true,
		Raw: bytes.Clone(s.raw[:timeline.MaxRaw]), ID: s.id, Topic: strings.Clone(s.topic)}
	if s.kind == PUBLISH {
		p.DUP, p.QoS, p.Retain = s.dup(), s.qos(), s.retain()
		if s.payloadAt > 0 {
			p.PayloadLength = s.size - s.payloadAt
		}
	}
	return p
}
