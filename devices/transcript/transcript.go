// Package transcript plays recorded cases against the emulated board and compares what it does with what the real
// client did.
//
// A transcript is a case and a trace. The case says how the client is configured, how a scripted broker answers and
// what happens when; the trace is what was seen on the wire and on the console when the real esp-mqtt went through it.
// Play goes through the same case with the emulated board, Difference finds the first place where the two part.
package transcript

import (
	"encoding/json"
	"fmt"
	"os"
)

// Transcript is a case and the trace of a client that went through it.
type Transcript struct {
	Case  Case  `json:"case"`
	Trace []Row `json:"trace"`
}

// Case is the script: for the client, for the broker and for the console.
type Case struct {
	Name  string `json:"name"`
	About string `json:"about"`
	// Client is the mqtt_config for init. ${HOST}, ${PORT} and "${PORT_NUMBER}" in it stand for the broker's address.
	Client json.RawMessage `json:"client"`
	// Config holds blobs for the command config, before the start.
	Config       []json.RawMessage          `json:"config"`
	Rules        []Rule                     `json:"rules"`
	Steps        []Step                     `json:"steps"`
	Transport    string                     `json:"transport"` // ws, or empty for plain TCP
	WSAnswer     *string                    `json:"ws_answer"` // instead of the broker's answer to an upgrade; may be empty
	RefuseUntil  int                        `json:"refuse_until_ms"`
	Kconfig      map[string]json.RawMessage `json:"kconfig"`
	Milliseconds int                        `json:"run_ms"`
}

// Rule is an exception from the broker's default replies.
type Rule struct {
	On   string   `json:"on"`   // packet type
	Nth  int      `json:"nth"`  // only the n-th of its type
	From int      `json:"from"` // only from the n-th of its type on
	To   int      `json:"to"`   // only up to the n-th of its type
	Conn int      `json:"conn"` // only on the n-th connection
	Do   []Action `json:"do"`
}

// Action is something that the broker does. Of its fields, those that are set are done in the order given here.
type Action struct {
	Wait    int      `json:"wait_ms"`
	Send    string   `json:"send"` // hexadecimal; {id} stands for the identifier of the packet that is answered
	Publish *Publish `json:"publish"`
	Frame   *int     `json:"frame"` // opcode of a WebSocket frame
	Hex     string   `json:"hex"`   // its payload
	Reply   string   `json:"reply"` // default
	Close   string   `json:"close"` // fin, rst, or half for the sending side alone
	Listen  *bool    `json:"listen"`
	Chunk   int      `json:"chunk"` // Send and Publish go out in pieces of so many bytes,
	Gap     int      `json:"gap_ms"`
}

// Publish is a PUBLISH that the broker sends.
type Publish struct {
	Topic      string  `json:"topic"`
	QoS        byte    `json:"qos"`
	ID         uint16  `json:"id"`
	DUP        byte    `json:"dup"`
	Retain     byte    `json:"retain"`
	Payload    Payload `json:"payload"`
	Properties string  `json:"props"` // of MQTT 5.0, hexadecimal
}

// Payload is a text; in JSON it is either that or a pattern and how often it is repeated.
type Payload string

// UnmarshalJSON reads both ways of writing a payload.
func (p *Payload) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*p = Payload(text)
		return nil
	}
	var repeated struct {
		Pattern     string `json:"pattern"`
		Repetitions int    `json:"reps"`
	}
	if err := json.Unmarshal(data, &repeated); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if n := repeated.Repetitions; n < 0 || n*len(repeated.Pattern) > payloadLimit {
		return fmt.Errorf("payload: %d repetitions of %d bytes; at most %d bytes are taken", n, len(repeated.Pattern), payloadLimit)
	}
	for range repeated.Repetitions {
		*p += Payload(repeated.Pattern)
	}
	return nil
}

// payloadLimit bounds a payload, in bytes.
const payloadLimit = 1 << 20

// Step is an Action, a console command, a blob for the command config or an mqtt_config for the command init, at a time
// after the start.
type Step struct {
	At      int             `json:"at_ms"`
	Command string          `json:"cmd"`
	Config  json.RawMessage `json:"config"`
	Init    json.RawMessage `json:"init"`
	Action
}

// Kinds of rows.
const (
	kindCommand        = "command"
	kindEvent          = "event"
	kindAccept         = "accept"
	kindClosedByDevice = "closed_by_device"
	kindResetByDevice  = "reset_by_device"
	kindClosedByBroker = "closed_by_broker"
	kindUpgrade        = "upgrade"
	kindFrame          = "frame"
	kindSentFrame      = "rx_frame"
	kindFromDevice     = "tx"
	kindToDevice       = "rx"
)

// Row is a line of a trace. Which fields are set depends on Kind.
type Row struct {
	At     int    `json:"t_ms"` // since the start of the client
	Kind   string `json:"kind"`
	Conn   int    `json:"conn,omitempty"` // number of the connection, from 1
	Text   string `json:"text,omitempty"`
	Packet string `json:"packet,omitempty"` // packet type
	Hex    string `json:"hex,omitempty"`    // a packet, or
	Head   string `json:"head,omitempty"`   // the beginning of a long one,
	Length int    `json:"len,omitempty"`    // its length (also of a frame's payload)
	Sum    string `json:"crc32,omitempty"`  // and its CRC-32
	How    string `json:"how,omitempty"`
	Opcode int    `json:"opcode,omitempty"`
	FIN    int    `json:"fin,omitempty"`
	Masked bool   `json:"masked,omitempty"`
}

// Read reads a transcript from a file.
func Read(file string) (*Transcript, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t := new(Transcript)
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}
