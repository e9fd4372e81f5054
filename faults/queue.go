package faults

import (
	"sync"
	"time"

	"mqtthil/harness/timeline"
)

// queueBytes bounds what waits in one direction, like a socket's buffer: behind that, the sender is held up.
const queueBytes = 64 << 10

// delivery is what one direction of a link carries, in order: packets, bytes that are no packet, and the stream's end.
type delivery struct {
	data   []byte
	at     time.Time        // when it arrived, or when an action let it go on
	exits  []timeline.Event // what the record says when the last byte is handed on
	counts int              // packets in data

	streamed *timeline.Packet // that data is the beginning of, where it is too large to be held and there is a record

	size    int        // bytes of the packet, where data is one or the beginning of one
	actions []Action   // to be done to it
	behind  []delivery // forged, to go right behind it
	manner  split      // in which it is written; the zero value is in one write

	partial bool // data ends inside of a packet: no other packet may go before its rest

	ending Ending // FIN or RST at the end of the stream, then all else is empty
}

// queue is where deliveries wait for their turn. Whoever holds the turn hands on what is next; it is held by who reads the
// source as long as nothing has to wait, and by a goroutine of its own as soon as something has.
type queue struct {
	handOn func() // hands on all that waits, and gives the turn back

	mu      sync.Mutex
	changed sync.Cond // for room and for idleness
	waiting []delivery
	bytes   int
	turn    bool // somebody holds it
	closed  bool
	inside  bool       // what came last ends inside of a packet
	inserts []delivery // for when that packet has ended

	insertBytes int // in inserts
}

// claim takes the turn where it is free and nothing waits for it. What it is taken for may end inside of a packet.
func (q *queue) claim(partial bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.turn || q.closed || len(q.waiting) > 0 {
		return false
	}
	q.turn = true
	q.follow(partial)
	return true
}

// follow takes note of how what came last ends, and has what was waiting for a packet's end come next. The caller holds mu.
func (q *queue) follow(partial bool) {
	if q.inside = partial; partial || len(q.inserts) == 0 {
		return
	}
	for _, d := range q.inserts {
		q.append(d)
	}
	q.inserts, q.insertBytes = nil, 0
}

// giveBack ends the turn, unless there is something to hand on: then it goes to a goroutine that does so. It says whether
// the queue was closed in the meantime.
func (q *queue) giveBack() (closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		go q.handOn()
		return false
	}
	q.free()
	return q.closed
}

// push adds a delivery and waits for room first. It does nothing once the queue is closed. The end of a stream needs no
// room.
func (q *queue) push(d delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(d.data) > 0 && q.bytes > 0 && q.bytes+len(d.data) > queueBytes {
		q.changed.Wait()
	}
	q.append(d)
	q.follow(d.partial)
}

// insertBytes bounds what waits in one direction beside what its source has sent: nobody can be held up for it.
const insertBytes = 4 << 20

// insert adds a packet that the source has not sent now, between two that it sends. It is false where too much waits
// already, because the receiver does not read.
func (q *queue) insert(d delivery) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
	case q.bytes+q.insertBytes > insertBytes || len(q.waiting)+len(q.inserts) > insertBytes/64:
		return false
	case q.inside:
		q.inserts = append(q.inserts, d)
		q.insertBytes += len(d.data)
	default:
		q.append(d)
	}
	return true
}

// add is push for who must not wait.
func (q *queue) add(d delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append(d)
}

// append is for who holds mu.
func (q *queue) append(d delivery) {
	if q.closed {
		return
	}
	q.waiting = append(q.waiting, d)
	q.bytes += len(d.data)
	if !q.turn {
		q.turn = true
		go q.handOn()
	}
}

// next is the next delivery, for who holds the turn; it is false where there is none, and then the turn is over, unless
// the queue is closed: then something is left to do, and leave ends the turn.
func (q *queue) next() (d delivery, ok, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.waiting = nil
		if !q.closed {
			q.free()
		}
		return delivery{}, false, q.closed
	}
	d = q.waiting[0]
	q.waiting[0] = delivery{}
	q.waiting = q.waiting[1:]
	q.bytes -= len(d.data)
	q.changed.Broadcast()
	return d, true, q.closed
}

// leave ends the turn of who has done what is left to do when the queue is closed.
func (q *queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free()
}

// free is for who holds mu.
func (q *queue) free() {
	q.turn = false
	q.changed.Broadcast()
}

// close throws away what waits and lets nobody wait any more. It is false where somebody still holds the turn.
func (q *queue) close() (idle bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.waiting, q.inserts = nil, nil
	q.changed.Broadcast()
	return !q.turn
}

// awaitIdle waits until nobody holds the turn.
func (q *queue) awaitIdle() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.turn {
		q.changed.Wait()
	}
}
