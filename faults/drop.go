package faults

// Drop swallows the packets.
func Drop() Action { return drop{} }

type drop struct{}

func (drop) verb() string                 { return "drop" }
func (drop) String() string               { return "drop" }
func (drop) apply(*passage) (bool, error) { return false, nil }
func (drop) takesAway()                   {}
