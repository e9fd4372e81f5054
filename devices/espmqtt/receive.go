package espmqtt

import (
	"encoding/binary"
	"time"
)

// receiver is the state of the packet that is coming in. Its buffer lives as long as the configuration, and what is left
// in it of an earlier packet shows where the client reads too far.
type receiver struct {
	buffer []byte
	length int // bytes of the packet that are in the buffer
	header int // length of its fixed header
	total  int // length of the whole packet; it may be more than the buffer holds
}

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
			c.log('E', "mqtt_message_receive: received a message with an invalid header=0x%x", r.buffer[0])
			c.dispatchTransportError(nil)
			return failed
		}
	}
	// When a packet comes in pieces, the client takes a last byte of 0x80 or more for the length field's, even where
	// that field is long complete (ESP-RX-06).
	for r.length == 1 || r.length < 6 && r.buffer[r.length-1]&0x80 != 0 {
		if n, err := c.transport.read(r.buffer[r.length:r.length+1], wait); n == 0 {
			return c.nothingRead(err, stalled)
		}
		r.length++
	}
	r.measure()
	want := r.total
	if r.total > len(r.buffer) {
		if r.buffer[0]>>4 != typePublish {
			return c.tooBig()
		}
		if missing := r.header + 2 - r.length; missing > 0 {
			n, err := c.transport.read(r.buffer[r.length:r.length+missing], wait)
			if n == 0 {
				return c.nothingRead(err, stalled)
			}
			if r.length += n; n < missing {
				return pending
			}
		}
		// The topic must fit; neither its length field nor anything behind it is counted (ESP-RX-11).
		need := r.header + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
		if r.qos() > 0 {
			need += 2
		}
		if need > len(r.buffer) {
			return c.tooBig()
		}
		want = len(r.buffer)
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
	c.dispatchTransportError(nil)
	return failed
}

// nothingRead says what a read without a byte means: the end of the connection, which it reports, or that nothing came.
func (c *client) nothingRead(err error, otherwise progress) progress {
	if err == nil {
		return otherwise
	}
	_, errno := transportCodes(err)
	c.log('E', "esp_mqtt_handle_transport_read_error: transport_read() error: errno=%d", errno)
	c.dispatchTransportError(err)
	return failed
}

// handshake sends CONNECT and waits for CONNACK (ESP-CACK-01 … 07).
func (c *client) handshake() bool {
	c.awaitPing, c.unsent = false, 0
	connect := c.connectPacket()
	if connect == nil {
		c.log('E', "Connect message cannot be created")
		return false
	}
	if err := c.send(connect); err != nil {
		c.writeFailed(err)
		return false
	}
	limit := c.settings.networkTimeout
	if c.has(ConnackAwaitedForever) {
		limit = 365 * 24 * time.Hour
	}
	r := &c.receiver
	r.reset()
	began := time.Now()
	received := c.receiveMessage(limit)
	for received == pending && time.Since(began) < limit {
		received = c.receiveMessage(limit)
	}
	if received != complete {
		c.log('E', "esp_mqtt_connect: mqtt_message_receive() returned %d", received)
		return false
	}
	if kind := r.buffer[0] >> 4; kind != typeConnack {
		c.log('E', "Invalid MSG_TYPE response: %d, read_len: %d", kind, 1)
		return false
	}
	if !c.accepted() {
		return false
	}
	c.become(stateConnected)
	c.dispatch(EventConnected)
	return true
}

// accepted evaluates CONNACK.
func (c *client) accepted() bool {
	r := &c.receiver
	if c.isV5() {
		sessionPresent, code, err := c.v5Connack()
		r.reset()
		if err != nil || code != 0 && !c.has(RefusalIgnored) {
			if err == nil {
				c.log5('W', "%s", v5Refusal(code))
			}
			c.dispatchRefusal(code)
			return false
		}
		c.event.SessionPresent = sessionPresent
		c.requeue()
		return true
	}
	code := r.buffer[3] // at a fixed place, whatever the length says (ESP-CACK-04)
	r.reset()
	if code != 0 && !c.has(RefusalIgnored) {
		c.log('W', "Connection refused, %s", refusal(code))
		c.dispatchRefusal(code)
		return false
	}
	c.event.SessionPresent = r.buffer[2]&1 != 0
	return true
}

