package faults

// Rule is a fault: an action, and the packets that it befalls. Make one with Drop, Delay, Duplicate or Cut, and arm it
// with Proxy.Add. A Rule is a value and can be added more than once; each Armed counts for itself.
type Rule struct {
	match  Match
	action action
	times  int // 0 for no limit
}

// action is what a rule does to a packet. Each kind has a file of its own.
type action interface {
	// rule says the whole rule in words, given what words name the packets.
	rule(packets string) string

	// String says what is done to one packet, for the record.
	String() string

	// apply does it, when it is the packet's turn to be handed on. It runs on the goroutine that hands on all packets
	// of the direction, so that the packets behind wait until it returns. The error is one of writing.
	apply(*passage) error

	// endsStream says that nothing that comes behind the packet is handed on, on this connection.
	endsStream() bool
}

// Times limits the rule to n packets; it leaves alone the packets after that.
func (r Rule) Times(n int) Rule {
	mustCount("Times", n)
	r.times = n
	return r
}

// String says the rule in words, such as: drop 1st-2nd PUBACK to the device. Where another rule gets a packet first,
// the packets that the rule acts on in fact may be later ones.
func (r Rule) String() string {
	return r.action.rule(r.match.span.limit(r.times).String() + " " + r.match.packets())
}
