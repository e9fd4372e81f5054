package espmqtt

import "encoding/binary"

// What the calls that send a message return instead of a packet identifier.
const (
	Failure    = -1
	OutboxFull = -2
)

// Publish is esp_mqtt_client_publish: it sends the message at once, in the caller's task, where the client is
// connected. It returns the packet identifier, 0 for QoS 0, Failure or OutboxFull (ESP-PUB-10 … 14).
func (c *Client) Publish(topic string, payload []byte, qos int, retain bool) int {
	if c.kconfig.SkipPublishIfDisconnected && !c.is(stateConnected) && !c.has(SkipOfflineIgnored) {
		c.log('I', "Publishing skipped: client is not connected")
		return Failure
	}
	defer c.lock()()
	if c.misconfigured() {
		return Failure
	}
	if !c.v5PublishAllowed(qos, retain) {
		c.log('I', "MQTT5 publish check fail")
		return Failure
	}
	if qos > 0 && c.outboxFull(len(payload)) {
		return c.outboxFullCode()
	}
	if qos > 0 && !c.is(stateConnected) && c.has(OfflineQoS1Refused) {
		return Failure
	}
	p, ok := c.buildPublish(topic, payload, qos, retain)
	if !ok {
		return Failure
	}
	var it *Item
	if qos > 0 {
		if it = c.store(p, qos); it == nil {
			return Failure
		}
	}
	switch {
	case !c.is(stateConnected) && qos > 0:
		return int(p.id)
	case !c.is(stateConnected) && c.has(OfflineQoS0Kept):
		c.store(p, qos)
		return 0
	case !c.is(stateConnected):
		c.log('W', "Publish: Losing qos0 data when client not connected")
		return Failure
	case qos > 0 && !c.v5QuotaLeft():
		c.log('W', "Unable to publish now: maximum inflight messages reached")
		return int(p.id)
	}
	for _, part := range c.fragments(p, payload) {
		if part == nil {
			c.crash()
			return Failure
		}
		if err := c.send(part); err != nil {
			c.writeFailed(err)
			c.abort() // a message with QoS > 0 stays queued, and goes out after the reconnect (ESP-PUB-13)
			if it != nil && !c.does(QuirkFailedPublishKept) {
				return int(p.id)
			}
			return Failure
		}
	}
	if it != nil {
		c.v5.inFlight++
		if it = c.transmitted(p.id); it != nil {
			it.Since = c.now()
		}
	}
	if qos == 0 && c.has(PublishedForQoS0) {
		c.event.MessageID = 0
		c.dispatch(EventPublished)
	}
	if c.has(PublishReturnsZero) {
		return 0
	}
	return int(p.id)
}

// Enqueue is esp_mqtt_client_enqueue: it stores the message for the client's task to send. A message with QoS 0 is
// stored only where store is set (ESP-PUB-20).
func (c *Client) Enqueue(topic string, payload []byte, qos int, retain, store bool) int {
	if c.misconfigured() {
		return Failure
	}
	if c.outboxFull(len(payload)) {
		return c.outboxFullCode()
	}
	if c.has(EnqueueSendsAtOnce) && c.is(stateConnected) {
		return c.Publish(topic, payload, qos, retain)
	}
	defer c.lock()()
	if !c.v5PublishAllowed(qos, retain) {
		c.log('I', "esp_mqtt_client_enqueue check fail")
		return Failure
	}
	p, ok := c.buildPublish(topic, payload, qos, retain)
	if !ok {
		return Failure
	}
	if (qos > 0 || store) && c.store(p, qos) == nil {
		return Failure
	}
	if p.id == 0 && !store {
		return Failure
	}
	return int(p.id)
}

// outboxFull compares the payload alone with what room the limit leaves (ESP-OUTBOX-20). It needs no lock.
func (c *client) outboxFull(payload int) bool {
	limit := c.outboxLimit.Load()
	return limit > 0 && !c.has(OutboxLimitIgnored) && uint64(payload)+uint64(c.outboxSize.Load()) > limit
}

func (c *client) outboxFullCode() int {
	if c.has(OutboxFullAsFailure) {
		return Failure
	}
	return OutboxFull
}

// store puts a packet into the outbox. It is nil where that does not take it.
func (c *client) store(p published, qos int) *Item {
	it := &Item{ID: p.id, Type: p.data[0] >> 4, QoS: qos, Since: c.now(), Data: p.data}
	if p.lasting != nil {
		it.Data = p.lasting
	}
	added := c.outbox.Add(it)
	c.outboxSize.Store(int64(c.outbox.Size()))
	if !added {
		return nil
	}
	return it
}

// published is a whole PUBLISH.
type published struct {
	id   uint16
	data []byte
	room int // what it takes of the output buffer before the payload, headerRoom included
	// lasting is what the outbox keeps, where that is not data: the message without a topic alias.
	lasting []byte
}

