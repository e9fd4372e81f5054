package espmqtt

import (
	"encoding/binary"
	"net"
	"time"
)

// receiver is the state of the packet that is coming in. Its buffer lives as long as the configuration, and what is left
// in it of an earlier packet shows where the client reads too far.
type receiver struct {
	buffer []byte // at least smallestBuffer bytes
	size   int    // of the buffer, as far as the client knows
	length int    // bytes of the packet that are in the buffer
	header int    // length of its fixed header
	total  int    // length of the whole packet; it may be more than the buffer holds
	moved  int64  // when bytes of it came last, in ms since boot
}

// smallestBuffer is what memory the input buffer has, however small it is set, in bytes: the client puts a whole fixed header
// into one that has not the room.
const smallestBuffer = 16

// reset makes room for the next packet.
func (r *receiver) reset() { r.length, r.header, r.total = 0, 0, 0 }

func (r *receiver) qos() byte { return r.buffer[0] >> 1 & 3 }

// rest is what follows the identifier of an acknowledgement.
func (r *receiver) rest() []byte { return r.buffer[min(r.header+2, r.length):r.length] }

// validHeader checks a packet's first byte (ESP-RX-02).
func validHeader(first byte) bool {
	flags := first & 0x0f
	switch first >> 4 {
	case typePublish:
		qos := flags >> 1 & 3
		return qos < 3 && !(qos == 0 && flags&8 != 0)
	case typePubrel, typeSubscribe, typeUnsubscribe:
		return flags == 2
	case 0, 15:
		return false
	}
	return flags == 0
}

// progress is how far receiving a packet has come.
type progress int

const (
	failed   progress = iota - 2 // the connection is over, which has been reported as an event
	stalled                      // a packet was begun, and nothing more of it came
	pending                      // no packet, or a part of one
	complete                     // a packet is in the buffer: all of it, or as much of a large PUBLISH as fits
)

// receiveMessage goes on with reading a packet, each step waiting up to wait (ESP-RX-01).
func (c *client) receiveMessage(wait time.Duration) progress {
	r := &c.receiver
	if r.length == 0 {
		if n, err := c.transport.read(r.buffer[:1], wait); n == 0 {
			return c.nothingRead(err, pending)
		}
		r.length = 1
		if !validHeader(r.buffer[0]) {
			if c.has(InvalidHeaderIgnored) {
				r.reset()
				return pending
			}
			c.log('E', "mqtt_message_receive: received a message with an invalid header=0x%x", r.buffer[0])
			c.goodbye(reasonMalformedPacket)
			c.dispatchTransportError(nil)
			return failed
		}
	}
	// When a packet comes in pieces, the client takes a last byte of 0x80 or more for the length field's, even where
	// that field is long complete (ESP-RX-06).
	for r.length == 1 || r.length < 6 && r.inLength(c.does(QuirkLengthReentry)) {
		if n, err := c.transport.read(r.buffer[r.length:r.length+1], wait); n == 0 {
			return c.nothingRead(err, stalled)
		}
		r.length++
	}
	r.measure()
	if !c.does(QuirkOverlongLength) && r.overlong() {
		c.log('E', "mqtt_message_receive: malformed remaining length")
		c.goodbye(reasonMalformedPacket)
		c.dispatchTransportError(nil)
		return failed
	}
	want := r.total
	if r.total > r.size {
		if r.buffer[0]>>4 != typePublish {
			return c.tooBig()
		}
		if r.length < r.header+2 {
			// The topic's length; where one byte of it is there, the client takes two more than it needs.
			n, err := c.transport.read(r.buffer[r.length:r.length+r.length-r.header+2], wait)
			if n == 0 {
				return c.nothingRead(err, stalled)
			}
			if r.length += n; r.length < r.header+2 {
				return pending
			}
		}
		// The topic must fit; neither its length field nor anything behind it is counted (ESP-RX-11).
		need := r.header + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
		if r.qos() > 0 {
			need += 2
		}
		if !c.does(QuirkHeaderCut) {
			need += 2
		}
		if need > r.size {
			return c.tooBig()
		}
		want = r.size
	}
	if r.length < want {
		n, err := c.transport.read(r.buffer[r.length:want], wait)
		if n == 0 {
			return c.nothingRead(err, stalled)
		}
		if r.length += n; r.length < want {
			return pending
		}
	}
	return complete
}

