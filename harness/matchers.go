package harness

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	gomega "github.com/onsi/gomega/types"

	"mqtthil/harness/timeline"
)

// Some matches events of which there is at least one.
func Some() gomega.GomegaMatcher { return AtLeast(1) }

// None matches no events.
func None() gomega.GomegaMatcher {
	return matching("nothing", func(e Events) bool { return len(e) == 0 })
}

// Times matches exactly n events.
func Times(n int) gomega.GomegaMatcher {
	return matching(fmt.Sprintf("exactly %d", n), func(e Events) bool { return len(e) == n })
}

// AtLeast matches n events or more.
func AtLeast(n int) gomega.GomegaMatcher {
	return matching(fmt.Sprintf("at least %d", n), func(e Events) bool { return len(e) >= n })
}

// OnePacketAgain matches packets that are transmissions of one packet: the same identifier, and, of a PUBLISH, the same
// message.
func OnePacketAgain() gomega.GomegaMatcher {
	return matching("one packet again and again", func(e Events) bool {
		for _, event := range e {
			p, first := event.Packet, e[0].Packet
			if p.Type != first.Type || p.ID != first.ID || p.Topic != first.Topic || p.QoS != first.QoS ||
				p.PayloadSum != first.PayloadSum || p.PayloadLength != first.PayloadLength {
				return false
			}
		}
		return len(e) > 0
	})
}

// DUPOnAllButTheFirst matches packets of which the first has no DUP flag and every other has it.
func DUPOnAllButTheFirst() gomega.GomegaMatcher {
	return matching("DUP on all but the first", func(e Events) bool {
		for i, event := range e {
			if event.Packet.DUP != (i > 0) {
				return false
			}
		}
		return len(e) > 0
	})
}

// Apart matches events that follow each other no faster and no slower than given.
func Apart(least, most time.Duration) gomega.GomegaMatcher {
	return matching(fmt.Sprintf("each %v to %v after the one before", least, most), func(e Events) bool {
		for i := 1; i < len(e); i++ {
			if gap := e[i].At - e[i-1].At; gap < least || gap > most {
				return false
			}
		}
		return true
	})
}

// WithPacket matches packets of which every one fits; what says what they must be.
func WithPacket(what string, fits func(*timeline.Packet) bool) gomega.GomegaMatcher {
	return matching(what, func(e Events) bool {
		for _, event := range e {
			if event.Packet == nil || !fits(event.Packet) {
				return false
			}
		}
		return len(e) > 0
	})
}

// WithBroker matches calls of broker hooks of which every one fits; what says what they must be.
func WithBroker(what string, fits func(*timeline.Broker) bool) gomega.GomegaMatcher {
	return matching(what, func(e Events) bool {
		for _, event := range e {
			if event.Broker == nil || !fits(event.Broker) {
				return false
			}
		}
		return len(e) > 0
	})
}

// matching makes a matcher of events.
func matching(expected string, fits func(Events) bool) gomega.GomegaMatcher {
	return &eventsMatcher{expected, fits}
}

type eventsMatcher struct {
	expected string
	fits     func(Events) bool
}

func (m *eventsMatcher) Match(actual any) (bool, error) {
	events, ok := actual.(Events)
	if !ok {
		return false, fmt.Errorf("not events: %T", actual)
	}
	return m.fits(events), nil
}

func (m *eventsMatcher) FailureMessage(actual any) string { return m.message("expected", actual) }

func (m *eventsMatcher) NegatedFailureMessage(actual any) string {
	return m.message("expected not", actual)
}

func (m *eventsMatcher) message(expected string, actual any) string {
	events, _ := actual.(Events)
	return fmt.Sprintf("%s %s, got %s", expected, m.expected, events)
}

// InSequence matches MQTT_EVENT_DATA reports that are the fragments of one message of total bytes: each begins where
// the one before it ended, and the last ends where the message does.
func InSequence(total int) gomega.GomegaMatcher {
	return matching(fmt.Sprintf("the fragments of one message of %d bytes, without gap or overlap", total), func(e Events) bool {
		end := 0
		for _, event := range e {
			f := event.Device.Fields
			if f["offset"] != strconv.Itoa(end) || f["total"] != strconv.Itoa(total) {
				return false
			}
			length, err := strconv.Atoi(f["len"])
			if err != nil {
				return false
			}
			end += length
		}
		return end == total
	})
}

// Payload matches MQTT_EVENT_DATA_PAYLOAD reports that together are the payload.
func Payload(payload string) gomega.GomegaMatcher {
	return matching(fmt.Sprintf("together the payload of %d bytes", len(payload)), func(e Events) bool {
		var got strings.Builder
		for _, event := range e {
			got.WriteString(event.Device.Fields["payload"])
		}
		return got.String() == payload
	})
}