// buildPublish builds a PUBLISH (ESP-PUB-01). It fails where the topic is missing or what precedes the payload does not
// fit the output buffer; an identifier is used up all the same (ESP-PID-03).
func (c *client) buildPublish(topic string, payload []byte, qos int, retain bool) (p published, ok bool) {
	if !c.does(QuirkInvalidSent) && (qos < 0 || qos > 2) {
		c.log('E', "Publish message cannot be created")
		return p, false
	}
	if c.has(QoS2AsQoS1) {
		qos = min(qos, 1)
	}
	first := byte(typePublish<<4 | qos&3<<1)
	if retain && !c.has(RetainLost) {
		first |= 1
	}
	if qos > 0 && c.has(DUPOnFirstSend) {
		first |= 8
	}
	property := PublishProperty{}
	if c.isV5() && c.v5.publish != nil && !c.has(PublishPropertiesLost) {
		property = *c.v5.publish
		property.UserProperty, property.CorrelationData = c.pairs(property.UserProperty), c.correlation(property.CorrelationData)
	}
	if topic == "" && property.TopicAlias == 0 && c.isV5() {
		c.print('E', tagMessage5, "Message must have a topic filter or a topic alias set")
	}
	fits := func(head []byte) bool { return headerRoom+len(head) <= c.settings.outSize }
	head := appendString(nil, topic)
	ok = (topic != "" || property.TopicAlias != 0) && fits(head)
	if ok && qos > 0 {
		p.id = c.nextID()
		head = binary.BigEndian.AppendUint16(head, p.id)
		ok = fits(head)
	}
	if ok && c.isV5() {
		head = appendProperties(head, property.properties(c.responseTopic(property.ResponseTopic)))
		ok = fits(head)
	}
	if !ok {
		c.log('E', "Publish message cannot be created")
		return p, false
	}
	if !c.has(PublishPropertiesKept) {
		c.v5.publish = nil
	}
	p.room = headerRoom + len(head)
	if p.room+len(payload) > c.settings.outSize {
		c.unsent = p.room
	}
	p.data = c.packet(first, append(head, payload...))
	if c.tooLargeForServer(len(p.data)) {
		c.log5('E', "Message of %d bytes is larger than the server takes", len(p.data))
		return p, false
	}
	if property.TopicAlias != 0 && qos > 0 && !c.does(QuirkAliasResent) {
		p.lasting = c.withoutAlias(first, topic, p.id, property, payload)
	}
	if property.TopicAlias != 0 && topic != "" {
		c.v5.ownAliases[property.TopicAlias] = topic
	}
	return p, true
}

// withoutAlias is a PUBLISH that means the same on any connection; it is nil where the topic is not known.
func (c *client) withoutAlias(first byte, topic string, id uint16, property PublishProperty, payload []byte) []byte {
	if topic == "" {
		topic = c.v5.ownAliases[property.TopicAlias]
	}
	if topic == "" {
		return nil
	}
	property.TopicAlias = 0
	body := binary.BigEndian.AppendUint16(appendString(nil, topic), id)
	body = appendProperties(body, property.properties(c.responseTopic(property.ResponseTopic)))
	return append(appendLength([]byte{first}, len(body)+len(payload)), append(body, payload...)...)
}

// fragments cuts a packet into what the client writes at once: the packet, or pieces as large as the output buffer, the
// first of them shorter by the header bytes that its length field left unused (ESP-PUB-04).
//
// Which of the two it is, the client finds out by a number that it sets only when it builds a packet that is too large.
// Where such a packet went to the outbox, the number is still there for the next one, of which the client then writes
// the last bytes once more, or whatever lies before them in memory; here that is zeros (ESP-QRK-35). Where there is no
// payload it reads at address 0, where there is nothing: that is a part which is nil.
func (c *client) fragments(p published, payload []byte) (parts [][]byte) {
	if !c.does(QuirkStaleFragment) {
		c.unsent = len(p.data) - len(payload)
	}
	size := len(p.data)
	if p.room+len(payload) > c.settings.outSize {
		size = c.settings.outSize - (headerRoom - (len(p.data) - len(payload) - (p.room - headerRoom)))
	}
	rest := len(payload) - (size - c.unsent)
	c.unsent = 0
	parts = append(parts, p.data[:size])
	if rest <= 0 {
		return parts
	}
	if len(payload) == 0 {
		return append(parts, nil)
	}
	again := append(make([]byte, max(0, rest-len(payload))), payload[max(0, len(payload)-rest):]...)
	for len(again) > 0 {
		n := min(len(again), c.settings.outSize)
		parts = append(parts, again[:n])
		again = again[n:]
	}
	if c.has(SentFragmentOverlaps) {
		parts[1][0] = parts[0][len(parts[0])-1]
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
