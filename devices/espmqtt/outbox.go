package espmqtt

import "slices"

// ItemState is pending_state_t.
type ItemState int

// The states, by their number in C.
const (
	Queued ItemState = iota
	Transmitted
	Acknowledged // QoS 2: PUBREC came, PUBREL is to be repeated
)

// Item is a packet in the outbox. The client changes all of it but the identifier, the type and the QoS; an outbox need
// not look at anything.
type Item struct {
	ID    uint16
	Type  byte // of the packet: 3 is PUBLISH, 8 SUBSCRIBE, 10 UNSUBSCRIBE
	QoS   int  // of a PUBLISH
	State ItemState
	Since int64  // insertion or first transmission, whichever was last, in ms since the client was made (ESP-OUTBOX-01)
	Data  []byte // the whole packet

	// sentOn is the number of the connection on which it, or its PUBREL, was last sent; 0 before the first time. The real
	// client does not know.
	sentOn int
}

// Outbox is where the client keeps what it may have to send later: the outbox_* functions of C. An application whose build
// has MQTT_CUSTOM_OUTBOX brings one of its own, and all that is said of the outbox then holds as far as that one keeps it
// (ESP-OUTBOX-22). Its methods are called by one task at a time.
type Outbox interface {
	// Add takes an item. Where it is false, the call that sends the packet fails.
	Add(*Item) bool
	// Items lists the items: what is to be sent, or sent again, first comes first. The client does not change the list,
	// and does not keep it.
	Items() []*Item
	// Expired is an item that is to be given up now, in ms as Item.Since, and nil where there is none. Limit is how old an
	// item of the client's own outbox may become, in ms. Items for which spare holds are not to be given up.
	Expired(now, limit int64, spare func(*Item) bool) *Item
	// Remove takes out an item that is done with, or expired.
	Remove(*Item)
	// Clear takes out all of them. The client's task does that when it ends (ESP-TASK-16).
	Clear()
	// Size is what the client holds against the limit of the outbox, in bytes (ESP-OUTBOX-20).
	Size() int
}

// Memory is the heap of a board, as far as the outbox takes of it.
type Memory interface {
	Allocate(bytes int) bool // false, and takes nothing, where there is not so much
	Free(bytes int)
}

// list is the client's own outbox: a list in the order of insertion; items never move.
type list struct {
	memory Memory // nil: without end
	items  []*Item
	size   int // bytes of all items
}

// NewOutbox makes the outbox that a client has by default, for an application's own to build on. Memory may be nil.
func NewOutbox(memory Memory) Outbox { return &list{memory: memory} }

func (l *list) Add(it *Item) bool {
	if l.memory != nil && !l.memory.Allocate(len(it.Data)) {
		return false
	}
	l.items = append(l.items, it)
	l.size += len(it.Data)
	return true
}

func (l *list) Items() []*Item { return l.items }

// Expired is the oldest item that has been there for more than limit, whatever its state (ESP-OUTBOX-15).
func (l *list) Expired(now, limit int64, spare func(*Item) bool) *Item {
	for _, it := range l.items {
		if now-it.Since > limit && !spare(it) {
			return it
		}
	}
	return nil
}

func (l *list) Remove(gone *Item) {
	i := slices.Index(l.items, gone)
	if i < 0 {
		return
	}
	l.items = slices.Delete(l.items, i, i+1)
	l.free(len(gone.Data))
}

func (l *list) Clear() {
	l.items = nil
	l.free(l.size)
}

func (l *list) Size() int { return l.size }

func (l *list) free(bytes int) {
	l.size -= bytes
	if l.memory != nil {
		l.memory.Free(bytes)
	}
}

// outbox is the client's view of its Outbox.
type outbox struct{ Outbox }

// first is the oldest item in a state, or nil.
func (o outbox) first(state ItemState) *Item {
	for _, it := range o.Items() {
		if it.State == state {
			return it
		}
	}
	return nil
}

// get is the oldest item with that identifier, whatever it is, or nil (ESP-PID-04).
func (o outbox) get(id uint16) *Item {
	for _, it := range o.Items() {
		if it.ID == id {
			return it
		}
	}
	return nil
}

// take removes the oldest item with that identifier and packet type. It says whether there was one.
func (o outbox) take(id uint16, kind byte) bool {
	for _, it := range o.Items() {
		if it.ID == id && it.Type == kind {
			o.Remove(it)
			return true
		}
	}
	return false
}

// all lists the items in a state for which a condition holds.
func (o outbox) all(state ItemState, holds func(*Item) bool) (found []*Item) {
	for _, it := range o.Items() {
		if it.State == state && holds(it) {
			found = append(found, it)
		}
	}
	return found
}

// full says whether all identifiers that there are may be in use.
func (o outbox) full() bool { return len(o.Items()) >= 65534 }
