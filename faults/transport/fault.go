package transport

import (
	"mqtthil/faults/internal/limit"
	"mqtthil/harness/timeline"
)

// Fault is something that goes wrong in a transport. Make one with the functions of this package, and arm it with
// Front.Add. A Fault is a value and can be added more than once; each Armed counts for itself.
type Fault struct {
	kind  kind
	limit limit.Limit
}

// kind is what a Fault does. Each has a file of its own. It is a handshakeKind, a frameKind or both.
type kind interface {
	// String says it in words, such as: expired certificate.
	String() string
	// needs says which transport it is a fault of.
	needs() layer
}

// handshakeKind is a fault that is prepared before a connection's handshake.
type handshakeKind interface {
	kind
	// prepare changes the plan of a connection. What it puts there asks the chance before it does anything.
	prepare(*plan, *chance)
}

// layer is one of the protocols above TCP.
type layer string

const (
	layerTLS       layer = "TLS"
	layerWebSocket layer = "WebSocket"
)

// Nth has the fault strike the n-th connection alone, counted from when the fault was added.
func (f Fault) Nth(n int) Fault {
	f.limit = f.limit.Nth(n)
	return f
}

// From has the fault strike the n-th connection and those behind it, counted from when the fault was added.
func (f Fault) From(n int) Fault {
	f.limit = f.limit.From(n)
	return f
}

// Times has the fault strike n connections and leave alone those behind them.
func (f Fault) Times(n int) Fault {
	f.limit = f.limit.Times(n)
	return f
}

// String says the fault in words, such as: expired certificate, 2 times.
func (f Fault) String() string {
	return f.kind.String() + f.limit.Text("connection")
}

// Armed is a fault at work in a Front.
type Armed struct {
	front  *Front
	fault  Fault
	number int

	// Guarded by the front.
	connections int // accepted since the fault was added
	fired       int
	removed     bool
}

// Number is the fault's number in the Front, counted from 1.
func (a *Armed) Number() int { return a.number }

// Fired returns how many connections the fault has struck.
func (a *Armed) Fired() int {
	a.front.mu.Lock()
	defer a.front.mu.Unlock()
	return a.fired
}

// Remove takes the fault out. What it did to a handshake stays; frames it leaves alone from now on.
func (a *Armed) Remove() {
	a.front.mu.Lock()
	defer a.front.mu.Unlock()
	a.removed = true
	a.front.forget(a)
}

// String says the fault in words.
func (a *Armed) String() string { return a.fault.String() }

// chance is a fault's chance to strike one connection.
type chance struct {
	armed  *Armed
	number int  // of the connection in the record
	count  int  // which connection it is for the fault, from 1; 0: it was there before the fault
	struck bool // guarded by the front
}

// may says whether the fault would strike, for what has to be prepared for that.
func (c *chance) may() bool {
	f := c.armed.front
	f.mu.Lock()
	defer f.mu.Unlock()
	return c.struck || c.allowed()
}

// allowed says whether the fault may strike. The caller holds the front's mu.
func (c *chance) allowed() bool {
	return !c.armed.removed && c.armed.fault.limit.Allows(c.count, c.armed.fired)
}

// strike says whether the fault strikes. It is asked at the very moment of the effect, so that a connection that ends
// before that does not count. A fault that has struck a connection keeps it: only the first time counts.
func (c *chance) strike() bool {
	f := c.armed.front
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.struck || !c.allowed() {
		return c.struck
	}
	c.struck = true
	c.armed.fired++
	if f.options.Record != nil {
		f.options.Record.Append(timeline.Event{Kind: timeline.KindFault, Conn: c.number, Fault: &timeline.Fault{
			Text:   c.armed.String(),
			Action: c.armed.fault.kind.String(),
		}})
	}
	return true
}
