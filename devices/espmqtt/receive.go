package espmqtt

import (
	"encoding/binary"
	"errors"
	"time"
)

// errMalformed is a packet for which the client gives the connection up.
var errMalformed = errors.New("malformed packet")

// receiver is the state of the packet that is coming in.
type receiver struct {
	buffer []byte
	length int // bytes of the packet that are in the buffer
	header int // length of its fixed header
	total  int // length of the whole packet; it may be more than the buffer holds
}

// reset makes room for the next packet.
func (r *receiver) reset() { r.length, r.header, r.total = 0, 0, 0 }

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

// receiveMessage goes on with reading a packet, each step waiting up to wait (ESP-RX-01). It says whether a packet is
// in the buffer: all of it, or as much of a large PUBLISH as the buffer holds. An error has been reported as an event.
func (c *client) receiveMessage(wait time.Duration) (complete bool, err error) {
	r := &c.receiver
	if r.length == 0 {
		n, err := c.transport.read(r.buffer[:1], wait)
		if n == 0 {
			return false, c.readFailed(err)
		}
		r.length = 1
		if !validHeader(r.buffer[0]) {
			c.log('E', "mqtt_message_receive: received a message with an invalid header=0x%x", r.buffer[0])
			c.dispatchTransportError(nil)
			return false, errMalformed
		}
	}
	// When a packet comes in pieces, the client takes a last byte of 0x80 or more for the length field's, even where
	// that field is long complete (ESP-RX-06).
	for r.length == 1 || r.length < 6 && r.buffer[r.length-1]&0x80 != 0 {
		n, err := c.transport.read(r.buffer[r.length:r.length+1], wait)
		if n == 0 {
			return false, c.readFailed(err)
		}
		r.length++
	}
	r.measure()
	want := r.total
	if r.total > len(r.buffer) {
		if r.buffer[0]>>4 != typePublish {
			return false, c.tooBig()
		}
		for r.length < r.header+2 {
			n, err := c.transport.read(r.buffer[r.length:r.header+2], wait)
			if n == 0 {
				return false, c.readFailed(err)
			}
			r.length += n
		}
		// The topic must fit; neither its length field nor anything behind it is counted (ESP-RX-11).
		need := r.header + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
		if r.buffer[0]&0x06 != 0 {
			need += 2
		}
		if need > len(r.buffer) {
			return false, c.tooBig()
		}
		want = len(r.buffer)
	}
	if r.length < want {
		n, err := c.transport.read(r.buffer[r.length:want], wait)
		if n == 0 {
			return false, c.readFailed(err)
		}
		r.length += n
	}
	return r.length >= want, nil
}

// measure reads the remaining length: up to four bytes count (ESP-RX-04).
func (r *receiver) measure() {
	length, i := 0, 1
	for ; i < r.length && i <= 5; i++ {
		if i <= 4 {
			length |= int(r.buffer[i]&0x7f) << (7 * (i - 1))
		}
		if r.buffer[i]&0x80 == 0 {
			i++
			break
		}
	}
	r.header = min(i, 5)
	r.total = r.header + length
}

func (c *client) tooBig() error {
	c.log('E', "mqtt_message_receive: message is too big, insufficient buffer size")
	c.dispatchTransportError(nil)
	return errMalformed
}

// readFailed reports the end of a connection; a read that only found nothing is no failure.
func (c *client) readFailed(err error) error {
	if err == nil {
		return nil
	}
	_, errno := transportCodes(err)
	c.log('E', "esp_mqtt_handle_transport_read_error: transport_read() error: errno=%d", errno)
	c.dispatchTransportError(err)
	return err
}

// handshake sends CONNECT and waits for CONNACK (ESP-CACK-01 … 05).
func (c *client) handshake() bool {
	connect := c.connectPacket()
	if connect == nil {
		c.log('E', "Connect message cannot be created")
		return false
	}
	if err := c.send(connect); err != nil {
		c.writeFailed(err)
		return false
	}
	wait := c.settings.networkTimeout
	if c.has(ConnackAwaitedForever) {
		wait = 365 * 24 * time.Hour
	}
	r := &c.receiver
	for complete := false; !complete; {
		before := r.length
		var err error
		if complete, err = c.receiveMessage(wait); err != nil {
			c.log('E', "esp_mqtt_connect: mqtt_message_receive() returned -2")
			return false
		}
		if !complete && r.length == before {
			c.log('E', "esp_mqtt_connect: mqtt_message_receive() returned %d", -min(r.length, 1))
			return false
		}
	}
	if kind := r.buffer[0] >> 4; kind != typeConnack {
		c.log('E', "Invalid MSG_TYPE response: %d, read_len: %d", kind, 1)
		return false
	}
	sessionPresent, code := r.buffer[2]&1 != 0, r.buffer[3] // at fixed places, whatever the length says (ESP-CACK-04)
	r.reset()
	if code != 0 && !c.has(RefusalIgnored) {
		c.log('W', "Connection refused, %s", refusal(code))
		c.dispatch(Event{ID: EventError, Error: ErrorHandle{Type: ErrorConnectionRefused, ConnectReturnCode: code}})
		return false
	}
	c.state = stateConnected
	c.dispatch(Event{ID: EventConnected, SessionPresent: sessionPresent})
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
	complete, err := c.receiveMessage(0)
	if err != nil {
		return false
	}
	if !complete {
		if r.length > 0 && r.length == before { // a packet that makes no progress for a poll time (ESP-RX-05)
			c.log('E', "mqtt_process_receive: Network timeout while reading MQTT message")
			return false
		}
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
			c.pingAt = time.Now()
		}
		return c.deliverPublish()
	case typePuback, typePubcomp:
		c.complete(c.acknowledgedID())
	case typePubrec:
		id := c.acknowledgedID()
		if it := c.outbox.find(id, typePublish); it != nil {
			it.state = acknowledged
		}
		if err := c.send(c.pubrel(id)); err != nil { // known or not (ESP-OUTBOX-03)
			c.writeFailed(err)
		}
	case typePubrel:
		if c.has(NoPubcomp) {
			return true
		}
		if err := c.send(acknowledgement(typePubcomp<<4, c.acknowledgedID())); err != nil {
			c.writeFailed(err)
		}
	case typeSuback:
		return c.subscribed()
	case typeUnsuback:
		id := c.acknowledgedID()
		if it := c.outbox.find(id, typeUnsubscribe); it != nil {
			c.outbox.remove(it)
			c.dispatch(Event{ID: EventUnsubscribed, MessageID: int(id)})
		}
	case typePingresp:
		c.pingAt, c.awaitPing = time.Now(), false
	}
	return true
}