// refusal is the log text of a return code; there is none of its own for an identifier that was rejected.
func refusal(code byte) string {
	switch code {
	case 1:
		return "bad protocol"
	case 3:
		return "server unavailable"
	case 4:
		return "bad username or password"
	case 5:
		return "not authorized"
	}
	return "Unknown reason"
}

// receive processes at most one packet; it is false where the connection is to be given up.
func (c *client) receive() bool {
	r := &c.receiver
	before := r.length
	switch c.receiveMessage(0) {
	case failed:
		return false
	case stalled:
		if r.length == before { // no progress for a poll time (ESP-RX-05)
			c.log('E', "mqtt_process_receive: Network timeout while reading MQTT message")
			return false
		}
		return true
	case pending:
		return true
	}
	defer r.reset()
	return c.process()
}

// process acts on the packet in the buffer. What makes no sense to a client is ignored (ESP-RX-03).
func (c *client) process() bool {
	r := &c.receiver
	switch r.buffer[0] >> 4 {
	case typePublish:
		if c.has(PingForgotten) {
			c.pingAt = c.now()
		}
		return c.deliverPublish()
	case typePuback, typePubcomp:
		c.complete(c.acknowledgedID())
	case typePubrec:
		id := c.acknowledgedID()
		if it := c.outbox.get(id); it != nil {
			it.state = acknowledged
		}
		if err := c.send(c.pubrel(id)); err != nil { // known or not (ESP-OUTBOX-03)
			c.writeFailed(err)
		}
	case typePubrel:
		if c.has(NoPubcomp) {
			return true
		}
		if err := c.send(c.acknowledgement(typePubcomp<<4, c.acknowledgedID())); err != nil {
			c.writeFailed(err)
		}
	case typeSuback:
		return c.subscribed()
	case typeUnsuback:
		c.unsubscribed()
	case typePingresp:
		c.pingAt, c.awaitPing = c.now(), false
	case typeDisconnect:
		if c.isV5() {
			c.v5Disconnected()
		}
	}
	return true
}

// acknowledgedID is the identifier of an acknowledgement: in 3.x always in the bytes behind a length of one byte.
func (c *client) acknowledgedID() uint16 {
	r := &c.receiver
	if !c.isV5() && r.header != 2 || r.length < r.header+2 {
		return 0
	}
	return binary.BigEndian.Uint16(r.buffer[r.header:])
}

// removeFromOutbox ends an exchange; it is false where there was none.
func (c *client) removeFromOutbox(id uint16, kind byte) bool {
	found := c.outbox.take(id, kind)
	c.outboxSize.Store(int64(c.outbox.size))
	return found
}

// complete ends the exchange of a published message; PUBACK and PUBCOMP do the same (ESP-OUTBOX-02).
func (c *client) complete(id uint16) {
	if !c.removeFromOutbox(id, typePublish) {
		return
	}
	c.v5.inFlight = max(c.v5.inFlight-1, 0)
	if c.isV5() {
		c.v5Completed()
	}
	c.event.MessageID = int(id)
	c.dispatch(EventPublished)
}

// subscribed handles SUBACK (ESP-SUB-07, ESP-SUB-08).
func (c *client) subscribed() bool {
	id := c.acknowledgedID()
	if !c.removeFromOutbox(id, typeSubscribe) {
		return true
	}
	codes := c.receiver.rest()
	if c.isV5() {
		codes = c.v5Codes()
	}
	if len(codes) == 0 {
		c.log('E', "Failed to acquire suback data")
		c.log('E', "Failed to deliver suback message id=%d", id)
		return false
	}
	e := &c.event
	e.MessageID, e.Data, e.TotalLength, e.Offset = int(id), codes, len(codes), 0
	e.Error = ErrorHandle{SocketErrno: e.Error.SocketErrno}
	for _, code := range codes {
		if code >= 0x80 {
			e.Error.Type = ErrorSubscribeFailed
		}
	}
	c.dispatch(EventSubscribed)
	return true
}

