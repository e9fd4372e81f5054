package judge

import (
	"time"

	"mqtthil/harness/timeline"
)

// grace is how long a connection must go on after a packet has reached the device for its answer to be missed.
const grace = 5 * time.Second

// answer is a packet that the device owes for one that has reached it.
type answer struct {
	kind    string // the packet to be sent
	to      string // the packet that it answers
	missing string // the requirement that is broken without it
	order   string // the requirement that is broken where answers are in another order; empty where any will do
}

var (
	puback  = answer{"PUBACK", "QoS 1 PUBLISH", "MQTT-4.3.2-2", "MQTT-4.6.0-2"}
	pubrec  = answer{"PUBREC", "QoS 2 PUBLISH", "MQTT-4.3.3-2", "MQTT-4.6.0-3"}
	pubrel  = answer{"PUBREL", "PUBREC", "MQTT-4.3.3-1", "MQTT-4.6.0-4"}
	pubcomp = answer{"PUBCOMP", "PUBREL", "MQTT-4.3.3-2", ""}
)

// debt is an answer owed for one packet.
type debt struct {
	step
	answer
	position int // among the debts of the connection
	paid     bool
}

// ledger is the debts of one answer on one connection.
type ledger struct {
	owed     map[uint16][]*debt // unpaid, by packet identifier, oldest first
	furthest *debt              // the youngest that is paid
	payment  step               // by which it was paid
}

// account names a ledger.
type account struct {
	on     *connection
	answer answer
}

// acknowledgements: each packet of a QoS 1 or 2 exchange that reaches the device is answered, in the order of arrival,
// and a message by the acknowledgement of its QoS. One answer does for all copies that reached the device before it.
// A missing answer counts only where the connection went on for the grace time.
func acknowledgements(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	var debts []*debt
	ledgers := make(map[account]*ledger)
	open := make(map[memory]map[uint16]bool) // QoS 2 messages of the device that are not complete

	at := func(on *connection, a answer) *ledger {
		l := ledgers[account{on, a}]
		if l == nil {
			l = &ledger{owed: make(map[uint16][]*debt)}
			ledgers[account{on, a}] = l
		}
		return l
	}
	owe := func(s step, a answer) {
		d := &debt{step: s, answer: a, position: len(debts)}
		debts = append(debts, d)
		l := at(s.on, a)
		l.owed[s.Packet.ID] = append(l.owed[s.Packet.ID], d)
	}
	pay := func(s step, a answer) {
		if f, ok := at(s.on, a).pay(s); ok && a.order != "" {
			findings = append(findings, f)
		}
	}

	for _, s := range readSteps(events) {
		if s.Kind != timeline.KindPacket {
			continue
		}
		p := s.Packet
		switch {
		case s.reached("PUBLISH") && p.QoS == 1:
			owe(s, puback)
		case s.reached("PUBLISH") && p.QoS == 2:
			owe(s, pubrec)
		case s.reached("PUBREC") && open[s.on.memory][p.ID]:
			owe(s, pubrel)
		case s.reached("PUBREL"):
			owe(s, pubcomp)
		case s.reached("PUBCOMP"):
			delete(open[s.on.memory], p.ID)

		case s.left("PUBLISH") && p.QoS == 2:
			if open[s.on.memory] == nil {
				open[s.on.memory] = make(map[uint16]bool)
			}
			open[s.on.memory][p.ID] = true
		case s.left("PUBACK"):
			findings = append(findings, mistaken(s, at(s.on, puback), at(s.on, pubrec))...)
			pay(s, puback)
		case s.left("PUBREC"):
			findings = append(findings, mistaken(s, at(s.on, pubrec), at(s.on, puback))...)
			pay(s, pubrec)
		case s.left("PUBREL"):
			pay(s, pubrel)
		case s.left("PUBCOMP"):
			pay(s, pubcomp)
		}
	}

	for _, d := range debts {
		if limit := d.At + grace; !d.paid && outlives(d.on, limit, events) {
			findings = append(findings, broken(d.missing, []int{d.Seq},
				"%s was never answered with %s on connection %d", d.Packet, d.kind, d.on.number))
		}
	}
	return findings
}

// pay settles all debts of an answer's identifier. It returns a finding where a younger debt was settled before.
func (l *ledger) pay(s step) (f timeline.Finding, late bool) {
	owed := l.owed[s.Packet.ID]
	if len(owed) == 0 {
		return f, false
	}
	delete(l.owed, s.Packet.ID)
	for _, d := range owed {
		d.paid = true
	}
	oldest := owed[0]
	if l.furthest != nil && l.furthest.position > oldest.position {
		return broken(oldest.order, []int{oldest.Seq, l.furthest.Seq, l.payment.Seq, s.Seq},
			"%s follows %s, but the %s came first", s.Packet, l.payment.Packet, oldest.Packet), true
	}
	l.furthest, l.payment = oldest, s
	return f, false
}

// mistaken finds the acknowledgement of the other QoS.
func mistaken(s step, right, other *ledger) []timeline.Finding {
	wrong := other.owed[s.Packet.ID]
	if len(wrong) == 0 || len(right.owed[s.Packet.ID]) > 0 {
		return nil
	}
	return []timeline.Finding{broken("MQTT-3.3.4-1", []int{wrong[0].Seq, s.Seq},
		"%s answers a %s", s.Packet, wrong[0].to)}
}

// outlives says whether a connection went on after a time of the record.
func outlives(c *connection, t time.Duration, events []timeline.Event) bool {
	if c.end != nil {
		return c.end.At > t
	}
	return events[len(events)-1].At > t
}
