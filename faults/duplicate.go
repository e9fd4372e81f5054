package faults

// Duplicate hands the packets on twice, the second time right after the first.
func Duplicate(m Match) Rule {
	return Rule{match: m, action: duplicate{}}
}

type duplicate struct{}

func (duplicate) rule(packets string) string { return "duplicate " + packets }
func (duplicate) String() string             { return "duplicate" }

func (duplicate) apply(p *passage) error {
	if err := p.pass(); err != nil {
		return err
	}
	return p.pass()
}

func (duplicate) endsStream() bool { return false }