// inLength says whether the next byte is one of the length field's. The client looks at the last byte alone.
func (r *receiver) inLength(lastByteOnly bool) bool {
	if lastByteOnly {
		return r.buffer[r.length-1]&0x80 != 0
	}
	for _, b := range r.buffer[1:min(r.length, 5)] {
		if b&0x80 == 0 {
			return false
		}
	}
	return true
}

// overlong says whether the length field has more bytes than it needs, or may have.
func (r *receiver) overlong() bool {
	last := r.buffer[r.header-1]
	return r.header > 2 && last == 0 || r.header == 5 && last&0x80 != 0
}

// measure reads the remaining length: up to four bytes count (ESP-RX-04).
func (r *receiver) measure() {
	length, i := 0, 1
	for ; i < r.length && i <= 4; i++ {
		length |= int(r.buffer[i]&0x7f) << (7 * (i - 1))
		if r.buffer[i]&0x80 == 0 {
			i++
			break
		}
	}
	r.header, r.total = i, i+length
}

func (c *client) tooBig() progress {
	c.log('E', "mqtt_message_receive: message is too big, insufficient buffer size")
	c.goodbye(reasonPacketTooLarge)
	c.dispatchTransportError(nil)
	return failed
}

// nothingRead says what a read without a byte means: the end of the connection, which it reports, or that nothing came.
func (c *client) nothingRead(err error, otherwise progress) progress {
	if err == nil {
		return otherwise
	}
	if readCode(err) == codeClosed {
		c.log('E', "esp_mqtt_handle_transport_read_error: transport_read(): EOF")
	}
	errno := c.errno()
	if c.transport == nil {
		errno = transportCodes(err).SocketErrno
	}
	c.log('E', "esp_mqtt_handle_transport_read_error: transport_read() error: errno=%d", errno)
	c.dispatchTransportError(err)
	return failed
}

// receive processes at most one packet; it is false where the connection is to be given up.
func (c *client) receive() bool {
	r := &c.receiver
	before := r.length
	switch c.receiveMessage(0) {
	case failed:
		c.log('E', "mqtt_process_receive: mqtt_message_receive() returned %d", failed)
		return false
	case stalled:
		switch {
		case r.length != before:
			r.moved = c.now()
		case c.has(StalledPacketKept), c.pausedOnly():
		default: // no progress for a poll time (ESP-RX-05)
			c.log('E', "mqtt_process_receive: Network timeout while reading MQTT message")
			return false
		}
		return true
	case pending:
		r.moved = c.now()
		return true
	}
	if c.has(SegmentRestLost) {
		defer c.transport.read(make([]byte, receiveWindow), 0)
	}
	defer r.reset()
	return c.process()
}

// pausedOnly says whether a client without quirks goes on to wait for the rest of a packet.
func (c *client) pausedOnly() bool {
	if w, ok := c.transport.(*webSocket); ok && w.served {
		w.served = false
		return true
	}
	return !c.does(QuirkStallOfPoll) && c.now()-c.receiver.moved < c.settings.networkTimeout.Milliseconds()
}

// process acts on the packet in the buffer. What makes no sense to a client is ignored (ESP-RX-03).
func (c *client) process() bool {
	r := &c.receiver
	if c.awaitPing && !c.does(QuirkOnlyPingresp) {
		c.pingAt = max(c.pingAt, c.now()-int64(c.keepAliveSeconds())*500)
	}
	switch r.buffer[0] >> 4 {
	case typePublish:
		if c.has(PingForgotten) {
			c.pingAt = c.now()
		}
		return c.deliverPublish()
	case typePuback, typePubcomp:
		c.complete(c.acknowledgedID())
	case typePubrec:
		return c.pubrec(c.acknowledgedID())
	case typePubrel:
		return c.pubcomp(c.acknowledgedID())
	case typeSuback:
		return c.subscribed()
	case typeUnsuback:
		c.unsubscribed()
	case typePingresp:
		if !c.has(PingrespIgnored) {
			c.pingAt, c.awaitPing = c.now(), false
		}
	case typeDisconnect:
		switch {
		case c.isV5():
			return c.v5Disconnected()
		case !c.does(QuirkDisconnectIgnored):
			c.dispatchTransportError(nil)
			return false
		}
	}
	return true
}

