package faults

// Duplicate hands the packets on twice, the second time right after the first.
func Duplicate() Action { return duplicate{} }

type duplicate struct{}

func (duplicate) verb() string      { return "duplicate" }
func (duplicate) String() string    { return "duplicate" }
func (duplicate) needsWholePacket() {}

func (duplicate) apply(p *passage) (bool, error) { return true, p.pass() }
