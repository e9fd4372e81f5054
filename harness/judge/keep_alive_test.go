package judge

import (
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

func TestKeepAlive(t *testing.T) {
	on := connected(1, connect(true)) // events 0 to 2, keep alive 10 s
	off := connected(1, changed(connect(true), func(c *timeline.Connect) { c.KeepAlive = 0 }))
	ping := left(1, ack("PINGREQ", 0))
	large := publish(1, 1, "a")
	large.Length = timeline.MaxRaw + 1
	const allowed = 10*time.Second + 250*time.Millisecond
	const tooLong = allowed + time.Millisecond
	try(t, "keep-alive", []trial{
		{"sound", record(on, allowed, ping, allowed, left(1, publish(0, 0, "a")), allowed, closed(1)), nil},
		{"off", record(off, time.Hour, ping, time.Hour, closed(1)), nil},
		{"silence before a packet", record(on, ping, tooLong, ping), []string{"MQTT-3.1.2-23 [3 4]"}},
		{"silence after CONNACK", record(on, tooLong, ping), []string{"MQTT-3.1.2-23 [2 3]"}},
		{"silence before the end of the connection", record(on, ping, tooLong, closed(1)), []string{"MQTT-3.1.2-23 [3 4]"}},
		{"silence before the end of the record", record(on, ping, tooLong, opened(9)), []string{"MQTT-3.1.2-23 [3 4]"}},
		{"silence before DISCONNECT", record(on, tooLong, left(1, ack("DISCONNECT", 0)), time.Hour, closed(1)),
			[]string{"MQTT-3.1.2-23 [2 3]"}},
		{"receiving does not count", record(on, 8*time.Second, reached(1, publish(0, 0, "a")), 8*time.Second, ping),
			[]string{"MQTT-3.1.2-23 [2 4]"}},
		{"a packet that cannot be read counts", record(on, allowed, left(1, unreadable(ack("PINGREQ", 0))), allowed, ping), nil},
		{"a second CONNACK", record(on, 8*time.Second, reached(1, timeline.Packet{Type: "CONNACK"}), 8*time.Second, ping),
			[]string{"MQTT-3.1.2-23 [2 4]"}},
		{"twice", record(on, tooLong, ping, tooLong, ping), []string{"MQTT-3.1.2-23 [2 3]", "MQTT-3.1.2-23 [3 4]"}},
		{"silence after the end", record(on, closed(1), time.Hour, opened(9)), nil},
		{"a packet after the end", record(on, closed(1), time.Hour, ping, time.Hour, opened(9)), nil},
		{"silence after a reset", record(on, reset(), time.Hour, opened(9)), nil},
		{"silence before CONNACK", record(opened(1), left(1, connect(true)), time.Hour, opened(9)), nil},
		{"silence after a refusal", record(opened(1), left(1, connect(true)),
			reached(1, timeline.Packet{Type: "CONNACK", Code: 5}), time.Hour, opened(9)), nil},
		{"a packet that took long to send", record(on, tooLong, left(1, large), allowed, ping), nil},
		{"two connections", record(on, connected(2, changed(connect(true), func(c *timeline.Connect) { c.KeepAlive = 60 })),
			30*time.Second, ping, left(2, ack("PINGREQ", 0))), []string{"MQTT-3.1.2-23 [2 6]"}},
	})
}
