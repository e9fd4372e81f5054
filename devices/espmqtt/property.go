package espmqtt

import (
	"cmp"
	"fmt"
	"slices"
)

// ConnectProperty is esp_mqtt5_connection_property_config_t.
type ConnectProperty struct {
	SessionExpiryInterval uint32 `json:"session_expiry_interval,omitempty"` // seconds
	ReceiveMaximum        uint16 `json:"receive_maximum,omitempty"`
	TopicAliasMaximum     uint16 `json:"topic_alias_maximum,omitempty"`
	MaximumPacketSize     uint32 `json:"maximum_packet_size,omitempty"`
	RequestResponseInfo   bool   `json:"request_resp_info,omitempty"`
	RequestProblemInfo    bool   `json:"request_problem_info,omitempty"`

	UserProperty UserProperties `json:"user_property,omitempty"`

	// Of the last will.
	WillDelayInterval      uint32  `json:"will_delay_interval,omitempty"` // seconds
	PayloadFormatIndicator bool    `json:"payload_format_indicator,omitempty"`
	MessageExpiryInterval  uint32  `json:"message_expiry_interval,omitempty"` // seconds
	ContentType            *string `json:"content_type,omitempty"`
	ResponseTopic          *string `json:"response_topic,omitempty"`
	CorrelationData        string  `json:"correlation_data,omitempty"` // any bytes; C has a length beside them

	WillUserProperty UserProperties `json:"will_user_property,omitempty"`
}

// connectProperty is what the client has made of all ConnectProperties it was given.
type connectProperty ConnectProperty

// connectProperties are the properties of CONNECT in the client's order (ESP-CONN-08).
func (p *connectProperty) connectProperties() (b []byte) {
	b = appendProperty32(b, propSessionExpiry, p.SessionExpiryInterval)
	b = appendProperty32(b, propMaximumPacketSize, p.MaximumPacketSize)
	b = appendProperty16(b, propReceiveMaximum, p.ReceiveMaximum)
	b = appendProperty16(b, propTopicAliasMaximum, p.TopicAliasMaximum)
	b = appendPropertyBool(b, 0x19, p.RequestResponseInfo)
	b = appendPropertyBool(b, 0x17, p.RequestProblemInfo)
	return p.UserProperty.append(b)
}

// willProperties are those of the last will (ESP-CONN-10).
func (p *connectProperty) willProperties() (b []byte) {
	b = appendProperty32(b, propWillDelay, p.WillDelayInterval)
	b = appendPropertyBool(b, propPayloadFormat, p.PayloadFormatIndicator)
	b = appendProperty32(b, propMessageExpiry, p.MessageExpiryInterval)
	b = appendPropertyText(b, propContentType, p.ContentType)
	b = appendPropertyText(b, propResponseTopic, p.ResponseTopic)
	b = appendPropertyData(b, propCorrelationData, p.CorrelationData)
	return p.WillUserProperty.append(b)
}

// PublishProperty is esp_mqtt5_publish_property_config_t.
type PublishProperty struct {
	PayloadFormatIndicator bool    `json:"payload_format_indicator,omitempty"`
	MessageExpiryInterval  uint32  `json:"message_expiry_interval,omitempty"` // seconds
	TopicAlias             uint16  `json:"topic_alias,omitempty"`
	ResponseTopic          *string `json:"response_topic,omitempty"`
	CorrelationData        string  `json:"correlation_data,omitempty"` // any bytes; C has a length beside them
	ContentType            *string `json:"content_type,omitempty"`

	UserProperty UserProperties `json:"user_property,omitempty"`
}

// properties are those of PUBLISH in the client's order.
func (p *PublishProperty) properties(responseTopic *string) (b []byte) {
	b = appendPropertyBool(b, propPayloadFormat, p.PayloadFormatIndicator)
	b = appendProperty32(b, propMessageExpiry, p.MessageExpiryInterval)
	b = appendProperty16(b, propTopicAlias, p.TopicAlias)
	b = appendPropertyText(b, propResponseTopic, responseTopic)
	b = appendPropertyData(b, propCorrelationData, p.CorrelationData)
	b = p.UserProperty.append(b)
	return appendPropertyText(b, propContentType, p.ContentType)
}

