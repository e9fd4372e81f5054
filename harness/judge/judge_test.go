package judge

import (
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"testing"
	"time"

	"mqtthil/harness/requirement"
	"mqtthil/harness/timeline"
)

// record puts a record together from events and the times between them.
func record(parts ...any) []timeline.Event {
	var events []timeline.Event
	var now time.Duration
	for _, part := range parts {
		switch part := part.(type) {
		case time.Duration:
			now += part
		case timeline.Event:
			part.Seq, part.At = len(events), now
			events = append(events, part)
		case []timeline.Event:
			for _, e := range part {
				e.Seq, e.At = len(events), now
				events = append(events, e)
			}
		default:
			panic(fmt.Sprintf("a record has no %T", part))
		}
	}
	return events
}

// The events of a connection, as the proxy records them.

func opened(conn int) timeline.Event {
	return timeline.Event{Kind: timeline.KindOpen, Conn: conn, Point: timeline.LeftDevice}
}

func closed(conn int) timeline.Event {
	return timeline.Event{Kind: timeline.KindClose, Conn: conn, Point: timeline.ReachedBroker, Text: "rst"}
}

func left(conn int, p timeline.Packet) timeline.Event {
	return timeline.Event{Kind: timeline.KindPacket, Conn: conn, Point: timeline.LeftDevice, Packet: &p}
}

func reached(conn int, p timeline.Packet) timeline.Event {
	return timeline.Event{Kind: timeline.KindPacket, Conn: conn, Point: timeline.ReachedDevice, Packet: &p}
}

// connected is three events: a connection is opened, CONNECT leaves the device, CONNACK reaches it.
func connected(conn int, connect timeline.Packet) []timeline.Event {
	return []timeline.Event{opened(conn), left(conn, connect), reached(conn, timeline.Packet{Type: "CONNACK"})}
}

func reset() timeline.Event {
	return timeline.Event{Kind: timeline.KindReset, Text: "reset by the bench"}
}

func bytesLeft(conn int, data string) timeline.Event {
	return timeline.Event{
		Kind: timeline.KindRaw, Conn: conn, Point: timeline.LeftDevice, Data: []byte(data), Text: "not MQTT",
	}
}

func complete(id int) timeline.Event {
	return timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{
		Name: "MQTT_EVENT_DATA_COMPLETE", Fields: map[string]string{"msg_id": fmt.Sprint(id), "total": "5"},
	}}
}

// The packets.

// connect is the CONNECT of client dev, with a keep alive of 10 s.
func connect(clean bool) timeline.Packet {
	c := timeline.Connect{Protocol: "MQTT", Version: 4, ClientID: "dev", KeepAlive: 10, CleanSession: clean}
	if clean {
		c.Flags = cleanFlag
	}
	return timeline.Packet{Type: "CONNECT", Length: 17, Connect: &c}
}

// changed returns a CONNECT with some fields changed.
func changed(p timeline.Packet, change func(*timeline.Connect)) timeline.Packet {
	c := *p.Connect
	change(&c)
	p.Connect = &c
	return p
}

func publish(id uint16, qos byte, payload string) timeline.Packet {
	return timeline.Packet{
		Type: "PUBLISH", Flags: qos << 1, ID: id, QoS: qos, Topic: "t", Length: 7 + len(payload),
		PayloadLength: len(payload), PayloadSum: crc32.ChecksumIEEE([]byte(payload)),
	}
}

func again(p timeline.Packet) timeline.Packet {
	p.DUP = true
	p.Flags |= 8
	return p
}

func subscribe(id uint16, filter string) timeline.Packet {
	return timeline.Packet{Type: "SUBSCRIBE", Flags: 2, ID: id, Filters: []timeline.Filter{{Topic: filter}}}
}

func unsubscribe(id uint16, filter string) timeline.Packet {
	return timeline.Packet{Type: "UNSUBSCRIBE", Flags: 2, ID: id, Filters: []timeline.Filter{{Topic: filter}}}
}

func release(id uint16) timeline.Packet {
	return timeline.Packet{Type: "PUBREL", Flags: 2, ID: id, Length: 4}
}

// ack is any other packet that is little more than its type.
func ack(kind string, id uint16) timeline.Packet {
	return timeline.Packet{Type: kind, ID: id, Length: 4}
}

func unreadable(p timeline.Packet) timeline.Packet {
	p.Error = "malformed packet"
	return p
}

// trial is a record and what one judge must find in it: requirement and events of each finding.
type trial struct {
	name   string
	record []timeline.Event
	want   []string
}

// try holds a judge to its trials, each once as it is and once on a connection of MQTT 5.0, where nothing is found.
func try(t *testing.T, name string, trials []trial) {
	t.Parallel()
	i := slices.IndexFunc(All(), func(j Judge) bool { return j.Name == name })
	j := All()[i]
	for _, x := range trials {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			findings := j.Check(x.record)
			var got []string
			for _, f := range findings {
				got = append(got, fmt.Sprint(f.Requirement, " ", f.Events))
			}
			if !reflect.DeepEqual(got, x.want) {
				t.Errorf("found %q, want %q\n%s", got, x.want, texts(findings))
			}
			checkFindings(t, x.record, findings)
		})
		t.Run(x.name+", MQTT 5.0", func(t *testing.T) {
			t.Parallel()
			if findings := j.Check(inVersion5(x.record)); len(findings) > 0 {
				t.Errorf("found\n%s", texts(findings))
			}
		})
	}
}

