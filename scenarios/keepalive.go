package scenarios

import (
	"time"

	. "github.com/onsi/ginkgo/v2"

	"mqtthil/devices"
	"mqtthil/devices/espmqtt"
	"mqtthil/faults"
	. "mqtthil/harness"
)

// The time between two packets of the device is the keep-alive judge's business; the scenarios give it occasion.
var _ = Describe("Keep alive:", Label("keep-alive"), func() {
	Scenario("an idle client sends PINGREQ within every keep alive",
		Covers("MQTT-3.1.2-23", "ESP-KA-01", "ESP-KA-02"),
		FailsOn(espmqtt.NoPing, espmqtt.PingLate),
		func(b *Bench) {
			b.Connect(b.Config())
			b.Pause(2*b.KeepAlive() + time.Second)
			b.Expect("PINGREQ was sent at least once in each keep alive", Packets(faults.FromDevice(faults.PINGREQ)), AtLeast(2))
			b.Expect("the connection lasted", Packets(faults.FromDevice(faults.CONNECT)), Times(1))
		})

	Scenario("a client that only receives sends PINGREQ all the same",
		Covers("MQTT-3.1.2-23", "ESP-KA-01"),
		FailsOn(espmqtt.PingForgotten),
		func(b *Bench) {
			b.Connect(b.Config())
			b.Subscribe("bench/down", devices.QoS0)
			for range 8 {
				b.Publish("bench/down", "tick", devices.QoS0, false)
				b.Pause(b.KeepAlive() / 4)
			}
			b.Expect("PINGREQ was sent", Packets(faults.FromDevice(faults.PINGREQ)), Some())
			b.Expect("the connection lasted", Packets(faults.FromDevice(faults.CONNECT)), Times(1))
		})

	Scenario("a missing PINGRESP ends the connection",
		Covers("ESP-KA-03"),
		FailsOn(espmqtt.MissingPingrespIgnored),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.PINGRESP), faults.Drop()).Times(1))
			b.Connect(b.Config())

			b.Eventually("the client ends the connection", Closes(), Some(), b.KeepAlive()+3*time.Second)
			b.Eventually("the client reports it", Reports("MQTT_EVENT_DISCONNECTED"), Some(), time.Second)
			b.Eventually("the client connects again", Reports("MQTT_EVENT_CONNECTED"), Times(2), 10*time.Second)
		})
})
