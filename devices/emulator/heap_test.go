package emulator

import (
	"fmt"
	"math"
	"strings"
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
	if !endless.allocate(math.MaxInt) {
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
		if !p.Allocate(4000) || p.Allocate(1001) {
			t.Error("the budget is another one")
		}
		b.expect("E (0) outbox: outbox_enqueue(53): Memory exhausted\r\n")
		if err := b.Restart(); err != nil {
			t.Fatal(err)
		}
		free()
	})
}

// TestOutboxOutgrowsHeap: messages that wait for a connection take memory until there is none; expired ones give it back.
func TestOutboxOutgrowsHeap(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Heap: 2500})
		b.expect(prompt)
		b.initializes()
		publish := func() string { return b.command("publish t x 1000 1 0 0") }
		for range 2 {
			if got := publish(); !strings.Contains(got, "Publish requested") {
				t.Fatalf("with memory left: %q", got)
			}
		}
		if got := publish(); !strings.Contains(got, "Publish failed, msg_id=-1") || !strings.Contains(got, "Memory exhausted") {
			t.Errorf("without memory left: %q", got)
		}
		b.types("start\n")
		conn := b.accepts()
		b.sends(conn, 0x20, 2, 0, 0)
		b.expect("MQTT_EVENT_DELETED, msg_id=") // nobody acknowledges: both expire
		b.expect("MQTT_EVENT_DELETED, msg_id=")
		b.expect("Other event id:8\r\n")
		if got := publish(); !strings.Contains(got, "Publish requested") {
			t.Errorf("after the messages have expired: %q", got)
		}
	})
}
