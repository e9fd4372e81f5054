package devices

import "mqtthil/harness/timeline"

// Dialect is the language of a console.
type Dialect interface {
	// Talk begins to talk to a device. What the language has to say by itself, beside the requests, is given to typing, a
	// line without its end; that never waits, and may be called from any goroutine until Close.
	Talk(typing func(line string)) Talk
}

// Talk is what is said on one device's console: how a request is typed, and what the lines mean that the console prints.
// One goroutine reads the lines, another one makes the requests.
type Talk interface {
	// Prompt is what the console prints when it waits for a command, without a line end; empty where it prints none.
	Prompt() string
	// Awaited says in words by what the console tells that it waits for a command, and why it may not do so.
	Awaited() (what, hint string)
	// Nudge is a line that makes a console which waits for a command say so once more, whatever stands typed on it.
	Nudge() string
	// Command is the line to type for a request, without its end.
	Command(Request) (string, error)
	// Parse reads a line, and gives the events that it tells. The first thing that the board says after a reset is an event
	// named Boot; the event Prompt says that the console waits for a command.
	Parse(line string) []timeline.Device
	// Answer says whether the event ends the request, and with which result. The event Prompt says that the command has
	// ended, whatever it has printed.
	Answer(Request, timeline.Device) (Result, bool)
	// Close ends what goes on by itself.
	Close()
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
