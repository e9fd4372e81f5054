package espmqtt

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

func newClient(config Config, change ...func(*Kconfig)) (*Client, error) {
	kconfig := DefaultKconfig()
	for _, c := range change {
		c(&kconfig)
	}
	environment := Environment{MAC: [6]byte{0x24, 0x0a, 0xc4, 0xab, 0xcd, 0xef}, Random: rand.New(rand.NewPCG(1, 2))}
	return New(config, kconfig, environment, Behaviour{}, nil)
}

func parse(t *testing.T, text string) (config Config) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := newClient(Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := c.settings
	if s.clientID != "ESP32_abCDEF" || s.keepAlive != 120 || s.protocol != ProtocolV311 || !s.cleanSession ||
		s.bufferSize != 1024 || s.outSize != 1024 || s.networkTimeout != 10*time.Second || s.reconnectTimeout != 10000 ||
		s.retransmitTimeout != 1000 || !s.autoReconnect {
		t.Errorf("defaults are %+v", s)
	}
	old, err := newClient(Config{}, func(k *Kconfig) { k.Protocol311 = false })
	if err != nil || old.settings.protocol != ProtocolV31 {
		t.Errorf("without MQTT_PROTOCOL_311 the version is %v: %v", old.settings.protocol, err)
	}
}

