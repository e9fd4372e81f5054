package espmqtt

import "time"

// Timer is what a timer of Go's is, for one goroutine at a time: started to end after a time, when it sends on its channel
// once; and stopped or started anew, upon which nothing is left in the channel. It may end some 50 us too early.
type Timer interface {
	C() <-chan time.Time
	Reset(d time.Duration)
	Stop()
}

// NewTimer makes a timer of Go's that does not run yet.
func NewTimer() Timer {
	t := goTimer{time.NewTimer(time.Hour)}
	t.Stop()
	return t
}

type goTimer struct{ timer *time.Timer }

func (t goTimer) C() <-chan time.Time   { return t.timer.C }
func (t goTimer) Reset(d time.Duration) { t.timer.Reset(d) }
func (t goTimer) Stop()                 { t.timer.Stop() }
