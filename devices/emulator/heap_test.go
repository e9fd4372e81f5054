package emulator

import (
	"fmt"
	"testing"
)

func TestHeap(t *testing.T) {
	t.Parallel()
	h := heap{size: 100}
	for _, step := range []struct {
		allocate, free int
		ok             bool
		left           int
	}{
		{allocate: 60, ok: true, left: 40}, {allocate: 41, left: 40}, {allocate: 40, ok: true, left: 0},
		{allocate: 0, ok: true}, {allocate: 1, left: 0}, {free: 60, left: 60}, {allocate: 60, ok: true},
	} {
		if step.free > 0 {
			h.free(step.free)
		} else if ok := h.allocate(step.allocate); ok != step.ok {
			t.Errorf("%+v: %v", step, ok)
		}
		if left := h.left(); left != step.left {
			t.Errorf("%+v: %d are left", step, left)
		}
	}
	endless := heap{size: -1}
	if !endless.allocate(1 << 40) {
		t.Error("a heap without limit has one")
	}
}

// TestBoardHeap: the application names what is free, a message that does not fit is refused with the outbox's line, and
// a reset gives all back.
func TestBoardHeap(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Heap: 5000})
		free := func() { b.expect(fmt.Sprintf("[APP] Free memory: %d bytes\r\n", 5000)); b.expect(prompt) }
		free()
		p := b.running()
		if !p.allocate(4000) || p.allocate(1001) {
			t.Error("the budget is another one")
		}
		b.expect("E (0) outbox: outbox_enqueue(53): Memory exhausted\r\n")
		if err := b.Restart(); err != nil {
			t.Fatal(err)
		}
		free()
	})
}
