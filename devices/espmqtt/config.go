package espmqtt

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the fields of esp_mqtt_client_config_t that the model knows, with the same nesting and names. A zero
// field means the client's default, as in C.
type Config struct {
	Broker      Broker      `json:"broker"`
	Credentials Credentials `json:"credentials"`
	Session     Session     `json:"session"`
	Network     Network     `json:"network"`
	Buffer      Buffer      `json:"buffer"`
	Outbox      OutboxLimit `json:"outbox"`
}

// Broker says where the broker is.
type Broker struct {
	Address Address `json:"address"`
}

// Address is a URI, or a host name with transport and port. Giving both a URI and a transport is a conflict.
type Address struct {
	URI       string    `json:"uri,omitempty"`
	Hostname  string    `json:"hostname,omitempty"`
	Transport Transport `json:"transport,omitempty"`
	Path      string    `json:"path,omitempty"`
	Port      int       `json:"port,omitempty"`
}

// Transport is esp_mqtt_transport_t.
type Transport int

// The transports, by their number in C.
const (
	TransportUnknown Transport = iota
	TransportTCP
	TransportSSL
	TransportWS
	TransportWSS
)

// Credentials identify the client.
type Credentials struct {
	Username        string         `json:"username,omitempty"`
	ClientID        string         `json:"client_id,omitempty"`
	SetNullClientID bool           `json:"set_null_client_id,omitempty"`
	Authentication  Authentication `json:"authentication"`
}

// Authentication holds the password.
type Authentication struct {
	Password string `json:"password,omitempty"`
}

// Session holds what CONNECT says of the session.
type Session struct {
	LastWill                 LastWill        `json:"last_will"`
	DisableCleanSession      bool            `json:"disable_clean_session,omitempty"`
	KeepAlive                int             `json:"keepalive,omitempty"` // seconds; 0 means 120
	DisableKeepAlive         bool            `json:"disable_keepalive,omitempty"`
	Protocol                 ProtocolVersion `json:"protocol_ver,omitempty"`
	MessageRetransmitTimeout int             `json:"message_retransmit_timeout,omitempty"` // ms; ≤ 0 means 1000
}

// LastWill is the message that the broker publishes when the client goes away without a DISCONNECT.
type LastWill struct {
	Topic         string `json:"topic,omitempty"`
	Message       string `json:"msg,omitempty"`
	MessageLength int    `json:"msg_len,omitempty"` // 0: the whole of Message
	QoS           int    `json:"qos,omitempty"`
	Retain        int    `json:"retain,omitempty"`
}

// ProtocolVersion is esp_mqtt_protocol_ver_t.
type ProtocolVersion int

// The protocol versions, by their number in C.
const (
	ProtocolUndefined ProtocolVersion = iota
	ProtocolV31
	ProtocolV311
	ProtocolV5
)

// Network holds times and manners of the connection.
type Network struct {
	ReconnectTimeout     int  `json:"reconnect_timeout_ms,omitempty"`        // 0 means 10000
	Timeout              int  `json:"timeout_ms,omitempty"`                  // ≤ 0 means 10000
	RefreshAfter         int  `json:"refresh_connection_after_ms,omitempty"` // 0: never
	DisableAutoReconnect bool `json:"disable_auto_reconnect,omitempty"`
}

// Buffer holds the sizes of the client's buffers, in bytes.
type Buffer struct {
	Size    int `json:"size,omitempty"`     // of the input buffer; ≤ 0 means Kconfig.BufferSize
	OutSize int `json:"out_size,omitempty"` // of the output buffer; ≤ 0 means as Size
}

// OutboxLimit bounds the outbox, in bytes.
type OutboxLimit struct {
	Limit uint64 `json:"limit,omitempty"` // 0: no limit
}

// Kconfig holds the build options (menuconfig, "ESP-MQTT Configuration") that change the client's behaviour.
type Kconfig struct {
	BufferSize                int           // MQTT_BUFFER_SIZE, bytes
	PollReadTimeout           time.Duration // MQTT_POLL_READ_TIMEOUT_MS
	OutboxExpiredTimeout      time.Duration // MQTT_OUTBOX_EXPIRED_TIMEOUT_MS
	ReportDeletedMessages     bool          // MQTT_REPORT_DELETED_MESSAGES
	SkipPublishIfDisconnected bool          // MQTT_SKIP_PUBLISH_IF_DISCONNECTED
	MessageIDIncremental      bool          // MQTT_MSG_ID_INCREMENTAL
	TopicInAllDataEvents      bool          // MQTT_TOPIC_PRESENT_ALL_DATA_EVENTS
	Tick                      time.Duration // one tick of FreeRTOS: 1 s / FREERTOS_HZ
}

// DefaultKconfig returns the options of an untouched build.
func DefaultKconfig() Kconfig {
	return Kconfig{
		BufferSize:           1024,
		PollReadTimeout:      time.Second,
		OutboxExpiredTimeout: 30 * time.Second,
		Tick:                 10 * time.Millisecond,
	}
}

