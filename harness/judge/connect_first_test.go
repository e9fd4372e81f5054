package judge

import (
	"testing"

	"mqtthil/harness/timeline"
)

func TestConnectFirstAndOnce(t *testing.T) {
	try(t, "connect-first-and-once", []trial{
		{"sound", record(opened(1), left(1, connect(true)), left(1, subscribe(1, "t"))), nil},
		{"reconnect", record(connected(1, connect(true)), closed(1), connected(2, connect(true))), nil},
		{"no packet", record(opened(1), closed(1)), nil},
		{"other packet first", record(opened(1), left(1, subscribe(1, "t"))), []string{"MQTT-3.1.0-1 [1]"}},
		{"other packet first, then CONNECT", record(opened(1), left(1, ack("PINGREQ", 0)), left(1, connect(true))),
			[]string{"MQTT-3.1.0-1 [1]"}},
		{"bytes of another packet first", record(opened(1), bytesLeft(1, "\x82\x02")), []string{"MQTT-3.1.0-1 [1]"}},
		{"half a CONNECT", record(opened(1), bytesLeft(1, "\x10\x0c\x00")), nil},
		{"TLS", record(opened(1), bytesLeft(1, "\x16\x03\x01")), nil},
		{"WebSocket", record(opened(1), bytesLeft(1, "GET /mqtt HTTP/1.1\r\n")), nil},
		{"beginning not in the record", record(left(1, subscribe(1, "t"))), nil},
		{"CONNECT that cannot be read", record(opened(1), left(1, unreadable(timeline.Packet{Type: "CONNECT"}))), nil},
		{"twice", record(connected(1, connect(true)), left(1, connect(true))), []string{"MQTT-3.1.0-2 [1 3]"}},
		{"three times", record(opened(1), left(1, connect(true)), left(1, connect(false)), left(1, connect(true))),
			[]string{"MQTT-3.1.0-2 [1 2]", "MQTT-3.1.0-2 [1 3]"}},
	})
}
