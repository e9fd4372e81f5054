package devices

import "time"

// Config is what a scenario asks of the device's MQTT client. A zero field means the client's own default.
type Config struct {
	Broker   string // host:port
	Scheme   string // mqtt, mqtts, ws or wss; empty: mqtt
	TLS      TLS
	ClientID string
	Username string
	Password string

	KeepAlive         time.Duration // whole seconds
	PersistentSession bool          // ask for Clean Session 0
	Will              *Will

	RetransmitTimeout time.Duration // wait for an acknowledgement before a message is sent again
	NetworkTimeout    time.Duration // wait for CONNACK, a write, the next part of a packet
	ReconnectTimeout  time.Duration // wait before the next attempt to connect
	BufferSize        int           // of the input buffer, bytes
	OutBufferSize     int           // of the output buffer, bytes; 0: as BufferSize
}

// TLS is what a client needs for mqtts and wss.
type TLS struct {
	CA          string // certificate of the authority to trust, in PEM
	Certificate string // of the client, in PEM
	PrivateKey  string // of the client, in PEM
	Identity    string // of a pre-shared key
	Key         string // pre-shared, in hexadecimal digits
}

// Will is a last will.
type Will struct {
	Topic   string
	Payload string
	QoS     QoS
	Retain  bool
}

// QoS is a quality of service.
type QoS byte

// The qualities of service.
const (
	QoS0 QoS = iota // at most once
	QoS1            // at least once
	QoS2            // exactly once
)
