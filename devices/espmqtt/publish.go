package espmqtt

import (
	"encoding/binary"
	"time"
)

// What the calls that send a message return instead of a packet identifier.
const (
	Failure    = -1
	OutboxFull = -2
)

// Publish is esp_mqtt_client_publish: it sends the message at once, in the caller's task, where the client is
// connected. It returns the packet identifier, 0 for QoS 0, Failure or OutboxFull (ESP-PUB-10 … 13).
func (c *Client) Publish(topic string, payload []byte, qos int, retain bool) int {
	if c.kconfig.SkipPublishIfDisconnected && c.State() != Connected {
		c.log('I', "Publishing skipped: client is not connected")
		return Failure
	}
	defer c.lock()()
	if qos > 0 && c.outboxFull(len(payload)) {
		return OutboxFull
	}
	id, data := c.publishPacket(topic, payload, qos, retain)
	if data == nil {
		return Failure
	}
	var it *item
	if qos > 0 {
		it = &item{id: id, kind: typePublish, qos: byte(qos & 3), since: time.Now(), data: data}
		c.outbox.add(it)
	}
	if c.state != stateConnected {
		if qos > 0 {
			return int(id)
		}
		c.log('W', "Publish: Losing qos0 data when client not connected")
		return Failure
	}
	for _, part := range c.fragments(data, topic, payload, qos) {
		if err := c.send(part); err != nil {
			c.writeFailed(err)
			c.abort() // a message with QoS > 0 stays queued, and goes out after the reconnect (ESP-PUB-13)
			return Failure
		}
	}
	if it != nil {
		it.since, it.state = time.Now(), transmitted
	}
	return int(id)
}

// Enqueue is esp_mqtt_client_enqueue: it stores the message for the client's task to send. A message with QoS 0 is
// stored only where store is set (ESP-PUB-20).
func (c *Client) Enqueue(topic string, payload []byte, qos int, retain, store bool) int {
	defer c.lock()()
	if c.outboxFull(len(payload)) {
		return OutboxFull
	}
	if qos == 0 && !store {
		return Failure
	}
	id, data := c.publishPacket(topic, payload, qos, retain)
	if data == nil {
		return Failure
	}
	c.outbox.add(&item{id: id, kind: typePublish, qos: byte(qos & 3), since: time.Now(), data: data})
	return int(id)
}

// outboxFull compares the payload alone with what room the limit leaves (ESP-OUTBOX-20).
func (c *client) outboxFull(payload int) bool {
	return c.settings.outboxLimit > 0 && uint64(payload+c.outbox.size()) > c.settings.outboxLimit
}

// publishPacket builds a whole PUBLISH (ESP-PUB-01). It is nil where the topic is missing or does not fit the output
// buffer; the identifier is used up all the same (ESP-PID-03).
func (c *client) publishPacket(topic string, payload []byte, qos int, retain bool) (id uint16, data []byte) {
	first := byte(typePublish<<4 | qos&3<<1)
	if retain {
		first |= 1
	}
	if qos > 0 {
		if c.has(DUPOnFirstSend) {
			first |= 8
		}
		id = c.nextID()
	}
	if topic == "" || publishHeader(topic, qos) > c.settings.outSize {
		c.log('E', "Publish message cannot be created")
		return id, nil
	}
	body := make([]byte, 0, publishHeader(topic, qos)+len(payload))
	body = appendString(body, topic)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return id, packet(first, append(body, payload...))
}

// publishHeader is the room in the output buffer that a PUBLISH takes before its payload.
func publishHeader(topic string, qos int) int {
	n := headerRoom + 2 + len(topic)
	if qos > 0 {
		n += 2
	}
	return n
}

// fragments cuts a packet into what the client writes at once: the packet, or pieces as large as the output buffer, the
// first of them shorter by the header bytes that its length field left unused (ESP-PUB-04).
func (c *client) fragments(data []byte, topic string, payload []byte, qos int) [][]byte {
	if publishHeader(topic, qos)+len(payload) <= c.settings.outSize {
		return [][]byte{data}
	}
	fixed := len(data) - len(payload) - publishHeader(topic, qos) + headerRoom
	size := c.settings.outSize - (headerRoom - fixed)
	var parts [][]byte
	for len(data) > size {
		parts = append(parts, data[:size])
		data = data[size:]
		size = c.settings.outSize
	}
	parts = append(parts, data)
	if c.has(SentFragmentOverlaps) {
		overlapping := append([]byte(nil), parts[1]...)
		overlapping[0] = parts[0][len(parts[0])-1]
		parts[1] = overlapping
	}
	return parts
}

// setPublishID changes the identifier in a whole PUBLISH.
func setPublishID(data []byte, id uint16) {
	i := 1
	for data[i]&0x80 != 0 {
		i++
	}
	i++
	i += 2 + int(binary.BigEndian.Uint16(data[i:]))
	binary.BigEndian.PutUint16(data[i:], id)
}
