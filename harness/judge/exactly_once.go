package judge

import (
	"strconv"

	"mqtthil/harness/timeline"
)

// delivery is what reached the device under one packet identifier and what it reported of it.
type delivery struct {
	messages int // that the application may be given
	reported int // that it was given
	newest   *inbound
}

// inbound is a message that reached the device.
type inbound struct {
	first  step
	repeat *step // its newest copy
}

// exactlyOnceDelivery: the application is given a QoS 2 message once. Copies that reach the device before PUBREL, in
// the same session, are the same message. The device reports each whole message with MQTT_EVENT_DATA_COMPLETE; devices
// that do not are not judged.
func exactlyOnceDelivery(events []timeline.Event) []timeline.Finding {
	type exchange struct {
		of memory
		id uint16
	}
	var findings []timeline.Finding
	deliveries := make(map[uint16]*delivery)
	unreleased := make(map[exchange]*inbound)
	for _, s := range readSteps(events) {
		switch {
		case s.Kind == timeline.KindReset: // what was not reported yet never will be
			clear(deliveries)
		case s.reached("PUBLISH") && s.Packet.QoS > 0:
			key := exchange{s.on.memory, s.Packet.ID}
			if m := unreleased[key]; m != nil && s.Packet.QoS == 2 {
				m.repeat = &s
				continue
			}
			d := deliveries[s.Packet.ID]
			if d == nil {
				d = &delivery{}
				deliveries[s.Packet.ID] = d
			}
			d.messages++
			d.newest = &inbound{first: s}
			if s.Packet.QoS == 2 {
				unreleased[key] = d.newest
			}
		case s.reached("PUBREL"):
			delete(unreleased, exchange{s.on.memory, s.Packet.ID})
		case s.Kind == timeline.KindDevice && s.Device.Name == "MQTT_EVENT_DATA_COMPLETE":
			id, err := strconv.ParseUint(s.Device.Fields["msg_id"], 10, 16)
			d := deliveries[uint16(id)]
			if err != nil || d == nil {
				continue
			}
			if d.reported < d.messages {
				d.reported++
				continue
			}
			if d.newest.first.Packet.QoS == 2 {
				findings = append(findings, d.newest.deliveredAgain(s))
			}
		}
	}
	return findings
}

func (m *inbound) deliveredAgain(s step) timeline.Finding {
	seqs := []int{m.first.Seq}
	if m.repeat != nil {
		seqs = append(seqs, m.repeat.Seq)
	}
	return broken("MQTT-4.3.3-2", append(seqs, s.Seq), "%s was delivered to the application again", m.first.Packet)
}
