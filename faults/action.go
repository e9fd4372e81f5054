package faults

import (
	"fmt"
	"math/rand/v2"
)

// Action is what a rule does to a packet. Each kind has a file of its own, with the function that makes it.
type Action interface {
	// String says what is done to one packet, such as: delay 2s.
	fmt.Stringer

	// verb is the action's name in a rule file.
	verb() string

	// apply does it, when it is the packet's turn to be handed on, on the goroutine that hands on all packets of the
	// direction, so that the packets behind wait until it returns. It is false where the packet is dealt with, so that
	// neither further actions nor the proxy hand it on. The error is one of writing.
	apply(*passage) (goOn bool, err error)
}

// chancy is an action that leaves something to chance.
type chancy interface {
	// decide returns the action as it befalls one packet, of that many bytes.
	decide(random *rand.Rand, length int) Action
}

// final is an action behind which nothing more is handed on in the packet's direction, on this connection.
type final interface{ endsStream() bool }

// bound is an action that has to know the rule that it belongs to.
type bound interface{ bind(*Armed) Action }

// wholesome is an action that has to hold the whole packet, and cannot befall one that is relayed as it comes because
// it is larger than largestPacket.
type wholesome interface{ needsWholePacket() }

// taker is an action behind which no other rule gets the packet.
type taker interface{ takesAway() }

func takesAway(a Action) bool {
	_, ok := a.(taker)
	return ok
}

// endsStream says whether nothing goes on in the packet's direction behind it. Actions behind one that takes the packet
// away are never done, and what is set aside first may never be.
func endsStream(actions []Action) bool {
	for _, a := range actions {
		if f, ok := a.(final); ok && f.endsStream() {
			return true
		}
		switch a.(type) {
		case hold, reorder:
			return false
		}
		if takesAway(a) {
			return false
		}
	}
	return false
}
