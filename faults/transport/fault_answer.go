package transport

import (
	"fmt"
	"net/http"
)

// WrongAccept has the server answer the upgrade with a Sec-WebSocket-Accept that belongs to another key.
func WrongAccept() Fault {
	return Fault{kind: answerKind{"wrong Sec-WebSocket-Accept", func(a *answer) {
		a.set(acceptField, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	}}}
}

// NoAccept has the server answer the upgrade without Sec-WebSocket-Accept.
func NoAccept() Fault {
	return Fault{kind: answerKind{"no Sec-WebSocket-Accept", func(a *answer) { a.set(acceptField, "") }}}
}

// NoSubprotocol has the server answer the upgrade without agreeing to a subprotocol.
func NoSubprotocol() Fault {
	return Fault{kind: answerKind{"no subprotocol", func(a *answer) { a.set(protocolField, "") }}}
}

// Subprotocol has the server answer the upgrade with a subprotocol that may be another than mqtt.
func Subprotocol(name string) Fault {
	return Fault{kind: answerKind{fmt.Sprintf("subprotocol %q", name), func(a *answer) { a.set(protocolField, name) }}}
}

// Status has the server answer the upgrade with another HTTP status than 101, and end the connection.
func Status(code int) Fault {
	return statusFault(code, "")
}

// Redirect has the server answer the upgrade with 302 and the place that the device is to go to instead.
func Redirect(location string) Fault {
	return statusFault(http.StatusFound, location)
}

const (
	acceptField   = "Sec-WebSocket-Accept"
	protocolField = "Sec-WebSocket-Protocol"
)

func statusFault(code int, location string) Fault {
	if code < 100 || code > 999 {
		panic(fmt.Sprintf("transport: HTTP status %d: it has three digits", code))
	}
	text := fmt.Sprintf("HTTP status %d", code)
	if location != "" {
		text += " to " + location
	}
	return Fault{kind: answerKind{text, func(a *answer) {
		a.status = fmt.Sprintf("%d %s", code, http.StatusText(code))
		a.fields = [][2]string{{"Content-Length", "0"}, {"Connection", "close"}}
		a.set("Location", location)
		a.refusal = fmt.Errorf("fault: %s", text)
	}}}
}

type answerKind struct {
	text   string
	change func(*answer)
}

func (k answerKind) String() string { return k.text }
func (answerKind) needs() layer     { return layerWebSocket }

func (k answerKind) prepare(p *plan, c *chance) {
	p.answers = append(p.answers, func(a *answer) {
		if c.strike() {
			k.change(a)
		}
	})
}
