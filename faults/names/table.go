// Package names resolves host names for a device, and fails to where faults say so. It does so in place of the resolver
// of the emulated board, whose network dials by name, and as a DNS server on UDP and TCP, which a real board is told to
// ask:
//
//	table := names.New(recorder)
//	table.Set("broker.bench", "192.168.1.10")
//	armed := table.Add(names.DoesNotExist("broker.bench").Times(2))
//
//	board.Dial = table.Dial(network.DialContext) // the emulated board
//	server, err := table.Serve("192.168.1.10:53") // a real one
//
// A name is the same in capitals and in small letters, and with or without a dot at its end.
package names

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"mqtthil/harness/timeline"
)

// Record is what faults are written to when they strike; a *timeline.Recorder is one.
type Record interface {
	Append(timeline.Event) timeline.Event
}

// Patience is how long a resolver waits for an answer that does not come, where the Table does not say otherwise. It is
// twice the five seconds that resolvers wait before they ask again.
const Patience = 10 * time.Second

// Table is what names stand for. All methods may be called from any goroutine.
type Table struct {
	record Record

	mu        sync.Mutex // never held while anything waits
	patience  time.Duration
	addresses map[string][]string
	armed     []*Armed
}

// New returns an empty Table that writes the faults that strike to a record, which may be nil.
func New(record Record) *Table {
	return &Table{record: record, patience: Patience, addresses: make(map[string][]string)}
}

// Set has a name stand for these addresses, and for none where none is given. A DNS server can only tell those that are
// IP addresses; in a network in memory they may be other names.
func (t *Table) Set(name string, addresses ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addresses[canonical(name)] = slices.Clone(addresses)
}

// SetPatience says how long the emulated board's resolver waits for an answer that does not come.
func (t *Table) SetPatience(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.patience = d
}

// Add arms a fault, also while names are looked up.
func (t *Table) Add(fault Fault) *Armed {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &Armed{table: t, fault: fault, lookups: make(map[string]int), fired: make(map[string]int)}
	t.armed = append(t.armed, a)
	return a
}

// lookup is what comes of looking a name up.
type lookup struct {
	known     bool
	addresses []string
	effect    effect
}

// look looks a name up for a kind of address, each of which counts for itself. The first fault for the name that strikes
// has it.
func (t *Table) look(name, kind string) lookup {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found lookup
	found.addresses, found.known = t.addresses[canonical(name)]
	struck := false
	for _, a := range t.armed {
		if a.fault.name != "" && a.fault.name != canonical(name) {
			continue
		}
		a.lookups[kind]++
		if struck || !a.fault.limit.Allows(a.lookups[kind], a.fired[kind]) {
			continue
		}
		struck = true
		found.effect = a.fault.effect
		a.fired[kind]++
		if t.record != nil {
			t.record.Append(timeline.Event{Kind: timeline.KindFault, Fault: &timeline.Fault{
				Text:   a.String(),
				Action: a.fault.effect.text + ": " + canonical(name),
			}})
		}
	}
	return found
}

// dialKind is the kind of address that dialing asks for: any.
const dialKind = "any"

// Dial is a function such as that of net.Dialer, whose names are those of the Table. A name that is not in the Table and
// an IP address are dialed as they are. A failure to resolve is a *net.DNSError in a *net.OpError, as of package net.
func (t *Table) Dial(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(
	ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil || net.ParseIP(host) != nil {
			return dial(ctx, network, address) // which says what is wrong with it
		}
		found := t.look(host, dialKind)
		fail := func(err error) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Net: network, Err: err} }
		if err := t.suffer(ctx, canonical(host), found.effect); err != nil {
			return fail(err)
		}
		switch {
		case found.effect.address != "":
			otherHost, otherPort := splitOptionalPort(found.effect.address)
			if otherPort == "" {
				otherPort = port
			}
			return dial(ctx, network, net.JoinHostPort(otherHost, otherPort))
		case !found.known:
			return dial(ctx, network, address)
		case len(found.addresses) == 0:
			return fail(&net.DNSError{Err: "no such host", Name: host, IsNotFound: true})
		}
		for _, other := range found.addresses {
			var conn net.Conn
			if conn, err = dial(ctx, network, net.JoinHostPort(other, port)); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
}

// suffer goes through what a fault does to the resolver itself.
func (t *Table) suffer(ctx context.Context, name string, e effect) error {
	t.mu.Lock()
	wait := t.patience
	t.mu.Unlock()
	if !e.silent {
		wait = e.late
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			// As package net has it: a context that is over is a name that could not be resolved in time.
			return &net.DNSError{UnwrapErr: ctx.Err(), Err: ctx.Err().Error(), Name: name,
				IsTimeout: ctx.Err() == context.DeadlineExceeded}
		}
	}
	switch {
	case e.silent:
		return &net.DNSError{Err: "i/o timeout", Name: name, IsTimeout: true, IsTemporary: true}
	case e.missing:
		return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case e.broken:
		return &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	}
	return nil
}

// canonical writes a name in one way.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// splitOptionalPort takes a host with or without a port apart.
func splitOptionalPort(address string) (host, port string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		return host, port
	}
	return address, ""
}
