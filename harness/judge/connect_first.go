package judge

import (
	"bytes"

	"mqtthil/harness/timeline"
)

// connectFirstAndOnce: the first packet on a connection is CONNECT, and there is no second one. Whatever else the
// device sends before CONNACK is allowed.
func connectFirstAndOnce(events []timeline.Event) []timeline.Finding {
	var findings []timeline.Finding
	begun := make(map[*connection]bool)
	connect := make(map[*connection]int) // Seq of the first CONNECT
	for _, s := range readSteps(events) {
		if s.on == nil || s.Point != timeline.LeftDevice {
			continue
		}
		isConnect := s.Packet != nil && s.Packet.Type == "CONNECT"
		if !begun[s.on] && s.on.opened && !isConnect && !mayBeginConnect(s) {
			findings = append(findings, broken("MQTT-3.1.0-1", []int{s.Seq},
				"connection %d begins with %s instead of CONNECT", s.on.number, describe(s)))
		}
		begun[s.on] = true
		if !isConnect {
			continue
		}
		if first, again := connect[s.on]; again {
			findings = append(findings, broken("MQTT-3.1.0-2", []int{first, s.Seq},
				"a second CONNECT on connection %d", s.on.number))
			continue
		}
		connect[s.on] = s.Seq
	}
	return findings
}

// mayBeginConnect says whether bytes that are no packet may be the beginning of a CONNECT that was cut off, of TLS,
// whose first byte is a CONNECT's as well, or of WebSocket.
func mayBeginConnect(s step) bool {
	return s.Kind == timeline.KindRaw &&
		(len(s.Data) == 0 || s.Data[0]>>4 == 1 || bytes.HasPrefix(s.Data, []byte("GET ")))
}

func describe(s step) string {
	if s.Packet == nil {
		return "bytes that are no packet"
	}
	return s.Packet.String()
}