// pubrec answers PUBREC with PUBREL, known or not and whatever its reason code says (ESP-OUTBOX-03). It is false where the
// connection is to be given up.
func (c *client) pubrec(id uint16) bool {
	if c.has(NoPubrel) {
		return true
	}
	it, reason := c.outbox.get(id), byte(0)
	if c.isV5() && !c.does(QuirkPubrecFailure) && isFailure(c.receiver.rest()) {
		c.complete(id)
		return true
	}
	if it == nil && !c.does(QuirkUnknownIDs) {
		reason = reasonIDNotFound
	}
	c.logReasonCode("PUBREC")
	answer := c.pubrel(id, reason)
	if answer == nil {
		return false
	}
	if it != nil {
		it.State, it.sentOn = Acknowledged, c.connects
	}
	if err := c.send(answer); err != nil {
		c.writeFailed(err)
	}
	return true
}

// pubcomp answers PUBREL, known or not (ESP-RX-21). It is false where the connection is to be given up.
func (c *client) pubcomp(id uint16) bool {
	if c.has(NoPubcomp) {
		return true
	}
	reason := byte(0)
	if !c.received[id] && !c.does(QuirkUnknownIDs) {
		reason = reasonIDNotFound
	}
	c.logReasonCode("PUBREL")
	answer := c.acknowledgement(typePubcomp<<4, id, reason)
	if answer == nil {
		return false
	}
	delete(c.received, id)
	if err := c.send(answer); err != nil {
		c.writeFailed(err)
	}
	return true
}

// logReasonCode prints the reason code of a packet of MQTT 5.0, of which nothing else becomes known.
func (c *client) logReasonCode(packet string) {
	if c.isV5() {
		c.log('I', "MQTT_MSG_TYPE_%s return code is %d", packet, c.v5ReasonCode())
	}
}

// isFailure says whether a reason code, where there is one, is that of a failure.
func isFailure(reason []byte) bool { return len(reason) > 0 && reason[0] >= 0x80 }

// acknowledgedID is the identifier of an acknowledgement: in 3.x always in the bytes behind a length of one byte.
func (c *client) acknowledgedID() uint16 { return c.identifier(c.receiver.length) }

// acknowledgedInEvent is the identifier that the event of an acknowledgement has. It is looked for in the whole buffer:
// behind a packet that is too short to have one, the bytes of an earlier packet are found.
func (c *client) acknowledgedInEvent() int { return int(c.identifier(c.receiver.size)) }

// identifier is that of the acknowledgement in the buffer, of which so many bytes count.
func (c *client) identifier(length int) uint16 {
	r := &c.receiver
	if !c.isV5() && r.header != 2 || length < r.header+2 {
		return 0
	}
	return binary.BigEndian.Uint16(r.buffer[r.header:])
}

// removeFromOutbox ends an exchange; it is false where there was none.
func (c *client) removeFromOutbox(id uint16, kind byte) bool {
	found := c.outbox.take(id, kind)
	c.outboxSize.Store(int64(c.outbox.Size()))
	return found
}

// complete ends the exchange of a published message; PUBACK and PUBCOMP do the same (ESP-OUTBOX-02).
func (c *client) complete(id uint16) {
	if c.has(AcknowledgementIgnored) || !c.removeFromOutbox(id, typePublish) {
		return
	}
	c.v5.inFlight = max(c.v5.inFlight-1, 0)
	if c.isV5() {
		c.v5Completed()
	}
	c.event.MessageID = c.acknowledgedInEvent()
	switch {
	case c.has(PublishedNotReported):
	case c.isV5() && isFailure(c.receiver.rest()) && !c.does(QuirkFailureAsSuccess):
		c.dispatchRejection()
	default:
		c.dispatch(EventPublished)
	}
}

