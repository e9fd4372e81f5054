package devices

import "mqtthil/harness/timeline"

// Dialect is the language of a console: how a request is typed, and what the lines mean that the console prints.
type Dialect interface {
	// Prompt is what the console prints when it waits for a command. It has no line end.
	Prompt() string
	// Command is the line to type for a request, without its end.
	Command(Request) (string, error)
	// Parse reads a line; it is false for one that tells no event. The first thing that the board says after a reset
	// is an event named Boot.
	Parse(line string) (timeline.Device, bool)
	// Answer says whether the event ends the request, and with which result. The event Prompt says that the command has
	// ended, whatever it has printed.
	Answer(Request, timeline.Device) (Result, bool)
}

// Action is what a Request asks of the device's client.
type Action string

// The actions.
const (
	ActionInit        Action = "init"
	ActionStart       Action = "start"
	ActionStop        Action = "stop"
	ActionDisconnect  Action = "disconnect"
	ActionReconnect   Action = "reconnect"
	ActionDestroy     Action = "destroy"
	ActionSubscribe   Action = "subscribe"
	ActionUnsubscribe Action = "unsubscribe"
	ActionPublish     Action = "publish"
)

// Request is one command to the device, with the fields that its Action needs.
type Request struct {
	Action  Action
	Config  Config // init
	Topic   string // subscribe, unsubscribe: the filter
	Payload string
	QoS     QoS
	Retain  bool
	Enqueue bool // publish: by the call that stores the message for the client's task
}

// Result is how the device answered a request.
type Result struct {
	OK       bool
	PacketID int    // of a message that was sent or stored
	Text     string // what the device said
}