// inVersion5 returns the record with a version of 5.0 in every CONNECT, and with one where a connection has none.
func inVersion5(events []timeline.Event) []timeline.Event {
	var parts []any
	connect5 := changed(connect(true), func(c *timeline.Connect) { c.Version = 5 })
	for _, e := range events {
		if e.Kind == timeline.KindPacket && e.Packet.Type == "CONNECT" {
			e = left(e.Conn, changed(connect5, func(c *timeline.Connect) { c.ClientID = "other" }))
		}
		if e.Conn != 0 && e.Kind != timeline.KindOpen {
			parts = append(parts, left(e.Conn, connect5))
		}
		parts = append(parts, e)
	}
	return record(parts...)
}

func texts(findings []timeline.Finding) string {
	s := ""
	for _, f := range findings {
		s += fmt.Sprintf("%s, %s: %s %v\n", f.Judge, f.Requirement, f.Text, f.Events)
	}
	return s
}

// checkFindings holds findings to what every finding must be.
func checkFindings(t *testing.T, events []timeline.Event, findings []timeline.Finding) {
	t.Helper()
	seqs := make(map[int]bool)
	for _, e := range events {
		seqs[e.Seq] = true
	}
	for _, f := range findings {
		i := slices.IndexFunc(All(), func(j Judge) bool { return j.Name == f.Judge })
		if i < 0 || !slices.Contains(All()[i].Requirements, f.Requirement) {
			t.Errorf("judge %q does not list requirement %s", f.Judge, f.Requirement)
		}
		if f.Profile != "mqtt-3.1.1" || f.Text == "" || f.Deviation != "" || len(f.Events) == 0 {
			t.Errorf("incomplete finding: %+v", f)
		}
		for _, seq := range f.Events {
			if !seqs[seq] {
				t.Errorf("event %d of %s is not in the record", seq, f.Requirement)
			}
		}
	}
}

func TestJudgesNameRequirementsThatExist(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, j := range All() {
		if j.Name == "" || names[j.Name] {
			t.Errorf("judge %q has no name of its own", j.Name)
		}
		names[j.Name] = true
		if len(j.Requirements) == 0 {
			t.Errorf("judge %s has no requirement", j.Name)
		}
		for _, id := range j.Requirements {
			if r, ok := requirement.Lookup(id); !ok || r.Profile != requirement.MQTT311 {
				t.Errorf("judge %s: %s is no requirement of MQTT 3.1.1", j.Name, id)
			}
		}
	}
	for _, client := range []string{"esp-mqtt"} {
		for _, d := range requirement.Deviations(client) {
			if d.Judge != "*" && !names[d.Judge] {
				t.Errorf("deviation %s of %s: there is no judge %s", d.Quirk, client, d.Judge)
			}
		}
	}
}

// Two clients on one board, one session in order from beginning to end: nobody finds anything.
func TestASoundRecord(t *testing.T) {
	t.Parallel()
	other := changed(connect(false), func(c *timeline.Connect) { c.ClientID = "other" })
	events := record(
		reset(),
		connected(1, connect(true)),
		connected(2, other),
		left(1, subscribe(1, "t")), left(2, subscribe(1, "u")),
		reached(2, ack("SUBACK", 1)), reached(1, ack("SUBACK", 1)),
		left(1, publish(1, 1, "hello")), left(2, publish(1, 2, "hello")),
		reached(1, ack("PUBACK", 1)), reached(2, ack("PUBREC", 1)), left(2, release(1)), reached(2, ack("PUBCOMP", 1)),
		reached(1, publish(9, 2, "hello")), reached(1, publish(3, 1, "hello")), complete(9), left(1, ack("PUBREC", 9)),
		complete(3), left(1, ack("PUBACK", 3)), reached(1, release(9)), left(1, ack("PUBCOMP", 9)),
		5*time.Second,
		left(1, ack("PINGREQ", 0)), left(2, ack("PINGREQ", 0)),
		reached(1, ack("PINGRESP", 0)), reached(2, ack("PINGRESP", 0)),
		9*time.Second,
		left(2, publish(2, 1, "lost")), left(1, ack("DISCONNECT", 0)), closed(1), closed(2),
		time.Minute,
		connected(3, other), left(3, again(publish(2, 1, "lost"))), reached(3, ack("PUBACK", 2)),
		6*time.Second,
	)
	if findings := Run(events); len(findings) > 0 {
		t.Error(texts(findings))
	}
}

func TestRunAsksEveryJudge(t *testing.T) {
	t.Parallel()
	events := record(
		connected(1, connect(false)), left(1, connect(false)), left(1, again(publish(0, 1, "x"))), left(1, ack("PUBACK", 4)),
		left(1, timeline.Packet{Type: "PINGREQ", Flags: 1}), left(1, publish(8, 1, "y")),
		reached(1, publish(5, 2, "z")), complete(5), complete(5), 20*time.Second, closed(1),
		connected(2, connect(true)), left(2, again(publish(8, 1, "y"))),
	)
	found := make(map[string]bool)
	findings := Run(events)
	for _, f := range findings {
		found[f.Judge] = true
	}
	checkFindings(t, events, findings)
	if len(found) != len(All()) {
		t.Errorf("%d of %d judges found something:\n%s", len(found), len(All()), texts(findings))
	}
}
