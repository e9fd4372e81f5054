package espmqtt

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// EventID is esp_mqtt_event_id_t.
type EventID int

// The events, by their number in C.
const (
	EventError EventID = iota
	EventConnected
	EventDisconnected
	EventSubscribed
	EventUnsubscribed
	EventPublished
	EventData
	EventBeforeConnect
	EventDeleted
	EventUser // of the application, by DispatchCustomEvent
)

// Event is what a handler gets: esp_mqtt_event_t. The client has one such struct and fills in for an event what concerns
// it; all other fields still say what earlier events have left in them (ESP-EVT-01), and an application that prints them
// prints that.
type Event struct {
	Client   *Client // for calls from within the handler; it must not be kept
	ID       EventID
	Protocol ProtocolVersion

	MessageID      int
	Topic          string // of Data; empty in all fragments but the first
	Data           []byte // a part of the input buffer, whose bytes change when the next packet comes
	TotalLength    int    // of Data: bytes of the whole message
	Offset         int    // of Data: where this fragment begins
	QoS            byte
	Retain, DUP    bool
	SessionPresent bool
	Error          ErrorHandle

	// Of MQTT 5.0. They are there where the client was made for it, whatever its version is by now.
	V5             bool
	ReasonCode     int
	UserProperties UserProperties // of this packet alone
	Properties     EventProperties

	topic []byte // where Topic lies in the input buffer; see dispatch
	short int    // by how much data_len is below zero
}

// DataLength is data_len: the length of Data, but for a message whose properties reach beyond the input buffer. There it is
// negative, and Data is what happens to lie where it points to, up to a NUL (ESP-QRK-34).
func (e *Event) DataLength() int {
	if e.short > 0 {
		return -e.short
	}
	return len(e.Data)
}

// EventProperties are the properties of a received PUBLISH.
type EventProperties struct {
	PayloadFormatIndicator bool
	ContentType            []byte
	ResponseTopic          []byte
	CorrelationData        []byte
	SubscriptionID         uint16 // the last one, and no more than its low 16 bits (ESP-QRK-51)
	SubscriptionIDs        []int  // all of them; empty but without that quirk
}

// ErrorType is esp_mqtt_error_type_t.
type ErrorType int

// The error types, by their number in C.
const (
	ErrorNone ErrorType = iota
	ErrorTCPTransport
	ErrorConnectionRefused
	ErrorSubscribeFailed
	// ErrorRejected is what a client without ESP-QRK-13 reports for a failure code in an acknowledgement.
	ErrorRejected
)

// ErrorHandle is esp_mqtt_error_codes_t.
type ErrorHandle struct {
	Type              ErrorType
	ConnectReturnCode byte
	TLSLastError      int // esp_tls_last_esp_err
	TLSStackError     int
	CertificateFlags  int
	SocketErrno       int
}

// The client's events, and those of the application, go through one queue, from which they are handled in the task that
// posts or runs it (ESP-EVT-10). An event of the client's own is posted and the queue run for one event. So long as the
// application has nothing in the queue, that is the same one; otherwise it is the application's, and the client's own has
// to wait for somebody to run the queue again. By then the buffers that it points to may hold something else (ESP-EVT-14).
// In a queue for one event it has no room, and the task waits for ever for somebody to make some (ESP-EVT-13).

// DispatchCustomEvent is esp_mqtt_dispatch_custom_event: it puts an event of the application into the queue, for the
// client's task to handle it with its next turn (ESP-EVT-12). The handler gets it as it is, but for its Client, and with
// the ID EventUser. It waits for nothing: with no room in the queue it fails with ErrTimeout.
func (c *Client) DispatchCustomEvent(e Event) error {
	e.ID = EventUser
	if c.has(UserEventLost) {
		return nil
	}
	if c.misconfigured() {
		return errNoPower
	}
	select {
	case c.events <- e:
		if cap(c.events) > 1 {
			c.custom.Add(1)
		}
		return nil
	default:
		return fmt.Errorf("no room in a queue for %d events: %w", cap(c.events), ErrTimeout)
	}
}

