// Package timeline is the one record of a scenario: every part of the bench appends what it saw, in order, on one
// monotonic clock. Matchers and judges read the record in memory, reports read it from disk, where it is written as
// JSON lines while the scenario runs.
//
// The package knows no other part of mqtthil and needs only the standard library, so that anything can write to a
// record and anything can read one.
package timeline

import "time"

// Kind says what an Event tells; it decides which of the Event's fields are set.
type Kind string

// The kinds of events. Beside each: the fields that are set, apart from Seq, At and Kind.
const (
	KindScenario Kind = "scenario" // Scenario: the first event of every record
	KindVerdict  Kind = "verdict"  // Verdict: the last event; a record without one was cut off

	KindStep    Kind = "step"    // Text: what the scenario does next, in the words of a test plan
	KindCheck   Kind = "check"   // Check: an assertion of the scenario and its result
	KindFinding Kind = "finding" // Finding: what a judge holds against the device
	KindHarness Kind = "harness" // Text: something the harness itself has to say (an error, a dump)

	KindConsoleIn  Kind = "console-in"   // Data: bytes that came from the device's console
	KindConsoleOut Kind = "console-out"  // Data: bytes that were typed into the device's console
	KindLine       Kind = "console-line" // Text: one whole line of the device's console, without its line end
	KindDevice     Kind = "device"       // Device: an event that the device reported on its console
	KindReset      Kind = "reset"        // Text: why: the board was reset by the bench, or said that it was

	KindOpen   Kind = "open"   // Conn, Point: a connection was accepted (device side) or made (broker side)
	KindClose  Kind = "close"  // Conn, Point, Text: that side of the connection ended; Text is fin, rst or another cause
	KindPacket Kind = "packet" // Conn, Point, Packet
	KindRaw    Kind = "raw"    // Conn, Point, Data, Text: bytes that are no MQTT packet, and why
	KindRule   Kind = "rule"   // Fault: a fault rule was armed, or Action tells what else became of it: removed, release
	KindFault  Kind = "fault"  // Conn, Fault: an action of a fault rule, or of the bench on the link
	KindBroker Kind = "broker" // Broker: a hook of the broker
)

// Point is the place at which traffic was seen. The proxy stands between device and broker and sees each packet
// twice, as it came in and as it went out; a packet that a fault swallowed has only the first.
type Point string

// The four places, in the words of the device's engineer.
const (
	LeftDevice    Point = "left-device"    // arrived at the proxy from the device
	ReachedBroker Point = "reached-broker" // handed to the broker by the proxy
	LeftBroker    Point = "left-broker"    // arrived at the proxy from the broker
	ReachedDevice Point = "reached-device" // handed to the device by the proxy
)

// Event is one entry of the record.
type Event struct {
	Seq  int           `json:"seq"` // position in the record, from 0
	At   time.Duration `json:"at"`  // nanoseconds since the record began
	Kind Kind          `json:"kind"`

	Text  string `json:"text,omitempty"`
	Data  []byte `json:"data,omitempty"`
	Conn  int    `json:"conn,omitempty"` // number of the connection through the proxy, from 1
	Point Point  `json:"point,omitempty"`

	Packet   *Packet   `json:"packet,omitempty"`
	Device   *Device   `json:"device,omitempty"`
	Broker   *Broker   `json:"broker,omitempty"`
	Fault    *Fault    `json:"fault,omitempty"`
	Check    *Check    `json:"check,omitempty"`
	Finding  *Finding  `json:"finding,omitempty"`
	Scenario *Scenario `json:"scenario,omitempty"`
	Verdict  *Verdict  `json:"verdict,omitempty"`
}

// Device is an event of the MQTT client that the device printed on its console.
type Device struct {
	Name   string            `json:"name"`             // such as MQTT_EVENT_PUBLISHED
	Fields map[string]string `json:"fields,omitempty"` // such as msg_id: 4711
	Reply  bool              `json:"reply,omitempty"`  // what the console said to a command, no event of the client
}

