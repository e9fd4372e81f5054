package espmqtt

import "slices"

// itemState is pending_state_t.
type itemState int

const (
	queued itemState = iota
	transmitted
	acknowledged // QoS 2: PUBREC came, PUBREL is to be repeated
)

// item is a packet in the outbox.
type item struct {
	id    uint16
	kind  byte // packet type
	qos   int
	state itemState
	since int64  // insertion or first transmission, whichever was last, in ms since boot (ESP-OUTBOX-01)
	data  []byte // the whole packet
	// sentOn is the number of the connection on which it, or its PUBREL, was last sent; 0 before the first time. The real
	// client does not know.
	sentOn int
}

// Memory is the heap of a board, as far as the outbox takes of it.
type Memory interface {
	Allocate(bytes int) bool // false, and takes nothing, where there is not so much
	Free(bytes int)
}

// outbox is a list in the order of insertion; items never move.
type outbox struct {
	memory Memory // nil: without end
	items  []*item
	size   int // bytes of all items (ESP-OUTBOX-20)
}

// add appends an item. It is false where the board has no memory for it.
func (o *outbox) add(it *item) bool {
	if o.memory != nil && !o.memory.Allocate(len(it.data)) {
		return false
	}
	o.items = append(o.items, it)
	o.size += len(it.data)
	return true
}

// first is the oldest item in a state, or nil.
func (o *outbox) first(state itemState) *item {
	for _, it := range o.items {
		if it.state == state {
			return it
		}
	}
	return nil
}

// get is the oldest item with that identifier, whatever it is, or nil (ESP-PID-04).
func (o *outbox) get(id uint16) *item {
	for _, it := range o.items {
		if it.id == id {
			return it
		}
	}
	return nil
}

// take removes the oldest item with that identifier and packet type. It says whether there was one.
func (o *outbox) take(id uint16, kind byte) bool {
	for _, it := range o.items {
		if it.id == id && it.kind == kind {
			o.remove(it)
			return true
		}
	}
	return false
}

func (o *outbox) remove(gone *item) {
	o.items = slices.DeleteFunc(o.items, func(it *item) bool { return it == gone })
	o.free(len(gone.data))
}

func (o *outbox) free(bytes int) {
	o.size -= bytes
	if o.memory != nil {
		o.memory.Free(bytes)
	}
}

// all lists the items in a state for which a condition holds.
func (o *outbox) all(state itemState, holds func(*item) bool) (found []*item) {
	for _, it := range o.items {
		if it.state == state && holds(it) {
			found = append(found, it)
		}
	}
	return found
}

// expired is the oldest item that has been there for more than limit, whatever its state, or nil (ESP-OUTBOX-15). Items
// that spare says are kept.
func (o *outbox) expired(now, limit int64, spare func(*item) bool) *item {
	for _, it := range o.items {
		if now-it.since > limit && !spare(it) {
			return it
		}
	}
	return nil
}

// full says whether all identifiers that there are may be in use.
func (o *outbox) full() bool { return len(o.items) >= 65534 }

func (o *outbox) clear() {
	o.items = nil
	o.free(o.size)
}
