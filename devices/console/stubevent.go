package console

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"mqtthil/harness/timeline"
)

// clientEvent is an event of a client as the stub tells it. A text that is none comes in base64.
type clientEvent struct {
	Event          string `json:"event"`
	Client         int    `json:"client"`
	MessageID      *int   `json:"msg_id"`
	SessionPresent bool   `json:"session_present"`
	Codes          []int  `json:"codes"`
	Failed         bool   `json:"failed"`
	ReasonCode     *int   `json:"reason_code"`

	Topic   *string `json:"topic"`
	Topic64 []byte  `json:"topic64"`
	QoS     int     `json:"qos"`
	Retain  bool    `json:"retain"`
	DUP     bool    `json:"dup"`
	Length  int     `json:"len"`
	Offset  int     `json:"offset"`
	Total   int     `json:"total"`
	Data    *string `json:"data"`
	Data64  []byte  `json:"data64"`

	PayloadFormat     bool    `json:"payload_format_indicator"`
	ContentType       *string `json:"content_type"`
	ContentType64     []byte  `json:"content_type64"`
	ResponseTopic     *string `json:"response_topic"`
	ResponseTopic64   []byte  `json:"response_topic64"`
	CorrelationData   *string `json:"correlation_data"`
	CorrelationData64 []byte  `json:"correlation_data64"`
	SubscriptionID    int     `json:"subscribe_id"`
	UserProperties    []struct {
		Key     *string `json:"key"`
		Key64   []byte  `json:"key64"`
		Value   *string `json:"value"`
		Value64 []byte  `json:"value64"`
	} `json:"user_properties"`

	Error *clientError `json:"error"`
}

// clientError is esp_mqtt_error_codes_t.
type clientError struct {
	Type              int `json:"type"`
	ConnectReturnCode int `json:"connect_return_code"`
	TLSLastError      int `json:"esp_tls_last_esp_err"`
	TLSStackError     int `json:"esp_tls_stack_err"`
	CertificateFlags  int `json:"esp_tls_cert_verify_flags"`
	SocketErrno       int `json:"esp_transport_sock_errno"`
}

// fields of a device event.
type fields map[string]string

// text adds a text. Of one that is none, what cannot be read is replaced, and the bytes stand beside it in base64.
func (f fields) text(key string, text *string, encoded []byte) {
	switch {
	case encoded != nil:
		f[key] = strings.ToValidUTF8(string(encoded), "\uFFFD")
		f[key+"64"] = base64.StdEncoding.EncodeToString(encoded)
	case text != nil:
		f[key] = *text
	}
}

func (f fields) number(key string, n int) { f[key] = strconv.Itoa(n) }

func (f fields) flag(key string, yes bool) { f[key] = strconv.Itoa(bit(yes)) }

// parseEvent reads an event. What comes of it has the names and fields that Espressif's application prints, and those
// fields beside them that only the stub tells. An event that is not known is told as it is.
func parseEvent(body string) []timeline.Device {
	var e clientEvent
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Event == "" {
		return []timeline.Device{{Name: damaged, Reply: true, Fields: fields{"text": fmt.Sprintf("event: %q", body)}}}
	}
	var events []timeline.Device
	tell := func(name string, f fields) {
		if e.Client != 0 {
			f.number("client", e.Client)
		}
		events = append(events, timeline.Device{Name: name, Fields: f})
	}
	identified := fields{}
	if e.MessageID != nil {
		identified.number("msg_id", *e.MessageID)
	}
	switch e.Event {
	case "MQTT_EVENT_CONNECTED":
		f := fields{}
		f.flag("session_present", e.SessionPresent)
		tell(e.Event, f)
		e.userProperties("CONNACK_USER_PROPERTY", fields{}, tell)
	case "MQTT_EVENT_DISCONNECTED":
		if e.ReasonCode != nil {
			f := fields{}
			f.number("reason", *e.ReasonCode)
			tell("DISCONNECT_REASON", f)
		}
		tell(e.Event, fields{})
	case "MQTT_EVENT_SUBSCRIBED", "MQTT_EVENT_UNSUBSCRIBED":
		name, code := e.Event, "return_code"
		if e.Failed {
			name = "MQTT_EVENT_SUBSCRIBE_FAILED"
		}
		if e.Event == "MQTT_EVENT_UNSUBSCRIBED" {
			code = "reason_code"
		}
		if len(e.Codes) > 0 {
			identified.number("data_len", len(e.Codes))
			identified[code] = fmt.Sprintf("0x%02x", e.Codes[0])
		}
		tell(name, identified)
	case "MQTT_EVENT_PUBLISHED", "MQTT_EVENT_DELETED", "MQTT_EVENT_BEFORE_CONNECT":
		tell(e.Event, identified)
	case "MQTT_EVENT_DATA":
		e.data(identified, tell)
	case "MQTT_EVENT_ERROR":
		e.failure(tell)
	default:
		events = append(events, timeline.Device{Name: e.Event, Fields: scalars(body)})
	}
	return events
}

