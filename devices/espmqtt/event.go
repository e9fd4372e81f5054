package espmqtt

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

// Event is what a handler gets: esp_mqtt_event_t, with the fields that its id has set.
type Event struct {
	Client *Client // for calls from within the handler; it must not be kept
	ID     EventID

	MessageID      int
	Topic          string // of Data; empty in all fragments but the first
	Data           []byte // valid only during the call
	TotalLength    int    // of Data: bytes of the whole message
	Offset         int    // of Data: where this fragment begins
	QoS            byte
	Retain, DUP    bool
	SessionPresent bool
	Error          ErrorHandle
}

// ErrorType is esp_mqtt_error_type_t.
type ErrorType int

// The error types, by their number in C.
const (
	ErrorNone ErrorType = iota
	ErrorTCPTransport
	ErrorConnectionRefused
	ErrorSubscribeFailed
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

// dispatch calls the handler in the calling task, with the lock held (ESP-EVT-10).
func (c *client) dispatch(e Event) {
	if c.dead() || c.handler == nil {
		return
	}
	e.Client = &Client{client: c, inHandler: true}
	c.handler(e)
}

// dispatchTransportError posts the ERROR event of a failed transport; err may be nil where the protocol failed and not
// the transport, then all codes are 0.
func (c *client) dispatchTransportError(err error) {
	handle := ErrorHandle{Type: ErrorTCPTransport}
	if err != nil {
		handle.TLSLastError, handle.SocketErrno = transportCodes(err)
	}
	c.dispatch(Event{ID: EventError, Error: handle})
}
