package espmqtt

import (
	"encoding/json"
	"errors"
)

// Config holds the fields of esp_mqtt_client_config_t that the model knows, with the same nesting and names. A zero
// field means the client's default, as in C; so does a nil text, while an empty one is a value.
type Config struct {
	Broker      Broker      `json:"broker"`
	Credentials Credentials `json:"credentials"`
	Session     Session     `json:"session"`
	Network     Network     `json:"network"`
	Buffer      Buffer      `json:"buffer"`
	Outbox      OutboxLimit `json:"outbox"`
}

// Broker says where the broker is, and how it proves that it is the one.
type Broker struct {
	Address      Address      `json:"address"`
	Verification Verification `json:"verification"`
}

// Verification holds what TLS asks of the broker, and offers it.
type Verification struct {
	UseGlobalCAStore    bool     `json:"use_global_ca_store,omitempty"`
	CertificateBundle   bool     `json:"crt_bundle_attach,omitempty"` // a function in C; here: attach the board's
	Certificate         *string  `json:"certificate,omitempty"`       // PEM; with a length DER, in base64
	CertificateLength   int      `json:"certificate_len,omitempty"`   // 0: PEM
	PSK                 *PSK     `json:"psk_hint_key,omitempty"`
	SkipCommonNameCheck bool     `json:"skip_cert_common_name_check,omitempty"`
	ALPN                []string `json:"alpn_protos,omitempty"`
	CommonName          *string  `json:"common_name,omitempty"`
	CipherSuites        []uint16 `json:"ciphersuites_list,omitempty"` // by their IANA numbers
}

// PSK is a key that client and broker share.
type PSK struct {
	Key  string `json:"key"` // hexadecimal digits
	Hint string `json:"hint"`
}

// Address is a URI, or a host name with transport and port. Giving both a URI and a transport is a conflict.
type Address struct {
	URI       *string   `json:"uri,omitempty"`
	Hostname  *string   `json:"hostname,omitempty"`
	Transport Transport `json:"transport,omitempty"`
	Path      *string   `json:"path,omitempty"`
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
	Username        *string        `json:"username,omitempty"`
	ClientID        *string        `json:"client_id,omitempty"`
	SetNullClientID bool           `json:"set_null_client_id,omitempty"`
	Authentication  Authentication `json:"authentication"`
}

// Authentication holds the password, and the client's certificate and key for TLS.
type Authentication struct {
	Password          *string `json:"password,omitempty"`
	Certificate       *string `json:"certificate,omitempty"` // PEM; with a length DER, in base64
	CertificateLength int     `json:"certificate_len,omitempty"`
	Key               *string `json:"key,omitempty"` // PEM; with a length DER, in base64
	KeyLength         int     `json:"key_len,omitempty"`
	KeyPassword       *string `json:"key_password,omitempty"`
	UseSecureElement  bool    `json:"use_secure_element,omitempty"`
	// DSData says that the key is that of the board's digital signature peripheral: a pointer in C.
	DSData bool `json:"ds_data,omitempty"`
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
	Topic         *string `json:"topic,omitempty"`
	Message       *string `json:"msg,omitempty"`
	MessageLength int     `json:"msg_len,omitempty"` // 0: the whole of Message
	QoS           int     `json:"qos,omitempty"`
	Retain        Flag    `json:"retain,omitempty"`
}

// Flag is a number that stands for yes or no: an int in C, and a number or a boolean in JSON.
type Flag int

// UnmarshalJSON takes a number or a boolean.
func (f *Flag) UnmarshalJSON(data []byte) error {
	var yes bool
	if json.Unmarshal(data, &yes) == nil {
		*f = 0
		if yes {
			*f = 1
		}
		return nil
	}
	return json.Unmarshal(data, (*int)(f))
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

	TCPKeepAlive TCPKeepAlive `json:"tcp_keep_alive_cfg"`
}

// TCPKeepAlive is esp_transport_keep_alive_t: the probes by which TCP, not MQTT, finds out whether the other side is there.
// It must not be used with a WebSocket (ESP-QRK-39).
type TCPKeepAlive struct {
	Enable   bool `json:"keep_alive_enable,omitempty"`
	Idle     int  `json:"keep_alive_idle,omitempty"`     // seconds until the first probe
	Interval int  `json:"keep_alive_interval,omitempty"` // seconds between two
	Count    int  `json:"keep_alive_count,omitempty"`    // probes without an answer that end the connection
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

// Errors that a caller may want to tell apart, by their names in C.
var (
	ErrInvalidArgument = errors.New("ESP_ERR_INVALID_ARG")
	ErrFail            = errors.New("ESP_FAIL")
	ErrNoMemory        = errors.New("ESP_ERR_NO_MEM")
)