// subscribed handles SUBACK (ESP-SUB-07, ESP-SUB-08).
func (c *client) subscribed() bool {
	id := c.acknowledgedID()
	if c.has(SubackIgnored) || !c.removeFromOutbox(id, typeSubscribe) {
		return true
	}
	codes := c.receiver.rest()
	if c.isV5() {
		codes = c.v5Codes()
	}
	if len(codes) == 0 {
		c.log('E', "Failed to acquire suback data")
		c.log('E', "Failed to deliver suback message id=%d", id)
		c.goodbye(reasonMalformedPacket)
		return false
	}
	if !c.does(QuirkSubackUnchecked) && (len(codes) != 1 || codes[0] > 2 && codes[0] < 0x80) {
		c.log('E', "Failed to make sense of suback message id=%d", id)
		c.goodbye(reasonProtocolError)
		return false
	}
	e := &c.event
	e.MessageID, e.Data, e.TotalLength, e.Offset = c.acknowledgedInEvent(), codes, len(codes), 0
	e.Error = ErrorHandle{SocketErrno: e.Error.SocketErrno}
	for _, code := range codes {
		if code >= 0x80 && !c.has(SubackFailureHidden) {
			e.Error.Type = ErrorSubscribeFailed
		}
	}
	c.dispatch(EventSubscribed)
	return true
}

// unsubscribed handles UNSUBACK. In 3.x the event keeps the data of the one before (ESP-SUB-10).
func (c *client) unsubscribed() {
	id := c.acknowledgedID()
	if c.has(UnsubackIgnored) || !c.removeFromOutbox(id, typeUnsubscribe) {
		return
	}
	if e := &c.event; c.isV5() {
		e.Data = c.v5Codes()
		e.TotalLength, e.Offset = len(e.Data), 0
	}
	c.event.MessageID = c.acknowledgedInEvent()
	if c.isV5() && isFailure(c.event.Data) && !c.does(QuirkFailureAsSuccess) {
		c.dispatchRejection()
		return
	}
	c.dispatch(EventUnsubscribed)
}

// deliverPublish posts the DATA events of a PUBLISH and acknowledges it when they have been handled. What does not fit
// the buffer is read here, in fragments of at most the buffer's size (ESP-RX-10 … 20).
func (c *client) deliverPublish() bool {
	r, e := &c.receiver, &c.event
	first, qos := r.buffer[0], r.qos()
	eventID, answerID := c.publishID()
	readable := c.v5Publish
	if !c.isV5() {
		readable = c.v3Publish
	}
	undelivered := func() bool {
		c.log('E', "Failed to deliver publish message id=%d", answerID)
		return false
	}
	if !readable() {
		undelivered()
		c.goodbye(reasonMalformedPacket)
		return false
	}
	if c.has(TopicLost) {
		e.Topic = ""
	}
	// What was received already, a client without quirks takes in once more and keeps to itself.
	again := qos == 2 && c.received[answerID] && !c.does(QuirkQoS2Again)
	deliver := func() {
		if !again {
			c.dispatch(EventData)
		}
	}
	e.MessageID, e.QoS, e.Retain, e.DUP = int(eventID), qos, first&1 != 0, first&8 != 0
	e.Offset, e.TotalLength = 0, e.DataLength()+r.total-r.length
	if c.has(BufferOffByOne) && r.total == r.size && len(e.Data) > 0 {
		e.Data, e.TotalLength = e.Data[:len(e.Data)-1], e.TotalLength-1
	}
	if c.has(DataQoSLost) {
		e.QoS = 0
	}
	if c.has(TotalOfFragment) {
		e.TotalLength = len(e.Data)
	}
	deliver()

	topic, offset, answered := e.Topic, 0, false
	for read := r.length; read < r.total; {
		if c.has(PubackBeforePayload) && !answered {
			answered = true
			c.answerPublish(qos, answerID)
		}
		offset += e.DataLength()
		if c.transport == nil { // the handler has found out that the connection is lost
			c.nothingRead(net.ErrClosed, failed)
			return undelivered()
		}
		n, err := c.transport.read(r.buffer[:min(r.size, r.total-read)], c.settings.networkTimeout)
		if err != nil {
			c.nothingRead(err, failed)
			return undelivered()
		}
		if n == 0 {
			if !c.does(QuirkIncompleteMessage) {
				c.log('E', "deliver_publish: Network timeout while reading MQTT message")
				return false
			}
			break // and the message counts as received (ESP-RX-17)
		}
		read += n
		e.Data, e.short, e.Offset, e.Topic = r.buffer[:n], 0, offset, ""
		if c.isV5() {
			c.readTexts()
		}
		if c.kconfig.TopicInAllDataEvents || c.has(TopicInFragments) {
			e.Topic = topic
		}
		if c.has(FragmentOffsetStuck) {
			e.Offset = 0
		}
		if read < r.total || !c.has(LastFragmentLost) {
			deliver()
		}
	}
	e.short = 0
	return answered || c.answerPublish(qos, answerID)
}

