package emulator

import "mqtthil/devices/espmqtt"

// mqtt5Example is ESP-IDF's example of MQTT 5.0. It leaves when it has unsubscribed, and does not come back.
type mqtt5Example struct{ example }

func newMQTT5Example(p *power, a *application) program {
	return &mqtt5Example{example{application: a, power: p}}
}

func (a *mqtt5Example) run() {
	username, password := "123", "456"
	topic, message := "topic/will", "i will leave"
	c := a.plainConfig()
	c.Session.Protocol = espmqtt.ProtocolV5
	c.Network.DisableAutoReconnect = true
	c.Credentials.Username, c.Credentials.Authentication.Password = &username, &password
	c.Session.LastWill = espmqtt.LastWill{
		Topic: &topic, Message: &message, MessageLength: len(message), QoS: 1, Retain: 1,
	}
	a.start(c, a.handle, func(client *espmqtt.Client) {
		response, pairs := "test/response", exampleProperties()
		_ = client.SetConnectProperty(espmqtt.ConnectProperty{
			SessionExpiryInterval: 10, MaximumPacketSize: 1024, ReceiveMaximum: 65535, TopicAliasMaximum: 2,
			RequestResponseInfo: true, RequestProblemInfo: true,
			WillDelayInterval: 10, PayloadFormatIndicator: true, MessageExpiryInterval: 10, ResponseTopic: &response,
			CorrelationData: correlation, UserProperty: pairs, WillUserProperty: pairs,
		})
	})
}

// What the example sends with its packets.
const correlation = "123456"

func exampleProperties() espmqtt.UserProperties {
	return espmqtt.UserProperties{{Key: "board", Value: "esp32"}, {Key: "u", Value: "user"}, {Key: "p", Value: "password"}}
}

func (a *mqtt5Example) handle(e espmqtt.Event) {
	const sentPublish, sentSubscribe = "sent publish successful, msg_id=%d", "sent subscribe successful, msg_id=%d"
	response := "topic/test/response"
	published := espmqtt.PublishProperty{PayloadFormatIndicator: true, MessageExpiryInterval: 1000, ResponseTopic: &response,
		CorrelationData: correlation}
	pairs := exampleProperties()
	switch e.ID {
	case espmqtt.EventConnected:
		a.log('I', "MQTT_EVENT_CONNECTED")
		a.userProperties(e)
		published.UserProperty = pairs
		_ = e.Client.SetPublishProperty(&published)
		a.log('I', sentPublish, e.Client.Publish("topic/qos1", []byte("data_3"), 1, true))
		_ = e.Client.SetSubscribeProperty(&espmqtt.SubscribeProperty{SubscriptionID: 25555, Shared: true, ShareName: "group1",
			UserProperty: pairs})
		a.log('I', sentSubscribe, e.Client.Subscribe("topic/qos0", 0))
		_ = e.Client.SetSubscribeProperty(&espmqtt.SubscribeProperty{SubscriptionID: 25555, NoLocal: true, UserProperty: pairs})
		a.log('I', sentSubscribe, e.Client.Subscribe("topic/qos1", 2))
		_ = e.Client.SetUnsubscribeProperty(&espmqtt.UnsubscribeProperty{Shared: true, ShareName: "group1", UserProperty: pairs})
		a.log('I', "sent unsubscribe successful, msg_id=%d", e.Client.Unsubscribe("topic/qos0"))
	case espmqtt.EventDisconnected:
		a.log('I', "MQTT_EVENT_DISCONNECTED")
		a.userProperties(e)
	case espmqtt.EventSubscribed:
		a.log('I', "MQTT_EVENT_SUBSCRIBED, msg_id=%d, reason code=0x%02x ", e.MessageID, e.Data[0])
		a.userProperties(e)
		_ = e.Client.SetPublishProperty(&published)
		a.log('I', sentPublish, e.Client.Publish("topic/qos0", []byte("data"), 0, false))
	case espmqtt.EventUnsubscribed:
		a.log('I', "MQTT_EVENT_UNSUBSCRIBED, msg_id=%d", e.MessageID)
		a.userProperties(e)
		_ = e.Client.SetDisconnectProperty(espmqtt.DisconnectProperty{SessionExpiryInterval: 60, UserProperty: pairs})
		_ = e.Client.Disconnect()
	case espmqtt.EventPublished:
		a.log('I', "MQTT_EVENT_PUBLISHED, msg_id=%d", e.MessageID)
		a.userProperties(e)
	case espmqtt.EventData:
		a.log('I', "MQTT_EVENT_DATA")
		a.userProperties(e)
		format := 0
		if e.Properties.PayloadFormatIndicator {
			format = 1
		}
		a.log('I', "payload_format_indicator is %d", format)
		a.log('I', "response_topic is %s", printed(e.Properties.ResponseTopic))
		a.log('I', "correlation_data is %s", printed(e.Properties.CorrelationData))
		a.log('I', "content_type is %s", printed(e.Properties.ContentType))
		a.log('I', "TOPIC=%s", e.Topic)
		a.log('I', "DATA=%s", e.Data)
	case espmqtt.EventError:
		a.log('I', "MQTT_EVENT_ERROR")
		a.userProperties(e)
		a.log('I', "MQTT5 return code is %d", e.Error.ConnectReturnCode)
		a.transportFailure(e.Error)
	default:
		a.log('I', "Other event id:%d", e.ID)
	}
}

func (a *mqtt5Example) userProperties(e espmqtt.Event) {
	for _, p := range e.UserProperties {
		a.log('I', "key is %s, value is %s", p.Key, p.Value)
	}
}
