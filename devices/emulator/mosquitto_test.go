package emulator

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/esptls"
	"mqtthil/devices/esptls/esptlstest"
	"mqtthil/devices/mosquittotest"
)

// onNetwork runs a board in real time, on the network of this machine.
func onNetwork(t *testing.T, options Options) *bench {
	t.Helper()
	options.Dial = new(net.Dialer).DialContext
	b := run(t, options)
	b.patience = 30 * time.Second
	return b
}

// expectAll waits until all the texts are printed, in any order.
func (b *bench) expectAll(texts ...string) {
	b.t.Helper()
	text := b.unread
	for _, want := range texts {
		if !strings.Contains(text, want) {
			text += b.expect(want) + want
		}
	}
	b.unread = ""
	for _, want := range texts { // what one text takes with it another one may be waiting for
		if !strings.Contains(text, want) {
			b.t.Fatalf("no %q; printed was %q", want, text)
		}
	}
}

func text(s string) *string { return &s }

// der is a file in DER, as it is in a client's configuration.
func der(data []byte) (*string, int) { return text(base64.StdEncoding.EncodeToString(data)), len(data) }

// initialize is the console's command for a client with that configuration.
func initialize(t *testing.T, config espmqtt.Config) string {
	t.Helper()
	blob, err := json.Marshal(map[string]espmqtt.Config{"mqtt_config": config})
	if err != nil {
		t.Fatal(err)
	}
	line := "init " + base64.StdEncoding.EncodeToString(blob)
	if len(line) >= lineLimit { // a full line ends by itself
		t.Fatalf("a line of %d characters does not fit the console", len(line))
	}
	return line
}

