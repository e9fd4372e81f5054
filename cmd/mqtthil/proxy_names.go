package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"mqtthil/faults"
	"mqtthil/faults/names"
	"mqtthil/faults/toxiproxy"
)

// nameService is the DNS server of --dns.
type nameService struct {
	listen string
	setup  names.Setup
	server *names.Server // nil before it has started
	faults []*names.Armed
}

// serve answers questions as a rule file says, if it does, and writes into a record what goes wrong.
func (n *nameService) serve(setup *names.Setup, record faults.Record) error {
	if setup == nil {
		return nil
	}
	n.setup = *setup
	table := names.New(record)
	for name, addresses := range setup.Hosts {
		table.Set(name, addresses...)
	}
	for _, fault := range setup.Faults {
		n.faults = append(n.faults, table.Add(fault))
	}
	var err error
	if n.server, err = table.Serve(n.listen); err != nil {
		return fmt.Errorf("%w; name another address by --dns", err)
	}
	return nil
}

// describe says where names are served, and which.
func (n *nameService) describe(out *lines, say func(string)) {
	if n.server == nil {
		return
	}
	out.printf("DNS at %s, on UDP and TCP\n", n.server.Addr())
	for _, name := range slices.Sorted(maps.Keys(n.setup.Hosts)) {
		out.printf("  name %s: %s\n", name, strings.Join(n.setup.Hosts[name], ", "))
	}
	for i, fault := range n.faults {
		out.printf("  name fault %d: %s\n", i+1, fault)
	}
	if address, err := net.ResolveTCPAddr("tcp", n.server.Addr()); err == nil && toxiproxy.OpenToOthers(address) {
		say(fmt.Sprintf("the DNS server listens on %s, where everybody who reaches this machine can ask it", n.server.Addr()))
	}
}

// summarise says what the faults have done.
func (n *nameService) summarise(out *lines) {
	if n.server == nil {
		return
	}
	out.printf("DNS:\n")
	var idle []string
	for i, fault := range n.faults {
		out.printf("  name fault %d fired %d: %s\n", i+1, fault.Fired(), fault)
		if fault.Fired() == 0 {
			idle = append(idle, fmt.Sprint(i+1))
		}
	}
	if len(idle) > 0 {
		out.printf("  name faults that never fired: %s\n", strings.Join(idle, ", "))
	}
}

func (n *nameService) close() {
	if n.server != nil {
		_ = n.server.Close() // its errors are those of sockets, which are gone all the same
	}
}
