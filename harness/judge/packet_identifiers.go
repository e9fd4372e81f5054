package judge

import (
	"slices"

	"mqtthil/harness/timeline"
)

// identifiers is what the packet identifiers of one device's memory stand for.
type identifiers struct {
	inUse    map[uint16]step // the packet that took it and is not acknowledged
	received map[uint16]bool // of messages that the device was sent
}

// packetIdentifiers: packets that need an identifier have one other than 0, a new packet takes none that is in use,
// and acknowledgements repeat the identifier of the message that they belong to. An identifier is in use until the
// last acknowledgement has reached the device, over connections that share a session too.
func packetIdentifiers(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	known := make(map[memory]*identifiers)
	exchanges := make(map[client]map[uint16]bool) // of each client: what a PUBREL can belong to
	for _, s := range readSteps(events) {
		if s.Kind != timeline.KindPacket {
			continue
		}
		p := s.Packet
		ids := known[s.on.memory]
		if ids == nil {
			ids = &identifiers{make(map[uint16]step), make(map[uint16]bool)}
			known[s.on.memory] = ids
		}
		exchange := exchanges[s.on.client]
		if exchange == nil {
			exchange = make(map[uint16]bool)
			exchanges[s.on.client] = exchange
		}

		switch {
		case s.left("SUBSCRIBE", "UNSUBSCRIBE"), s.left("PUBLISH") && p.QoS > 0:
			if p.ID == 0 {
				findings = append(findings, broken("MQTT-2.3.1-1", []int{s.Seq}, "%s has packet identifier 0", p))
				continue
			}
			owner, taken := ids.inUse[p.ID]
			fresh := isFresh(owner.Packet, p)
			if taken && fresh {
				findings = append(findings, broken("MQTT-2.3.1-2", []int{owner.Seq, s.Seq},
					"%s takes the packet identifier of %s, which is not acknowledged", p, owner.Packet))
			}
			if fresh {
				ids.inUse[p.ID] = s
			}
			if p.Type == "PUBLISH" && p.QoS == 2 {
				exchange[p.ID] = true
			}
		case s.reached("PUBACK", "PUBCOMP"):
			ids.release(p.ID, "PUBLISH")
		case s.reached("SUBACK"):
			ids.release(p.ID, "SUBSCRIBE")
		case s.reached("UNSUBACK"):
			ids.release(p.ID, "UNSUBSCRIBE")
		case s.reached("PUBREC"):
			exchange[p.ID] = true // it asks for PUBREL even where the device knows nothing of it
		case s.Point == timeline.ReachedDevice && p.Type == "PUBLISH": // also one that the device should not have read
			ids.received[p.ID] = true

		case s.left("PUBACK", "PUBREC") && !ids.received[p.ID]:
			findings = append(findings, broken("MQTT-2.3.1-6", []int{s.Seq},
				"%s, but no message with this packet identifier was sent to the device", p))
		case s.left("PUBREL") && !exchange[p.ID]:
			findings = append(findings, broken("MQTT-2.3.1-6", []int{s.Seq},
				"%s, but the device sent no QoS 2 message with this packet identifier", p))
		}
	}
	return findings
}

// isFresh says whether p is a new packet beside the one that has its identifier, which is nil where it is free. What
// is not new is a packet sent again; whether it was sent again as it should is for another judge.
func isFresh(owner, p *timeline.Packet) bool {
	switch {
	case p.Type == "PUBLISH":
		return !p.DUP && (owner == nil || !sameMessage(owner, p))
	case owner == nil || owner.Type != p.Type:
		return true
	default:
		return !slices.Equal(owner.Filters, p.Filters)
	}
}

func (ids *identifiers) release(id uint16, kind string) {
	if owner, taken := ids.inUse[id]; taken && owner.Packet.Type == kind {
		delete(ids.inUse, id)
	}
}
