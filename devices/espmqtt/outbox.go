package espmqtt

import (
	"slices"
	"time"
)

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
	qos   byte
	state itemState
	since time.Time // insertion or first transmission, whichever was last (ESP-OUTBOX-01)
	data  []byte    // the whole packet
}

// outbox is a list in the order of insertion; items never move.
type outbox struct {
	items []*item
}

func (o *outbox) add(it *item) { o.items = append(o.items, it) }

// first is the oldest item in a state, or nil.
func (o *outbox) first(state itemState) *item {
	for _, it := range o.items {
		if it.state == state {
			return it
		}
	}
	return nil
}

// find is the oldest item with that identifier and packet type, or nil.
func (o *outbox) find(id uint16, kind byte) *item {
	for _, it := range o.items {
		if it.id == id && it.kind == kind {
			return it
		}
	}
	return nil
}

func (o *outbox) remove(gone *item) {
	o.items = slices.DeleteFunc(o.items, func(it *item) bool { return it == gone })
}

// expire takes out every item that is older than limit, whatever its state (ESP-OUTBOX-15), and returns them.
func (o *outbox) expire(now time.Time, limit time.Duration) (gone []*item) {
	o.items = slices.DeleteFunc(o.items, func(it *item) bool {
		if now.Sub(it.since) <= limit {
			return false
		}
		gone = append(gone, it)
		return true
	})
	return gone
}

// size is the number of bytes of all items (ESP-OUTBOX-20).
func (o *outbox) size() int {
	n := 0
	for _, it := range o.items {
		n += len(it.data)
	}
	return n
}

func (o *outbox) clear() { o.items = nil }