// TestSetConfig holds a second configuration, which says nothing, against the first: some fields stay, others go back.
func TestSetConfig(t *testing.T) {
	t.Parallel()
	first := parse(t, `{
		"broker": {"address": {"hostname": "h", "transport": 1, "path": "/p", "port": 77}},
		"credentials": {"username": "u", "client_id": "c", "authentication": {"password": "w"}},
		"session": {"last_will": {"topic": "t", "msg": "mmm", "msg_len": 2, "qos": 2, "retain": true}, 
			"keepalive": 7, "protocol_ver": 1, "message_retransmit_timeout": 300},
		"network": {"reconnect_timeout_ms": 400, "timeout_ms": 500, "refresh_connection_after_ms": 600,
			"disable_auto_reconnect": true},
		"buffer": {"size": 200, "out_size": 100}, "outbox": {"limit": 900}}`)
	c, err := newClient(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetConfig(Config{}); err != nil {
		t.Fatal(err)
	}
	s := c.settings
	if s.scheme != "mqtt" || s.host != "h" || s.path != "/p" || s.port != 77 || s.username != "u" || s.clientID != "c" ||
		s.password != "w" || s.willTopic != "t" || string(s.willMessage) != "mm" || s.willQoS != 2 || !s.willRetain ||
		s.keepAlive != 7 || s.protocol != ProtocolV31 || s.refreshAfter != 600 {
		t.Errorf("a field did not stay: %+v", s)
	}
	if !s.cleanSession || s.retransmitTimeout != 1000 || s.reconnectTimeout != 10000 || s.networkTimeout != 10*time.Second ||
		!s.autoReconnect || s.bufferSize != 1024 || s.outSize != 1024 || s.outboxLimit != 0 {
		t.Errorf("a field did not go back to its default: %+v", s)
	}
	for _, step := range []struct {
		config string
		want   int
	}{
		{`{"session": {"disable_keepalive": true}}`, 0},
		{`{}`, 120}, // not 7: there is nothing left of it
		{`{"session": {"keepalive": -3}}`, -3},
	} {
		if err := c.SetConfig(parse(t, step.config)); err != nil || c.settings.keepAlive != step.want {
			t.Errorf("%s: keep alive %d, not %d: %v", step.config, c.settings.keepAlive, step.want, err)
		}
	}
}

func TestClientID(t *testing.T) {
	t.Parallel()
	const generated = "ESP32_abCDEF"
	for config, want := range map[string]string{
		`{}`:                                            generated,
		`{"credentials": {"client_id": "x"}}`:           "x",
		`{"credentials": {"client_id": ""}}`:            "",
		`{"credentials": {"client_id": null}}`:          generated,
		`{"credentials": {"set_null_client_id": true}}`: "",
		`{"credentials": {"set_null_client_id": true, "client_id": "no"}}`: "",
	} {
		c, err := newClient(parse(t, config))
		if err != nil || c.settings.clientID != want {
			t.Errorf("%s: client id %q, not %q: %v", config, c.settings.clientID, want, err)
			continue
		}
		if err := c.SetConfig(parse(t, `{"credentials": {"set_null_client_id": true}}`)); err != nil || c.settings.clientID != want {
			t.Errorf("%s: set_null_client_id changed the id to %q: %v", config, c.settings.clientID, err)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]error{
		`{"broker": {"address": {"uri": "mqtt://h", "transport": 1}}}`: ErrInvalidArgument,
		`{"broker": {"address": {"uri": "h"}}}`:                        ErrFail,
		`{"broker": {"address": {"uri": ""}}}`:                         ErrFail,
		`{"session": {"protocol_ver": 3}}`:                             ErrNoMemory, // not in this build
		`{"buffer": {"size": 1000000000}}`:                             ErrNoMemory,
	} {
		if _, err := newClient(parse(t, config)); !errors.Is(err, want) {
			t.Errorf("%s: %v, not %v", config, err, want)
		}
	}

	c, err := newClient(parse(t, `{"broker": {"address": {"uri": "mqtt://old"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	conflict := parse(t, `{"broker": {"address": {"uri": "mqtt://new", "transport": 1}}}`)
	if err := c.SetConfig(conflict); !errors.Is(err, ErrInvalidArgument) || c.settings.host != "new" {
		t.Errorf("a conflict must be applied all the same: host %q: %v", c.settings.host, err)
	}
}

// TestUnconfigured: a client that was given a configuration it cannot take has none any more, and crashes where it looks for
// it.
func TestUnconfigured(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(*rig){
		"turn of the task": func(*rig) {},
		"publish":          func(r *rig) { r.Publish("t", nil, 0, false) },
		"enqueue":          func(r *rig) { r.Enqueue("t", nil, 0, false, true) },
		"subscribe":        func(r *rig) { r.Subscribe("f", 0) },
		"unsubscribe":      func(r *rig) { r.Unsubscribe("f") },
		"stop":             func(r *rig) { _ = r.Stop() },
		"set URI":          func(r *rig) { _ = r.SetURI("mqtt://broker") },
		"another":          func(r *rig) { _ = r.SetConfig(Config{}) },
		"event":            func(r *rig) { _ = r.DispatchCustomEvent(Event{}) },
		"unregister":       func(r *rig) { r.UnregisterEvent() },
		"start, idle":      func(r *rig) { _ = r.Start() },
		"publish, idle":    func(r *rig) { r.Publish("t", nil, 0, false) },
		"subscribe, idle":  func(r *rig) { r.Subscribe("f", 0) },
		// These look for nothing.
		"unsubscribe, idle": func(r *rig) { r.Unsubscribe("f") },
		"stop, idle":        func(r *rig) { _ = r.Stop() },
		"set bad URI, idle": func(r *rig) { _ = r.SetURI("nowhere") },
		"destroy, idle":     func(r *rig) { _ = r.Destroy() },
		"others, idle": func(r *rig) {
			_, _, _, _ = r.OutboxSize(), r.State(), r.Disconnect(), r.Reconnect()
			time.Sleep(time.Minute)
		},
	} {
		survives := map[string]bool{"unsubscribe, idle": true, "stop, idle": true, "set bad URI, idle": true,
			"destroy, idle": true, "others, idle": true}[name]
		for _, config := range []string{`{"session": {"protocol_ver": 3}}`, `{"broker": {"address": {"uri": "nonsense"}}}`} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := options{kconfig: func(k *Kconfig) { k.Protocol5 = false }, stay: strings.HasSuffix(name, ", idle")}
				inRig(t, o, func(r *rig) {
					if err := r.SetConfig(parse(t, config)); err == nil || r.dead() {
						t.Errorf("%s: %v; the board has crashed: %v", config, err, r.dead())
					}
					if do(r); name == "turn of the task" {
						time.Sleep(2 * time.Second)
					}
					if r.dead() == survives {
						t.Errorf("the board has crashed: %v", r.dead())
					}
				})
			})
		}
	}
}

// TestUnconfiguredV5: without a configuration no version is left either, and no property is taken.
func TestUnconfiguredV5(t *testing.T) {
	inRig(t, options{config: v5Client, stay: true}, func(r *rig) {
		setters := map[string]func() error{
			"connect":     func() error { return r.SetConnectProperty(ConnectProperty{}) },
			"publish":     func() error { return r.SetPublishProperty(&PublishProperty{}) },
			"subscribe":   func() error { return r.SetSubscribeProperty(&SubscribeProperty{}) },
			"unsubscribe": func() error { return r.SetUnsubscribeProperty(&UnsubscribeProperty{}) },
			"disconnect":  func() error { return r.SetDisconnectProperty(DisconnectProperty{}) },
		}
		for name, set := range setters {
			if err := set(); err != nil {
				t.Errorf("the %s property, configured: %v", name, err)
			}
		}
		if err := r.SetConfig(parse(t, `{"broker": {"address": {"uri": "nonsense"}}}`)); err == nil {
			t.Fatal("the client has taken nonsense")
		}
		for name, set := range setters {
			if err := set(); !errors.Is(err, ErrFail) || r.dead() {
				t.Errorf("the %s property, unconfigured: %v; the board has crashed: %v", name, err, r.dead())
			}
		}
	})
}

func TestKconfig(t *testing.T) {
	t.Parallel()
	k := DefaultKconfig()
	err := k.Apply(map[string]json.RawMessage{
		"MQTT_BUFFER_SIZE":               json.RawMessage(`512`),
		"MQTT_POLL_READ_TIMEOUT_MS":      json.RawMessage(`200`),
		"MQTT_OUTBOX_EXPIRED_TIMEOUT_MS": json.RawMessage(`3000`),
		"MQTT_MSG_ID_INCREMENTAL":        json.RawMessage(`true`),
		"MQTT_WS_DEFAULT_PORT":           json.RawMessage(`8080`),
		"FREERTOS_HZ":                    json.RawMessage(`1000`),
	})
	want := DefaultKconfig()
	want.BufferSize, want.PollReadTimeout, want.OutboxExpiredTimeout = 512, 200*time.Millisecond, 3*time.Second
	want.MessageIDIncremental, want.WSDefaultPort, want.Tick = true, 8080, time.Millisecond
	if err != nil || k != want {
		t.Errorf("options are %+v: %v", k, err)
	}
	for name, value := range map[string]string{
		"MQTT_NO_SUCH_THING": `1`,
		"MQTT_BUFFER_SIZE":   `-1`,
		"MQTT_PROTOCOL_5":    `"maybe"`,

		"MQTT_EVENT_QUEUE_SIZE": `1025`,
	} {
		if err := k.Apply(map[string]json.RawMessage{name: json.RawMessage(value)}); err == nil || k != want {
			t.Errorf("%s=%s was taken", name, value)
		}
	}
}

// TestKconfigOptions: every option of menuconfig that concerns the client is known, and changes something unless it is
// listed as one that does not.
func TestKconfigOptions(t *testing.T) {
	t.Parallel()
	const named = `MQTT_PROTOCOL_311 MQTT_PROTOCOL_5 MQTT_TRANSPORT_SSL MQTT_TRANSPORT_WEBSOCKET MQTT_TRANSPORT_WEBSOCKET_SECURE
		MQTT_MSG_ID_INCREMENTAL MQTT_SKIP_PUBLISH_IF_DISCONNECTED MQTT_REPORT_DELETED_MESSAGES MQTT_CUSTOM_OUTBOX
		MQTT_TASK_CORE_SELECTION_ENABLED MQTT_USE_CORE_0 MQTT_USE_CORE_1 MQTT_BUFFERS_ON_EXTERNAL_MEMORY
		MQTT_TASK_STACK_ON_EXTERNAL_MEMORY MQTT_USE_CUSTOM_CONFIG MQTT_TCP_DEFAULT_PORT MQTT_SSL_DEFAULT_PORT
		MQTT_WS_DEFAULT_PORT MQTT_WSS_DEFAULT_PORT MQTT_BUFFER_SIZE MQTT_TASK_STACK_SIZE MQTT_TASK_PRIORITY
		MQTT_DISABLE_API_LOCKS MQTT_POLL_READ_TIMEOUT_MS MQTT_EVENT_QUEUE_SIZE MQTT_OUTBOX_DATA_ON_EXTERNAL_MEMORY
		MQTT_OUTBOX_EXPIRED_TIMEOUT_MS MQTT_TOPIC_PRESENT_ALL_DATA_EVENTS WS_TRANSPORT WS_BUFFER_SIZE WS_DYNAMIC_BUFFER FREERTOS_HZ`
	listed := map[string]bool{}
	for _, o := range KconfigOptions() {
		listed[o.Name] = true
		changes := false
		for _, value := range []string{"true", "false", "1", "77"} {
			k := DefaultKconfig()
			if k.Apply(map[string]json.RawMessage{o.Name: json.RawMessage(value)}) == nil {
				changes = changes || k != DefaultKconfig()
			}
		}
		if changes == o.Silent {
			t.Errorf("%s changes something: %v; it is listed as silent: %v", o.Name, changes, o.Silent)
		}
	}
	for _, name := range strings.Fields(named) {
		if !listed[name] {
			t.Errorf("%s is not known", name)
		}
	}
}

// TestTransportsOfBuild: what a build has of transports, by the number of a transport.
func TestTransportsOfBuild(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*Kconfig)
		want   string // schemes of tcp, ssl, ws and wss
	}{
		"all":                 {func(*Kconfig) {}, "mqtt mqtts ws wss"},
		"no TLS":              {func(k *Kconfig) { k.TransportSSL = false }, "mqtt - ws wss"},
		"no WebSocket":        {func(k *Kconfig) { k.TransportWebSocket = false }, "mqtt mqtts - -"},
		"no secure WebSocket": {func(k *Kconfig) { k.TransportWebSocketSecure = false }, "mqtt mqtts ws -"},
		"no WebSocket in IDF": {func(k *Kconfig) { k.WSTransport = false }, "mqtt mqtts - -"},
	} {
		c, err := newClient(Config{}, test.change)
		if err != nil {
			t.Fatal(err)
		}
		var schemes []string
		for transport := TransportTCP; transport <= TransportWSS; transport++ {
			schemes = append(schemes, cmp.Or(c.schemeOf(transport), "-"))
		}
		if got := strings.Join(schemes, " "); got != test.want {
			t.Errorf("%s: %s, not %s", name, got, test.want)
		}
	}
}

// keepingAlive is a connection that notes what is asked of its TCP.
type keepingAlive struct {
	net.Conn
	config net.KeepAliveConfig
}

func (c *keepingAlive) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	c.config = config
	return nil
}

// TestTCPKeepAlive: it reaches TCP, stays over a configuration that says nothing of it, and is off by default (ESP-CFG-36).
func TestTCPKeepAlive(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]net.KeepAliveConfig{
		`{}`: {},
		`{"network": {"tcp_keep_alive_cfg": {"keep_alive_idle": 5}}}`: {},
		`{"network": {"tcp_keep_alive_cfg": {"keep_alive_enable": true, "keep_alive_idle": 5, "keep_alive_interval": 6,
			"keep_alive_count": 7}}}`: {Enable: true, Idle: 5 * time.Second, Interval: 6 * time.Second, Count: 7},
	} {
		c, err := newClient(parse(t, text))
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		conn := &keepingAlive{Conn: near}
		c.environment.Dial = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
		if err := c.SetConfig(parse(t, `{"broker": {"address": {"uri": "mqtt://h"}}}`)); err != nil {
			t.Fatal(err)
		}
		opened, err := c.open()
		if err != nil || conn.config != want {
			t.Errorf("%s: TCP is asked for %+v, not %+v: %v", text, conn.config, want, err)
		}
		opened.close()
		_ = far.Close()
	}
}

func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		`{"broker":{"address":{"uri":"mqtt://h"}},"session":{"last_will":{"topic":"t","msg":"m","msg_len":-1,"retain":1}}}`,
		`{"buffer":{"size":-5,"out_size":3},"network":{"reconnect_timeout_ms":-1,"timeout_ms":9223372036854775807}}`,
		`{"credentials":{"client_id":""},"session":{"protocol_ver":99,"keepalive":70000}}`,
	} {
		f.Add([]byte(seed), []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var config Config
		if json.Unmarshal(first, &config) != nil {
			return
		}
		c, err := newClient(config, func(k *Kconfig) { k.Protocol5 = true })
		if err != nil {
			return
		}
		if json.Unmarshal(second, &config) == nil {
			_ = c.SetConfig(config)
		}
		if s := c.settings; s.bufferSize <= 0 || s.outSize <= 0 || s.networkTimeout <= 0 ||
			s.retransmitTimeout <= 0 {
			t.Errorf("settings %+v", s)
		}
		if packet := c.connectPacket(); len(packet) > c.settings.outSize {
			t.Errorf("a CONNECT of %d bytes in a buffer of %d", len(packet), c.settings.outSize)
		}
	})
}
