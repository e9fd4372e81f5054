package judge

import "mqtthil/harness/timeline"

// message is the newest one that a client sent under a packet identifier.
type message struct {
	first        step
	acknowledged bool
}

// dupFlag: a PUBLISH sent again has DUP and is the same message, one that was never sent before has not, and QoS 0
// never has. A message counts as unacknowledged until PUBACK, PUBREC or PUBCOMP has reached the device.
func dupFlag(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	clients := make(map[client]map[uint16]*message)
	for _, s := range readSteps(events) {
		if s.Kind != timeline.KindPacket {
			continue
		}
		p := s.Packet
		messages := clients[s.on.client]
		if messages == nil {
			messages = make(map[uint16]*message)
			clients[s.on.client] = messages
		}
		before := messages[p.ID]

		switch {
		case s.reached("PUBACK", "PUBREC", "PUBCOMP"):
			if before != nil {
				before.acknowledged = true
			}
			continue
		case s.Point == timeline.LeftDevice && p.Type == "PUBLISH" && p.QoS == 0 && p.DUP: // also where it cannot be read
			findings = append(findings, broken("MQTT-3.3.1-2", []int{s.Seq}, "%s has DUP at QoS 0", p))
			continue
		case !s.left("PUBLISH") || p.QoS == 0:
			continue
		}

		same := before != nil && sameMessage(before.first.Packet, p)
		pending := before != nil && !before.acknowledged && before.first.on.memory == s.on.memory
		switch {
		case same && p.DUP:
			continue // sent again as it should; late perhaps, or in another session, which is not this judge's business
		case same && pending:
			findings = append(findings, broken("MQTT-3.3.1-1", []int{before.first.Seq, s.Seq},
				"%s was sent again without DUP", p))
			continue
		case p.DUP && pending:
			findings = append(findings, broken("MQTT-3.3.1-1", []int{before.first.Seq, s.Seq},
				"%s is not the message that was sent first: %s", p, before.first.Packet))
			continue
		case p.DUP && !s.on.lossy:
			findings = append(findings, broken("MQTT-3.3.1-3", []int{s.Seq}, "%s has DUP but was never sent before", p))
		}
		messages[p.ID] = &message{first: s}
	}
	return findings
}
