package judge

import "testing"

func TestDupFlag(t *testing.T) {
	on := connected(1, connect(false)) // events 0 to 2
	retained := publish(1, 1, "a")
	retained.Retain = true
	try(t, "dup-flag", []trial{
		{"sound", record(on, left(1, publish(1, 1, "a")), left(1, again(publish(1, 1, "a"))),
			left(1, again(publish(1, 1, "a"))), left(1, publish(0, 0, "b"))), nil},
		{"sound over a reconnect", record(on, left(1, publish(1, 2, "a")), closed(1), connected(2, connect(false)),
			left(2, again(publish(1, 2, "a")))), nil},

		{"again without DUP", record(on, left(1, publish(1, 1, "a")), left(1, publish(1, 1, "a"))),
			[]string{"MQTT-3.3.1-1 [3 4]"}},
		{"again without DUP after a reconnect", record(on, left(1, publish(1, 1, "a")), closed(1),
			connected(2, connect(false)), left(2, publish(1, 1, "a"))), []string{"MQTT-3.3.1-1 [3 8]"}},
		{"again without DUP in a clean session is new", record(on, left(1, publish(1, 1, "a")), closed(1),
			connected(2, connect(true)), left(2, publish(1, 1, "a"))), nil},
		{"after PUBACK is new", record(on, left(1, publish(1, 1, "a")), reached(1, ack("PUBACK", 1)),
			left(1, publish(1, 1, "a"))), nil},
		{"after PUBREC is new", record(on, left(1, publish(1, 2, "a")), reached(1, ack("PUBREC", 1)),
			left(1, publish(1, 2, "a"))), nil},
		{"after the PUBACK of another is not new", record(on, left(1, publish(1, 1, "a")), reached(1, ack("PUBACK", 2)),
			left(1, publish(1, 1, "a"))), []string{"MQTT-3.3.1-1 [3 5]"}},
		{"again with another payload", record(on, left(1, publish(1, 1, "a")), left(1, again(publish(1, 1, "b")))),
			[]string{"MQTT-3.3.1-1 [3 4]"}},
		{"again with another QoS", record(on, left(1, publish(1, 1, "a")), left(1, again(publish(1, 2, "a")))),
			[]string{"MQTT-3.3.1-1 [3 4]"}},
		{"again with retain", record(on, left(1, publish(1, 1, "a")), left(1, again(retained))),
			[]string{"MQTT-3.3.1-1 [3 4]"}},
		{"another message is for another judge", record(on, left(1, publish(1, 1, "a")), left(1, publish(1, 1, "b"))), nil},
		{"again while PUBACK was on its way", record(on, left(1, publish(1, 1, "a")), reached(1, ack("PUBACK", 1)),
			left(1, again(publish(1, 1, "a")))), nil},

		{"DUP at QoS 0", record(on, left(1, again(publish(0, 0, "a")))), []string{"MQTT-3.3.1-2 [3]"}},
		{"DUP at QoS 0 as the codec sees it", record(on, left(1, unreadable(again(publish(0, 0, "a"))))),
			[]string{"MQTT-3.3.1-2 [3]"}},

		{"DUP at once", record(on, left(1, again(publish(1, 1, "a"))), left(1, again(publish(1, 1, "a")))),
			[]string{"MQTT-3.3.1-3 [3]"}},
		{"DUP at once under a used identifier", record(on, left(1, publish(1, 1, "a")), reached(1, ack("PUBACK", 1)),
			left(1, again(publish(1, 1, "b")))), []string{"MQTT-3.3.1-3 [5]"}},
		{"DUP of what was lost with the connection", record(on, closed(1), connected(2, connect(false)),
			left(2, again(publish(1, 1, "a")))), nil},
		{"DUP at once after a disconnect", record(on, left(1, ack("DISCONNECT", 0)), closed(1),
			connected(2, connect(false)), left(2, again(publish(1, 1, "a")))), []string{"MQTT-3.3.1-3 [8]"}},
		{"DUP over a clean session is for another judge", record(on, left(1, publish(1, 1, "a")), closed(1),
			connected(2, connect(true)), left(2, again(publish(1, 1, "a")))), nil},
		{"not the device's", record(on, reached(1, publish(1, 1, "a")), reached(1, publish(1, 1, "a"))), nil},
	})
}
