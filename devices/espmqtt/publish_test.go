package espmqtt

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFragments holds the sizes of the client's writes against those of the real one.
func TestFragments(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		buffer, payload, qos int
		want                 []int
	}{
		"just fits, QoS 0":  {1024, 1016, 0, []int{1022}},
		"just fits, QoS 1":  {1024, 1014, 1, []int{1022}},
		"one over, QoS 0":   {1024, 1017, 0, []int{1022, 1}},
		"one over, QoS 1":   {1024, 1015, 1, []int{1022, 1}},
		"three pieces":      {1024, 3000, 1, []int{1022, 1024, 962}},
		"small buffer":      {64, 300, 0, []int{62, 64, 64, 64, 52}},
		"length of 1 byte":  {64, 60, 0, []int{61, 4}},
		"length of 3 bytes": {1024, 20000, 0, append(append([]int{1023}, slices.Repeat([]int{1024}, 18)...), 552)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{config: func(c *Config) { c.Buffer.OutSize = test.buffer }}, func(r *rig) {
				r.written()
				payload := bytes.Repeat([]byte("0123456789abcdef!"), test.payload/17+1)[:test.payload]
				if id := r.Publish("t", payload, test.qos, false); id != test.qos {
					t.Fatalf("Publish returned %d", id)
				}
				if got := r.written(); !slices.Equal(got, test.want) {
					t.Errorf("writes of %v bytes, not %v", got, test.want)
				}
				if got := r.packet(); !bytes.HasSuffix(got, payload) {
					t.Errorf("the payload arrived changed")
				}
			})
		})
	}
}

// TestOutboxSendsWhole is the other way: what comes from the outbox goes out in a single write.
func TestOutboxSendsWhole(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: func(c *Config) { c.Buffer.OutSize = 64 }}, func(r *rig) {
		r.written()
		if id := r.Enqueue("t", bytes.Repeat([]byte("x"), 300), 1, false, true); id != 1 {
			t.Fatalf("Enqueue returned %d", id)
		}
		r.packet()
		if got := r.written(); !slices.Equal(got, []int{308}) {
			t.Errorf("writes of %v bytes, not of 308", got)
		}
	})
}

// TestStaleFragment is the bytes that the client sends twice after a message that was too large has been stored.
func TestStaleFragment(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: func(c *Config) { c.Buffer.OutSize = 128 }}, func(r *rig) {
		r.Enqueue(strings.Repeat("o", 60), bytes.Repeat([]byte("x"), 400), 1, false, true)
		r.packet()
		r.written()
		r.Publish("t", []byte("12345678901234567890"), 0, false)
		if got := r.written(); !slices.Equal(got, []int{25, 59}) {
			t.Errorf("writes of %v bytes, not 25 and 59", got)
		}
		r.Publish("t", []byte("12345678901234567890"), 0, false)
		if got := r.written(); !slices.Equal(got, []int{25}) {
			t.Errorf("and then writes of %v bytes, not of 25", got)
		}
	})
}

// TestStaleFragmentOfNothing: with no payload there is nothing that could be sent twice, and the client crashes.
func TestStaleFragmentOfNothing(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: func(c *Config) { c.Buffer.OutSize = 128 }}, func(r *rig) {
		r.Enqueue(strings.Repeat("o", 60), bytes.Repeat([]byte("x"), 400), 1, false, true)
		r.packet()
		r.written()
		if id := r.Publish("t", nil, 0, false); id != Failure || !r.dead() {
			t.Errorf("Publish returned %d, and the board runs: %v", id, !r.dead())
		}
		if got := r.written(); !slices.Equal(got, []int{5}) {
			t.Errorf("writes of %v bytes, not of 5", got)
		}
	})
}

func TestPublishReturns(t *testing.T) {
	t.Parallel()
	limited := func(c *Config) { c.Outbox.Limit = 50; c.Buffer.OutSize = 64 }
	inRig(t, options{config: limited}, func(r *rig) {
		for _, step := range []struct {
			what      string
			got, want int
		}{
			{"QoS 0", r.Publish("t", nil, 0, false), 0},
			{"no topic", r.Publish("", nil, 1, false), Failure},
			{"topic too long", r.Publish(strings.Repeat("t", 58), nil, 0, false), Failure},
			{"topic just fits", r.Publish(strings.Repeat("t", 57), nil, 0, false), 0},
			{"payload of the limit", r.Publish("t", make([]byte, 50), 1, false), 1},
			{"outbox full", r.Publish("t", []byte("x"), 1, false), OutboxFull},
			{"QoS 0 is not counted", r.Publish("t", []byte("x"), 0, false), 0},
			{"but for an enqueued one", r.Enqueue("t", []byte("x"), 0, false, false), OutboxFull},
			{"subscribe, outbox above", r.Subscribe("f", 0), OutboxFull},
			{"unsubscribe is not limited", r.Unsubscribe("f"), 2},
		} {
			if step.got != step.want {
				t.Errorf("%s: %d, not %d", step.what, step.got, step.want)
			}
		}
		if got := r.OutboxSize(); got != 57+7 {
			t.Errorf("outbox of %d bytes, not 64", got)
		}
	})
	inRig(t, options{stay: true}, func(r *rig) {
		if got := r.Publish("t", nil, 0, false); got != Failure {
			t.Errorf("QoS 0 before the start: %d", got)
		}
		if got := r.Enqueue("t", nil, 0, false, true); got != 0 {
			t.Errorf("QoS 0 stored before the start: %d", got)
		}
		if got := r.Subscribe("f", 0); got != Failure {
			t.Errorf("subscribe before the start: %d", got)
		}
	})
	inRig(t, options{stay: true, kconfig: func(k *Kconfig) { k.SkipPublishIfDisconnected = true }}, func(r *rig) {
		if got := r.Publish("t", nil, 1, false); got != Failure || r.OutboxSize() != 0 {
			t.Errorf("QoS 1 skipped: %d, and %d bytes in the outbox", got, r.OutboxSize())
		}
	})
}

// TestStop: the call lasts until the task has looked, and the outbox is lost with it.
func TestStop(t *testing.T) {
	t.Parallel()
	inRig(t, options{}, func(r *rig) {
		r.Publish("t", nil, 1, false)
		r.packet()
		began := time.Now()
		if err := r.Stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 900*time.Millisecond || took > 1100*time.Millisecond {
			t.Errorf("Stop took %v, not a poll", took)
		}
		r.expect("e000")
		if r.OutboxSize() != 0 || r.State() != Disconnected {
			t.Errorf("%d bytes in the outbox, state %v", r.OutboxSize(), r.State())
		}
		r.happens("before connected")
	})
}

// TestPowerOff: nothing is closed, nothing is posted, and nothing keeps running.
func TestPowerOff(t *testing.T) {
	t.Parallel()
	inRig(t, options{}, func(r *rig) {
		r.PowerOff()
		_ = r.conn.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := r.conn.Read(make([]byte, 1)); n != 0 || err == nil || !strings.Contains(err.Error(), "timeout") {
			t.Errorf("the broker read %d bytes: %v", n, err)
		}
		r.happens("before connected")
		synctest.Wait()
	})
}
