package espmqtt

import (
	"errors"
	"io"
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

	// Of MQTT 5.0.
	ReasonCode     int
	UserProperties []UserProperty // of this packet alone
	Properties     EventProperties
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

// UserProperty is a pair of texts.
type UserProperty struct{ Key, Value string }

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

// dispatch calls the handler with the event as it now is, in the calling task and with the lock held (ESP-EVT-10).
func (c *client) dispatch(id EventID) {
	c.event.ID, c.event.Protocol = id, c.settings.protocol
	if !c.dead() && c.handler != nil {
		e := c.event
		e.Client = &Client{client: c, inHandler: true}
		c.handler(e)
	}
	c.event.UserProperties = nil
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
