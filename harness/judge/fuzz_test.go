package judge

import (
	"fmt"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

// anything reads a record out of bytes, four for each event: every kind, point and packet, in any order, with any time,
// half of the fields missing.
func anything(data []byte) []timeline.Event {
	kinds := []timeline.Kind{
		timeline.KindPacket, timeline.KindPacket, timeline.KindPacket, timeline.KindPacket, timeline.KindOpen,
		timeline.KindClose, timeline.KindRaw, timeline.KindDevice, timeline.KindReset, timeline.KindBroker,
	}
	points := []timeline.Point{timeline.LeftDevice, timeline.ReachedDevice, timeline.LeftBroker, ""}
	types := []string{
		"CONNECT", "CONNACK", "PUBLISH", "PUBLISH", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
		"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "DISCONNECT", "",
	}
	clients := []string{"", "dev", "other", "connection 1"}
	var events []timeline.Event
	for ; len(data) >= 4; data = data[4:] {
		a, b, c, d := data[0], data[1], data[2], data[3]
		e := timeline.Event{
			Seq:   len(events),
			At:    time.Duration(int8(d)) * time.Second,
			Kind:  kinds[int(a)%len(kinds)],
			Point: points[int(a>>4)%len(points)],
			Conn:  int(b & 3),
		}
		if a != 0xff {
			e.Data = []byte{d}
			e.Device = &timeline.Device{Name: "MQTT_EVENT_DATA_COMPLETE", Fields: map[string]string{"msg_id": fmt.Sprint(c & 3)}}
			p := &timeline.Packet{
				Type: types[int(b>>2)%len(types)], Flags: c & 15, DUP: c&8 != 0, QoS: c >> 1 & 3, ID: uint16(c >> 6),
				PayloadSum: uint32(d & 1),
			}
			if c&32 != 0 {
				p.Connect = &timeline.Connect{
					Protocol: "MQTT", Version: 4 + d&1, Flags: d, ClientID: clients[c&3], KeepAlive: uint16(d & 3),
					CleanSession: d&2 != 0,
				}
			}
			if d == 0xff {
				p.Error = "malformed packet"
			}
			e.Packet = p
		}
		events = append(events, e)
	}
	return events
}

func FuzzJudges(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x04\x01\x00\x00\x00\x01\x21\x00\x10\x05\x00\x00\x00\x09\x42\x00\x00\x09\x42\x01"))
	f.Add([]byte("\x00\x01\x21\x02\x10\x05\x00\x02\x10\x09\x44\x03\x07\x00\x01\x04\x10\x09\x44\x05\x07\x00\x01\x06"))
	f.Add([]byte("\xff\x01\x00\x00\x06\x01\x00\x00\x08\x00\x00\x00\x05\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		events := anything(data)
		checkFindings(t, events, Run(events))
	})
}

// A record of many events costs time in proportion: compare the benchmarks per event.
func BenchmarkRun(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			parts := []any{connected(1, connect(false))}
			for i := range n / 4 {
				id := uint16(i%1000 + 1)
				parts = append(parts, left(1, publish(id, 1, "a")), reached(1, ack("PUBACK", id)),
					reached(1, publish(id, 2, "b")), complete(int(id)))
			}
			events := record(parts...)
			b.ResetTimer()
			for b.Loop() {
				Run(events)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
		})
	}
}
