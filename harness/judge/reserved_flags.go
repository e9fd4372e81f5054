package judge

import "mqtthil/harness/timeline"

// reservedFlags: the flags of the fixed header are those of the packet's type, and CONNECT is consistent in itself.
func reservedFlags(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	for _, s := range readSteps(events) {
		if s.Kind != timeline.KindPacket || s.Point != timeline.LeftDevice {
			continue
		}
		accuse := func(id, format string, args ...any) {
			findings = append(findings, broken(id, []int{s.Seq}, format, args...))
		}
		p := s.Packet
		if want, id, reserved := flagsOf(p.Type); reserved && p.Flags != want {
			accuse(id, "%s has the flags %04b instead of %04b", p, p.Flags, want)
		}
		if p.Type == "PUBLISH" && p.Flags>>1&3 == 3 {
			accuse("MQTT-3.3.1-4", "%s has QoS 3", p)
		}
		if p.Type == "CONNECT" && p.Connect != nil {
			checkConnect(p, accuse)
		}
	}
	return findings
}

// flagsOf returns the flags that a client's packet of this type must have, and the requirement that says so.
func flagsOf(packet string) (flags byte, id string, reserved bool) {
	switch packet {
	case "CONNECT", "PUBACK", "PUBREC", "PUBCOMP", "PINGREQ":
		return 0, "MQTT-2.2.2-1", true
	case "DISCONNECT":
		return 0, "MQTT-3.14.1-1", true
	case "PUBREL":
		return 2, "MQTT-3.6.1-1", true
	case "SUBSCRIBE":
		return 2, "MQTT-3.8.1-1", true
	case "UNSUBSCRIBE":
		return 2, "MQTT-3.10.1-1", true
	}
	return 0, "", false // PUBLISH uses its flags, and other packets are not a client's
}

// The connect flags.
const (
	reservedFlag = 0x01
	cleanFlag    = 0x02
	willFlag     = 0x04
	willQoS      = 0x18
	willRetain   = 0x20
	passwordFlag = 0x40
	usernameFlag = 0x80
)

func checkConnect(p *timeline.Packet, accuse func(id, format string, args ...any)) {
	c := p.Connect
	has := func(flags byte) bool { return c.Flags&flags != 0 }
	if c.Protocol != "MQTT" {
		accuse("MQTT-3.1.2-1", "%s names the protocol %q instead of MQTT", p, c.Protocol)
	}
	if c.Version != 4 {
		accuse("MQTT-3.1.2-2", "%s has protocol level %d instead of 4", p, c.Version)
	}
	if has(reservedFlag) {
		accuse("MQTT-3.1.2-3", "%s has the reserved connect flag set", p)
	}
	if !has(willFlag) && has(willQoS|willRetain) {
		accuse("MQTT-3.1.2-11", "%s has no will but connect flags for it: %08b", p, c.Flags)
	}
	if !has(willFlag) && has(willQoS) {
		accuse("MQTT-3.1.2-13", "%s has no will but a will QoS", p)
	}
	if has(willFlag) && c.Flags&willQoS == willQoS {
		accuse("MQTT-3.1.2-14", "%s has will QoS 3", p)
	}
	if !has(willFlag) && has(willRetain) {
		accuse("MQTT-3.1.2-15", "%s has no will but will retain", p)
	}
	if has(passwordFlag) && !has(usernameFlag) {
		accuse("MQTT-3.1.2-22", "%s has a password but no user name", p)
	}
	if c.ClientID == "" && !has(cleanFlag) {
		accuse("MQTT-3.1.3-7", "%s has an empty client identifier without clean session", p)
	}
}
