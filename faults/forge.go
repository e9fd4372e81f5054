package faults

import (
	"errors"
	"fmt"

	"mqtthil/faults/internal/form"
)

// Forge hands a packet on right behind those that fit, as if the peer had sent it: in the direction given, which may be
// the other one. A template names the packet, see Template.
func Forge(to Direction, packet Template) Action { return forge{To: to, Packet: packet} }

type forge struct {
	To     Direction `json:"to"`
	Packet Template  `json:"packet"`
}

func (forge) verb() string      { return "forge" }
func (forge) needsWholePacket() {}

func (f forge) String() string { return fmt.Sprintf("forge %s %s", f.Packet, f.To) }

func (f forge) apply(p *passage) (bool, error) {
	data := f.Packet.bytes(p.id())
	target := p.flow
	if f.To != target.direction {
		target = target.opposite
		target.insert(target.forged(data))
		return true, nil
	}
	p.behind = append(p.behind, target.forged(data))
	return true, nil
}

func (f forge) check() error {
	if f.To == 0 {
		return errors.New("forge needs to: device or broker, where the packet is to go")
	}
	return f.Packet.check()
}

// Answer swallows the packets and answers each in the place of the one that it was meant for. A template names the
// answer, see Template.
func Answer(packet Template) Action { return answer{packet} }

type answer struct {
	With Template `json:"with"`
}

func (answer) verb() string     { return "answer" }
func (a answer) String() string { return fmt.Sprintf("answer with %s", a.With) }
func (answer) takesAway()       {}
func (a answer) check() error   { return a.With.check() }

func (a answer) apply(p *passage) (bool, error) {
	back := p.flow.opposite
	back.insert(back.forged(a.With.bytes(p.id())))
	return false, nil
}

// UnmarshalYAML reads the template alone, or all fields.
func (a *answer) UnmarshalYAML(unmarshal func(any) error) error {
	if !form.IsMapping(unmarshal) {
		return unmarshal(&a.With)
	}
	type plain answer
	return unmarshal((*plain)(a))
}
