package espmqtt

import (
	"encoding/binary"
	"time"
)

// Subscribe is esp_mqtt_client_subscribe_single. It returns the packet identifier, Failure or OutboxFull (ESP-SUB-01).
func (c *Client) Subscribe(filter string, qos int) int {
	defer c.lock()()
	if c.settings.outboxLimit > 0 && uint64(c.outbox.size()) > c.settings.outboxLimit {
		return OutboxFull
	}
	return c.request(typeSubscribe, filter, byte(qos))
}

// Unsubscribe is esp_mqtt_client_unsubscribe. It returns the packet identifier or Failure (ESP-SUB-04).
func (c *Client) Unsubscribe(filter string) int {
	defer c.lock()()
	return c.request(typeUnsubscribe, filter)
}

// request sends SUBSCRIBE or UNSUBSCRIBE and keeps it in the outbox until it is answered. A failed write does not end
// the connection: the task finds that out for itself (ESP-SUB-05).
func (c *client) request(kind byte, filter string, options ...byte) int {
	if c.state != stateConnected {
		c.log('E', "Client has not connected")
		return Failure
	}
	id := c.nextID()
	body := binary.BigEndian.AppendUint16(nil, id)
	body = append(appendString(body, filter), options...)
	if filter == "" || headerRoom+len(body) > c.settings.outSize {
		what := "Subscribe"
		if kind == typeUnsubscribe {
			what = "Unubscribe" // as the client spells it
		}
		c.log('E', "%s message cannot be created", what)
		return Failure
	}
	it := &item{id: id, kind: kind, state: transmitted, since: time.Now(), data: packet(kind<<4|2, body)}
	c.outbox.add(it)
	if err := c.send(it.data); err != nil {
		c.writeFailed(err)
		return Failure
	}
	return int(id)
}
