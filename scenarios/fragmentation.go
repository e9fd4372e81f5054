package scenarios

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"mqtthil/devices"
	"mqtthil/devices/espmqtt"
	"mqtthil/faults"
	. "mqtthil/harness"
	"mqtthil/harness/timeline"
)

// bufferSize is that of the client's buffers in these scenarios, in bytes: small, so that messages exceed it which a
// console can still show.
const bufferSize = 512

var _ = Describe("Fragmentation:", Label("fragmentation"), func() {
	// large is a payload of several buffers.
	large := strings.Repeat("0123456789abcdef", 150)
	small := func(b *Bench) devices.Config {
		config := b.Config()
		config.BufferSize = bufferSize
		return config
	}

	Describe("sending:", func() {
		published := Packets(faults.FromDevice(faults.PUBLISH).WithTopic("bench/up"))
		arrived := BrokerHooks("message", "bench/up")
		whole := WithBroker("the whole message", func(m *timeline.Broker) bool { return string(m.Payload) == large })

		Scenario("a message larger than the output buffer arrives whole",
			Covers("ESP-PUB-04"),
			FailsOn(espmqtt.SentFragmentOverlaps),
			func(b *Bench) {
				b.Listen("bench/up")
				b.Connect(small(b))
				b.Step("publish %d bytes at QoS 1", len(large))
				id := b.DUT.Publish("bench/up", large, devices.QoS1)

				b.Eventually("the broker has the whole message", arrived, whole, 5*time.Second)
				b.Eventually("the client reports the message published", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1),
					5*time.Second)
				b.Expect("it was sent once", published, Times(1))
			})

		Scenario("a message larger than the output buffer is sent again whole",
			Covers("ESP-PUB-05", "MQTT-3.3.1-1", "MQTT-4.3.2-1"),
			FailsOn(espmqtt.RetransmitFirstFragment, espmqtt.NoRetransmit),
			Shows(espmqtt.QuirkLivePublish),
			func(b *Bench) {
				b.Faults.Add(faults.On(faults.ToDevice(faults.PUBACK), faults.Drop()).Times(1))
				b.Connect(small(b))
				b.Step("publish %d bytes at QoS 1", len(large))
				id := b.DUT.Publish("bench/up", large, devices.QoS1)

				b.Eventually("it is sent twice", published, Times(2), 10*time.Second)
				b.Expect("it is one message again", published, OnePacketAgain())
				b.Expect("DUP is set on the second", published, DUPOnAllButTheFirst())
				b.Eventually("the client reports the message published", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1),
					5*time.Second)
			})

		Scenario("a large message that is cut off on its way is sent again whole on the next connection",
			Covers("ESP-PUB-05", "ESP-OUTBOX-11", "MQTT-4.4.0-1"),
			FailsOn(espmqtt.OutboxLostOnReconnect),
			func(b *Bench) {
				b.Listen("bench/up")
				b.Faults.Add(faults.On(faults.FromDevice(faults.PUBLISH), faults.Cut(faults.AtByte(bufferSize+100), faults.RST)).Times(1))
				config := small(b)
				config.PersistentSession = true
				b.Connect(config)
				b.Step("publish %d bytes at QoS 1", len(large))
				id := b.DUT.Publish("bench/up", large, devices.QoS1)

				b.Eventually("the broker has the whole message", arrived, whole, 15*time.Second)
				b.Eventually("the client reports the message published", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1),
					5*time.Second)
				b.Expect("the broker got it once", arrived, Times(1))
			})
	})

	Describe("receiving:", func() {
		fragments := Reports("MQTT_EVENT_DATA")

		Scenario("a message larger than the input buffer is delivered in fragments, in order and whole",
			Covers("ESP-RX-11", "ESP-RX-12", "ESP-RX-13"),
			FailsOn(espmqtt.FragmentOffsetStuck, espmqtt.LastFragmentLost),
			func(b *Bench) {
				b.Connect(small(b))
				b.Subscribe("bench/down", devices.QoS0)
				b.Publish("bench/down", large, devices.QoS0, false)

				b.Eventually("the message is delivered to its end", Reports("MQTT_EVENT_DATA_COMPLETE"), Times(1), 5*time.Second)
				b.Expect("it came in more than one fragment", fragments, AtLeast(2))
				b.Expect("each fragment begins where the one before it ended", fragments, InSequence(len(large)))
				b.Expect("together they are the message", Reports("MQTT_EVENT_DATA_PAYLOAD"), Payload(large))
			})

		Scenario("a fragmented QoS 1 message is acknowledged once",
			Covers("ESP-RX-13", "ESP-RX-20", "MQTT-4.3.2-2"),
			FailsOn(espmqtt.NoPuback, espmqtt.LastFragmentLost),
			func(b *Bench) {
				b.Connect(small(b))
				b.Subscribe("bench/down", devices.QoS1)
				b.Publish("bench/down", large, devices.QoS1, false)

				b.Eventually("the message is delivered to its end", Reports("MQTT_EVENT_DATA_COMPLETE"), Times(1), 5*time.Second)
				b.Eventually("it is acknowledged", Packets(faults.FromDevice(faults.PUBACK)), Times(1), 5*time.Second)
				b.Expect("each fragment begins where the one before it ended", fragments, InSequence(len(large)))
			})

		Scenario("a fragmented message that breaks off is not acknowledged",
			Covers("ESP-RX-18", "MQTT-4.3.2-2", "MQTT-3.3.4-1"),
			FailsOn(espmqtt.PubackBeforePayload),
			func(b *Bench) {
				b.Faults.Add(faults.On(faults.ToDevice(faults.PUBLISH), faults.Cut(faults.AtByte(2*bufferSize+100), faults.FIN)).Times(1))
				config := small(b)
				config.PersistentSession = true
				b.Connect(config)
				b.Subscribe("bench/down", devices.QoS1)
				b.Publish("bench/down", large, devices.QoS1, false)

				b.Eventually("the client reports the loss of the connection", Reports("MQTT_EVENT_DISCONNECTED"), Some(), 5*time.Second)
				b.Expect("it has not acknowledged what it has not got", Packets(faults.FromDevice(faults.PUBACK).OnConnection(1)),
					None())
				b.Eventually("the broker's next attempt is delivered to its end", Reports("MQTT_EVENT_DATA_COMPLETE"), Times(1),
					10*time.Second)
				b.Eventually("and acknowledged", Packets(faults.FromDevice(faults.PUBACK).OnConnection(2)), Times(1), 5*time.Second)
			})

		Scenario("a message that fills the input buffer exactly is delivered in one piece",
			Covers("ESP-RX-10", "ESP-RX-11"),
			FailsOn(espmqtt.BufferOffByOne),
			func(b *Bench) {
				const topic = "bench/down"
				// A fixed header of three bytes, the topic with its length, an identifier; the payload is the rest.
				payload := strings.Repeat("x", bufferSize-3-2-len(topic)-2)
				b.Connect(small(b))
				b.Subscribe(topic, devices.QoS1)
				b.Publish(topic, payload, devices.QoS1, false)

				b.Eventually("the message is delivered to its end", Reports("MQTT_EVENT_DATA_COMPLETE"), Times(1), 5*time.Second)
				b.Expect("in one piece", fragments, Times(1))
				b.Expect("and whole", Reports("MQTT_EVENT_DATA_PAYLOAD"), Payload(payload))
			})
	})
})