// data tells of a message, or of a fragment of one.
func (e *clientEvent) data(identified fields, tell func(string, fields)) {
	f := maps.Clone(identified)
	f.text("topic", e.Topic, e.Topic64)
	f.flag("retain", e.Retain)
	f.flag("dup", e.DUP)
	f.number("qos", e.QoS)
	f.number("len", e.Length)
	f.number("offset", e.Offset)
	f.number("total", e.Total)
	tell("MQTT_EVENT_DATA", f)
	if e.Length > 0 {
		f := fields{}
		f.text("payload", e.Data, e.Data64)
		tell("MQTT_EVENT_DATA_PAYLOAD", f)
	}
	property := func(name string, text *string, encoded []byte) {
		if text != nil || encoded != nil {
			f := fields{"property": name}
			f.text("value", text, encoded)
			tell("DATA_PROP", f)
		}
	}
	if e.PayloadFormat {
		one := "1"
		property("payload_format_indicator", &one, nil)
	}
	property("content_type", e.ContentType, e.ContentType64)
	property("response_topic", e.ResponseTopic, e.ResponseTopic64)
	property("correlation_data", e.CorrelationData, e.CorrelationData64)
	if e.SubscriptionID > 0 {
		id := strconv.Itoa(e.SubscriptionID)
		property("subscribe_id", &id, nil)
	}
	e.userProperties("DATA_PROP", fields{"property": "user_property"}, tell)
	if e.Offset+e.Length == e.Total {
		complete := maps.Clone(identified)
		complete.number("total", e.Total)
		tell("MQTT_EVENT_DATA_COMPLETE", complete)
	}
}

func (e *clientEvent) userProperties(name string, common fields, tell func(string, fields)) {
	for _, p := range e.UserProperties {
		f := maps.Clone(common)
		f.text("key", p.Key, p.Key64)
		f.text("val", p.Value, p.Value64)
		tell(name, f)
	}
}

// failure tells of an error, first as Espressif's application does and then with all its codes.
func (e *clientEvent) failure(tell func(string, fields)) {
	c := e.Error
	if c == nil {
		tell("MQTT_EVENT_ERROR", fields{"kind": "no error_handle"})
		return
	}
	f := fields{}
	switch c.Type {
	case 1: // MQTT_ERROR_TYPE_TCP_TRANSPORT
		f["kind"] = "TCP_TRANSPORT"
	case 2: // MQTT_ERROR_TYPE_CONNECTION_REFUSED
		f["kind"] = "CONNECTION_REFUSED"
		f.number("code", c.ConnectReturnCode)
	default:
		f.number("type", c.Type)
	}
	tell("MQTT_EVENT_ERROR", f)
	codes := fields{}
	codes.number("type", c.Type)
	codes.number("connect_return_code", c.ConnectReturnCode)
	codes["esp_tls_last_esp_err"] = fmt.Sprintf("0x%x", c.TLSLastError)
	codes["esp_tls_stack_err"] = fmt.Sprintf("0x%x", c.TLSStackError)
	codes["cert_flags"] = fmt.Sprintf("0x%x", c.CertificateFlags)
	codes.number("sock_errno", c.SocketErrno)
	tell("ERROR", codes)
}

// parseResult reads what came of a command.
func parseResult(body string) fields {
	f := scalars(body)
	switch {
	case f == nil:
		return fields{"ok": "false", "text": fmt.Sprintf("the device's answer cannot be read: %q", body)}
	case f["ok"] == "true":
		f["text"] = body
	default:
		f["text"] = fmt.Sprintf("%s: %s", f["error"], f["text"])
	}
	return f
}

// scalars are an object's texts, numbers and truths; nil where the text is no object.
func scalars(body string) fields {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &members) != nil || members == nil {
		return nil
	}
	f := fields{}
	for key, raw := range members {
		var text string
		switch {
		case json.Unmarshal(raw, &text) == nil:
			f[key] = text
		case raw[0] != '{' && raw[0] != '[':
			f[key] = string(raw)
		}
	}
	return f
}
