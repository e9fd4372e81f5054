package emulator

import "time"

// What a task takes to run when something has woken it: less than the millisecond in which recordings of the real client
// show it to act. A line has a longer way, through the console's driver and its editor; it takes so long that a script
// which types a command and closes the connection, in one go, has done both. Then no other task is woken for a turn, in
// which this one does most of what it was woken for.
const (
	wakeCost = 20 * time.Microsecond
	lineCost = 300 * time.Microsecond
	turn     = 100 * time.Microsecond
)

// wake returns when a task runs that something has just woken, after what that costs. Tasks run in the order in which they
// are woken: what is typed a moment after a packet came finds that packet dealt with, however coarse the timers of this
// machine are.
func (p *power) wake(cost time.Duration) {
	select {
	case p.waking <- struct{}{}:
		defer func() { <-p.waking }()
	case <-p.off:
		return
	}
	defer func() { p.taken = time.Now().Add(turn) }()
	p.switched.Reset(max(0, time.Until(p.taken)) + cost)
	defer p.switched.Stop()
	select {
	case <-p.switched.C():
	case <-p.off:
	}
}
