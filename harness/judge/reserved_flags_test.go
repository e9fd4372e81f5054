package judge

import (
	"testing"

	"mqtthil/harness/timeline"
)

func TestReservedFlags(t *testing.T) {
	with := func(kind string, flags byte) []timeline.Event {
		return record(opened(1), left(1, unreadable(timeline.Packet{Type: kind, Flags: flags})))
	}
	connecting := func(change func(*timeline.Connect)) []timeline.Event {
		return record(opened(1), left(1, changed(connect(true), change)))
	}
	flags := func(f byte) []timeline.Event { return connecting(func(c *timeline.Connect) { c.Flags = f }) }
	try(t, "reserved-flags", []trial{
		{"sound", record(connected(1, connect(true)), left(1, subscribe(1, "t")), left(1, unsubscribe(2, "t")),
			left(1, again(publish(3, 2, "a"))), left(1, release(3)), left(1, ack("PUBACK", 4)), left(1, ack("PUBREC", 4)),
			left(1, ack("PUBCOMP", 4)), left(1, ack("PINGREQ", 0)), left(1, ack("DISCONNECT", 0))), nil},
		{"CONNECT", with("CONNECT", 1), []string{"MQTT-2.2.2-1 [1]"}},
		{"PUBACK", with("PUBACK", 2), []string{"MQTT-2.2.2-1 [1]"}},
		{"PUBREC", with("PUBREC", 2), []string{"MQTT-2.2.2-1 [1]"}},
		{"PUBCOMP", with("PUBCOMP", 8), []string{"MQTT-2.2.2-1 [1]"}},
		{"PINGREQ", with("PINGREQ", 1), []string{"MQTT-2.2.2-1 [1]"}},
		{"PUBREL", with("PUBREL", 0), []string{"MQTT-3.6.1-1 [1]"}},
		{"SUBSCRIBE", with("SUBSCRIBE", 0), []string{"MQTT-3.8.1-1 [1]"}},
		{"UNSUBSCRIBE", with("UNSUBSCRIBE", 10), []string{"MQTT-3.10.1-1 [1]"}},
		{"DISCONNECT", with("DISCONNECT", 1), []string{"MQTT-3.14.1-1 [1]"}},
		{"PUBLISH of QoS 3", with("PUBLISH", 6), []string{"MQTT-3.3.1-4 [1]"}},
		{"PUBLISH of QoS 3 with DUP and retain", with("PUBLISH", 15), []string{"MQTT-3.3.1-4 [1]"}},
		{"not the device's", record(reached(1, unreadable(timeline.Packet{Type: "PUBREL"}))), nil},

		{"everything a CONNECT can have", flags(0xf6), nil},
		{"reserved connect flag", flags(0x03), []string{"MQTT-3.1.2-3 [1]"}},
		{"will QoS without will", flags(0x12), []string{"MQTT-3.1.2-11 [1]", "MQTT-3.1.2-13 [1]"}},
		{"will retain without will", flags(0x22), []string{"MQTT-3.1.2-11 [1]", "MQTT-3.1.2-15 [1]"}},
		{"will QoS 3", flags(0x1e), []string{"MQTT-3.1.2-14 [1]"}},
		{"password without user name", flags(0x42), []string{"MQTT-3.1.2-22 [1]"}},
		{"user name without password", flags(0x82), nil},
		{"protocol name", connecting(func(c *timeline.Connect) { c.Protocol = "MQIsdp" }), []string{"MQTT-3.1.2-1 [1]"}},
		{"protocol level", connecting(func(c *timeline.Connect) { c.Version = 6 }), []string{"MQTT-3.1.2-2 [1]"}},
		{"MQTT 3.1", connecting(func(c *timeline.Connect) { c.Protocol, c.Version, c.Flags = "MQIsdp", 3, 1 }), nil},
		{"no client identifier", connecting(func(c *timeline.Connect) { c.ClientID = "" }), nil},
		{"no client identifier, session kept", connecting(func(c *timeline.Connect) { c.ClientID, c.Flags = "", 0 }),
			[]string{"MQTT-3.1.3-7 [1]"}},
	})
}
