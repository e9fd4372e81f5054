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

var _ = Describe("Connect:", Label("connect"), func() {
	Scenario("CONNECT carries what was configured",
		Covers("MQTT-3.1.0-1", "MQTT-3.1.2-1", "MQTT-3.1.2-2", "MQTT-3.1.2-19", "MQTT-3.1.2-21", "MQTT-3.1.3-1",
			"MQTT-3.1.3-3", "ESP-CONN-02", "ESP-CONN-03"),
		FailsOn(espmqtt.ConnectWrongKeepAlive, espmqtt.CredentialsSwapped),
		func(b *Bench) {
			config := b.Config()
			config.ClientID, config.Username, config.Password = "bench-device", "bench", "secret"
			b.Connect(config)

			b.Expect("CONNECT has version 3.1.1, the client id, the keep alive and the credentials",
				Packets(faults.FromDevice(faults.CONNECT)),
				WithPacket("a CONNECT as configured", func(p *timeline.Packet) bool {
					c := p.Connect
					return c.Protocol == "MQTT" && c.Version == 4 && c.ClientID == "bench-device" && c.CleanSession &&
						time.Duration(c.KeepAlive)*time.Second == b.KeepAlive() && c.Username == "bench" && c.HasPassword &&
						c.Will == nil
				}))
		})

	Scenario("CONNECT comes first and once on every connection",
		Covers("MQTT-3.1.0-1", "MQTT-3.1.0-2"),
		FailsOn(espmqtt.ConnectTwice),
		func(b *Bench) {
			b.Connect(b.Config())
			id := b.DUT.Publish("bench/up", "first", devices.QoS1)
			b.Eventually("a message goes out", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Some(), 5*time.Second)
			b.CutConnection(faults.FIN)
			b.Eventually("the client connects again", Packets(faults.ToDevice(faults.CONNACK)), Times(2), 10*time.Second)
			id = b.DUT.Publish("bench/up", "second", devices.QoS1)
			b.Eventually("another goes out", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Some(), 5*time.Second)

			b.Pause(3 * time.Second)
			b.Expect("there is one CONNECT on each connection", Packets(faults.FromDevice(faults.CONNECT)), Times(2))
		})

	Scenario("a persistent session is asked for and taken up again",
		Covers("MQTT-3.1.2-4", "ESP-CFG-27", "ESP-CACK-08"),
		FailsOn(espmqtt.ConnectCleanAlways),
		func(b *Bench) {
			config := b.Config()
			config.PersistentSession = true
			b.Connect(config)
			b.Subscribe("bench/down", devices.QoS1)
			cut := b.CutConnection(faults.RST)
			b.Publish("bench/down", "kept for you", devices.QoS1, false)

			b.Eventually("the client finds its session on the next connection",
				Reports("MQTT_EVENT_CONNECTED", "session_present", 1).Since(cut), Some(), 10*time.Second)
			b.Eventually("what was published meanwhile arrives", Reports("MQTT_EVENT_DATA_COMPLETE").Since(cut), Some(),
				10*time.Second)
		})

	Scenario("a refused connection is reported and tried again",
		Covers("ESP-CACK-05", "ESP-TASK-06"),
		FailsOn(espmqtt.RefusalIgnored),
		Shows(espmqtt.QuirkRefusedForEver),
		func(b *Bench) {
			b.Step("the broker lets in nobody but the user somebody-else")
			b.Broker.Allow(map[string]string{"somebody-else": "secret"})
			b.DUT.Init(b.Config())
			b.DUT.Start()

			b.Eventually("the refusal is reported with the broker's return code",
				Reports("MQTT_EVENT_ERROR", "kind", "CONNECTION_REFUSED", "code", 4), Some(), 5*time.Second)
			b.Eventually("the client tries again", Packets(faults.FromDevice(faults.CONNECT)), AtLeast(2), 10*time.Second)
			b.Throughout("the client never reports that it is connected", Reports("MQTT_EVENT_CONNECTED"), None(), 2*time.Second)
		})

	Scenario("without CONNACK the client gives up and tries again",
		Covers("ESP-CACK-01", "ESP-CACK-02"),
		FailsOn(espmqtt.ConnackAwaitedForever),
		func(b *Bench) {
			b.Faults.Add(faults.On(faults.ToDevice(faults.CONNACK), faults.Drop()).Times(1))
			config := b.Config()
			config.NetworkTimeout = 2 * time.Second
			b.DUT.Init(config)
			b.DUT.Start()

			b.Eventually("the client ends the connection without an answer", Closes(), Times(1), 5*time.Second)
			b.Eventually("the client connects again", Reports("MQTT_EVENT_CONNECTED"), Times(1), 10*time.Second)
			b.Expect("both connections began with CONNECT", Packets(faults.FromDevice(faults.CONNECT)), Times(2))
		})

	for _, how := range []faults.Ending{faults.FIN, faults.RST} {
		Scenario("after "+map[faults.Ending]string{faults.FIN: "FIN", faults.RST: "RST"}[how]+" the client connects again",
			Covers("ESP-TASK-06", "ESP-TASK-07", "ESP-RX-18"),
			FailsOn(espmqtt.NoReconnect),
			func(b *Bench) {
				b.Connect(b.Config())
				cut := b.CutConnection(how)

				b.Eventually("the client reports the loss", Reports("MQTT_EVENT_DISCONNECTED").Since(cut), Some(), 5*time.Second)
				b.Eventually("the client connects again", Reports("MQTT_EVENT_CONNECTED").Since(cut), Some(), 10*time.Second)
				id := b.DUT.Publish("bench/up", "back again", devices.QoS1)
				b.Eventually("the new connection works", Reports("MQTT_EVENT_PUBLISHED", "msg_id", id), Some(), 5*time.Second)
			})
	}
})
