package scenarios

import (
	"time"

	. "github.com/onsi/ginkgo/v2"

	"mqtthil/devices"
	"mqtthil/devices/espmqtt"
	"mqtthil/faults"
	. "mqtthil/harness"
	"mqtthil/harness/timeline"
)

var _ = Describe("Last will:", Label("last-will"), func() {
	// withWill is a configuration with a last will that asks for all there is.
	withWill := func(b *Bench) devices.Config {
		config := b.Config()
		config.Will = &devices.Will{Topic: "bench/will", Payload: "gone", QoS: devices.QoS1, Retain: true}
		return config
	}
	sent := BrokerHooks("will-sent", "bench/will")

	Scenario("CONNECT carries the last will as configured",
		Covers("MQTT-3.1.2-9", "MQTT-3.1.2-14", "MQTT-3.1.3-1", "ESP-CONN-05", "ESP-CFG-23", "ESP-CFG-25"),
		FailsOn(espmqtt.WillNotSent, espmqtt.WillQoSZero, espmqtt.WillRetainLost),
		func(b *Bench) {
			b.Connect(withWill(b))
			b.Expect("CONNECT has topic, payload, QoS and retain of the last will", Packets(faults.FromDevice(faults.CONNECT)),
				WithPacket("a CONNECT with the last will", func(p *timeline.Packet) bool {
					w := p.Connect.Will
					return w != nil && w.Topic == "bench/will" && string(w.Payload) == "gone" && w.QoS == 1 && w.Retain
				}))
		})

	Scenario("a connection that is reset makes the broker publish the last will",
		Covers("MQTT-3.1.2-9", "ESP-CFG-24"),
		FailsOn(espmqtt.WillNotSent),
		func(b *Bench) {
			b.Listen("bench/will")
			b.Connect(withWill(b))
			b.CutConnection(faults.RST)
			b.Eventually("the broker publishes the last will", BrokerHooks("message", "bench/will"),
				WithBroker("the message gone", func(m *timeline.Broker) bool { return string(m.Payload) == "gone" }), 5*time.Second)
		})

	Scenario("a client that is stopped takes its last will with it",
		Covers("ESP-TASK-14", "MQTT-3.14.4-2"),
		FailsOn(espmqtt.StopWithoutDisconnect),
		func(b *Bench) {
			b.Connect(withWill(b))
			b.Step("stop the client")
			b.DUT.Stop()
			b.Eventually("the connection ends", Closes(), Times(1), 5*time.Second)
			said := b.Expect("DISCONNECT was sent", Packets(faults.FromDevice(faults.DISCONNECT)), Times(1))
			b.Expect("it was the last packet", Packets(faults.FromDevice()).Since(said[0]), None())
			b.Throughout("the broker does not publish the last will", sent, None(), 2*time.Second)
		})

	Scenario("a board that loses its power is missed within one and a half keep alive",
		Covers("MQTT-3.1.2-9", "MQTT-3.1.2-23"),
		FailsOn(espmqtt.WillNotSent),
		func(b *Bench) {
			b.Connect(withWill(b))
			b.DUT.PowerOff()
			b.Eventually("the broker publishes the last will", sent, Times(1), b.KeepAlive()*3/2+5*time.Second)
		})

	Scenario("a retained last will waits for whoever comes later",
		Covers("MQTT-3.1.2-9", "ESP-CFG-26"),
		FailsOn(espmqtt.WillRetainLost),
		func(b *Bench) {
			b.Connect(withWill(b))
			b.CutConnection(faults.RST)
			b.Eventually("the broker publishes the last will", sent, Times(1), 5*time.Second)
			b.Step("subscribe from elsewhere")
			b.Listen("bench/will")
			b.Eventually("the last will is there", BrokerHooks("message", "bench/will"),
				WithBroker("a retained message gone", func(m *timeline.Broker) bool {
					return string(m.Payload) == "gone" && m.Retain
				}), 5*time.Second)
		})

	Scenario("the last will is in the CONNECT of every connection",
		Covers("MQTT-3.1.2-9", "ESP-CONN-05"),
		FailsOn(espmqtt.WillOnlyOnFirstConnect),
		func(b *Bench) {
			b.Connect(withWill(b))
			b.CutConnection(faults.FIN)
			b.Eventually("the client connects again", Packets(faults.FromDevice(faults.CONNECT)), Times(2), 10*time.Second)
			b.Expect("both CONNECT carry the last will", Packets(faults.FromDevice(faults.CONNECT)),
				WithPacket("a CONNECT with a last will", func(p *timeline.Packet) bool { return p.Connect.Will != nil }))
		})
})
