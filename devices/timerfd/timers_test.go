package timerfd

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// timers are new ones, as long as the test runs.
func timers(t testing.TB) *Timers {
	timers, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = timers.Close() })
	return timers
}

// over waits for a timer.
func over(timers *Timers, d time.Duration) {
	timer := timers.New()
	timer.Reset(d)
	<-timer.C()
}

// TestEnd: many timers at once, started in any order and some of them stopped, each end once, and none before its time but
// those that need not wait.
func TestEnd(t *testing.T) {
	timers := timers(t)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			timer := timers.New()
			for range 10 {
				d := time.Duration(rand.Int64N(int64(5 * time.Millisecond)))
				timer.Reset(time.Hour)
				if rand.IntN(2) == 0 {
					timer.Stop()
				}
				start := time.Now()
				timer.Reset(d)
				if end := <-timer.C(); end.Sub(start) < d && d >= shortest {
					t.Errorf("a timer of %v ended after %v", d, end.Sub(start))
				}
			}
		})
	}
	all.Wait()
	if n := len(timers.running); n != 0 {
		t.Errorf("%d timers are still running", n)
	}
	timer := timers.New()
	timer.Reset(shortest - 1)
	select {
	case <-timer.C():
	default:
		t.Error("a timer that need not wait waits")
	}
}

// TestOrder: of timers that were started in any order, and some of them stopped, the first to end is the one that is waited for.
func TestOrder(t *testing.T) {
	timers := timers(t)
	var started []*Timer
	for i := range 50 {
		timer := timers.New()
		timer.Reset(time.Duration(1+i*37%50) * time.Minute)
		started = append(started, timer)
	}
	rand.Shuffle(len(started), func(i, j int) { started[i], started[j] = started[j], started[i] })
	for _, timer := range started {
		first := slices.MinFunc(timers.running, func(a, b *Timer) int { return a.end.Compare(b.end) })
		if timers.running[0] != first {
			t.Fatalf("of %d timers, it waits for one that is not the first", len(timers.running))
		}
		timer.Stop()
	}
}

// TestStopAndReset: a timer that is stopped does not end, what has ended leaves nothing behind, and one that is started anew
// goes by the new time only.
func TestStopAndReset(t *testing.T) {
	timers := timers(t)
	over := func(d time.Duration) { over(timers, d) }
	for name, act := range map[string]func(*Timer){
		"stopped while it runs": func(timer *Timer) {
			timer.Reset(time.Millisecond)
			timer.Stop()
		},
		"stopped after its end": func(timer *Timer) {
			timer.Reset(shortest)
			over(time.Millisecond)
			timer.Stop()
		},
		"stopped twice": func(timer *Timer) {
			timer.Reset(time.Millisecond)
			timer.Stop()
			timer.Stop()
		},
		"a longer time while it runs": func(timer *Timer) {
			timer.Reset(time.Millisecond)
			timer.Reset(time.Hour)
		},
		"a longer time after its end": func(timer *Timer) {
			timer.Reset(shortest)
			over(time.Millisecond)
			timer.Reset(time.Hour)
		},
	} {
		timer := timers.New()
		act(timer)
		over(3 * time.Millisecond)
		select {
		case <-timer.C():
			t.Errorf("%s: it ended", name)
		default:
		}
	}
	timer := timers.New()
	timer.Reset(time.Hour)
	timer.Reset(time.Millisecond)
	<-timer.C()
}

// TestClose: closing ends what waits for the file; a timer that is started afterwards does not end, and nothing breaks.
func TestClose(t *testing.T) {
	others := timers(t)
	timers, err := New()
	if err != nil {
		t.Fatal(err)
	}
	timer := timers.New()
	timer.Reset(time.Millisecond)
	if err := timers.Close(); err != nil {
		t.Error(err)
	}
	timer.Reset(time.Millisecond)
	over(others, 3*time.Millisecond)
	select {
	case <-timer.C():
		t.Error("it ended")
	default:
	}
	timer.Stop()
	if err := timers.Close(); err == nil {
		t.Error("closed twice without an error")
	}
}

// BenchmarkLate shows how late a wait of 0.3 ms ends, in microseconds, with these timers and with Go's.
func BenchmarkLate(b *testing.B) {
	const wait = 300 * time.Microsecond
	b.Run("timers=timerfd", func(b *testing.B) {
		timer, late := timers(b).New(), time.Duration(0)
		for b.Loop() {
			start := time.Now()
			timer.Reset(wait)
			<-timer.C()
			late += time.Since(start) - wait
		}
		b.ReportMetric(float64(late.Microseconds())/float64(b.N), "us-late")
	})
	b.Run("timers=go", func(b *testing.B) {
		late := time.Duration(0)
		for b.Loop() {
			start := time.Now()
			<-time.After(wait)
			late += time.Since(start) - wait
		}
		b.ReportMetric(float64(late.Microseconds())/float64(b.N), "us-late")
	})
}
