package espmqtt

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices/esptls"
)

const (
	eof        = "E mqtt_client: esp_mqtt_handle_transport_read_error: transport_read(): EOF"
	readErrno  = "E mqtt_client: esp_mqtt_handle_transport_read_error: transport_read() error: errno="
	received   = "E mqtt_client: mqtt_process_receive: mqtt_message_receive() returned -2"
	upgraded   = "HTTP/1.1 101 S\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n"
	connectErr = "E mqtt_client: Error transport connect"
)

// prints compares the log lines since the last look.
func (r *rig) prints(want ...string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	got := r.logs
	r.logs = nil
	r.mu.Unlock()
	if !slices.Equal(got, want) {
		r.t.Errorf("log lines\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// reset ends the broker's connection with RST.
func (r *rig) reset() {
	r.t.Helper()
	if err := r.conn.(interface{ SetLinger(int) error }).SetLinger(0); err != nil {
		r.t.Fatal(err)
	}
	_ = r.conn.Close()
}

// TestLogOfLoss: what the console shows when a connection is lost, from the transport up to the task.
func TestLogOfLoss(t *testing.T) {
	t.Parallel()
	v5 := func(c *Config) { c.Session.Protocol = ProtocolV5 }
	for name, test := range map[string]struct {
		config func(*Config)
		cause  func(*rig)
		want   []string
	}{
		"FIN": {nil, func(r *rig) { _ = r.conn.Close() }, []string{eof, readErrno + "119", received}},
		"RST": {nil, (*rig).reset, []string{
			"E transport_base: tcp_read error, errno=Connection reset by peer", readErrno + "104", received}},
		"header": {nil, func(r *rig) { r.send("00") }, []string{
			"E mqtt_client: mqtt_message_receive: received a message with an invalid header=0x0", received}},
		"topic": {nil, func(r *rig) { r.send("3003 0004 74") }, []string{
			"E mqtt_client: deliver_publish: mqtt_get_publish_topic() failed",
			"E mqtt_client: Failed to deliver publish message id=0"}},
		"property": {v5, func(r *rig) { r.send("3006 0001 74 02 7f00") }, []string{
			"W mqtt5_msg: Unknown publish property id 0x7f",
			"E mqtt5_client: esp_mqtt5_get_publish_data: mqtt5_get_publish_property_payload() failed",
			"E mqtt_client: deliver_publish: esp_mqtt5_get_publish_data() failed",
			"E mqtt_client: Failed to deliver publish message id=0"}},
		"reason code": {v5, func(r *rig) { r.send("5004 0001 1000 6202 0001") }, []string{
			"I mqtt_client: MQTT_MSG_TYPE_PUBREC return code is 16",
			"I mqtt_client: MQTT_MSG_TYPE_PUBREL return code is 0"}},
		"no identifier": {v5, func(r *rig) { r.send("5000") }, []string{
			"E mqtt5_msg: Invalid control packet type 5, reason code is absent",
			"I mqtt_client: MQTT_MSG_TYPE_PUBREC return code is -1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{config: test.config}, func(r *rig) {
				test.cause(r)
				r.prints(test.want...)
			})
		})
	}
}

// TestLogOfRefusal: where nobody listens, every layer has its line.
func TestLogOfRefusal(t *testing.T) {
	t.Parallel()
	const refused = "E esp-tls: [sock=54] delayed connect error: Connection refused"
	for uri, want := range map[string][]string{
		"mqtt://10.0.0.1:2": {refused, "E transport_base: Failed to open a new connection: 32772", connectErr},
		"ws://10.0.0.1:2": {refused, "E transport_base: Failed to open a new connection: 32772",
			"E transport_ws: Error connecting to host 10.0.0.1:2", connectErr},
		"mqtts://10.0.0.1:2": {refused, "E esp-tls: Failed to open new connection",
			"E transport_base: Failed to open a new connection", connectErr},
	} {
		t.Run(uri, func(t *testing.T) {
			t.Parallel()
			config := func(c *Config) { c.Broker.Address.URI = text(uri) }
			inRig(t, options{config: config, stay: true}, func(r *rig) {
				if err := r.Start(); err != nil {
					t.Fatal(err)
				}
				r.prints(want...)
			})
		})
	}
}

// TestLogOfResolver: a host that nobody knows.
func TestLogOfResolver(t *testing.T) {
	t.Parallel()
	inRig(t, options{stay: true}, func(r *rig) {
		r.settings.host = "nowhere"
		r.logUnopened(&net.DNSError{Err: "no such host", IsNotFound: true})
		r.prints("E esp-tls: couldn't get hostname for :nowhere: getaddrinfo() returns 202, addrinfo=0x0",
			"E transport_base: Failed to open a new connection: 32769")
	})
}

// TestLogOfWebSocket: what the WebSocket finds wrong is the end of the connection to the client.
func TestLogOfWebSocket(t *testing.T) {
	t.Parallel()
	lost := []string{eof, readErrno + "119", received}
	for name, test := range map[string]struct {
		cause func(*rig)
		want  []string
	}{
		"FIN": {func(r *rig) { _ = r.conn.Close() }, []string{"E transport_ws: Error read data(-1)"}},
		"reserved bits": {func(r *rig) { r.send("f200") }, []string{"E transport_ws: Non-zero RSV bits detected (rsv=0x70) - " +
			"protocol violation, no extensions negotiated"}},
		"opcode": {func(r *rig) { r.send("8300") },
			[]string{"E transport_ws: Reserved opcode detected (opcode=0x03) - protocol violation"}},
		"ping, and then nothing": {func(r *rig) { r.send("8902 6869"); time.Sleep(2 * time.Second) },
			[]string{"E transport_ws: Control frame payload (2) exceeds caller buffer (1)"}},
		"close": {func(r *rig) { r.send("8802 03e8") }, []string{"I transport_ws: Got CLOSE frame with status code=1000",
			"W transport_ws: Connection cannot be terminated gracefully within timeout=0"}},
		"half a header": {func(r *rig) { r.send("82") }, []string{
			"W transport_ws: Requested to read 2, actually read 1 bytes", "E transport_ws: Error read data(-1)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overWS(t, upgraded, func(r *rig) {
				buffer := make([]byte, 256) // CONNECT
				if _, err := r.conn.Read(buffer); err != nil {
					t.Fatal(err)
				}
				r.send("8204 20020000")
				test.cause(r)
				r.prints(append(test.want, lost...)...)
			})
		})
	}
}

