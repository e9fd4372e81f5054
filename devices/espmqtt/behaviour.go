package espmqtt

// Behaviour says in what a client is another than the real one: quirks that it has not, and defects that it has. The
// zero value is the real client.
type Behaviour struct {
	Without []Quirk
	Defects []Defect
}

// traits is a Behaviour for looking things up.
type traits struct {
	without map[Quirk]bool
	defects map[Defect]bool
}

func (b Behaviour) traits() traits {
	t := traits{without: map[Quirk]bool{}, defects: map[Defect]bool{}}
	for _, q := range b.Without {
		t.without[q] = true
	}
	for _, d := range b.Defects {
		t.defects[d] = true
	}
	return t
}

// does says whether the client has a quirk, as the real one does.
func (t traits) does(q Quirk) bool { return !t.without[q] }

// has says whether a defect is planted in the client.
func (t traits) has(d Defect) bool { return t.defects[d] }
