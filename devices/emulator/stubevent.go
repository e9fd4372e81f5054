package emulator

import "mqtthil/devices/espmqtt"

// eventNames are the names of the events in C.
var eventNames = map[espmqtt.EventID]string{
	espmqtt.EventError:         "MQTT_EVENT_ERROR",
	espmqtt.EventConnected:     "MQTT_EVENT_CONNECTED",
	espmqtt.EventDisconnected:  "MQTT_EVENT_DISCONNECTED",
	espmqtt.EventSubscribed:    "MQTT_EVENT_SUBSCRIBED",
	espmqtt.EventUnsubscribed:  "MQTT_EVENT_UNSUBSCRIBED",
	espmqtt.EventPublished:     "MQTT_EVENT_PUBLISHED",
	espmqtt.EventData:          "MQTT_EVENT_DATA",
	espmqtt.EventBeforeConnect: "MQTT_EVENT_BEFORE_CONNECT",
	espmqtt.EventDeleted:       "MQTT_EVENT_DELETED",
}

// stubEvent is an event as the stub tells it: what concerns an event of its kind, and nothing of what earlier ones have
// left in the struct that they share.
func stubEvent(client int, milliseconds int64, e espmqtt.Event) object {
	o := object{{"event", eventNames[e.ID]}, {"client", client}, {"t", milliseconds}}
	switch e.ID {
	case espmqtt.EventConnected:
		o.put("session_present", e.SessionPresent)
	case espmqtt.EventSubscribed, espmqtt.EventUnsubscribed:
		o.put("msg_id", e.MessageID)
		if len(e.Data) > 0 {
			codes := make([]int, len(e.Data))
			for i, code := range e.Data {
				codes[i] = int(code)
			}
			o.put("codes", codes)
		}
		if e.ID == espmqtt.EventSubscribed && e.Error.Type == espmqtt.ErrorSubscribeFailed {
			o.put("failed", true)
		}
	case espmqtt.EventPublished, espmqtt.EventDeleted:
		o.put("msg_id", e.MessageID)
	case espmqtt.EventData:
		o = append(o, stubData(e)...)
	case espmqtt.EventError:
		o.put("error", object{
			{"type", e.Error.Type},
			{"connect_return_code", e.Error.ConnectReturnCode},
			{"esp_tls_last_esp_err", e.Error.TLSLastError},
			{"esp_tls_stack_err", e.Error.TLSStackError},
			{"esp_tls_cert_verify_flags", e.Error.CertificateFlags},
			{"esp_transport_sock_errno", e.Error.SocketErrno},
		})
	}
	if e.Protocol == espmqtt.ProtocolV5 {
		o = append(o, stubProperties(e)...)
	}
	return o
}

// stubData is what an event says of a message, or of a fragment of one.
func stubData(e espmqtt.Event) (o object) {
	o.put("msg_id", e.MessageID)
	if e.Topic != "" {
		o.putBytes("topic", []byte(e.Topic))
	}
	o.put("qos", e.QoS)
	o.put("retain", e.Retain)
	o.put("dup", e.DUP)
	o.put("len", len(e.Data))
	o.put("offset", e.Offset)
	o.put("total", e.TotalLength)
	if len(e.Data) > 0 {
		o.putBytes("data", e.Data)
	}
	return o
}

// stubProperties is what an event says of MQTT 5.0.
func stubProperties(e espmqtt.Event) (o object) {
	if e.ID == espmqtt.EventDisconnected || e.ID == espmqtt.EventError {
		o.put("reason_code", e.ReasonCode)
	}
	if e.ID == espmqtt.EventData {
		p := e.Properties
		if p.PayloadFormatIndicator {
			o.put("payload_format_indicator", true)
		}
		for _, text := range []struct {
			key   string
			value []byte
		}{
			{"content_type", p.ContentType}, {"response_topic", p.ResponseTopic}, {"correlation_data", p.CorrelationData},
		} {
			if len(text.value) > 0 {
				o.putBytes(text.key, text.value)
			}
		}
		if p.SubscriptionID > 0 {
			o.put("subscribe_id", p.SubscriptionID)
		}
	}
	var pairs []object
	for _, pair := range e.UserProperties {
		var one object
		one.putBytes("key", []byte(pair.Key))
		one.putBytes("value", []byte(pair.Value))
		pairs = append(pairs, one)
	}
	if pairs != nil {
		o.put("user_properties", pairs)
	}
	return o
}
