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
	data    []byte
	arrived time.Time

	packet *timeline.Packet // nil for bytes that are no packet
	action action           // what to do to the packet; nil to hand it on
	reason string           // why the bytes are no packet

	ending Ending // FIN or RST at the end of the stream, then all else is empty
}

// queue is where deliveries wait for their turn. Its two ends are on different goroutines, so that a delivery that is
// held back does not keep the proxy from noticing what arrives behind it.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	waiting []delivery
	bytes   int
	closed  bool
}

func newQueue() *queue {
	q := &queue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// push waits until there is room. It does nothing once the queue is closed. The end of a stream needs no room.
func (q *queue) push(d delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(d.data) > 0 && q.bytes > 0 && q.bytes+len(d.data) > queueBytes {
		q.changed.Wait()
	}
	if q.closed {
		return
	}
	q.waiting = append(q.waiting, d)
	q.bytes += len(d.data)
	q.changed.Broadcast()
}

// pop waits for the next delivery. It returns false once the queue is closed.
func (q *queue) pop() (delivery, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(q.waiting) == 0 {
		q.changed.Wait()
	}
	if q.closed {
		return delivery{}, false
	}
	d := q.waiting[0]
	q.waiting[0] = delivery{}
	q.waiting = q.waiting[1:]
	q.bytes -= len(d.data)
	q.changed.Broadcast()
	return d, true
}

// close throws away what waits and lets nobody wait any more.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.waiting = nil
	q.changed.Broadcast()
}
