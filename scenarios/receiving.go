package scenarios

import (
	"time"

	. "github.com/onsi/ginkgo/v2"

	"mqtthil/devices"
	"mqtthil/devices/espmqtt"
	"mqtthil/faults"
	. "mqtthil/harness"
)

var _ = Describe("Receiving:", Label("receiving"), func() {
	Scenario("a QoS 1 message is delivered and acknowledged",
		Covers("ESP-RX-10", "ESP-RX-20", "MQTT-3.3.4-1", "MQTT-4.3.2-2", "MQTT-2.3.1-6"),
		FailsOn(espmqtt.NoPuback, espmqtt.PubackWrongID),
		func(b *Bench) {
			b.Connect(b.Config())
			b.Subscribe("bench/down", devices.QoS1)
			b.Publish("bench/down", "hello", devices.QoS1, false)

			b.Eventually("the message is delivered", Reports("MQTT_EVENT_DATA_COMPLETE"), Times(1), 5*time.Second)
			b.Eventually("it is acknowledged", Packets(faults.FromDevice(faults.PUBACK)), Times(1), 5*time.Second)
		})

	Scenario("a QoS 2 message is delivered and acknowledged in two steps",
		Covers("ESP-RX-20", "ESP-RX-21", "MQTT-3.3.4-1", "MQTT-4.3.3-2"),
		FailsOn(espmqtt.NoPubcomp),
		func(b *Bench) {
			b.Connect(b.Config())
			b.Subscribe("bench/down", devices.QoS2)
			b.Publish("bench/down", "hello", devices.QoS2, false)

			b.Eventually("the message is received", Packets(faults.FromDevice(faults.PUBREC)), Times(1), 5*time.Second)
			b.Eventually("its release is answered", Packets(faults.FromDevice(faults.PUBCOMP)), Times(1), 5*time.Second)
			b.Eventually("it is delivered", Reports("MQTT_EVENT_DATA_COMPLETE"), Some(), time.Second)
			b.Throughout("once", Reports("MQTT_EVENT_DATA_COMPLETE"), Times(1), time.Second)
		})

	Scenario("a QoS 2 message that comes twice is acknowledged twice",
		Covers("ESP-RX-21", "MQTT-4.3.3-2"),
		FailsOn(espmqtt.NoPubcomp),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBLISH), faults.Duplicate()).Times(1))
			b.Connect(b.Config())
			b.Subscribe("bench/down", devices.QoS2)
			b.Publish("bench/down", "hello", devices.QoS2, false)

			b.Eventually("each is answered", Packets(faults.FromDevice(faults.PUBREC)), Times(2), 5*time.Second)
			b.Eventually("the release is answered", Packets(faults.FromDevice(faults.PUBCOMP)), Some(), 5*time.Second)
		})
})
