package emulator

import "mqtthil/devices/espmqtt"

// What an application may have no default for.
const (
	needCA          = "CA"
	needCertificate = "certificate"
	needKey         = "key"
	needPSK         = "pre-shared key"
)

// applications are all of them. The first is the one that a board runs if it is not told otherwise.
var applications = []application{
	{
		App: App{Name: "conformance", About: "Espressif's MQTT conformance application: a client driven on the console",
			Console: "espressif"},
		project: "mqtt_conformance", tag: appTag,
		sdkconfig: func(k *espmqtt.Kconfig) { k.ReportDeletedMessages, k.Protocol5 = true, true },
		program:   newConformance,
	},
	{
		App:     App{Name: "stub", About: "mqtthil's own application: clients driven on the stub console", Console: "stub"},
		project: "mqtthil_stub", tag: stubTag,
		sdkconfig: func(k *espmqtt.Kconfig) { k.ReportDeletedMessages, k.Protocol5 = true, true },
		program:   newStub,
	},
	{
		App:     App{Name: "tcp", About: "ESP-IDF's example of MQTT over TCP", URI: "mqtt://test.mosquitto.org"},
		project: "mqtt_tcp", tag: "mqtt_example",
		program: newExample(exampleKind{
			publishesFirst: true, config: (*example).plainConfig, failure: (*example).transportFailure,
		}),
	},
	{
		App: App{Name: "ssl", About: "ESP-IDF's example of MQTT over TLS", URI: "mqtts://test.mosquitto.org:8883",
			Needs: []string{needCA}},
		project: "mqtt_ssl", tag: "mqtts_example",
		program: newExample(exampleKind{
			memoryTwice: true, config: (*example).trustingConfig, failure: (*example).sslFailure,
			received: (*example).sendBinary,
		}),
	},
	{
		App: App{Name: "ssl_ds", About: "ESP-IDF's example of TLS with a key in the digital signature peripheral",
			URI: "mqtts://test.mosquitto.org:8884", Needs: []string{needCA, needCertificate, needKey}},
		project: "mqtt_ssl_ds", tag: "mqtts_example", digitalSignature: true,
		program: newExample(exampleKind{memoryTwice: true, config: (*example).signingConfig}),
	},
	{
		App: App{Name: "ssl_mutual_auth", About: "ESP-IDF's example of TLS with a client's certificate",
			URI: "mqtts://test.mosquitto.org:8884", Needs: []string{needCA, needCertificate, needKey}},
		project: "mqtt_ssl_mutual_auth", tag: "mqtts_example",
		program: newExample(exampleKind{
			memoryTwice: true, config: (*example).provingConfig, failure: (*example).transportFailure,
		}),
	},
	{
		// Its own key has three bytes, which is fewer than stunnel takes.
		App: App{Name: "ssl_psk", About: "ESP-IDF's example of TLS with a pre-shared key", URI: "mqtts://192.168.0.2",
			Needs: []string{needPSK}},
		project: "mqtt_ssl_psk", tag: "mqtts_example",
		program: newExample(exampleKind{memoryTwice: true, config: (*example).sharingConfig}),
	},
	{
		App:     App{Name: "ws", About: "ESP-IDF's example of MQTT over WebSocket", URI: "ws://test.mosquitto.org:80/mqtt"},
		project: "mqtt_websocket", tag: "mqttws_example",
		program: newExample(exampleKind{
			publishesFirst: true, config: (*example).plainConfig, failure: (*example).transportFailure,
		}),
	},
	{
		App: App{Name: "wss", About: "ESP-IDF's example of MQTT over WebSocket over TLS",
			URI: "wss://test.mosquitto.org:443/mqtt", Needs: []string{needCA}},
		project: "mqtt_websocket_secure", tag: "mqttwss_example",
		program: newExample(exampleKind{memoryTwice: true, config: (*example).trustingConfig}),
	},
	{
		App:     App{Name: "mqtt5", About: "ESP-IDF's example of MQTT 5.0", URI: "mqtt://test.mosquitto.org"},
		project: "mqtt5", tag: "mqtt5_example", speaks5: true,
		sdkconfig: func(k *espmqtt.Kconfig) { k.Protocol5 = true },
		program:   newMQTT5Example,
	},
	{
		App: App{Name: "custom_outbox", About: "esp-mqtt's example of an application with an outbox of its own",
			URI: "mqtt://mqtt.eclipseprojects.io"},
		project: "mqtt_tcp_custom_outbox", tag: "MQTT_EXAMPLE",
		sdkconfig: func(k *espmqtt.Kconfig) { k.CustomOutbox = true },
		newOutbox: newPoolOutbox,
		program:   newOutboxExample,
	},
}
