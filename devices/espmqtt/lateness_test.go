package espmqtt

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// lateTransport is a transport on a machine that ends each wait too late.
type lateTransport struct {
	transport
	lateness time.Duration
}

func (l lateTransport) poll(wait time.Duration) bool {
	if wait > 0 {
		time.Sleep(wait + l.lateness)
	}
	return false
}

// TestLateness: what the machine is late by does not add up from one poll to the next, nor over the wait to reconnect, and
// the client's clock does not show it.
func TestLateness(t *testing.T) {
	const polls, lateness = 10, 3 * time.Millisecond
	inRig(t, options{stay: true}, func(r *rig) {
		start, before := time.Now(), r.sinceBoot()
		for i := range polls {
			r.poll(lateTransport{lateness: lateness})
			if passed := r.sinceBoot() - before; passed != time.Duration(i+1)*ownPoll {
				t.Errorf("after %d polls the clock has gone on by %v, not by %v each", i+1, passed, ownPoll)
			}
		}
		if took, want := time.Since(start), polls*ownPoll+lateness; took != want {
			t.Errorf("%d polls took %v, not %v", polls, took, want)
		}
		r.sleepTicks(10*time.Millisecond, false)
		if late := r.late.Load(); late != 0 {
			t.Errorf("a wait that ended on time was late by %d ns", late)
		}
	})
}

// ownPoll is what a poll takes where the machine is on time.
const ownPoll = time.Second + time.Second/pollExcess + loopCost

// TestGreatLateness: where the machine was asleep for long, one short poll makes good for all that can be.
func TestGreatLateness(t *testing.T) {
	inRig(t, options{stay: true}, func(r *rig) {
		r.poll(lateTransport{lateness: time.Minute})
		for _, want := range []time.Duration{ownPoll - time.Second, ownPoll} {
			start := time.Now()
			if r.poll(lateTransport{}); time.Since(start) != want {
				t.Errorf("the poll took %v, not %v", time.Since(start), want)
			}
		}
	})
}

// TestClock: the client counts from the board's boot, and its ticks do too.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boot := time.Now()
		time.Sleep(1234 * time.Millisecond)
		client, err := New(Config{}, DefaultKconfig(), Environment{Boot: boot}, Behaviour{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if now := client.now(); now != 1235 {
			t.Errorf("1234 ms after the boot, the clock that began with 1 shows %d", now)
		}
		client.sleepTicks(50*time.Millisecond, false)
		if passed, want := time.Since(boot), schedulerStart+1270*time.Millisecond; passed != want {
			t.Errorf("five ticks of 10 ms, counted from the one that runs, ended at %v, not %v", passed, want)
		}
	})
}

// lateTimer is a timer that ends too late.
type lateTimer struct{ Timer }

func (t lateTimer) Reset(d time.Duration) { t.Timer.Reset(d + 700*time.Microsecond) }

// TestOwnTimers: what the task waits for ends when the timer does that its environment has made.
func TestOwnTimers(t *testing.T) {
	for name, test := range map[string]struct {
		newTimer func() Timer
		late     time.Duration
	}{
		"Go's":  {nil, 0},
		"other": {func() Timer { return lateTimer{NewTimer()} }, 700 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, options{stay: true, newTimer: test.newTimer}, func(r *rig) {
				expect := func(wait string, want time.Duration, do func()) {
					t.Helper()
					start := time.Now()
					do()
					if took := time.Since(start); took != want+test.late {
						t.Errorf("%s took %v, not %v", wait, took, want+test.late)
					}
				}
				time.Sleep(time.Until(r.boot.Add(schedulerStart + 10*time.Second))) // a tick
				expect("a wait of two ticks", 20*time.Millisecond, func() { r.sleepTicks(20*time.Millisecond, false) })
				r.isLate(0)
				r.port = 1883
				transport, err := r.open()
				if err != nil {
					t.Fatal(err)
				}
				defer transport.close()
				expect("a poll", ownPoll, func() { r.poll(transport) })
			})
		})
	}
}

// TestRepeatedAfterAPoll: a message that is sent when a packet has woken the task is sent again after one poll, not after two,
// wherever between two ms of the clock that was.
func TestRepeatedAfterAPoll(t *testing.T) {
	inRig(t, options{}, func(r *rig) {
		for i := range 20 {
			time.Sleep(300*time.Millisecond + time.Duration(i)*50*time.Microsecond)
			id := r.Enqueue("t", nil, 1, false, true)
			r.send("d000")
			r.expect("32 05 0001 74 xxxx")
			start := time.Now()
			r.expect("3a 05 0001 74 xxxx")
			if took := time.Since(start); took > 1500*time.Millisecond {
				t.Errorf("message %d was sent again after %v", i, took)
			}
			r.send(fmt.Sprintf("4002%04x", id))
		}
	})
}
