package faults

import (
	"fmt"
	"time"
)

// Delay hands the packets on d after they arrived. As in any stream of bytes, what comes behind them in the same
// direction waits too; the other direction does not.
func Delay(m Match, d time.Duration) Rule {
	return Rule{match: m, action: delay(d)}
}

type delay time.Duration

func (d delay) rule(packets string) string {
	return fmt.Sprintf("delay %s by %s", packets, time.Duration(d))
}

func (d delay) String() string {
	return fmt.Sprintf("delay %s", time.Duration(d))
}

func (d delay) apply(p *passage) error {
	p.holdUntil(p.arrived.Add(time.Duration(d)))
	return p.pass()
}

func (delay) endsStream() bool { return false }