// Broker is one call of a broker hook.
type Broker struct {
	Hook    string `json:"hook"` // such as session-established, will-sent, message
	Client  string `json:"client,omitempty"`
	Topic   string `json:"topic,omitempty"`
	QoS     byte   `json:"qos,omitempty"`
	Retain  bool   `json:"retain,omitempty"`
	ID      uint16 `json:"id,omitempty"` // packet identifier, where the hook concerns one
	Payload []byte `json:"payload,omitempty"`
	Text    string `json:"text,omitempty"` // the rest: a cause of disconnection, a refusal
}

// Fault is one action of a fault rule, or of the bench on the link itself (then Rule is 0).
type Fault struct {
	Rule   int    `json:"rule"`             // number of the rule in the scenario, from 1
	Text   string `json:"text"`             // the rule, readable
	Action string `json:"action"`           // what was done, such as drop, delay 2s, cut rst
	Packet int    `json:"packet,omitempty"` // Seq of the packet event that the rule matched

	// What it takes to do the same again: where the packet came in, its number in its direction on its connection, from 1,
	// and what was done, in the form of a rule file, with what chance has decided.
	Point Point  `json:"point,omitempty"`
	Nth   int    `json:"nth,omitempty"`
	Do    string `json:"do,omitempty"`
}

// Check is an assertion of a scenario.
type Check struct {
	Text    string `json:"text"` // what must hold, in words
	Passed  bool   `json:"passed"`
	Message string `json:"message,omitempty"` // why it did not hold
	Events  []int  `json:"events,omitempty"`  // Seq of the events that the check looked at and that tell the story
}

// Finding is what a judge holds against the device: one requirement, broken at one place of the record.
type Finding struct {
	Judge       string `json:"judge"`
	Requirement string `json:"requirement"` // id, such as MQTT-3.3.1-1
	Profile     string `json:"profile"`     // the profile that the requirement belongs to
	Text        string `json:"text"`
	Events      []int  `json:"events,omitempty"`    // Seq of the events that show it, the decisive one last
	Deviation   string `json:"deviation,omitempty"` // set where it is a known deviation: which and why
}

// Scenario says what was run. It opens the record.
type Scenario struct {
	Name     string            `json:"name"` // full text, containers first
	Topic    string            `json:"topic,omitempty"`
	Labels   []string          `json:"labels,omitempty"`
	Covers   []string          `json:"covers,omitempty"` // ids of the requirements
	Location string            `json:"location,omitempty"`
	Started  time.Time         `json:"started"` // wall clock
	Settings map[string]string `json:"settings,omitempty"`
}

// Owner is whose fault a failed scenario is.
type Owner string

// The owners of a verdict.
const (
	OwnerDevice         Owner = "device"         // the device broke a requirement
	OwnerHarness        Owner = "harness"        // mqtthil itself failed: a deadlock, a leak, a fault that never fired
	OwnerInfrastructure Owner = "infrastructure" // no port, no process, a full disk
	OwnerBoard          Owner = "board"          // the board's health: brownout, unwanted reboot
)

// Status is the result of a scenario.
type Status string

// The results.
const (
	Passed      Status = "passed"
	Failed      Status = "failed"
	Skipped     Status = "skipped"
	Interrupted Status = "interrupted"
	Recorded    Status = "recorded" // there was nothing to judge, as with a proxy that ran alone
)

// Verdict is the result of a scenario and closes the record.
type Verdict struct {
	Status  Status        `json:"status"`
	Owner   Owner         `json:"owner,omitempty"`   // set where Status is failed
	Message string        `json:"message,omitempty"` // the decisive reason, one or more lines
	Wall    time.Duration `json:"wall,omitempty"`    // what the scenario took on the wall clock
	Events  []int         `json:"events,omitempty"`  // Seq of the events that decided it
}