// TestLogOfUpgrade: why a client does not take an answer for one of a WebSocket.
func TestLogOfUpgrade(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"HTTP/1.1 403 Forbidden\r\n\r\n":                               "Sec-WebSocket-Accept not found",
		"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: x\r\n\r\n":            "Invalid websocket key",
		"HTTP/1.1\r\n\r\n":                                             "HTTP upgrade failed",
		"HTTP/1.1 302 Found\r\n\r\n":                                   "Location header not found",
		strings.Replace(upgraded, "\r\n\r\n", "", 1):                   "Error read response for Upgrade header",
		strings.Replace(upgraded, "S\r", strings.Repeat("s", 1024), 1): "Header size exceeded buffer size or delimiter not found",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			overWS(t, answer, func(r *rig) {
				_ = r.conn.Close() // so that nothing more is waited for
				r.prints("E transport_ws: "+want, connectErr)
			})
		})
	}
}

// TestLogOfFullSocket: a write for which there is no room in time.
func TestLogOfFullSocket(t *testing.T) {
	t.Parallel()
	inRig(t, options{}, func(r *rig) {
		if id := r.Publish("t", make([]byte, 4<<20), 0, false); id != Failure {
			t.Errorf("published as %d, though the broker does not read", id)
		}
		r.prints("W transport_base: Poll timeout or error, errno=Connection already in progress, fd=54, timeout_ms=10000",
			"E mqtt_client: Writing didn't complete in specified timeout: errno=119")
	})
}

// TestLogOfTLSReset: what a reset below TLS is called by each layer, once.
func TestLogOfTLSReset(t *testing.T) {
	t.Parallel()
	var lines []string
	s := &socket{secured: true, errno: errnoInProgress, print: func(level byte, tag, format string, arguments ...any) {
		lines = append(lines, fmt.Sprintf("%c %s: %s", level, tag, fmt.Sprintf(format, arguments...)))
	}}
	reset := &esptls.Error{StackError: 0x50, Err: fmt.Errorf("reading: %w", syscall.ECONNRESET)}
	s.note(reset)
	s.complain("read", reset)
	want := []string{"E esp-tls-mbedtls: read error :-0x0050:", "E transport_base: esp_tls_conn_read error, errno=Connection reset by peer"}
	if !slices.Equal(lines, want) {
		t.Errorf("printed %q, want %q", lines, want)
	}
}