// v3Publish finds topic and payload of the PUBLISH in the buffer.
func (c *client) v3Publish() (ok bool) {
	r := &c.receiver
	start, end, ok := c.topic(r.length)
	if !ok {
		c.log('E', "deliver_publish: mqtt_get_publish_topic() failed")
		return false
	}
	c.event.Topic = string(r.buffer[start:end])
	// The payload is looked for anew, from where the remaining length ends after all.
	start = r.header + 2 + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
	if r.qos() > 0 {
		start += 2 // perhaps cut off, then it is taken for payload (ESP-RX-15)
	}
	end = min(r.length, r.total)
	c.event.Data = r.buffer[min(start, end):end]
	return true
}

// topic is where the topic of the PUBLISH in the buffer begins and ends; it is false where that is not within a packet of so
// many bytes. Before 5.0 the client looks for the end of a remaining length that is too long further than elsewhere.
func (c *client) topic(length int) (start, end int, ok bool) {
	r := &c.receiver
	start = r.header
	for !c.isV5() && start < min(length, len(r.buffer)) && r.buffer[start-1]&0x80 != 0 {
		start++
	}
	if start += 2; start >= length || start > len(r.buffer) {
		return 0, 0, false
	}
	end = start + int(binary.BigEndian.Uint16(r.buffer[start-2:]))
	return start, end, end <= length
}

// publishID is the identifier of the PUBLISH in the buffer: for the event, which has 0 where it is cut off, and for the
// answer, for which the client then reads beyond what it received (ESP-RX-15); beyond the buffer the model finds zeros.
func (c *client) publishID() (event, answer uint16) {
	r := &c.receiver
	within := func(length int) uint16 {
		_, end, ok := c.topic(length)
		if !ok || end+2 > length || r.qos() == 0 {
			return 0
		}
		var id [2]byte
		copy(id[:], r.buffer[min(end, len(r.buffer)):])
		return binary.BigEndian.Uint16(id[:])
	}
	return within(r.length), within(r.total)
}

// answerPublish acknowledges a received message as its QoS asks (ESP-RX-20).
func (c *client) answerPublish(qos byte, id uint16) bool {
	kind := byte(typePuback)
	switch qos {
	case 1:
		if c.has(NoPuback) {
			return true
		}
		if c.has(PubackWrongID) {
			id++
		}
	case 2:
		c.received[id] = true
		if c.has(NoPubrec) {
			return true
		}
		if !c.has(PubackForQoS2) {
			kind = typePubrec
		}
	default:
		return true
	}
	answer := c.acknowledgement(kind<<4, id, 0)
	if answer == nil {
		return false
	}
	if err := c.send(answer); err != nil {
		c.writeFailed(err)
		c.log('E', "Error write qos msg response, qos = %d", qos)
		return false
	}
	return true
}
