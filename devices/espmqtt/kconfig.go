package espmqtt

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kconfig holds the build options (menuconfig, "ESP-MQTT Configuration") that change the client's behaviour.
type Kconfig struct {
	Protocol311               bool          // MQTT_PROTOCOL_311: the default version is 3.1.1, else 3.1
	Protocol5                 bool          // MQTT_PROTOCOL_5
	TransportSSL              bool          // MQTT_TRANSPORT_SSL
	TransportWebSocket        bool          // MQTT_TRANSPORT_WEBSOCKET
	TransportWebSocketSecure  bool          // MQTT_TRANSPORT_WEBSOCKET_SECURE
	BufferSize                int           // MQTT_BUFFER_SIZE, bytes
	PollReadTimeout           time.Duration // MQTT_POLL_READ_TIMEOUT_MS
	OutboxExpiredTimeout      time.Duration // MQTT_OUTBOX_EXPIRED_TIMEOUT_MS
	ReportDeletedMessages     bool          // MQTT_REPORT_DELETED_MESSAGES
	SkipPublishIfDisconnected bool          // MQTT_SKIP_PUBLISH_IF_DISCONNECTED
	MessageIDIncremental      bool          // MQTT_MSG_ID_INCREMENTAL
	TopicInAllDataEvents      bool          // MQTT_TOPIC_PRESENT_ALL_DATA_EVENTS
	TCPDefaultPort            int           // MQTT_TCP_DEFAULT_PORT
	SSLDefaultPort            int           // MQTT_SSL_DEFAULT_PORT
	WSDefaultPort             int           // MQTT_WS_DEFAULT_PORT
	WSSDefaultPort            int           // MQTT_WSS_DEFAULT_PORT
	WSBufferSize              int           // WS_BUFFER_SIZE, bytes, for the WebSocket handshake
	Tick                      time.Duration // one tick of FreeRTOS: 1 s / FREERTOS_HZ
}

// DefaultKconfig returns the options of an untouched build.
func DefaultKconfig() Kconfig {
	return Kconfig{
		Protocol311:          true,
		BufferSize:           1024,
		PollReadTimeout:      time.Second,
		OutboxExpiredTimeout: 30 * time.Second,
		TCPDefaultPort:       1883,
		SSLDefaultPort:       8883,
		WSDefaultPort:        80,
		WSSDefaultPort:       443,
		WSBufferSize:         1024,
		Tick:                 10 * time.Millisecond,

		TransportSSL:             true,
		TransportWebSocket:       true,
		TransportWebSocketSecure: true,
	}
}

// Apply sets options by their names in menuconfig, without CONFIG_: numbers and booleans, as JSON writes them.
func (k *Kconfig) Apply(options map[string]json.RawMessage) error {
	changed := *k
	for name, value := range options {
		var n int
		var target any = &n
		set := func() {}
		switch name {
		case "MQTT_PROTOCOL_311":
			target = &changed.Protocol311
		case "MQTT_PROTOCOL_5":
			target = &changed.Protocol5
		case "MQTT_TRANSPORT_SSL":
			target = &changed.TransportSSL
		case "MQTT_TRANSPORT_WEBSOCKET":
			target = &changed.TransportWebSocket
		case "MQTT_TRANSPORT_WEBSOCKET_SECURE":
			target = &changed.TransportWebSocketSecure
		case "MQTT_BUFFER_SIZE":
			target = &changed.BufferSize
		case "MQTT_POLL_READ_TIMEOUT_MS":
			set = func() { changed.PollReadTimeout = time.Duration(n) * time.Millisecond }
		case "MQTT_OUTBOX_EXPIRED_TIMEOUT_MS":
			set = func() { changed.OutboxExpiredTimeout = time.Duration(n) * time.Millisecond }
		case "MQTT_REPORT_DELETED_MESSAGES":
			target = &changed.ReportDeletedMessages
		case "MQTT_SKIP_PUBLISH_IF_DISCONNECTED":
			target = &changed.SkipPublishIfDisconnected
		case "MQTT_MSG_ID_INCREMENTAL":
			target = &changed.MessageIDIncremental
		case "MQTT_TOPIC_PRESENT_ALL_DATA_EVENTS":
			target = &changed.TopicInAllDataEvents
		case "MQTT_TCP_DEFAULT_PORT":
			target = &changed.TCPDefaultPort
		case "MQTT_SSL_DEFAULT_PORT":
			target = &changed.SSLDefaultPort
		case "MQTT_WS_DEFAULT_PORT":
			target = &changed.WSDefaultPort
		case "MQTT_WSS_DEFAULT_PORT":
			target = &changed.WSSDefaultPort
		case "WS_BUFFER_SIZE":
			target = &changed.WSBufferSize
		case "FREERTOS_HZ":
			set = func() { changed.Tick = time.Second / time.Duration(max(n, 1)) }
		case "MQTT_USE_CUSTOM_CONFIG", "MQTT_TASK_CORE_SELECTION_ENABLED", "MQTT_USE_CORE_0", "MQTT_USE_CORE_1",
			"MQTT_BUFFERS_ON_EXTERNAL_MEMORY", "MQTT_TASK_STACK_ON_EXTERNAL_MEMORY", "MQTT_OUTBOX_DATA_ON_EXTERNAL_MEMORY",
			"MQTT_DISABLE_API_LOCKS", "WS_TRANSPORT", "WS_DYNAMIC_BUFFER":
			target = new(bool) // a gate in menuconfig, or a matter of memory and cores: nothing that shows
		case "MQTT_TASK_STACK_SIZE", "MQTT_TASK_PRIORITY", "MQTT_EVENT_QUEUE_SIZE": // the last for custom events alone
		default:
			return fmt.Errorf("build option %s is not modelled", name)
		}
		if err := json.Unmarshal(value, target); err != nil {
			return fmt.Errorf("build option %s: %w", name, err)
		}
		if number, ok := target.(*int); ok && (*number < 0 || *number > largestOption) {
			return fmt.Errorf("build option %s: %d is out of range", name, *number)
		}
		set()
	}
	*k = changed
	return nil
}

// largestOption bounds the numbers that Apply takes: ten days in ms.
const largestOption = 10 * 24 * 3600 * 1000
