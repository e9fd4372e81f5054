package espmqtt

import (
	"fmt"
	"math"
	"net"
	"time"

	"mqtthil/devices/esptls"
)

// Defaults that no build option changes.
const (
	defaultKeepAlive         = 120   // seconds
	defaultReconnectTimeout  = 10000 // ms
	defaultNetworkTimeout    = 10000 // ms
	defaultRetransmitTimeout = 1000  // ms
)

// largestBuffer bounds the buffers, in bytes: for a larger one a board has not the memory.
const largestBuffer = 1 << 18

// settings is what the client has made of all the Configs it was given.
type settings struct {
	fromURI            bool // a URI was given at some time
	scheme, host, path string
	hasHost, hasPath   bool // it is set, be it empty
	port               int
	username, password string
	clientID           string
	hasClientID        bool
	willTopic          string
	willMessage        []byte
	willQoS            int
	willRetain         bool
	cleanSession       bool
	keepAlive          int // seconds; ≤ 0: off
	protocol           ProtocolVersion
	retransmitTimeout  int64 // ms
	reconnectTimeout   int64 // ms; negative: never
	networkTimeout     time.Duration
	refreshAfter       int64 // ms; 0: never, negative: with every turn of the task
	autoReconnect      bool
	bufferSize         int
	outSize            int
	outboxLimit        uint64
	tcpKeepAlive       net.KeepAliveConfig
	tls                esptls.Options
}