// dispatch posts the event as it now is, and runs the queue, in the calling task and with the lock held (ESP-EVT-10).
func (c *client) dispatch(id EventID) {
	c.event.ID, c.event.Protocol = id, c.settings.protocol
	if c.event.topic = nil; id == EventData {
		c.event.topic = c.topicInBuffer()
	}
	if !c.does(QuirkCustomEvents) {
		c.handle(c.event)
	} else if c.post(c.event) {
		c.runQueue()
	}
	if c.isV5() && !c.unprepared() {
		c.event.UserProperties = nil
	}
}

// post puts an event into the queue, and waits for room. It is false where the power went instead.
func (c *client) post(e Event) bool {
	if c.dead() {
		return false
	}
	select {
	case c.events <- e:
		return true
	case <-c.power:
		return false
	}
}

// runQueue handles the first event in the queue, if there is one.
func (c *client) runQueue() {
	select {
	case e := <-c.events:
		c.handle(e)
	default:
	}
}

// runCustomEvents is how a turn of the task begins: it runs the queue once. With a queue for several events it does so only
// for those of the application, which it counts.
func (c *client) runCustomEvents() {
	if cap(c.events) > 1 {
		if c.custom.Load() == 0 {
			return
		}
		c.custom.Add(-1)
	}
	c.runQueue()
}

// hurried is a time to wait, or a short one where an event of the application waits and the build has a queue for several
// (ESP-TASK-05).
func (c *client) hurried(wait, short time.Duration) time.Duration {
	if cap(c.events) > 1 && c.custom.Load() > 0 && !c.has(UserEventHurryMissing) {
		return short
	}
	return wait
}

// handle calls the handler. What an event of the client's own does not hold but points to, it sees as it is by now.
func (c *client) handle(e Event) {
	if e.ID != EventUser {
		e.Error, e.Properties, e.UserProperties = c.event.Error, c.event.Properties, c.event.UserProperties
		if e.topic != nil {
			e.Topic = string(e.topic)
		}
	}
	if !c.dead() && c.handler != nil && !c.deaf.Load() {
		e.Client = &Client{client: c, inHandler: true}
		c.handler(e)
	}
}

// topicInBuffer is where the topic of the event lies in the input buffer; nil where it lies elsewhere, or is none.
func (c *client) topicInBuffer() []byte {
	r, topic := &c.receiver, c.event.Topic
	start := r.header + 2
	if topic == "" || c.kconfig.TopicInAllDataEvents || start+len(topic) > len(r.buffer) {
		return nil
	}
	if there := r.buffer[start : start+len(topic)]; string(there) == topic {
		return there
	}
	return nil
}

// dispatchTransportError posts the ERROR event of a failed transport; err may be nil where the protocol failed and not
// the transport, then all codes are 0.
func (c *client) dispatchTransportError(err error) {
	c.event.Error = ErrorHandle{Type: ErrorTCPTransport}
	c.event.ReasonCode = 0
	if err != nil {
		c.event.Error = transportCodes(err)
	}
	switch {
	case c.has(EndNotReported) && errors.Is(err, io.EOF):
		return
	case c.has(ErrorCodesLost):
		c.event.Error = ErrorHandle{Type: ErrorTCPTransport}
	}
	c.dispatch(EventError)
}

// dispatchRejection posts the ERROR event of a request that the broker did not take. The real client posts none.
func (c *client) dispatchRejection() {
	c.event.Error = ErrorHandle{Type: ErrorRejected}
	c.dispatch(EventError)
}

// dispatchRefusal posts the ERROR event of a refused connection. The errno of an earlier error stays (ESP-CACK-05).
func (c *client) dispatchRefusal(code byte) {
	c.event.Error = ErrorHandle{
		Type:              ErrorConnectionRefused,
		ConnectReturnCode: code,
		SocketErrno:       c.event.Error.SocketErrno,
	}
	if c.has(RefusalCodeLost) {
		c.event.Error.ConnectReturnCode = 0
	}
	if c.has(RefusalWithoutError) {
		return
	}
	c.dispatch(EventError)
}