// encryptedKey is a key whose password is "bench".
func encryptedKey(t *testing.T) []byte {
	t.Helper()
	key, err := os.ReadFile(filepath.Join("..", "esptls", "testdata", "pbes2-aes256-sha256.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certified are the files of a bench with TLS: the broker's settings, and the board's firmware.
func certified(t *testing.T) (settings string, firmware Firmware) {
	t.Helper()
	ca := esptlstest.NewAuthority(t, "bench CA")
	key := encryptedKey(t)
	signer, err := esptls.NewSigner(key, []byte("bench"))
	if err != nil {
		t.Fatal(err)
	}
	settings = mosquittotest.TLS(t, ca, ca.Server(esptlstest.Named("localhost", "127.0.0.1")))
	return settings, Firmware{
		CA:          esptlstest.PEM(ca.Certificate),
		Certificate: esptlstest.PEM(ca.Sign(esptlstest.Device(), signer.Public())),
		Key:         key,
		KeyPassword: "bench",
	}
}

// sharedKey is the pre-shared key of a bench. It is longer than that of the example, for stunnel.
const sharedKey = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"

func TestMosquitto(t *testing.T) {
	t.Parallel()
	tlsSettings, firmware := certified(t)
	caDER, caLength := der(derOf(t, firmware.CA))
	ownDER, ownLength := der(derOf(t, firmware.Certificate))
	keyDER, keyLength := der(derOf(t, firmware.Key))
	pskSettings := mosquittotest.PSK(t, "device", sharedKey)
	password := mosquittotest.Password(t, "bench", "secret")

	// The ways to verify the broker, and to be verified.
	trust := func(c *espmqtt.Config) { c.Broker.Verification.Certificate = text(string(firmware.CA)) }
	trustDER := func(c *espmqtt.Config) {
		c.Broker.Verification.Certificate, c.Broker.Verification.CertificateLength = caDER, caLength
	}
	prove := func(c *espmqtt.Config) {
		c.Broker.Verification.UseGlobalCAStore = true
		a := &c.Credentials.Authentication
		a.Certificate, a.CertificateLength, a.Key, a.KeyLength = ownDER, ownLength, keyDER, keyLength
		a.KeyPassword = text("bench")
	}
	sign := func(c *espmqtt.Config) {
		c.Broker.Verification.UseGlobalCAStore = true
		a := &c.Credentials.Authentication
		a.Certificate, a.DSData = text(string(firmware.Certificate)), true
	}
	share := func(key string) func(*espmqtt.Config) {
		return func(c *espmqtt.Config) { c.Broker.Verification.PSK = &espmqtt.PSK{Hint: "device", Key: key} }
	}
	login := func(password string) func(*espmqtt.Config) {
		return func(c *espmqtt.Config) {
			c.Credentials.Username, c.Credentials.Authentication.Password = text("bench"), text(password)
		}
	}
	and := func(all ...func(*espmqtt.Config)) func(*espmqtt.Config) {
		return func(c *espmqtt.Config) {
			for _, f := range all {
				f(c)
			}
		}
	}

	for _, c := range []struct {
		name     string
		settings []string
		uri      string // without the port
		config   func(*espmqtt.Config)
		want     string // what the console says of the failure; empty: it works
	}{
		{name: "tcp", uri: "mqtt://127.0.0.1:%d"},
		{name: "tcp, 5.0", uri: "mqtt://localhost:%d",
			config: func(c *espmqtt.Config) { c.Session.Protocol = espmqtt.ProtocolV5 }},
		{name: "tcp, 3.1", uri: "mqtt://localhost:%d",
			config: func(c *espmqtt.Config) { c.Session.Protocol = espmqtt.ProtocolV31 }},
		{name: "password", settings: []string{password}, uri: "mqtt://localhost:%d", config: login("secret")},
		{name: "password in the URI", settings: []string{password}, uri: "mqtt://bench:secret@localhost:%d"},
		{name: "wrong password", settings: []string{password}, uri: "mqtt://localhost:%d", config: login("wrong"),
			want: "CONNECTION_REFUSED code=5"},
		{name: "host, transport and port", config: func(c *espmqtt.Config) {
			c.Broker.Address = espmqtt.Address{Hostname: text("localhost"), Transport: espmqtt.TransportTCP, Port: c.Broker.Address.Port}
		}},

		{name: "mqtts, authority in PEM", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d", config: trust},
		{name: "mqtts, authority in DER", settings: []string{tlsSettings}, uri: "mqtts://127.0.0.1:%d", config: trustDER},
		{name: "mqtts, global CA store", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d",
			config: func(c *espmqtt.Config) { c.Broker.Verification.UseGlobalCAStore = true }},
		{name: "mqtts, nothing to verify with", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d",
			want: "esp_tls_last_esp_err=0x8017"},
		{name: "mqtts, another name", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d",
			config: and(trust, func(c *espmqtt.Config) { c.Broker.Verification.CommonName = text("elsewhere") }),
			want:   "esp_tls_last_esp_err=0x801a esp_tls_stack_err=0x2700 cert_flags=0x4"},
		{name: "mqtts, another name that is not checked", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d",
			config: and(trust, func(c *espmqtt.Config) {
				c.Broker.Verification.CommonName = text("elsewhere")
				c.Broker.Verification.SkipCommonNameCheck = true
			})},
		{name: "mqtts, ALPN", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d",
			config: and(trust, func(c *espmqtt.Config) { c.Broker.Verification.ALPN = []string{"mqtt"} })},
		{name: "mqtts, cipher suite that the broker has", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d",
			config: and(trust, func(c *espmqtt.Config) { c.Broker.Verification.CipherSuites = []uint16{0xc02b} })},
		{name: "mqtts, cipher suite that it has not", settings: []string{tlsSettings}, uri: "mqtts://localhost:%d",
			config: and(trust, func(c *espmqtt.Config) { c.Broker.Verification.CipherSuites = []uint16{0xc02f} }), // for RSA
			want:   "esp_tls_last_esp_err=0x801a esp_tls_stack_err=0x7780"},
		{name: "mutual tls, encrypted key", settings: []string{tlsSettings, mosquittotest.RequireCertificate},
			uri: "mqtts://localhost:%d", config: prove},
		{name: "mutual tls, key that cannot be read", settings: []string{tlsSettings, mosquittotest.RequireCertificate},
			uri: "mqtts://localhost:%d", config: sign},
		{name: "mutual tls, nothing to prove with", settings: []string{tlsSettings, mosquittotest.RequireCertificate},
			uri: "mqtts://localhost:%d", config: trust, want: "esp_tls_last_esp_err=0x801a esp_tls_stack_err=0x7780"},
		{name: "psk", settings: []string{pskSettings}, uri: "mqtts://localhost:%d", config: share(sharedKey)},
		{name: "psk, wrong key", settings: []string{pskSettings}, uri: "mqtts://localhost:%d",
			config: share(strings.Repeat("01", 16)), want: "esp_tls_last_esp_err=0x801a esp_tls_stack_err=0x7780"},

		{name: "ws", settings: []string{mosquittotest.WebSocket}, uri: "ws://localhost:%d/mqtt"},
		{name: "ws, 5.0", settings: []string{mosquittotest.WebSocket}, uri: "ws://localhost:%d/mqtt",
			config: func(c *espmqtt.Config) { c.Session.Protocol = espmqtt.ProtocolV5 }},
		{name: "wss", settings: []string{mosquittotest.WebSocket, tlsSettings}, uri: "wss://localhost:%d/mqtt", config: trust},
		{name: "wss, mutual tls", uri: "wss://localhost:%d/mqtt", config: prove,
			settings: []string{mosquittotest.WebSocket, tlsSettings, mosquittotest.RequireCertificate}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.uri != "" && strings.HasPrefix(c.name, "psk") {
				mosquittotest.Lookup(t, "stunnel", "stunnel4")
			}
			port := mosquittotest.Start(t, c.settings...)
			var config espmqtt.Config
			if c.uri != "" {
				config.Broker.Address.URI = text(fmt.Sprintf(c.uri, port))
			}
			config.Broker.Address.Port = port
			if c.config != nil {
				c.config(&config)
			}
			options := Options{Firmware: firmware}
			kconfig := options.DefaultKconfig()
			kconfig.Protocol5 = true
			options.Kconfig = &kconfig
			b := onNetwork(t, options)
			b.expect(prompt)
			if got := b.command(initialize(t, config)); !strings.Contains(got, "Mqtt client initialized") {
				t.Fatalf("init: %q", got)
			}
			b.types("start\n")
			if c.want != "" {
				b.expectAll("MQTT_EVENT_ERROR", c.want, "MQTT_EVENT_DISCONNECTED")
				return
			}
			b.expect("MQTT_EVENT_CONNECTED session_present=0")
			b.types("subscribe bench/up 2\n")
			b.expectAll("Subscribe requested, msg_id=", "MQTT_EVENT_SUBSCRIBED, msg_id=", "return_code=0x02")
			b.types("publish bench/up first 1 0 0 0\n")
			b.expectAll("MQTT_EVENT_DATA topic=bench/up qos=0 len=5 offset=0 total=5", "MQTT_EVENT_DATA_PAYLOAD first\r\n")
			b.types("publish bench/up second 1 1 0 0\n")
			b.expectAll("MQTT_EVENT_PUBLISHED, msg_id=", "MQTT_EVENT_DATA topic=bench/up qos=1 len=6", "PAYLOAD second\r\n")
			b.types("publish bench/up long 1000 2 0 0\n") // more than the client's buffer, and than a frame's short length
			b.expectAll("MQTT_EVENT_PUBLISHED, msg_id=", "MQTT_EVENT_DATA topic=bench/up qos=2", "total=4000",
				"MQTT_EVENT_DATA_COMPLETE msg_id=")
			b.types("unsubscribe bench/up\n")
			b.expect("MQTT_EVENT_UNSUBSCRIBED, msg_id=")
			b.types("stop\n")
			b.expect("Mqtt client stopped")
		})
	}
}

// TestMosquittoApps runs each example against the broker that it is written for.
func TestMosquittoApps(t *testing.T) {
	t.Parallel()
	tlsSettings, firmware := certified(t)
	psk := Firmware{PSK: &espmqtt.PSK{Hint: "hint", Key: sharedKey}}
	const broker = "localhost:%d"
	first := []string{"sent publish successful, msg_id=", "sent subscribe successful, msg_id=",
		"sent subscribe successful, msg_id=", "sent unsubscribe successful, msg_id="}
	answered := []string{"MQTT_EVENT_SUBSCRIBED, msg_id=", ", return code=0x00 \r\n", ", return code=0x01 \r\n",
		"MQTT_EVENT_UNSUBSCRIBED, msg_id=", "MQTT_EVENT_DATA\r\n", "TOPIC=topic/qos0\r\r\nDATA=data\r\r\n"}
	published := append([]string{"MQTT_EVENT_PUBLISHED, msg_id="}, answered...)

	for _, c := range []struct {
		app      string
		settings []string
		uri      string
		firmware Firmware
		tag      string
		first    []string // lines of the handler of CONNECTED, in order
		then     []string // what happens after that, in any order
	}{
		{app: "tcp", uri: "mqtt://" + broker, tag: "mqtt_example", first: first, then: published},
		{app: "ssl", settings: []string{tlsSettings}, uri: "mqtts://" + broker, firmware: firmware, tag: "mqtts_example",
			first: first[1:], then: answered},
		{app: "ssl_ds", settings: []string{tlsSettings, mosquittotest.RequireCertificate}, uri: "mqtts://" + broker,
			firmware: firmware, tag: "mqtts_example", first: first[1:], then: answered},
		{app: "ssl_mutual_auth", settings: []string{tlsSettings, mosquittotest.RequireCertificate}, uri: "mqtts://" + broker,
			firmware: firmware, tag: "mqtts_example", first: first[1:], then: answered},
		{app: "ssl_psk", settings: []string{mosquittotest.PSK(t, "hint", sharedKey)}, uri: "mqtts://" + broker, firmware: psk,
			tag: "mqtts_example", first: first[1:], then: answered},
		{app: "ws", settings: []string{mosquittotest.WebSocket}, uri: "ws://" + broker + "/mqtt", tag: "mqttws_example",
			first: first, then: published},
		{app: "wss", settings: []string{mosquittotest.WebSocket, tlsSettings}, uri: "wss://" + broker + "/mqtt",
			firmware: firmware, tag: "mqttwss_example", first: first[1:], then: answered},
		{app: "mqtt5", uri: "mqtt://" + broker, tag: "mqtt5_example", first: first, then: []string{
			// It has unsubscribed from topic/qos0 before the first message to that goes out.
			"MQTT_EVENT_PUBLISHED, msg_id=", "MQTT_EVENT_SUBSCRIBED, msg_id=", ", reason code=0x00 \r\n",
			", reason code=0x02 \r\n", "MQTT_EVENT_DATA\r\n", "payload_format_indicator is 1\r\n",
			"response_topic is topic/test/response\r\n", "TOPIC=topic/qos1\r\n", "DATA=data_3\r\n", // retained
			"correlation_data is 123456\r\n", "key is board, value is esp32\r\n", "key is u, value is user\r\n",
			"key is p, value is password\r\n", "MQTT_EVENT_UNSUBSCRIBED, msg_id=", "MQTT_EVENT_DISCONNECTED\r\n"}},
		{app: "custom_outbox", uri: "mqtt://" + broker, tag: "MQTT_EXAMPLE", first: first[:3], then: []string{
			"Pool: Pool: 22 bytes deallocated, 106 total bytes in use\r\n", "MQTT_EVENT_PUBLISHED, msg_id=",
			"MQTT_EVENT_SUBSCRIBED, msg_id=", "TOPIC=topic/qos0\r\r\nDATA=data\r\r\n"}},
	} {
		t.Run(c.app, func(t *testing.T) {
			t.Parallel()
			if c.app == "ssl_psk" {
				mosquittotest.Lookup(t, "stunnel", "stunnel4")
			}
			c.firmware.App = c.app
			c.firmware.URI = fmt.Sprintf(c.uri, mosquittotest.Start(t, c.settings...))
			b := onNetwork(t, Options{Firmware: c.firmware})
			b.expect(c.tag + ": [APP] Startup..\r\n")
			b.expect(c.tag + ": Other event id:7\r\n")
			b.expect(c.tag + ": MQTT_EVENT_CONNECTED\r\n")
			for _, line := range c.first {
				b.expect(c.tag + ": " + line)
			}
			b.expectAll(c.then...)
		})
	}
}

// TestMosquittoBinary asks the ssl example for its binary.
func TestMosquittoBinary(t *testing.T) {
	t.Parallel()
	settings, firmware := certified(t)
	firmware.App = "ssl"
	firmware.URI = fmt.Sprintf("mqtts://localhost:%d", mosquittotest.Start(t, settings))
	asking := onNetwork(t, Options{Firmware: Firmware{CA: firmware.CA}})
	var config espmqtt.Config
	config.Broker.Address.URI = &firmware.URI
	config.Broker.Verification.UseGlobalCAStore = true
	config.Credentials.ClientID = text("asking")
	asking.expect(prompt)
	asking.command(initialize(t, config))
	asking.types("start\n")
	asking.expect("MQTT_EVENT_CONNECTED")
	asking.types("subscribe topic/binary 0\n")
	asking.expect("return_code=0x00")

	b := onNetwork(t, Options{Firmware: firmware})
	b.expect(", return code=0x01 ")
	asking.types("publish topic/qos0 \"send binary please\" 1 0 0 0\n")
	b.expectAll("Sending the binary\r\n", "binary sent with msg_id=0\r\n")
	asking.expectAll("MQTT_EVENT_DATA topic=topic/binary", fmt.Sprintf("total=%d", binarySize), "MQTT_EVENT_DATA_COMPLETE")
}

// derOf is a file in PEM as one in DER.
func derOf(t *testing.T, file []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(file)
	if block == nil {
		t.Fatal("no PEM")
	}
	return block.Bytes
}

// TestMosquittoRefuses has a broker that wants a password, which the ssl example does not have.
func TestMosquittoRefuses(t *testing.T) {
	t.Parallel()
	settings, firmware := certified(t)
	firmware.App = "ssl"
	port := mosquittotest.Start(t, settings, mosquittotest.Password(t, "bench", "secret"))
	firmware.URI = fmt.Sprintf("mqtts://localhost:%d", port)
	b := onNetwork(t, Options{Firmware: firmware})
	b.expect("mqtts_example: MQTT_EVENT_ERROR\r\n")
	b.expect("mqtts_example: Connection refused error: 0x5\r\n")
	b.expect("mqtts_example: MQTT_EVENT_DISCONNECTED\r\n")
}

// TestMosquittoSeveralClients has four clients on one board, of different versions and over different transports. Each
// receives what it publishes, and nothing else.
func TestMosquittoSeveralClients(t *testing.T) {
	t.Parallel()
	tlsSettings, firmware := certified(t)
	tcp := mosquittotest.Start(t)
	ws := mosquittotest.Start(t, mosquittotest.WebSocket)
	tls := mosquittotest.Start(t, tlsSettings)
	options := Options{Firmware: Firmware{CA: firmware.CA}}
	kconfig := options.DefaultKconfig()
	kconfig.Protocol5 = true
	options.Kconfig = &kconfig
	b := onNetwork(t, options)
	b.expect(prompt)
	b.mu.Lock()
	p := b.power
	b.mu.Unlock()

	type report struct{ client, message string }
	reports := make(chan report, 100)
	for _, c := range []struct {
		id, uri  string
		protocol espmqtt.ProtocolVersion
	}{
		{"tcp", fmt.Sprintf("mqtt://localhost:%d", tcp), espmqtt.ProtocolV311},
		{"tcp, 5.0", fmt.Sprintf("mqtt://localhost:%d", tcp), espmqtt.ProtocolV5},
		{"ws", fmt.Sprintf("ws://localhost:%d/mqtt", ws), espmqtt.ProtocolV311},
		{"tls", fmt.Sprintf("mqtts://localhost:%d", tls), espmqtt.ProtocolV311},
	} {
		var config espmqtt.Config
		config.Broker.Address.URI, config.Credentials.ClientID, config.Session.Protocol = &c.uri, &c.id, c.protocol
		config.Broker.Verification.UseGlobalCAStore = strings.HasPrefix(c.uri, "mqtts")
		client, err := p.newClient(config, func(e espmqtt.Event) {
			switch e.ID {
			case espmqtt.EventConnected:
				e.Client.Subscribe("for/"+c.id, 1)
			case espmqtt.EventSubscribed:
				e.Client.Publish("for/"+c.id, []byte(c.id), 2, false)
			case espmqtt.EventData:
				reports <- report{c.id, string(e.Data)}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.PowerOff)
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
	}
	late := time.After(b.patience)
	for heard := map[report]bool{}; len(heard) < 4; {
		select {
		case r := <-reports:
			if r.client != r.message {
				t.Errorf("client %s receives %q", r.client, r.message)
			}
			heard[r] = true
		case <-late:
			t.Fatalf("only these have heard of themselves: %v", heard)
		}
	}
}
