package judge

import "mqtthil/harness/timeline"

// sentMessage is the newest QoS 1 or 2 message that a client sent under a packet identifier.
type sentMessage struct {
	first    step
	received int         // the newest session in which its PUBREC reached the device
	accused  *connection // the newest on which it was found to reappear
}

// cleanSession: a session that CONNECT asks to be clean ends with its connection and begins without memory, so nothing
// that was sent in another session reappears: no PUBLISH with DUP, and no PUBREL that no PUBREC has asked for.
func cleanSession(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	clients := make(map[client]map[uint16]*sentMessage)
	for _, s := range readSteps(events) {
		if s.Kind != timeline.KindPacket {
			continue
		}
		p := s.Packet
		messages := clients[s.on.client]
		if messages == nil {
			messages = make(map[uint16]*sentMessage)
			clients[s.on.client] = messages
		}
		m := messages[p.ID]
		switch {
		case s.left("PUBLISH") && p.QoS > 0 && !p.DUP:
			messages[p.ID] = &sentMessage{first: s}
			continue
		case s.reached("PUBREC") && m != nil:
			m.received = s.on.memory.session
			continue
		case m == nil || m.first.on.memory.session == s.on.memory.session || m.accused == s.on:
			continue
		case s.left("PUBLISH") && p.QoS > 0 && sameMessage(m.first.Packet, p):
		case s.left("PUBREL") && m.first.Packet.QoS == 2 && m.received != s.on.memory.session:
		default:
			continue
		}
		m.accused = s.on
		findings = append(findings, broken("MQTT-3.1.2-6", []int{m.first.Seq, s.on.connect.Seq, s.Seq},
			"%s on connection %d goes on with %s of connection %d, but the session is a new one",
			p, s.on.number, m.first.Packet, m.first.on.number))
	}
	return findings
}
