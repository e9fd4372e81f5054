package emulator

import "sync"

// heap is a board's dynamic memory, as a budget: it counts what is in use, and knows no addresses.
type heap struct {
	mu   sync.Mutex
	size int // bytes; negative: without limit
	used int
}

// left is how many bytes are free.
func (h *heap) left() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.size < 0 {
		return freeMemory
	}
	return h.size - h.used
}

// allocate takes n bytes. It is false, and takes none, where so many are not free.
func (h *heap) allocate(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.size >= 0 && n > h.size-h.used {
		return false
	}
	h.used += n
	return true
}

// free gives back n bytes.
func (h *heap) free(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.used -= n
}

// Allocate is malloc for a message in a client's outbox. Where it fails, the outbox says so on the console.
func (p *power) Allocate(n int) bool {
	if p.heap.allocate(n) {
		return true
	}
	p.log('E', "outbox", "outbox_enqueue(53): Memory exhausted")
	return false
}

// Free gives back what Allocate took.
func (p *power) Free(n int) { p.heap.free(n) }