// Defaults that no build option changes.
const (
	defaultKeepAlive         = 120 // seconds
	defaultReconnectTimeout  = 10 * time.Second
	defaultNetworkTimeout    = 10 * time.Second
	defaultRetransmitTimeout = time.Second
)

// smallestBuffer is what the model gives at least, in bytes: a smaller one would let the real client write past its end.
const smallestBuffer = 16

// Errors of New that a caller may want to tell apart.
var (
	ErrInvalidArgument = errors.New("ESP_ERR_INVALID_ARG")
	ErrFail            = errors.New("ESP_FAIL")
	ErrNoMemory        = errors.New("ESP_ERR_NO_MEM")
)

// settings is a Config with the defaults filled in and the URI taken apart.
type settings struct {
	scheme, host, path string
	port               int
	username, password string
	clientID           string
	will               LastWill
	willMessage        []byte
	cleanSession       bool
	keepAlive          int // seconds; ≤ 0: off
	protocol           ProtocolVersion
	retransmitTimeout  time.Duration
	reconnectTimeout   time.Duration
	networkTimeout     time.Duration
	refreshAfter       time.Duration
	autoReconnect      bool
	bufferSize         int
	outSize            int
	outboxLimit        uint64
}

// settle fills in what the Config leaves open (ESP-CFG-01 … 39).
func (c *client) settle(config Config) (settings, error) {
	s := settings{
		host:         config.Broker.Address.Hostname,
		path:         config.Broker.Address.Path,
		port:         config.Broker.Address.Port,
		scheme:       schemeOf(config.Broker.Address.Transport),
		username:     config.Credentials.Username,
		password:     config.Credentials.Authentication.Password,
		clientID:     config.Credentials.ClientID,
		will:         config.Session.LastWill,
		cleanSession: !config.Session.DisableCleanSession,
		keepAlive:    config.Session.KeepAlive,
		protocol:     config.Session.Protocol,

		retransmitTimeout: positive(config.Session.MessageRetransmitTimeout, defaultRetransmitTimeout),
		reconnectTimeout:  positive(config.Network.ReconnectTimeout, defaultReconnectTimeout),
		networkTimeout:    positive(config.Network.Timeout, defaultNetworkTimeout),
		refreshAfter:      time.Duration(config.Network.RefreshAfter) * time.Millisecond,
		autoReconnect:     !config.Network.DisableAutoReconnect,
		outboxLimit:       config.Outbox.Limit,
	}
	if config.Network.ReconnectTimeout < 0 { // not refused by the client, and never over
		s.reconnectTimeout = time.Duration(config.Network.ReconnectTimeout) * time.Millisecond
	}
	if s.clientID == "" && !config.Credentials.SetNullClientID {
		s.clientID = c.defaultClientID()
	}
	if s.keepAlive == 0 {
		s.keepAlive = defaultKeepAlive
	}
	if config.Session.DisableKeepAlive {
		s.keepAlive = 0
	}
	s.willMessage = []byte(s.will.Message)
	if n := s.will.MessageLength; n > 0 && n <= len(s.willMessage) {
		s.willMessage = s.willMessage[:n]
	}
	s.bufferSize = c.kconfig.BufferSize
	if config.Buffer.Size > 0 {
		s.bufferSize = max(config.Buffer.Size, smallestBuffer)
	}
	s.outSize = s.bufferSize
	if config.Buffer.OutSize > 0 {
		s.outSize = config.Buffer.OutSize
	}
	switch s.protocol {
	case ProtocolUndefined:
		s.protocol = ProtocolV311
	case ProtocolV31, ProtocolV311:
	default: // ESP-CFG-30: a build without CONFIG_MQTT_PROTOCOL_5
		return s, fmt.Errorf("protocol version %d is not in this build: %w", s.protocol, ErrNoMemory)
	}
	if config.Broker.Address.URI != "" {
		if err := s.applyURI(config.Broker.Address.URI); err != nil {
			c.log('E', "Error parse uri = %s", config.Broker.Address.URI)
			return s, err
		}
		if config.Broker.Address.Transport != TransportUnknown {
			c.log('W', "Transport config set, but overridden by scheme from URI: ")
			return s, fmt.Errorf("both a URI and a transport: %w", ErrInvalidArgument) // ESP-CFG-40
		}
	}
	return s, nil
}

// positive is a time in ms, or the default where none is given.
func positive(ms int, otherwise time.Duration) time.Duration {
	if ms <= 0 {
		return otherwise
	}
	return time.Duration(ms) * time.Millisecond
}

// defaultClientID is ESP32_ and the last three bytes of the MAC address, the first of them in lower case (ESP-CID-01).
func (c *client) defaultClientID() string {
	mac := c.environment.MAC
	return fmt.Sprintf("ESP32_%02x%02X%02X", mac[3], mac[4], mac[5])
}