// acknowledgedID is the identifier of an acknowledgement: always in the bytes behind a length of one byte.
func (c *client) acknowledgedID() uint16 {
	r := &c.receiver
	if r.header != 2 || r.length < 4 {
		return 0
	}
	return binary.BigEndian.Uint16(r.buffer[2:])
}

// complete ends the exchange of a published message; PUBACK and PUBCOMP do the same (ESP-OUTBOX-02).
func (c *client) complete(id uint16) {
	if it := c.outbox.find(id, typePublish); it != nil {
		c.outbox.remove(it)
		c.dispatch(Event{ID: EventPublished, MessageID: int(id)})
	}
}

// subscribed handles SUBACK (ESP-SUB-07, ESP-SUB-08).
func (c *client) subscribed() bool {
	id := c.acknowledgedID()
	it := c.outbox.find(id, typeSubscribe)
	if it == nil {
		return true
	}
	c.outbox.remove(it)
	codes := c.receiver.buffer[4:c.receiver.length]
	if len(codes) == 0 {
		c.log('E', "Failed to acquire suback data")
		return false
	}
	e := Event{ID: EventSubscribed, MessageID: int(id), Data: codes, TotalLength: len(codes)}
	for _, code := range codes {
		if code >= 0x80 {
			e.Error.Type = ErrorSubscribeFailed
		}
	}
	c.dispatch(e)
	return true
}

// deliverPublish posts the DATA events of a PUBLISH and acknowledges it when they have been handled. What does not fit
// the buffer is read here, in fragments of at most the buffer's size (ESP-RX-10 … 20).
func (c *client) deliverPublish() bool {
	r := &c.receiver
	first := r.buffer[0]
	e := Event{ID: EventData, QoS: first >> 1 & 3, Retain: first&1 != 0, DUP: first&8 != 0}
	if r.length < r.header+2 {
		c.log('E', "Failed to deliver publish message id=0")
		return false
	}
	start := r.header + 2 + int(binary.BigEndian.Uint16(r.buffer[r.header:]))
	if start > r.length || start == r.header+2 && r.total == start {
		c.log('E', "Failed to deliver publish message id=0")
		return false
	}
	e.Topic = string(r.buffer[r.header+2 : start])
	if e.QoS > 0 && start+2 <= r.length { // else the identifier is cut off, and taken for payload (ESP-RX-15)
		e.MessageID = int(binary.BigEndian.Uint16(r.buffer[start:]))
		start += 2
	}
	e.Data, e.TotalLength = r.buffer[start:r.length], r.total-start
	if c.has(BufferOffByOne) && r.total == len(r.buffer) && len(e.Data) > 0 {
		e.Data, e.TotalLength = e.Data[:len(e.Data)-1], e.TotalLength-1
	}
	c.dispatch(e)

	answered := false
	for read := r.length; read < r.total; {
		if c.has(PubackBeforePayload) && !answered {
			answered = true
			c.answerPublish(e)
		}
		n, err := c.transport.read(r.buffer[:min(len(r.buffer), r.total-read)], c.settings.networkTimeout)
		if err != nil {
			_ = c.readFailed(err)
			return false
		}
		if n == 0 {
			break // and the message counts as received (ESP-RX-17)
		}
		e.Offset += len(e.Data)
		e.Data = r.buffer[:n]
		if !c.kconfig.TopicInAllDataEvents {
			e.Topic = ""
		}
		read += n
		shown := e
		if c.has(FragmentOffsetStuck) {
			shown.Offset = 0
		}
		if read < r.total || !c.has(LastFragmentLost) {
			c.dispatch(shown)
		}
	}
	return answered || c.answerPublish(e)
}

// answerPublish acknowledges a received message as its QoS asks (ESP-RX-20).
func (c *client) answerPublish(e Event) bool {
	var answer []byte
	switch e.QoS {
	case 1:
		id := uint16(e.MessageID)
		if c.has(NoPuback) {
			return true
		}
		if c.has(PubackWrongID) {
			id++
		}
		answer = acknowledgement(typePuback<<4, id)
	case 2:
		answer = acknowledgement(typePubrec<<4, uint16(e.MessageID))
	default:
		return true
	}
	if err := c.send(answer); err != nil {
		c.log('E', "Error write qos msg response, qos = %d", e.QoS)
		c.writeFailed(err)
		return false
	}
	return true
}