// responseTopic is the topic with the response information of the broker behind it. It is spoilt by that: its last
// character is cut off and a NUL appended (ESP-V5-33).
func (c *client) responseTopic(topic *string) *string {
	information := c.v5.server.responseInformation
	if topic == nil || information == "" {
		return topic
	}
	joined := *topic + "/" + information
	if c.does(QuirkResponseTopic) {
		joined = joined[:len(joined)-1] + "\x00"
	}
	return &joined
}

// SubscribeProperty is esp_mqtt5_subscribe_property_config_t.
type SubscribeProperty struct {
	SubscriptionID    uint16 `json:"subscribe_id,omitempty"`
	NoLocal           bool   `json:"no_local_flag,omitempty"`
	RetainAsPublished bool   `json:"retain_as_published_flag,omitempty"`
	RetainHandling    byte   `json:"retain_handle,omitempty"`
	Shared            bool   `json:"is_share_subscribe,omitempty"`
	ShareName         string `json:"share_name,omitempty"`

	UserProperty UserProperties `json:"user_property,omitempty"`
}

// properties are those of SUBSCRIBE (ESP-SUB-03).
func (p *SubscribeProperty) properties() (b []byte) {
	if p.SubscriptionID != 0 {
		b = appendLength([]byte{propSubscriptionID}, int(p.SubscriptionID))
	}
	return p.UserProperty.append(b)
}

// options are those of every filter, but for the QoS. Another retain handling than 1 and 2 is left out.
func (p *SubscribeProperty) options() (options byte) {
	if p.RetainHandling <= 2 {
		options = p.RetainHandling << 4
	}
	if p.RetainAsPublished {
		options |= 0x08
	}
	if p.NoLocal {
		options |= 0x04
	}
	return options
}

// UnsubscribeProperty is esp_mqtt5_unsubscribe_property_config_t.
type UnsubscribeProperty struct {
	Shared    bool   `json:"is_share_subscribe,omitempty"`
	ShareName string `json:"share_name,omitempty"`

	UserProperty UserProperties `json:"user_property,omitempty"`
}

// sharedFilter is the filter of a shared subscription, where it is to be one.
func sharedFilter(shared bool, name, filter string) string {
	if !shared || filter == "" {
		return filter
	}
	return "$share/" + name + "/" + filter
}

// DisconnectProperty is esp_mqtt5_disconnect_property_config_t.
type DisconnectProperty struct {
	SessionExpiryInterval uint32 `json:"session_expiry_interval,omitempty"` // seconds
	Reason                byte   `json:"disconnect_reason,omitempty"`

	UserProperty UserProperties `json:"user_property,omitempty"`
}

// body is what follows the fixed header of DISCONNECT (ESP-V5-02).
func (p *DisconnectProperty) body() []byte {
	properties := appendProperty32(nil, propSessionExpiry, p.SessionExpiryInterval)
	return appendProperties([]byte{p.Reason}, p.UserProperty.append(properties))
}

// notV5 refuses a call that only a client of MQTT 5.0 takes.
func (c *client) notV5() error {
	const why = "MQTT protocol version is not v5"
	c.log5('E', why)
	return fmt.Errorf("%s: %w", why, ErrFail)
}

// v5Made says why the client does not take a property, whatever it is.
func (c *client) v5Made() error {
	switch {
	case !c.isV5():
		return c.notV5()
	case c.unprepared():
		return errNoPower
	}
	return nil
}

// SetConnectProperty is esp_mqtt5_client_set_connect_property. What it leaves at zero stays as it was, but for the
// maximum packet size (ESP-CONN-09, ESP-CONN-11).
func (c *Client) SetConnectProperty(p ConnectProperty) error {
	defer c.lock()()
	if err := c.v5Made(); err != nil {
		return err
	}
	old := c.v5.connect
	c.v5.connect = connectProperty{
		SessionExpiryInterval:  cmp.Or(p.SessionExpiryInterval, old.SessionExpiryInterval),
		ReceiveMaximum:         cmp.Or(p.ReceiveMaximum, old.ReceiveMaximum),
		TopicAliasMaximum:      cmp.Or(p.TopicAliasMaximum, old.TopicAliasMaximum),
		MaximumPacketSize:      cmp.Or(p.MaximumPacketSize, uint32(c.settings.bufferSize)),
		RequestResponseInfo:    p.RequestResponseInfo || old.RequestResponseInfo,
		RequestProblemInfo:     p.RequestProblemInfo || old.RequestProblemInfo,
		WillDelayInterval:      cmp.Or(p.WillDelayInterval, old.WillDelayInterval),
		PayloadFormatIndicator: p.PayloadFormatIndicator || old.PayloadFormatIndicator,
		MessageExpiryInterval:  cmp.Or(p.MessageExpiryInterval, old.MessageExpiryInterval),
		ContentType:            cmp.Or(p.ContentType, old.ContentType),
		ResponseTopic:          cmp.Or(p.ResponseTopic, old.ResponseTopic),
		CorrelationData:        cmp.Or(c.correlation(p.CorrelationData), old.CorrelationData),
		UserProperty:           c.pairs(p.UserProperty).or(old.UserProperty),
		WillUserProperty:       c.pairs(p.WillUserProperty).or(old.WillUserProperty),
	}
	return nil
}

