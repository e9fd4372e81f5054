package judge

import (
	"testing"

	"mqtthil/harness/timeline"
)

func TestExactlyOnceDelivery(t *testing.T) {
	on := connected(1, connect(false)) // events 0 to 2
	hello := publish(7, 2, "a")
	partial := timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{Name: "MQTT_EVENT_DATA"}}
	nonsense := timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{Name: "MQTT_EVENT_DATA_COMPLETE"}}
	released := reached(1, release(7))
	try(t, "exactly-once-delivery", []trial{
		{"sound", record(on, reached(1, hello), partial, partial, complete(7), reached(1, again(hello)), released,
			reached(1, hello), complete(7)), nil},
		{"given again", record(on, reached(1, hello), complete(7), reached(1, again(hello)), complete(7)),
			[]string{"MQTT-4.3.3-2 [3 5 6]"}},
		{"given again after PUBREL", record(on, reached(1, hello), reached(1, again(hello)), released, complete(7), complete(7)),
			[]string{"MQTT-4.3.3-2 [3 4 7]"}},
		{"given again without a copy", record(on, reached(1, hello), complete(7), complete(7)),
			[]string{"MQTT-4.3.3-2 [3 5]"}},
		{"given three times", record(on, reached(1, hello), complete(7), reached(1, hello), complete(7), reached(1, hello),
			complete(7)), []string{"MQTT-4.3.3-2 [3 5 6]", "MQTT-4.3.3-2 [3 7 8]"}},
		{"a copy over a reconnect", record(on, reached(1, hello), complete(7), closed(1), connected(2, connect(false)),
			reached(2, again(hello)), complete(7)), []string{"MQTT-4.3.3-2 [3 9 10]"}},
		{"a copy in a clean session is new", record(on, reached(1, hello), complete(7), closed(1),
			connected(2, connect(true)), reached(2, hello), complete(7)), nil},
		{"a copy after a reset is new", record(on, reached(1, hello), complete(7), reset(), connected(2, connect(false)),
			reached(2, again(hello)), complete(7)), nil},
		{"given again after a reset", record(on, reached(1, hello), reset(), connected(2, connect(false)),
			reached(2, again(hello)), complete(7), complete(7)), []string{"MQTT-4.3.3-2 [8 10]"}},
		{"reported late", record(on, reached(1, hello), released, reached(1, hello), complete(7), complete(7)), nil},
		{"QoS 1 may be given again", record(on, reached(1, publish(7, 1, "a")), complete(7), complete(7)), nil},
		{"QoS 1 under the same identifier", record(on, reached(1, hello), complete(7), released, reached(1, publish(7, 1, "b")),
			complete(7), reached(1, publish(7, 1, "b")), complete(7)), nil},
		{"QoS 1 under an identifier that is not released", record(on, reached(1, hello), complete(7),
			reached(1, publish(7, 1, "b")), complete(7)), nil},
		{"report without identifier", record(on, reached(1, publish(0, 2, "a")), nonsense, nonsense), nil},
		{"unknown message", record(on, complete(8), nonsense), nil},
	})
}
