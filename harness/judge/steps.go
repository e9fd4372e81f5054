package judge

import (
	"slices"

	"mqtthil/harness/timeline"
)

// step is an event that judges look at: a packet that left the device or reached it, bytes that left it and are no
// packet, an event that the device reported, a reset of the board.
type step struct {
	timeline.Event             // Packet is set where Kind is KindPacket, Device where it is KindDevice
	on             *connection // nil for what the device reported and for a reset
}

// left says whether the step is a packet of one of these types that left the device and could be read.
func (s step) left(types ...string) bool { return s.isPacket(timeline.LeftDevice, types) }

// reached says whether the step is a packet of one of these types that reached the device and could be read.
func (s step) reached(types ...string) bool { return s.isPacket(timeline.ReachedDevice, types) }

func (s step) isPacket(at timeline.Point, types []string) bool {
	return s.Kind == timeline.KindPacket && s.Point == at && s.Packet.Error == "" && slices.Contains(types, s.Packet.Type)
}

// connection is what the record tells of one connection at the device's side.
type connection struct {
	number  int
	opened  bool            // the record has its beginning
	connect *timeline.Event // its CONNECT; nil where none could be read
	client  client

	memory memory
	lossy  bool // what the client sent on a connection before this one may have been lost

	// end is the first thing that can keep the device from sending more: a FIN or RST on either side of the proxy, the
	// device's own DISCONNECT, a reset of the board. Nil where the connection outlives the record.
	end *timeline.Event
}

// client is whose session a connection goes on with: a client identifier, or a connection where there is none.
type client struct {
	id     string
	number int
}

// memory names what a device can know. Connections share it that go on with one session, as the standard has it, with
// no reset of the board between them.
type memory struct {
	session int
	boot    int
}

// readSteps picks the steps out of a record. It leaves out connections whose CONNECT follows another standard than
// MQTT 3.1.1.
func readSteps(events []timeline.Event) []step {
	r := reader{connections: make(map[int]*connection), last: make(map[client]*connection)}
	for i := range events {
		r.read(&events[i])
	}
	return slices.DeleteFunc(r.steps, func(s step) bool { return s.on != nil && s.on.followsAnotherStandard() })
}

// followsAnotherStandard says whether the CONNECT is one of MQTT 3.1 or 5.0.
func (c *connection) followsAnotherStandard() bool {
	if c.connect == nil {
		return false
	}
	said := c.connect.Packet.Connect
	return said.Protocol == "MQIsdp" && said.Version == 3 || said.Protocol == "MQTT" && said.Version == 5
}

type reader struct {
	steps       []step
	connections map[int]*connection
	last        map[client]*connection // the newest connection of each client
	standing    []*connection          // those that the next reset ends
	sessions    int                    // how many numbers are given out
	boot        int                    // how many resets there were
}

func (r *reader) read(e *timeline.Event) {
	switch e.Kind {
	case timeline.KindOpen:
		if e.Point == timeline.LeftDevice {
			r.connection(e).opened = true
		}
	case timeline.KindClose:
		r.connection(e).endWith(e)
	case timeline.KindReset:
		r.boot++
		for _, c := range r.standing {
			c.endWith(e)
		}
		r.standing = nil
		r.steps = append(r.steps, step{Event: *e})
	case timeline.KindDevice:
		if e.Device != nil {
			r.steps = append(r.steps, step{Event: *e})
		}
	case timeline.KindRaw:
		if e.Point == timeline.LeftDevice {
			r.steps = append(r.steps, step{*e, r.connection(e)})
		}
	case timeline.KindPacket:
		if e.Packet != nil && (e.Point == timeline.LeftDevice || e.Point == timeline.ReachedDevice) {
			r.packet(e)
		}
	}
}

func (r *reader) packet(e *timeline.Event) {
	c := r.connection(e)
	s := step{*e, c}
	r.steps = append(r.steps, s)
	switch {
	case s.left("CONNECT") && e.Packet.Connect != nil && c.connect == nil:
		c.connect = e
		if id := e.Packet.Connect.ClientID; id != "" {
			r.follow(c, client{id: id})
		}
	case s.left("DISCONNECT"):
		c.endWith(e)
	}
}

// follow makes c the next connection of a client. The session goes on where neither connection asks for a clean one.
func (r *reader) follow(c *connection, who client) {
	c.client = who
	if before := r.last[who]; before != nil {
		c.lossy = before.lossy || !before.disconnected()
		if !before.connect.Packet.Connect.CleanSession && !c.connect.Packet.Connect.CleanSession {
			c.memory.session = before.memory.session
		}
	}
	r.last[who] = c
}

// disconnected says whether the device sent DISCONNECT: then all that it sent before has arrived.
func (c *connection) disconnected() bool {
	return c.end != nil && c.end.Kind == timeline.KindPacket
}

func (c *connection) endWith(e *timeline.Event) {
	if c.end == nil {
		c.end = e
	}
}

// connection returns the connection of an event.
func (r *reader) connection(e *timeline.Event) *connection {
	c := r.connections[e.Conn]
	if c == nil {
		r.sessions++
		c = &connection{
			number: e.Conn,
			client: client{number: e.Conn},
			memory: memory{session: r.sessions, boot: r.boot},
		}
		r.connections[e.Conn] = c
		r.standing = append(r.standing, c)
	}
	return c
}

// sameMessage says whether two PUBLISH packets carry the same message in the same way.
func sameMessage(a, b *timeline.Packet) bool {
	return a.Topic == b.Topic && a.PayloadLength == b.PayloadLength && a.PayloadSum == b.PayloadSum &&
		a.QoS == b.QoS && a.Retain == b.Retain
}
