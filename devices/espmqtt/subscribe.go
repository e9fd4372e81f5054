package espmqtt

import "encoding/binary"

// Subscribe is esp_mqtt_client_subscribe_single. It returns the packet identifier, Failure or OutboxFull (ESP-SUB-01).
func (c *Client) Subscribe(filter string, qos int) int {
	if c.misconfigured() {
		return Failure
	}
	if limit := c.outboxLimit.Load(); limit > 0 && uint64(c.outboxSize.Load()) > limit {
		return OutboxFull
	}
	if !c.connectedForRequest() && !c.has(SubscribeOfflineTaken) {
		return Failure
	}
	defer c.lock()()
	c.unsent = 0
	if !c.does(QuirkInvalidSent) && (qos < 0 || qos > 2) {
		c.log('E', "Subscribe message cannot be created")
		return Failure
	}
	if c.has(SubscribeQoSZero) {
		qos = 0
	}
	options := byte(qos)
	var property SubscribeProperty
	if c.isV5() {
		if c.unprepared() {
			return Failure
		}
		if qos > int(c.v5.server.maximumQoS) {
			c.log5('E', "Server only support max QoS level %d", c.v5.server.maximumQoS)
			c.log('I', "MQTT5 subscribe check fail: QoS %d not accepted by broker ", qos)
			return Failure
		}
		keep(&property, c.v5.subscribe)
		property.UserProperty = c.pairs(property.UserProperty)
		options = property.options() | byte(qos&3)
	}
	filter = sharedFilter(property.Shared, property.ShareName, filter)
	return c.request(typeSubscribe, filter, property.properties(), options)
}

// Unsubscribe is esp_mqtt_client_unsubscribe. It returns the packet identifier or Failure (ESP-SUB-04).
func (c *Client) Unsubscribe(filter string) int {
	if !c.connectedForRequest() || c.misconfigured() {
		return Failure
	}
	defer c.lock()()
	c.unsent = 0
	var property UnsubscribeProperty
	if c.isV5() {
		if c.unprepared() {
			return Failure
		}
		keep(&property, c.v5.unsubscribe)
		property.UserProperty = c.pairs(property.UserProperty)
	}
	filter = sharedFilter(property.Shared && !c.has(SharedUnsubscribeLost), property.ShareName, filter)
	return c.request(typeUnsubscribe, filter, property.UserProperty.append(nil))
}

// connectedForRequest is asked before the lock is taken, so that the calls fail at once while the client is connecting
// (ESP-TASK-19).
func (c *client) connectedForRequest() bool {
	if c.is(stateConnected) {
		return true
	}
	c.log('E', "Client has not connected")
	return false
}

// request sends SUBSCRIBE or UNSUBSCRIBE and keeps it in the outbox until it is answered. A failed write does not end
// the connection: the task finds that out for itself (ESP-SUB-05).
func (c *client) request(kind byte, filter string, properties []byte, options ...byte) int {
	id := c.nextID()
	body := binary.BigEndian.AppendUint16(nil, id)
	if c.isV5() {
		body = appendProperties(body, properties)
	}
	body = append(appendString(body, filter), options...)
	if filter == "" || headerRoom+len(body) > c.settings.outSize {
		what := "Subscribe"
		if kind == typeUnsubscribe {
			what = "Unubscribe" // as the client spells it
		}
		c.log('E', "%s message cannot be created", what)
		return Failure
	}
	if kind == typeSubscribe { // a property counts once, whatever becomes of the packet from here on (ESP-V5-01)
		c.v5.subscribe = nil
	} else {
		c.v5.unsubscribe = nil
	}
	data := c.packet(kind<<4|2, body)
	if c.has(RequestFlagsZero) {
		data[0] = kind << 4
	}
	it := c.store(published{id: id, data: data}, 0)
	if it == nil {
		return Failure
	}
	c.transmitted(id)
	if !c.is(stateConnected) {
		return int(id)
	}
	if err := c.send(it.Data); err != nil {
		c.writeFailed(err)
		return Failure
	}
	return int(id)
}
