package espmqtt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestUserEvent: an event of the application is handled as it is, in the next turn of the task (ESP-EVT-12, ESP-TASK-05).
func TestUserEvent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		queue int
		fit   int           // events that the queue takes
		wait  time.Duration // until the task's next turn
		all   time.Duration // until all have been handled
	}{
		"a queue for one":   {1, 1, time.Second, time.Second},
		"none is one":       {0, 1, time.Second, time.Second},
		"a queue for three": {3, 3, time.Second, time.Second + 20*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{kconfig: func(k *Kconfig) { k.EventQueueSize = test.queue }}, func(r *rig) {
				r.send("3004 0001 74 71") // a turn of the task, from which its next wait counts
				r.happened()
				for i := range test.fit {
					e := Event{ID: EventData, MessageID: 7, Data: []byte{byte('0' + i)}}
					if err := r.DispatchCustomEvent(e); err != nil {
						t.Fatal(err)
					}
				}
				if err := r.DispatchCustomEvent(Event{}); !errors.Is(err, ErrTimeout) {
					t.Errorf("one more than fits: %v", err)
				}
				r.happens("")
				time.Sleep(test.wait - 20*time.Millisecond)
				r.happens("")
				time.Sleep(40 * time.Millisecond)
				synctest.Wait()
				r.mu.Lock()
				first := r.events[0]
				r.mu.Unlock()
				if first.ID != EventUser || first.MessageID != 7 {
					t.Errorf("the event is %+v", first)
				}
				time.Sleep(test.all - test.wait)
				var want []string
				for i := range test.fit {
					want = append(want, fmt.Sprintf("user(%d)", i))
				}
				r.happens(strings.Join(want, " "))
			})
		})
	}
}

// TestUserEventWhileWaiting: with a queue for several, an application's event shortens the wait between two connections.
func TestUserEventWhileWaiting(t *testing.T) {
	t.Parallel()
	options := options{
		config:  func(c *Config) { c.Network.ReconnectTimeout = 60000 },
		kconfig: func(k *Kconfig) { k.EventQueueSize = 4 },
		handler: func(r *rig, e Event) {
			if e.ID == EventDisconnected {
				for _, text := range []string{"a", "b", "c"} {
					_ = e.Client.DispatchCustomEvent(Event{Data: []byte(text)})
				}
			}
		},
	}
	inRig(t, options, func(r *rig) {
		_ = r.conn.Close()
		time.Sleep(1500 * time.Millisecond)
		r.happens("before connected error(1,8008) disconnected user(a) user(b) user(c)")
	})
}

// TestUserEventInFragments: in a queue for several, an event of the application that is put there while a message comes in
// lets the events of the client fall behind, and what they point to is no longer what it was (ESP-EVT-14).
func TestUserEventInFragments(t *testing.T) {
	t.Parallel()
	for _, without := range [][]Quirk{nil, {QuirkCustomEvents}} {
		var got []string
		options := options{
			config:    func(c *Config) { c.Buffer.Size, c.Buffer.OutSize = 64, 128 },
			kconfig:   func(k *Kconfig) { k.EventQueueSize = 4 },
			behaviour: Behaviour{Without: without},
			handler: func(r *rig, e Event) {
				switch e.ID {
				case EventData:
					got = append(got, fmt.Sprintf("%d@%d:%c", len(e.Data), e.Offset, e.Data[0]))
					if e.Offset == 0 {
						_ = e.Client.DispatchCustomEvent(Event{})
					}
				case EventUser:
					got = append(got, "user")
				}
			},
		}
		inRig(t, options, func(r *rig) {
			// 56 bytes of a, 64 of b, 64 of c.
			r.send("32bd01 0001 74 0007" + strings.Repeat("61", 56) + strings.Repeat("62", 64) + strings.Repeat("63", 64))
			time.Sleep(3 * time.Second)
		})
		want := "56@0:a user 64@56:c 64@120:c"
		if without != nil {
			want = "56@0:a 64@56:b 64@120:c user"
		}
		if strings.Join(got, " ") != want {
			t.Errorf("without %v: %s, not %s", without, got, want)
		}
	}
}

// TestUserEventDeadlock: in a queue for one, an event of the application that is there when the client has one of its own
// stops the task for ever, with the lock held (ESP-EVT-13). Only the loss of power ends that.
func TestUserEventDeadlock(t *testing.T) {
	t.Parallel()
	handler := func(r *rig, e Event) {
		if e.ID == EventConnected {
			_ = e.Client.DispatchCustomEvent(Event{})
		}
	}
	inRig(t, options{handler: handler}, func(r *rig) {
		r.happens("before connected")
		time.Sleep(2 * time.Second)
		r.happens("user()") // nothing came between, so all is well
	})
	handler = func(r *rig, e Event) {
		if e.ID == EventError {
			_ = e.Client.DispatchCustomEvent(Event{})
		}
	}
	inRig(t, options{handler: handler}, func(r *rig) {
		_ = r.conn.Close()
		time.Sleep(time.Minute)
		r.happens("before connected error(1,8008)") // DISCONNECTED waits for ever
		asked := make(chan State)
		go func() { asked <- r.State() }()
		select {
		case got := <-asked:
			t.Errorf("the lock is free: %v", got)
		case <-time.After(time.Hour):
		}
		r.PowerOff()
		<-asked
	})
}
