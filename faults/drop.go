package faults

// Drop swallows the packets.
func Drop(m Match) Rule {
	return Rule{match: m, action: drop{}}
}

type drop struct{}

func (drop) rule(packets string) string { return "drop " + packets }
func (drop) String() string             { return "drop" }
func (drop) apply(*passage) error       { return nil }
func (drop) endsStream() bool           { return false }