// SetPublishProperty is esp_mqtt5_client_set_publish_property: it counts for the next message (ESP-V5-01). Of this property,
// and those for SUBSCRIBE and UNSUBSCRIBE, the client keeps the pointer until the packet is built: what the caller makes of
// the struct meanwhile is what is sent, unchecked.
func (c *Client) SetPublishProperty(p *PublishProperty) error {
	defer c.lock()()
	if err := c.v5Made(); err != nil {
		return err
	}
	if p.TopicAlias > c.v5.server.topicAliasMaximum {
		c.log5('E', "Topic alias %d is bigger than server support %d", p.TopicAlias, c.v5.server.topicAliasMaximum)
		return fmt.Errorf("topic alias %d: %w", p.TopicAlias, ErrFail)
	}
	c.v5.publish = p
	return nil
}

// SetSubscribeProperty is esp_mqtt5_client_set_subscribe_property: it counts for the next SUBSCRIBE (ESP-V5-01).
func (c *Client) SetSubscribeProperty(p *SubscribeProperty) error {
	if p.RetainHandling > 2 {
		c.log5('E', "retain_handle only support 0, 1, 2")
		return fmt.Errorf("retain handling %d: %w", p.RetainHandling, ErrFail)
	}
	defer c.lock()()
	if err := c.shareable(p.Shared, p.ShareName, p.NoLocal); err != nil {
		return err
	}
	c.v5.subscribe = p
	return nil
}

// SetUnsubscribeProperty is esp_mqtt5_client_set_unsubscribe_property: it counts for the next UNSUBSCRIBE (ESP-V5-01).
func (c *Client) SetUnsubscribeProperty(p *UnsubscribeProperty) error {
	defer c.lock()()
	if err := c.shareable(p.Shared, p.ShareName, false); err != nil {
		return err
	}
	c.v5.unsubscribe = p
	return nil
}

// shareable says why a property for a filter is not taken: the version is another one, or the filter cannot be shared.
func (c *client) shareable(shared bool, name string, noLocal bool) error {
	if err := c.v5Made(); err != nil {
		return err
	}
	why := ""
	switch {
	case !shared:
		return nil
	case noLocal:
		why = "Protocol error that no local flag set on shared subscription"
	case !c.v5.server.sharedAvailable:
		why = "MQTT broker not support shared subscribe"
	case name == "":
		why = "Share name can't be empty for shared subscribe"
	default:
		return nil
	}
	c.log5('E', "%s", why)
	return fmt.Errorf("%s: %w", why, ErrFail)
}

// SetDisconnectProperty is esp_mqtt5_client_set_disconnect_property: it counts for the next DISCONNECT (ESP-V5-01).
func (c *Client) SetDisconnectProperty(p DisconnectProperty) error {
	defer c.lock()()
	none := p.SessionExpiryInterval == 0 && p.Reason == 0 && p.UserProperty == nil
	if !c.isV5() || !none && c.unprepared() {
		return c.notV5()
	}
	c.v5.disconnect = DisconnectProperty{
		SessionExpiryInterval: cmp.Or(p.SessionExpiryInterval, c.v5.disconnect.SessionExpiryInterval),
		Reason:                cmp.Or(p.Reason, c.v5.disconnect.Reason),
		UserProperty:          c.pairs(p.UserProperty).or(c.v5.disconnect.UserProperty),
	}
	return nil
}

// pairs are user properties as the client keeps them: a copy.
func (c *client) pairs(u UserProperties) UserProperties {
	if c.has(UserPropertiesLost) {
		return nil
	}
	return slices.Clone(u)
}

func (c *client) correlation(data string) string {
	if c.has(CorrelationDataLost) {
		return ""
	}
	return data
}
