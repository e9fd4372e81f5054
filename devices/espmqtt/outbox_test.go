package espmqtt

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// shelf is an outbox of an application: it holds a few items, throws the oldest out for a new one, hands out the newest
// first, lets nothing expire, and keeps its items over the end of the client's task.
type shelf struct {
	room  int
	items []*Item // the newest first
}

func (s *shelf) Add(it *Item) bool {
	s.items = slices.Insert(s.items, 0, it)
	s.items = s.items[:min(s.room, len(s.items))]
	return s.room > 0
}

func (s *shelf) Items() []*Item { return s.items }

func (s *shelf) Expired(int64, int64, func(*Item) bool) *Item { return nil }

func (s *shelf) Remove(gone *Item) {
	s.items = slices.DeleteFunc(s.items, func(it *Item) bool { return it == gone })
}

func (s *shelf) Clear() {}

func (s *shelf) Size() int { return 1000 * len(s.items) }

// TestCustomOutbox: the rules of the outbox follow the application's (ESP-OUTBOX-22).
func TestCustomOutbox(t *testing.T) {
	t.Parallel()
	own := &shelf{room: 3}
	slow := func(c *Config) { c.Session.MessageRetransmitTimeout = 20000 }
	inRig(t, options{stay: true, config: slow, outbox: func() Outbox { return own }}, func(r *rig) {
		for _, topic := range []string{"a", "b", "c", "d"} {
			if id := r.Enqueue(topic, nil, 1, false, true); id <= 0 {
				t.Fatalf("%s: %d", topic, id)
			}
		}
		if got := r.OutboxSize(); got != 3000 {
			t.Errorf("its size is %d", got)
		}
		time.Sleep(time.Hour) // in which nothing expires
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		r.accept("")
		for _, want := range []string{"3205 0001 64 0004", "3205 0001 63 0003", "3205 0001 62 0002"} { // not a
			r.expect(want)
		}
		r.send("40020004")
		r.send("40020001")
		r.happens("before connected published(4)")

		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		r.expect("e000")
		if len(own.items) != 2 {
			t.Errorf("after the stop there are %d items", len(own.items))
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		r.accept("")
		r.expect("3a05 0001 63 0003") // in flight since before the stop
	})

	// What is left goes to the next client, whose clock begins anew.
	for _, it := range own.items {
		it.Since = 0
	}
	inRig(t, options{stay: true, outbox: func() Outbox { return own }}, func(r *rig) {
		if got := r.OutboxSize(); got != 2000 {
			t.Errorf("the next client's outbox has the size %d", got)
		}
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		r.accept("")
		r.expect("3a05 0001 63 0003")
	})

	// A limit counts what the outbox says its size is.
	limited := options{stay: true, outbox: func() Outbox { return own }, config: func(c *Config) { c.Outbox.Limit = 1999 }}
	inRig(t, limited, func(r *rig) {
		if got := r.Publish("t", nil, 1, false); got != OutboxFull {
			t.Errorf("publishing into a full outbox: %d", got)
		}
	})

	inRig(t, options{outbox: func() Outbox { return &shelf{} }}, func(r *rig) {
		for what, got := range map[string]int{
			"publish":   r.Publish("t", nil, 1, false),
			"enqueue":   r.Enqueue("t", nil, 0, false, true),
			"subscribe": r.Subscribe("t", 0),
		} {
			if got != Failure {
				t.Errorf("%s with an outbox that takes nothing: %d", what, got)
			}
		}
	})
}

// TestNoCustomOutbox: a build without an outbox of its own needs an application that brings one.
func TestNoCustomOutbox(t *testing.T) {
	t.Parallel()
	if _, err := newClient(Config{}, func(k *Kconfig) { k.CustomOutbox = true }); !errors.Is(err, ErrNoOutbox) {
		t.Errorf("without an outbox: %v", err)
	}
}
