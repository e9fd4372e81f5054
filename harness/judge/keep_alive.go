package judge

import (
	"time"

	"mqtthil/harness/timeline"
)

// keepAlive: between two packets of the device there is no longer silence than the keep alive that its CONNECT names,
// and none before the end of the connection either. The clock starts when CONNACK has reached the device.
func keepAlive(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	var accepted []*connection
	last := make(map[*connection]step) // what silence counts from
	judge := func(c *connection, until timeline.Event, what string) {
		from, silence := last[c], until.At-last[c].At
		if limit := allowedSilence(c); silence > limit {
			findings = append(findings, broken("MQTT-3.1.2-23", []int{from.Seq, until.Seq},
				"nothing left the device for %v on connection %d, from %s to %s; its keep alive is %d s",
				silence.Round(time.Millisecond), c.number, from.Packet, what, c.connect.Packet.Connect.KeepAlive))
		}
	}
	for _, s := range readSteps(events) {
		if s.Kind != timeline.KindPacket || s.on.connect == nil || s.on.connect.Packet.Connect.KeepAlive == 0 {
			continue
		}
		_, started := last[s.on]
		switch {
		case s.reached("CONNACK") && s.Packet.Code == 0 && !started:
			last[s.on] = s
			accepted = append(accepted, s.on)
		case s.Point == timeline.LeftDevice && started && !s.on.endedBefore(s.Event):
			// The record has the time at which the last byte of a packet was there. The first byte of a large one may
			// have come in time.
			if s.Packet.Length <= timeline.MaxRaw {
				judge(s.on, s.Event, s.Packet.String())
			}
			last[s.on] = s
		}
	}
	for _, c := range accepted {
		if c.end != nil {
			judge(c, *c.end, "the end of the connection")
		} else {
			judge(c, events[len(events)-1], "the end of the record")
		}
	}
	return findings
}

// allowedSilence is the keep alive, with a little more for clocks and for the way to the proxy.
func allowedSilence(c *connection) time.Duration {
	keepAlive := time.Duration(c.connect.Packet.Connect.KeepAlive) * time.Second
	return keepAlive + keepAlive/50 + 50*time.Millisecond
}

// endedBefore says whether the connection had ended when e happened.
func (c *connection) endedBefore(e timeline.Event) bool {
	return c.end != nil && c.end.Seq < e.Seq
}
