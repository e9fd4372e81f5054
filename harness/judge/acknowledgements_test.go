package judge

import (
	"testing"
	"time"
)

func TestAcknowledgements(t *testing.T) {
	on := connected(1, connect(false)) // events 0 to 2
	const enough = grace + time.Millisecond
	end := reset() // of the record, as any event
	try(t, "acknowledgements", []trial{
		{"sound", record(on, reached(1, publish(1, 1, "a")), left(1, ack("PUBACK", 1)),
			reached(1, publish(2, 2, "b")), left(1, ack("PUBREC", 2)), reached(1, release(2)), left(1, ack("PUBCOMP", 2)),
			left(1, publish(3, 2, "c")), reached(1, ack("PUBREC", 3)), left(1, release(3)), reached(1, ack("PUBCOMP", 3)),
			reached(1, publish(0, 0, "d")), enough, opened(9)), nil},

		{"no PUBACK", record(on, reached(1, publish(1, 1, "a")), enough, opened(9)), []string{"MQTT-4.3.2-2 [3]"}},
		{"no PUBREC", record(on, reached(1, publish(1, 2, "a")), enough, opened(9)), []string{"MQTT-4.3.3-2 [3]"}},
		{"no PUBCOMP", record(on, reached(1, release(1)), enough, opened(9)), []string{"MQTT-4.3.3-2 [3]"}},
		{"no PUBREL", record(on, left(1, publish(1, 2, "a")), reached(1, ack("PUBREC", 1)), enough, opened(9)),
			[]string{"MQTT-4.3.3-1 [4]"}},
		{"no PUBREL for a PUBREC out of the blue", record(on, reached(1, ack("PUBREC", 1)), enough, opened(9)), nil},
		{"no PUBREL after the end of the exchange", record(on, left(1, publish(1, 2, "a")), reached(1, ack("PUBREC", 1)),
			left(1, release(1)), reached(1, ack("PUBCOMP", 1)), reached(1, ack("PUBREC", 1)), enough, opened(9)), nil},
		{"PUBREL over a reconnect", record(on, left(1, publish(1, 2, "a")), closed(1), connected(2, connect(false)),
			reached(2, ack("PUBREC", 1)), enough, opened(9)), []string{"MQTT-4.3.3-1 [8]"}},
		{"PUBACK for another", record(on, reached(1, publish(1, 1, "a")), left(1, ack("PUBACK", 2)), enough, opened(9)),
			[]string{"MQTT-4.3.2-2 [3]"}},
		{"late", record(on, reached(1, publish(1, 1, "a")), time.Minute, left(1, ack("PUBACK", 1)), enough, opened(9)), nil},

		{"the record ends", record(on, reached(1, publish(1, 1, "a")), grace, opened(9)), nil},
		{"the connection ends", record(on, reached(1, publish(1, 1, "a")), grace, closed(1), time.Minute, opened(9)), nil},
		{"the connection ends later", record(on, reached(1, publish(1, 1, "a")), enough, closed(1)),
			[]string{"MQTT-4.3.2-2 [3]"}},
		{"the device disconnects", record(on, reached(1, publish(1, 1, "a")), left(1, ack("DISCONNECT", 0)), enough,
			opened(9)), nil},
		{"the board is reset", record(on, reached(1, publish(1, 1, "a")), end, enough, opened(9)), nil},

		{"two copies, one answer", record(on, reached(1, publish(1, 1, "a")), reached(1, again(publish(1, 1, "a"))),
			left(1, ack("PUBACK", 1)), enough, opened(9)), nil},
		{"two copies, the answer between", record(on, reached(1, publish(1, 1, "a")), left(1, ack("PUBACK", 1)),
			reached(1, again(publish(1, 1, "a"))), enough, opened(9)), []string{"MQTT-4.3.2-2 [5]"}},

		{"PUBACK for QoS 2", record(on, reached(1, publish(1, 2, "a")), left(1, ack("PUBACK", 1)), enough, opened(9)),
			[]string{"MQTT-3.3.4-1 [3 4]", "MQTT-4.3.3-2 [3]"}},
		{"PUBREC for QoS 1", record(on, reached(1, publish(1, 1, "a")), left(1, ack("PUBREC", 1)), enough, opened(9)),
			[]string{"MQTT-3.3.4-1 [3 4]", "MQTT-4.3.2-2 [3]"}},
		{"one identifier at both QoS", record(on, reached(1, publish(1, 1, "a")), reached(1, publish(1, 2, "b")),
			left(1, ack("PUBREC", 1)), left(1, ack("PUBACK", 1)), enough, opened(9)), nil},

		{"PUBACKs out of order", record(on, reached(1, publish(1, 1, "a")), reached(1, publish(2, 1, "b")),
			left(1, ack("PUBACK", 2)), left(1, ack("PUBACK", 1))), []string{"MQTT-4.6.0-2 [3 4 5 6]"}},
		{"PUBRECs out of order", record(on, reached(1, publish(1, 2, "a")), reached(1, publish(2, 2, "b")),
			left(1, ack("PUBREC", 2)), left(1, ack("PUBREC", 1))), []string{"MQTT-4.6.0-3 [3 4 5 6]"}},
		{"PUBRELs out of order", record(on, left(1, publish(1, 2, "a")), left(1, publish(2, 2, "b")),
			reached(1, ack("PUBREC", 2)), reached(1, ack("PUBREC", 1)), left(1, release(1)), left(1, release(2))),
			[]string{"MQTT-4.6.0-4 [5 6 7 8]"}},
		{"PUBCOMPs in any order", record(on, reached(1, release(1)), reached(1, release(2)),
			left(1, ack("PUBCOMP", 2)), left(1, ack("PUBCOMP", 1))), nil},
		{"PUBACK and PUBREC in any order", record(on, reached(1, publish(1, 1, "a")), reached(1, publish(2, 2, "b")),
			left(1, ack("PUBREC", 2)), left(1, ack("PUBACK", 1))), nil},
		{"one of two missing is not out of order", record(on, reached(1, publish(1, 1, "a")), reached(1, publish(2, 1, "b")),
			left(1, ack("PUBACK", 2)), enough, opened(9)), []string{"MQTT-4.3.2-2 [3]"}},
		{"order with copies", record(on, reached(1, publish(1, 1, "a")), reached(1, publish(2, 1, "b")),
			reached(1, again(publish(1, 1, "a"))), left(1, ack("PUBACK", 1)), left(1, ack("PUBACK", 2)),
			left(1, ack("PUBACK", 1))), nil},
	})
}