// unsubscribed handles UNSUBACK. In 3.x the event keeps the data of the one before (ESP-SUB-10).
func (c *client) unsubscribed() {
	id := c.acknowledgedID()
	if !c.removeFromOutbox(id, typeUnsubscribe) {
		return
	}
	if e := &c.event; c.isV5() {
		e.Data = c.v5Codes()
		e.TotalLength, e.Offset = len(e.Data), 0
	}
	c.event.MessageID = int(id)
	c.dispatch(EventUnsubscribed)
}

// deliverPublish posts the DATA events of a PUBLISH and acknowledges it when they have been handled. What does not fit
// the buffer is read here, in fragments of at most the buffer's size (ESP-RX-10 … 20).
func (c *client) deliverPublish() bool {
	r, e := &c.receiver, &c.event
	first, qos := r.buffer[0], r.qos()
	eventID, answerID := r.publishID()
	readable := c.v5Publish
	if !c.isV5() {
		readable = c.v3Publish
	}
	if !readable() {
		c.log('E', "Failed to deliver publish message id=%d", answerID)
		return false
	}
	e.MessageID, e.QoS, e.Retain, e.DUP = int(eventID), qos, first&1 != 0, first&8 != 0
	e.Offset, e.TotalLength = 0, len(e.Data)+max(0, r.total-r.length)
	if c.has(BufferOffByOne) && r.total == len(r.buffer) && len(e.Data) > 0 {
		e.Data, e.TotalLength = e.Data[:len(e.Data)-1], e.TotalLength-1
	}
	c.dispatch(EventData)

	topic, offset, answered := e.Topic, 0, false
	for read := r.length; read < r.total; {
		if c.has(PubackBeforePayload) && !answered {
			answered = true
			c.answerPublish(qos, answerID)
		}
		offset += len(e.Data)
		n, err := c.transport.read(r.buffer[:min(len(r.buffer), r.total-read)], c.settings.networkTimeout)
		if err != nil {
			c.nothingRead(err, failed)
			return false
		}
		if n == 0 {
			break // and the message counts as received (ESP-RX-17)
		}
		read += n
		e.Data, e.Offset, e.Topic = r.buffer[:n], offset, ""
		if c.kconfig.TopicInAllDataEvents {
			e.Topic = topic
		}
		if c.has(FragmentOffsetStuck) {
			e.Offset = 0
		}
		if read < r.total || !c.has(LastFragmentLost) {
			c.dispatch(EventData)
		}
	}
	return answered || c.answerPublish(qos, answerID)
}

// v3Publish finds topic and payload of the PUBLISH in the buffer.
func (c *client) v3Publish() (ok bool) {
	r := &c.receiver
	if r.header+2 >= r.length {
		return false
	}
	start := r.header + 2 + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
	if start > r.length {
		return false
	}
	c.event.Topic = string(r.buffer[r.header+2 : start])
	if r.qos() > 0 {
		start += 2 // perhaps cut off, then it is taken for payload (ESP-RX-15)
	}
	c.event.Data = r.buffer[min(start, r.length):r.length]
	return true
}

// publishID is the identifier of the PUBLISH in the buffer: for the event, which has 0 where it is cut off, and for the
// answer, for which the client then reads beyond the buffer (ESP-RX-15); there the model finds zeros.
func (r *receiver) publishID() (event, answer uint16) {
	if r.qos() == 0 || r.header+2 > r.length {
		return 0, 0
	}
	at := r.header + 2 + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
	for i := at; i < at+2; i++ {
		answer <<= 8
		if i < len(r.buffer) && i < r.total {
			answer |= uint16(r.buffer[i])
		}
	}
	if at+2 > r.length {
		return 0, answer
	}
	return answer, answer
}

// answerPublish acknowledges a received message as its QoS asks (ESP-RX-20).
func (c *client) answerPublish(qos byte, id uint16) bool {
	var answer []byte
	switch qos {
	case 1:
		if c.has(NoPuback) {
			return true
		}
		if c.has(PubackWrongID) {
			id++
		}
		answer = c.acknowledgement(typePuback<<4, id)
	case 2:
		answer = c.acknowledgement(typePubrec<<4, id)
	default:
		return true
	}
	if err := c.send(answer); err != nil {
		c.writeFailed(err)
		c.log('E', "Error write qos msg response, qos = %d", qos)
		return false
	}
	return true
}
