package emulator

import "time"

// wakeCost is what a task takes to run when something has woken it: within the millisecond in which recordings of the real
// client show it to act, and long enough that a script which types a command and closes the connection has done both.
const wakeCost = 300 * time.Microsecond

// wake returns when a task runs that something has just woken. Tasks run in the order in which they are woken: what is
// typed a moment after a packet came finds that packet dealt with, however coarse the timers of this machine are.
func (p *power) wake() {
	select {
	case p.waking <- struct{}{}:
		defer func() { <-p.waking }()
	case <-p.off:
		return
	}
	if pause := p.board.options.Pause; pause != nil {
		pause(wakeCost)
		return
	}
	run := time.NewTimer(wakeCost)
	defer run.Stop()
	select {
	case <-run.C:
	case <-p.off:
	}
}
