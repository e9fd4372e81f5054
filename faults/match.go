package faults

import (
	"fmt"
	"slices"
	"strings"

	"mqtthil/harness/timeline"
)

// Match selects packets. It begins with FromDevice or ToDevice; each further method narrows it and returns a new Match,
// so that one can be kept and refined. The zero Match selects nothing.
type Match struct {
	direction  Direction
	types      []PacketType // empty for every type
	conditions []condition
	connection int // 0 for every connection
	span       span
}

// condition is one demand on the fields of a packet.
type condition struct {
	text  string // in a rule's text it follows the packet's type
	holds func(*timeline.Packet) bool
}

// FromDevice selects packets that the device sends: those of the given types, or all.
func FromDevice(types ...PacketType) Match {
	return Match{direction: DeviceToBroker, types: slices.Clone(types), span: everyMatch}
}

// ToDevice selects packets that the broker sends to the device: those of the given types, or all.
func ToDevice(types ...PacketType) Match {
	return Match{direction: BrokerToDevice, types: slices.Clone(types), span: everyMatch}
}

// WithTopic narrows to PUBLISH with this topic, and SUBSCRIBE and UNSUBSCRIBE with this among their topic filters.
// Wildcards mean themselves.
func (m Match) WithTopic(topic string) Match {
	return m.where(topic, func(p *timeline.Packet) bool {
		isTopic := func(f timeline.Filter) bool { return f.Topic == topic }
		return p.Type == PUBLISH.String() && p.Topic == topic || slices.ContainsFunc(p.Filters, isTopic)
	})
}

// WithID narrows to packets with this packet identifier.
func (m Match) WithID(id uint16) Match {
	return m.where(fmt.Sprintf("id %d", id), func(p *timeline.Packet) bool { return p.ID == id })
}

// WithQoS narrows to PUBLISH with this quality of service.
func (m Match) WithQoS(qos byte) Match {
	return m.where(fmt.Sprintf("QoS %d", qos), func(p *timeline.Packet) bool {
		return p.Type == PUBLISH.String() && p.QoS == qos
	})
}

// WithDUP narrows to PUBLISH with, or without, the DUP flag.
func (m Match) WithDUP(dup bool) Match {
	text := "with DUP"
	if !dup {
		text = "without DUP"
	}
	return m.where(text, func(p *timeline.Packet) bool { return p.Type == PUBLISH.String() && p.DUP == dup })
}

// OnConnection narrows to one connection through the proxy, counted from 1.
func (m Match) OnConnection(number int) Match {
	mustCount("OnConnection", number)
	m.connection = number
	return m
}

// Nth narrows to the n-th packet, from 1, of those that fit otherwise. It replaces an earlier Nth or From.
func (m Match) Nth(n int) Match {
	mustCount("Nth", n)
	m.span = span{first: n, last: n}
	return m
}

// From narrows to the n-th packet, from 1, and all later ones of those that fit otherwise. It replaces an earlier Nth
// or From.
func (m Match) From(n int) Match {
	mustCount("From", n)
	m.span = span{first: n}
	return m
}

func (m Match) where(text string, holds func(*timeline.Packet) bool) Match {
	m.conditions = append(slices.Clip(m.conditions), condition{text, holds})
	return m
}

// Matches says whether the packet fits, Nth and From left aside: those are for who counts the packets that fit.
func (m Match) Matches(connection int, direction Direction, p *timeline.Packet) bool {
	if m.direction == 0 || direction != m.direction || m.connection != 0 && connection != m.connection {
		return false
	}
	if len(m.types) > 0 && !slices.Contains(m.types, typeNamed(p.Type)) {
		return false
	}
	return !slices.ContainsFunc(m.conditions, func(c condition) bool { return !c.holds(p) })
}

// Select picks from a record the packets that fit, Nth and From included. It looks at the device's side of the proxy:
// at what the device really sent, and at what it really got.
func (m Match) Select(events []timeline.Event) []timeline.Event {
	var selected []timeline.Event
	count := 0
	for _, e := range events {
		if e.Kind != timeline.KindPacket || e.Point != m.direction.atDevice() || !m.Matches(e.Conn, m.direction, e.Packet) {
			continue
		}
		if count++; m.span.contains(count) {
			selected = append(selected, e)
		}
	}
	return selected
}

// String says it in words, such as: 2nd PUBACK to the device.
func (m Match) String() string {
	if m.span == everyMatch {
		return m.packets()
	}
	return m.span.String() + " " + m.packets()
}

// packets is String without the count.
func (m Match) packets() string {
	words := []string{m.typesText()}
	for _, c := range m.conditions {
		words = append(words, c.text)
	}
	words = append(words, m.direction.String())
	if m.connection != 0 {
		words = append(words, fmt.Sprintf("on connection %d", m.connection))
	}
	return strings.Join(words, " ")
}

func (m Match) typesText() string {
	var names []string
	for _, t := range m.types {
		names = append(names, t.String())
	}
	switch last := len(names) - 1; last {
	case -1:
		return "packet"
	case 0:
		return names[0]
	default:
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
}
