package espmqtt

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kconfig holds the build options (menuconfig, "ESP-MQTT Configuration") that change the client's behaviour.
type Kconfig struct {
	Protocol311               bool          // MQTT_PROTOCOL_311: the default version is 3.1.1, else 3.1
	Protocol5                 bool          // MQTT_PROTOCOL_5
	TransportSSL              bool          // MQTT_TRANSPORT_SSL
	TransportWebSocket        bool          // MQTT_TRANSPORT_WEBSOCKET
	TransportWebSocketSecure  bool          // MQTT_TRANSPORT_WEBSOCKET_SECURE
	WSTransport               bool          // WS_TRANSPORT, which both of these need
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
	CustomOutbox              bool          // MQTT_CUSTOM_OUTBOX: the application brings an outbox
	EventQueueSize            int           // MQTT_EVENT_QUEUE_SIZE, events, up to 1024; less than 1 means 1
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
		EventQueueSize:       1,
		Tick:                 10 * time.Millisecond,

		TransportSSL:             true,
		TransportWebSocket:       true,
		TransportWebSocketSecure: true,
		WSTransport:              true,
	}
}

// webSocket says whether the build has WebSocket.
func (k *Kconfig) webSocket() bool { return k.TransportWebSocket && k.WSTransport }

// KconfigOption describes a build option that Apply knows.
type KconfigOption struct {
	Name   string // in menuconfig, without CONFIG_
	Silent bool   // it is taken and changes nothing that shows outside of a board
}

// kconfigOption is a build option: a switch, or a number.
type kconfigOption struct {
	yes    func(*Kconfig, bool)
	number func(*Kconfig, int)
	least  int  // of a number
	most   int  // of a number; 0 means largestOption
	silent bool // there is nothing to set
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// kconfigOptions are the build options, by their names. A silent one is a gate in menuconfig, or a matter of a chip's
// memory, cores and tasks.
var kconfigOptions = map[string]kconfigOption{
	"MQTT_PROTOCOL_311":                  {yes: func(k *Kconfig, v bool) { k.Protocol311 = v }},
	"MQTT_PROTOCOL_5":                    {yes: func(k *Kconfig, v bool) { k.Protocol5 = v }},
	"MQTT_TRANSPORT_SSL":                 {yes: func(k *Kconfig, v bool) { k.TransportSSL = v }},
	"MQTT_TRANSPORT_WEBSOCKET":           {yes: func(k *Kconfig, v bool) { k.TransportWebSocket = v }},
	"MQTT_TRANSPORT_WEBSOCKET_SECURE":    {yes: func(k *Kconfig, v bool) { k.TransportWebSocketSecure = v }},
	"WS_TRANSPORT":                       {yes: func(k *Kconfig, v bool) { k.WSTransport = v }},
	"MQTT_REPORT_DELETED_MESSAGES":       {yes: func(k *Kconfig, v bool) { k.ReportDeletedMessages = v }},
	"MQTT_SKIP_PUBLISH_IF_DISCONNECTED":  {yes: func(k *Kconfig, v bool) { k.SkipPublishIfDisconnected = v }},
	"MQTT_MSG_ID_INCREMENTAL":            {yes: func(k *Kconfig, v bool) { k.MessageIDIncremental = v }},
	"MQTT_TOPIC_PRESENT_ALL_DATA_EVENTS": {yes: func(k *Kconfig, v bool) { k.TopicInAllDataEvents = v }},
	"MQTT_CUSTOM_OUTBOX":                 {yes: func(k *Kconfig, v bool) { k.CustomOutbox = v }},

	"MQTT_BUFFER_SIZE":               {number: func(k *Kconfig, n int) { k.BufferSize = n }},
	"MQTT_POLL_READ_TIMEOUT_MS":      {number: func(k *Kconfig, n int) { k.PollReadTimeout = milliseconds(n) }},
	"MQTT_OUTBOX_EXPIRED_TIMEOUT_MS": {number: func(k *Kconfig, n int) { k.OutboxExpiredTimeout = milliseconds(n) }},
	"MQTT_TCP_DEFAULT_PORT":          {number: func(k *Kconfig, n int) { k.TCPDefaultPort = n }},
	"MQTT_SSL_DEFAULT_PORT":          {number: func(k *Kconfig, n int) { k.SSLDefaultPort = n }},
	"MQTT_WS_DEFAULT_PORT":           {number: func(k *Kconfig, n int) { k.WSDefaultPort = n }},
	"MQTT_WSS_DEFAULT_PORT":          {number: func(k *Kconfig, n int) { k.WSSDefaultPort = n }},
	"MQTT_EVENT_QUEUE_SIZE":          {number: func(k *Kconfig, n int) { k.EventQueueSize = n }, least: 1, most: 1024},
	"WS_BUFFER_SIZE":                 {number: func(k *Kconfig, n int) { k.WSBufferSize = n }},
	"FREERTOS_HZ":                    {number: func(k *Kconfig, n int) { k.Tick = time.Second / time.Duration(n) }, least: 1},

	"MQTT_USE_CUSTOM_CONFIG":              {silent: true},
	"MQTT_TASK_CORE_SELECTION_ENABLED":    {silent: true},
	"MQTT_USE_CORE_0":                     {silent: true},
	"MQTT_USE_CORE_1":                     {silent: true},
	"MQTT_BUFFERS_ON_EXTERNAL_MEMORY":     {silent: true},
	"MQTT_TASK_STACK_ON_EXTERNAL_MEMORY":  {silent: true},
	"MQTT_OUTBOX_DATA_ON_EXTERNAL_MEMORY": {silent: true},
	"MQTT_DISABLE_API_LOCKS":              {silent: true}, // without the lock tasks get in each other's way by chance alone
	"WS_DYNAMIC_BUFFER":                   {silent: true},
	"MQTT_TASK_STACK_SIZE":                {number: func(*Kconfig, int) {}, silent: true},
	"MQTT_TASK_PRIORITY":                  {number: func(*Kconfig, int) {}, silent: true},
}

// KconfigOptions lists the options that Apply knows, by their names.
func KconfigOptions() (all []KconfigOption) {
	for _, name := range slices.Sorted(maps.Keys(kconfigOptions)) {
		o := kconfigOptions[name]
		all = append(all, KconfigOption{Name: name, Silent: o.silent})
	}
	return all
}

// Apply sets options by their names in menuconfig, without CONFIG_: numbers and booleans, as JSON writes them.
func (k *Kconfig) Apply(options map[string]json.RawMessage) error {
	changed := *k
	for name, value := range options {
		o, known := kconfigOptions[name]
		if !known {
			return fmt.Errorf("build option %s is not modelled", name)
		}
		var yes bool
		var n int
		var target any = &yes
		if o.number != nil {
			target = &n
		}
		if err := json.Unmarshal(value, target); err != nil {
			return fmt.Errorf("build option %s: %w", name, err)
		}
		switch {
		case o.number != nil && (n < o.least || n > cmp.Or(o.most, largestOption)):
			return fmt.Errorf("build option %s: %d is out of range", name, n)
		case o.number != nil:
			o.number(&changed, n)
		case o.yes != nil:
			o.yes(&changed, yes)
		}
	}
	*k = changed
	return nil
}

// largestOption bounds the numbers that Apply takes: ten days in ms.
const largestOption = 10 * 24 * 3600 * 1000
