package judge

import (
	"testing"

	"mqtthil/harness/timeline"
)

func TestCleanSession(t *testing.T) {
	kept, clean := connected(1, connect(false)), connected(1, connect(true)) // events 0 to 2
	other := connected(2, changed(connect(true), func(c *timeline.Connect) { c.ClientID = "other" }))
	hello := publish(1, 1, "a")
	exact := publish(2, 2, "b")
	try(t, "clean-session", []trial{
		{"sound", record(kept, left(1, hello), closed(1), connected(2, connect(false)), left(2, again(hello))), nil},
		{"sound on one connection", record(clean, left(1, hello), left(1, again(hello))), nil},
		{"in a clean session", record(kept, left(1, hello), closed(1), connected(2, connect(true)), left(2, again(hello)),
			left(2, again(hello))), []string{"MQTT-3.1.2-6 [3 6 8]"}},
		{"after a clean session", record(clean, left(1, hello), closed(1), connected(2, connect(false)), left(2, again(hello))),
			[]string{"MQTT-3.1.2-6 [3 6 8]"}},
		{"in two clean sessions", record(clean, left(1, hello), closed(1), connected(2, connect(true)), left(2, again(hello)),
			closed(2), connected(3, connect(true)), left(3, again(hello))),
			[]string{"MQTT-3.1.2-6 [3 6 8]", "MQTT-3.1.2-6 [3 11 13]"}},
		{"two messages", record(clean, left(1, hello), left(1, exact), closed(1), connected(2, connect(true)),
			left(2, again(hello)), left(2, again(exact))),
			[]string{"MQTT-3.1.2-6 [3 7 9]", "MQTT-3.1.2-6 [4 7 10]"}},
		{"published again by the application", record(clean, left(1, hello), closed(1), connected(2, connect(true)),
			left(2, hello), left(2, again(hello))), nil},
		{"another message with DUP is for another judge", record(clean, left(1, hello), closed(1),
			connected(2, connect(true)), left(2, again(publish(1, 1, "c")))), nil},
		{"another client", record(clean, left(1, hello), closed(1), other, left(2, again(hello))), nil},
		{"without client identifier", record(opened(1), left(1, hello), opened(2), left(2, again(hello))), nil},

		{"PUBREL over a reconnect", record(kept, left(1, exact), reached(1, ack("PUBREC", 2)), closed(1),
			connected(2, connect(false)), left(2, release(2))), nil},
		{"PUBREL in a clean session", record(kept, left(1, exact), reached(1, ack("PUBREC", 2)), closed(1),
			connected(2, connect(true)), left(2, release(2))), []string{"MQTT-3.1.2-6 [3 7 9]"}},
		{"PUBREL for a QoS 1 message is for another judge", record(kept, left(1, hello), closed(1),
			connected(2, connect(true)), left(2, release(1))), nil},
		{"PUBREL for a PUBREC in the clean session", record(kept, left(1, exact), closed(1), connected(2, connect(true)),
			reached(2, ack("PUBREC", 2)), left(2, release(2))), nil},
	})
}