// apply takes a Config over. Some fields keep their old value where the Config has none, others go back to their
// default (ESP-CFG-01 … 39, column rt). A conflict is found after everything has been applied (ESP-CFG-40); after any
// other error s must not be used.
func (s *settings) apply(config Config, c *client) (conflict, err error) {
	// Fields that stay.
	keep(&s.host, config.Broker.Address.Hostname)
	s.hasHost = s.hasHost || config.Broker.Address.Hostname != nil
	keep(&s.path, config.Broker.Address.Path)
	s.hasPath = s.hasPath || config.Broker.Address.Path != nil
	keep(&s.port, nonZero(config.Broker.Address.Port))
	keep(&s.username, config.Credentials.Username)
	keep(&s.password, config.Credentials.Authentication.Password)
	keep(&s.willTopic, config.Session.LastWill.Topic)
	if m := config.Session.LastWill.Message; m != nil {
		s.willMessage = []byte(*m)
		switch n := config.Session.LastWill.MessageLength; {
		case n < 0:
			return nil, fmt.Errorf("a last will of %d bytes: %w", n, ErrNoMemory)
		case n > 0:
			s.willMessage = s.willMessage[:min(n, len(s.willMessage))]
		}
	}
	keep(&s.willQoS, nonZero(config.Session.LastWill.QoS))
	invalid := s.willQoS < 0 || s.willQoS > 2
	s.willRetain = s.willRetain || config.Session.LastWill.Retain != 0
	keep(&s.keepAlive, nonZero(asInt(config.Session.KeepAlive)))
	keep(&s.protocol, nonZero(config.Session.Protocol))
	keep(&s.refreshAfter, nonZero(int64(asInt(config.Network.RefreshAfter))))
	if k := config.Network.TCPKeepAlive; k.Enable {
		s.tcpKeepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Duration(k.Idle) * time.Second,
			Interval: time.Duration(k.Interval) * time.Second, Count: k.Count}
	}
	if !config.Credentials.SetNullClientID || c.has(NullClientIDReplaced) {
		switch {
		case config.Credentials.ClientID != nil:
			s.clientID, s.hasClientID = *config.Credentials.ClientID, true
		case !s.hasClientID:
			s.clientID, s.hasClientID = c.defaultClientID(), true
		}
	}

	// Fields that go back to their default.
	s.cleanSession = !config.Session.DisableCleanSession
	s.retransmitTimeout = positive(config.Session.MessageRetransmitTimeout, defaultRetransmitTimeout)
	s.networkTimeout = time.Duration(positive(config.Network.Timeout, defaultNetworkTimeout)) * time.Millisecond
	s.reconnectTimeout = defaultReconnectTimeout
	keep(&s.reconnectTimeout, nonZero(int64(asInt(config.Network.ReconnectTimeout))))
	s.autoReconnect = !config.Network.DisableAutoReconnect
	s.outboxLimit = config.Outbox.Limit
	s.bufferSize = int(positive(config.Buffer.Size, int64(c.kconfig.BufferSize)))
	s.outSize = int(positive(config.Buffer.OutSize, int64(s.bufferSize)))
	if largest := max(s.bufferSize, s.outSize); largest > largestBuffer {
		return nil, fmt.Errorf("a buffer of %d bytes: %w", largest, ErrNoMemory)
	}
	if s.keepAlive == 0 {
		s.keepAlive = defaultKeepAlive
	}
	if config.Session.DisableKeepAlive && !c.has(KeepAliveNotDisabled) {
		s.keepAlive = 0
	}
	if !c.does(QuirkKeepAliveTruncated) {
		s.keepAlive = min(max(s.keepAlive, 0), math.MaxUint16)
	}

	switch {
	case s.protocol == ProtocolUndefined && c.kconfig.Protocol311:
		s.protocol = ProtocolV311
	case s.protocol == ProtocolUndefined:
		s.protocol = ProtocolV31
	case s.protocol == ProtocolV5 && !c.kconfig.Protocol5: // ESP-CFG-30
		c.log('E', "Please first enable MQTT_PROTOCOL_5 feature in menuconfig")
		return nil, fmt.Errorf("protocol version %d is not in this build: %w", s.protocol, ErrNoMemory)
	}
	configured, err := s.applyTLS(config, c.environment)
	if err != nil {
		return nil, err
	}
	if config.Broker.Address.Transport != TransportUnknown {
		s.scheme = c.schemeOf(config.Broker.Address.Transport)
	}
	if uri := config.Broker.Address.URI; uri != nil { // last, so that it overrides what the others said
		if !c.does(QuirkStickyPort) {
			s.port = config.Broker.Address.Port
		}
		if err := s.applyURI(*uri, c.has(CredentialsNotDecoded)); err != nil {
			c.logURI(*uri, err)
			return nil, fmt.Errorf("%v: %w", err, ErrFail) // whatever it was
		}
	}
	if s.fromURI && config.Broker.Address.Transport != TransportUnknown { // be the URI that of an earlier Config
		c.log('W', "Transport config set, but overridden by scheme from URI: transport = %d, uri scheme = %s",
			config.Broker.Address.Transport, s.scheme)
		return fmt.Errorf("both a URI and a transport: %w", ErrInvalidArgument), nil
	}
	if configured && !secure(s.scheme) {
		c.log('W', "SSL related configs set, but the URI scheme specifies a non-SSL scheme, scheme = %s", s.scheme)
		return fmt.Errorf("settings of TLS for the scheme %q: %w", s.scheme, ErrInvalidArgument), nil
	}
	if !c.does(QuirkInvalidSent) && (invalid || s.clientID == "" && !s.cleanSession) {
		return fmt.Errorf("a last will of QoS %d, or an empty client identifier for a session that is to be kept: %w",
			s.willQoS, ErrInvalidArgument), nil
	}
	return nil, nil
}

// keep sets a field where a value is given.
func keep[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// nonZero is nil for a number that C's struct would leave at 0.
func nonZero[T int | int64 | ProtocolVersion](n T) *T {
	if n == 0 {
		return nil
	}
	return &n
}

// positive is a number, or the default where it is none above 0.
func positive(n int, otherwise int64) int64 {
	if n <= 0 {
		return otherwise
	}
	return int64(asInt(n))
}

// asInt bounds a number to what an int in C holds.
func asInt(n int) int { return min(max(n, math.MinInt32), math.MaxInt32) }

// defaultClientID is ESP32_ and the last three bytes of the MAC address, the first of them in lower case (ESP-CID-01).
func (c *client) defaultClientID() string {
	mac := c.environment.MAC
	switch {
	case c.has(ClientIDOfWholeMAC):
		return fmt.Sprintf("ESP32_%X", mac)
	case !c.does(QuirkMixedCaseID):
		return fmt.Sprintf("ESP32_%X", mac[3:])
	}
	return fmt.Sprintf("ESP32_%02x%02X%02X", mac[3], mac[4], mac[5])
}
