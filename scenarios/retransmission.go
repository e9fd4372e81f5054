package scenarios

import (
	"time"

	. "github.com/onsi/ginkgo/v2"

	"mqtthil/devices"
	"mqtthil/devices/espmqtt"
	"mqtthil/faults"
	. "mqtthil/harness"
)

var _ = Describe("Retransmission:", Label("retransmission"), func() {
	published := Packets(faults.FromDevice(faults.PUBLISH).WithTopic("bench/up"))
	delivered := BrokerHooks("message", "bench/up")

	Scenario("an unacknowledged QoS 1 message is sent again, same identifier, DUP set",
		Covers("ESP-OUTBOX-06", "ESP-OUTBOX-13", "MQTT-2.3.1-1", "MQTT-2.3.1-3", "MQTT-3.3.1-1", "MQTT-4.3.2-1"),
		FailsOn(espmqtt.NoRetransmit, espmqtt.RetransmitWithoutDUP, espmqtt.RetransmitNewID, espmqtt.PacketIDZero),
		Shows(espmqtt.QuirkLivePublish),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBACK), faults.Drop()).Times(2))
			b.Connect(b.Config())
			b.Step("publish at QoS 1")
			id := b.DUT.Publish("bench/up", "hello", devices.QoS1)

			b.Eventually("the message is sent three times", published, Times(3), 10*time.Second)
			b.Expect("it is one message again and again", published, OnePacketAgain())
			b.Expect("DUP is set on all but the first", published, DUPOnAllButTheFirst())
			b.Expect("the repetitions follow the retransmit time-out", published, Apart(900*time.Millisecond, 2200*time.Millisecond))
			b.Eventually("the third PUBACK completes it", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1), 5*time.Second)
			b.Throughout("an acknowledged message is not sent again", published, Times(3), 3*time.Second)
		})

	Scenario("a QoS 2 message whose PUBREC is lost is sent again and delivered once",
		Covers("ESP-OUTBOX-06", "MQTT-3.3.1-1", "MQTT-4.3.3-1"),
		FailsOn(espmqtt.NoRetransmit, espmqtt.RetransmitWithoutDUP),
		Shows(espmqtt.QuirkLivePublish),
		func(b *Bench) {
			b.Listen("bench/up")
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBREC), faults.Drop()).Times(1))
			b.Connect(b.Config())
			b.Step("publish at QoS 2")
			id := b.DUT.Publish("bench/up", "exactly once", devices.QoS2)

			b.Eventually("the client reports the message published", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1),
				10*time.Second)
			b.Expect("it was sent twice", published, Times(2))
			b.Expect("it is one message again", published, OnePacketAgain())
			b.Expect("DUP is set on the second", published, DUPOnAllButTheFirst())
			b.Eventually("the broker delivers it", delivered, Some(), time.Second)
			b.Throughout("once", delivered, Times(1), 2*time.Second)
		})

	Scenario("a lost PUBCOMP makes PUBREL come again",
		Covers("ESP-OUTBOX-09", "MQTT-3.6.1-1", "MQTT-4.3.3-1"),
		FailsOn(espmqtt.NoPubrelRetransmit, espmqtt.PubrelFlagsZero),
		Shows(espmqtt.QuirkLivePubrel),
		func(b *Bench) {
			b.Listen("bench/up")
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBCOMP), faults.Drop()).Times(1))
			b.Connect(b.Config())
			b.Step("publish at QoS 2")
			id := b.DUT.Publish("bench/up", "exactly once", devices.QoS2)

			released := Packets(faults.FromDevice(faults.PUBREL))
			b.Eventually("PUBREL is sent twice", released, Times(2), 10*time.Second)
			b.Expect("both times for the same message", released, OnePacketAgain())
			b.Eventually("the second PUBCOMP completes it", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1), 5*time.Second)
			b.Expect("the message itself was sent once", published, Times(1))
			b.Eventually("the broker has delivered it once", delivered, Times(1), time.Second)
		})

	Scenario("a message in flight when the connection breaks is sent again in the resumed session",
		Covers("ESP-OUTBOX-11", "MQTT-3.1.2-4", "MQTT-3.3.1-1", "MQTT-4.4.0-1"),
		FailsOn(espmqtt.OutboxLostOnReconnect, espmqtt.RetransmitWithoutDUP),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBACK), faults.Cut(faults.Before, faults.RST)).Times(1))
			config := b.Config()
			config.PersistentSession = true
			b.Connect(config)
			b.Step("publish at QoS 1, and lose the connection before PUBACK")
			id := b.DUT.Publish("bench/up", "hello", devices.QoS1)

			b.Eventually("it is sent again on the next connection",
				Packets(faults.FromDevice(faults.PUBLISH).OnConnection(2)), Some(), 15*time.Second)
			b.Expect("it is one message again", published, OnePacketAgain())
			b.Expect("DUP is set on the second", published, DUPOnAllButTheFirst())
			b.Eventually("the client reports the message published", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1),
				5*time.Second)
		})

	Scenario("a message in flight when the connection breaks is sent again although the next session is clean",
		Covers("ESP-OUTBOX-11", "MQTT-3.1.2-6"),
		FailsOn(espmqtt.OutboxLostOnReconnect),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBACK), faults.Cut(faults.Before, faults.RST)).Times(1))
			b.Connect(b.Config())
			b.Step("publish at QoS 1, and lose the connection before PUBACK")
			id := b.DUT.Publish("bench/up", "hello", devices.QoS1)

			b.Eventually("it is sent again on the next connection",
				Packets(faults.FromDevice(faults.PUBLISH).OnConnection(2)), Some(), 15*time.Second)
			b.Eventually("the client reports the message published", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1),
				5*time.Second)
		})

	Scenario("a message published offline goes out after the reconnect, without DUP",
		Covers("ESP-PUB-11", "ESP-OUTBOX-13", "MQTT-3.3.1-3"),
		FailsOn(espmqtt.DUPOnFirstSend, espmqtt.NoReconnect),
		func(b *Bench) {
			config := b.Config()
			config.ReconnectTimeout = 3 * time.Second
			b.Connect(config)
			cut := b.CutConnection(faults.FIN)
			b.Eventually("the client reports the loss", Reports("MQTT_EVENT_DISCONNECTED").Since(cut), Some(), 5*time.Second)
			b.Step("publish while there is no connection")
			id := b.DUT.Publish("bench/up", "from the dark", devices.QoS1)

			b.Eventually("the message goes out", published.Since(cut), Times(1), 15*time.Second)
			b.Expect("its first transmission has no DUP", published, DUPOnAllButTheFirst())
			b.Eventually("the client reports the message published", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Times(1),
				5*time.Second)
		})

	Scenario("an unanswered SUBSCRIBE is sent again",
		Covers("ESP-OUTBOX-08", "MQTT-3.8.1-1"),
		FailsOn(espmqtt.NoSubscribeRetransmit),
		Shows(espmqtt.QuirkSubscribeAgain),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.SUBACK), faults.Drop()).Times(1))
			b.Connect(b.Config())
			b.Step("subscribe")
			id := b.DUT.Subscribe("bench/down", devices.QoS1)

			requested := Packets(faults.FromDevice(faults.SUBSCRIBE))
			b.Eventually("SUBSCRIBE is sent twice", requested, Times(2), 10*time.Second)
			b.Expect("it is one request again", requested, OnePacketAgain())
			b.Eventually("the client reports the subscription", Reports("MQTT_EVENT_SUBSCRIBED", "msg_id", id), Some(), 5*time.Second)
		})

	Scenario("a message that is never acknowledged is given up after the outbox's expiry time",
		Covers("ESP-OUTBOX-15", "ESP-OUTBOX-16"),
		FailsOn(espmqtt.OutboxNeverExpires),
		Shows(espmqtt.QuirkUnackedExpire),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.PUBACK), faults.Drop()))
			b.Connect(b.Config())
			b.Step("publish at QoS 1")
			id := b.DUT.Publish("bench/up", "hello", devices.QoS1)

			gone := b.Eventually("the client reports the message deleted", Reports("MQTT_EVENT_DELETED", "msg_id", id), Times(1),
				35*time.Second)
			b.Throughout("it is not sent again", published.Since(gone[0]), None(), 3*time.Second)
		})
})
