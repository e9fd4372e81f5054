package espmqtt

import (
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

// TestLateness: what the machine is late by does not add up from one poll to the next, nor over the wait to reconnect.
func TestLateness(t *testing.T) {
	const polls, lateness = 10, time.Millisecond
	inRig(t, options{stay: true}, func(r *rig) {
		start := time.Now()
		for range polls {
			r.poll(lateTransport{lateness: lateness})
		}
		if took, want := time.Since(start), polls*ownPoll+lateness; took != want {
			t.Errorf("%d polls took %v, not %v", polls, took, want)
		}
		if r.late != lateness {
			t.Errorf("the last poll was late by %v, not %v", r.late, lateness)
		}
		r.sleepTicks(10*time.Millisecond, false)
		if r.late != 0 {
			t.Errorf("a wait that ended on time was late by %v", r.late)
		}
	})
}

// ownPoll is what a poll takes where the machine is on time.
const ownPoll = time.Second + time.Second/pollExcess + loopCost

// TestGreatLateness: a poll that is very late makes those behind it shorter, until that is made good, but none shorter than
// the set time.
func TestGreatLateness(t *testing.T) {
	inRig(t, options{stay: true}, func(r *rig) {
		start := time.Now()
		r.poll(lateTransport{lateness: 3 * time.Millisecond})
		for i := range 5 {
			before := time.Now()
			r.poll(lateTransport{})
			if took := time.Since(before); took < time.Second || i < 2 && took != time.Second {
				t.Errorf("poll %d took %v", i, took)
			}
		}
		if took := time.Since(start); took != 6*ownPoll {
			t.Errorf("six polls took %v, not %v", took, 6*ownPoll)
		}
		r.poll(lateTransport{lateness: time.Minute}) // as where the machine was asleep
		for range makeGood {
			r.poll(lateTransport{})
		}
		start = time.Now()
		if r.poll(lateTransport{}); time.Since(start) != ownPoll {
			t.Errorf("a long time behind a very late poll, one took %v, not %v", time.Since(start), ownPoll)
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
