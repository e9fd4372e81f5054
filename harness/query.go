package harness

import (
	"fmt"
	"slices"
	"strings"

	"mqtthil/faults"
	"mqtthil/harness/timeline"
)

// Events are events of a record, in its order.
type Events []timeline.Event

// String is the events for a message, a line each.
func (e Events) String() string {
	if len(e) == 0 {
		return "nothing"
	}
	const most = 20
	lines := []string{fmt.Sprintf("%d:", len(e))}
	for i, event := range e {
		if i == most {
			lines = append(lines, fmt.Sprintf("and %d more", len(e)-most))
			break
		}
		lines = append(lines, fmt.Sprintf("%9.3f s  %s", event.At.Seconds(), summary(event)))
	}
	return strings.Join(lines, "\n")
}

// GomegaString is what the messages of Gomega's own matchers show.
func (e Events) GomegaString() string { return e.String() }

// summary is an event in a few words.
func summary(e timeline.Event) string {
	switch {
	case e.Packet != nil:
		return e.Packet.String()
	case e.Device != nil:
		text := e.Device.Name
		for _, key := range []string{"msg_id", "topic", "len", "offset", "total", "session_present"} {
			if value, ok := e.Device.Fields[key]; ok && value != "" {
				text += fmt.Sprintf(" %s=%s", key, value)
			}
		}
		return text
	case e.Broker != nil:
		return strings.TrimSpace(fmt.Sprintf("broker: %s %s %s", e.Broker.Hook, e.Broker.Topic, e.Broker.Text))
	}
	return strings.TrimSpace(string(e.Kind) + " " + e.Text)
}

// seqs are the positions of the events in the record.
func (e Events) seqs() []int {
	var seqs []int
	for _, event := range e {
		seqs = append(seqs, event.Seq)
	}
	return seqs
}

// Query picks events from a record.
type Query struct {
	text   string
	fits   func(*timeline.Event) bool // decides on one event, whatever the others are
	narrow func(Events) Events        // picks from all that fit; nil picks them all
}

// String says what the query picks.
func (q Query) String() string { return q.text }

// Packets picks packets at the device's side of the proxy: what the device really sent, what it really got.
func Packets(m faults.Match) Query {
	every := m.From(1) // without Nth and From, which count packets
	return Query{
		text:   m.String(),
		fits:   func(e *timeline.Event) bool { return len(every.Select([]timeline.Event{*e})) > 0 },
		narrow: func(e Events) Events { return m.Select(e) },
	}
}

// Reports picks events that the device reported on its console, such as MQTT_EVENT_PUBLISHED; fields are pairs of name
// and value that the event must have, such as "msg_id", 17.
func Reports(name string, fields ...any) Query {
	return Query{text: describeFields(name, fields), fits: func(e *timeline.Event) bool {
		if e.Kind != timeline.KindDevice || e.Device.Name != name {
			return false
		}
		for i := 0; i+1 < len(fields); i += 2 {
			if e.Device.Fields[fmt.Sprint(fields[i])] != fmt.Sprint(fields[i+1]) {
				return false
			}
		}
		return true
	}}
}

func describeFields(name string, fields []any) string {
	text := name
	for i := 0; i+1 < len(fields); i += 2 {
		text += fmt.Sprintf(" %v=%v", fields[i], fields[i+1])
	}
	return text + " of the device"
}

// BrokerHooks picks calls of a hook of the broker, such as will-sent, on a topic; an empty topic is any.
func BrokerHooks(hook, topic string) Query {
	return Query{text: strings.TrimSpace("broker's " + hook + " " + topic), fits: func(e *timeline.Event) bool {
		return e.Kind == timeline.KindBroker && e.Broker.Hook == hook && (topic == "" || e.Broker.Topic == topic)
	}}
}

// Closes picks the ends of connections that the device made.
func Closes() Query {
	return Query{text: "connections closed by the device", fits: func(e *timeline.Event) bool {
		return e.Kind == timeline.KindClose && e.Point == timeline.LeftDevice
	}}
}

// Since keeps what happened after an event of the record.
func (q Query) Since(after timeline.Event) Query {
	later := q
	later.narrow = func(e Events) Events {
		e = q.picked(e)
		first := slices.IndexFunc(e, func(event timeline.Event) bool { return event.Seq > after.Seq })
		if first < 0 {
			return nil
		}
		return e[first:]
	}
	return later
}

// picked is what the query picks from the events that fit.
func (q Query) picked(fitting Events) Events {
	if q.narrow == nil {
		return fitting
	}
	return q.narrow(fitting)
}

// watch looks through a record as it grows. It looks at each event once: a check looks again after every new event, and
// a record can have a hundred thousand.
type watch struct {
	Query
	seen    int
	fitting Events
}

// look returns what the query picks from the record, which is the one of the last look or has grown since.
func (w *watch) look(record Events) Events {
	for ; w.seen < len(record); w.seen++ {
		if e := &record[w.seen]; w.fits(e) {
			w.fitting = append(w.fitting, *e)
		}
	}
	return w.picked(w.fitting)
}
