package faults

import (
	"fmt"
	"time"
)

// Reset ends each connection with RST, after a time. Until then all goes on.
func Reset(after time.Duration) Condition { return Condition{kind: reset{Duration(after)}} }

type reset struct {
	After Duration `json:"after,omitempty"`
}

func (reset) name() string                    { return "reset" }
func (r reset) String() string                { return fmt.Sprintf("reset after %s", r.After) }
func (r reset) fuse() (time.Duration, Ending) { return time.Duration(r.After), RST }
func (r reset) check() error                  { return notNegative("after", r.After) }
