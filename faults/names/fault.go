package names

import (
	"fmt"
	"slices"
	"time"

	"mqtthil/faults/internal/limit"
)

// Fault is something that goes wrong when a name is looked up; the empty name stands for every one. A Fault is a value
// and can be added more than once; each Armed counts for itself.
type Fault struct {
	name   string
	effect effect
	limit  limit.Limit
}

// effect is what a fault does to a lookup; the zero value is nothing.
type effect struct {
	text    string
	missing bool          // the answer is that there is no such name
	broken  bool          // the answer is that the server has failed
	silent  bool          // there is no answer
	late    time.Duration // the answer comes so much later
	address string        // the answer is another, with or without a port
}

// DoesNotExist answers that there is no such name (NXDOMAIN).
func DoesNotExist(name string) Fault {
	return fault(name, effect{text: "does not exist", missing: true})
}

// ServerFails answers that the server has failed (SERVFAIL).
func ServerFails(name string) Fault {
	return fault(name, effect{text: "server failure", broken: true})
}

// NoAnswer does not answer.
func NoAnswer(name string) Fault {
	return fault(name, effect{text: "no answer", silent: true})
}

// Late answers so much later.
func Late(name string, by time.Duration) Fault {
	if by <= 0 {
		panic(fmt.Sprintf("names: Late by %s: late is later than that", by))
	}
	return fault(name, effect{text: fmt.Sprintf("resolves %s late", by), late: by})
}

// Elsewhere answers with another address, such as one where nobody listens. To the emulated board it may be host:port; a
// DNS server can tell no port, and tells the address alone.
func Elsewhere(name, address string) Fault {
	return fault(name, effect{text: "resolves to " + address, address: address})
}

func fault(name string, e effect) Fault { return Fault{name: canonical(name), effect: e} }

// Nth has the fault strike the n-th lookup of its name alone, counted from when the fault was added.
//
// In DNS, lookups are counted by the kind of the address, IPv4 or IPv6, for one lookup of a device may ask for both. A
// question that a device asks again counts again.
func (f Fault) Nth(n int) Fault {
	f.limit = f.limit.Nth(n)
	return f
}

// From has the fault strike the n-th lookup and those behind it, counted from when the fault was added.
func (f Fault) From(n int) Fault {
	f.limit = f.limit.From(n)
	return f
}

// Times has the fault strike n lookups and leave alone those behind them.
func (f Fault) Times(n int) Fault {
	f.limit = f.limit.Times(n)
	return f
}

// String says the fault in words, such as: broker.bench does not exist, 2 times.
func (f Fault) String() string {
	name := f.name
	if name == "" {
		name = "every name"
	}
	return fmt.Sprintf("%s: %s%s", name, f.effect.text, f.limit.Text("lookup"))
}

// Armed is a fault at work in a Table.
type Armed struct {
	table *Table
	fault Fault

	// By the kind of the address; guarded by the table.
	lookups map[string]int // of its name, since the fault was added
	fired   map[string]int
}

// Fired returns how many lookups the fault has struck.
func (a *Armed) Fired() int {
	a.table.mu.Lock()
	defer a.table.mu.Unlock()
	most := 0
	for _, fired := range a.fired {
		most = max(most, fired)
	}
	return most
}

// Remove takes the fault out.
func (a *Armed) Remove() {
	a.table.mu.Lock()
	defer a.table.mu.Unlock()
	a.table.armed = slices.DeleteFunc(a.table.armed, func(other *Armed) bool { return other == a })
}

// String says the fault in words.
func (a *Armed) String() string { return a.fault.String() }
