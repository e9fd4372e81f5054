package names

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"mqtthil/faults/internal/form"
)

// Setup is what a rule file says of names. Its addresses are IP addresses: a DNS server knows no others.
type Setup struct {
	Hosts  map[string][]string
	Faults []Fault
}

// UnmarshalYAML reads it from a rule file.
func (s *Setup) UnmarshalYAML(unmarshal func(any) error) error {
	var written struct {
		Hosts  map[string]form.List[ipAddress] `json:"hosts"`
		Faults form.List[Fault]                `json:"faults"`
	}
	if err := form.UnmarshalStruct(unmarshal, &written); err != nil {
		return err
	}
	*s = Setup{Hosts: make(map[string][]string), Faults: written.Faults}
	for name, addresses := range written.Hosts {
		s.Hosts[name] = nil
		for _, a := range addresses {
			s.Hosts[name] = append(s.Hosts[name], string(a))
		}
	}
	return nil
}

// kinds are all faults by their names in rule files.
var kinds = form.Kinds[Fault]{
	"does-not-exist": ofName(DoesNotExist),
	"server-fails":   ofName(ServerFails),
	"no-answer":      ofName(NoAnswer),
	"late":           form.With("late: {name: broker.bench, by: 5s}", lateForm.fault),
	"elsewhere":      form.With("elsewhere: {name: broker.bench, address: 192.0.2.1}", elsewhereForm.fault),
}

// UnmarshalYAML reads a fault from a rule file: what is wrong with which name, without one with every name, and beside that
// nth, from and times.
func (f *Fault) UnmarshalYAML(unmarshal func(any) error) error {
	fault, limits, err := form.UnmarshalLimited(unmarshal, kinds)
	if err != nil {
		return err
	}
	*f = fault
	f.limit = limits
	return nil
}

// ofName is a kind to which nothing but the name belongs.
func ofName(make func(name string) Fault) func(func(any) error) (Fault, error) {
	named := form.With("does-not-exist: broker.bench", func(name form.Text) (Fault, error) { return make(string(name)), nil })
	return func(unmarshal func(any) error) (Fault, error) {
		if unmarshal == nil {
			return make(""), nil
		}
		return named(unmarshal)
	}
}

// lateForm is Late as rule files write it.
type lateForm struct {
	Name form.Text     `json:"name"`
	By   form.Duration `json:"by"`
}

func (f lateForm) fault() (Fault, error) {
	if f.By <= 0 {
		return Fault{}, errors.New("late needs by, a time such as 5s")
	}
	return Late(string(f.Name), time.Duration(f.By)), nil
}

// elsewhereForm is Elsewhere as rule files write it.
type elsewhereForm struct {
	Name    form.Text `json:"name"`
	Address ipAddress `json:"address"`
}

func (f elsewhereForm) fault() (Fault, error) {
	if f.Address == "" {
		return Fault{}, errors.New("elsewhere needs address, such as 192.0.2.1")
	}
	return Elsewhere(string(f.Name), string(f.Address)), nil
}

// ipAddress is an IP address as rule files write it.
type ipAddress string

// UnmarshalText reads it.
func (a *ipAddress) UnmarshalText(text []byte) error {
	address, err := netip.ParseAddr(string(text))
	if err != nil || address.Zone() != "" {
		return fmt.Errorf("%q is no IP address; one is 192.168.1.10", text)
	}
	*a = ipAddress(address.String())
	return nil
}

// UnmarshalYAML reads it from a rule file.
func (a *ipAddress) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, a)
}
