package faults

import (
	"time"

	"mqtthil/faults/internal/form"
)

// Traffic counts what has gone through a proxy.
type Traffic struct {
	Connections uint64 `json:"connections"`      // made to the broker
	Failed      uint64 `json:"failed,omitempty"` // connections of devices that did not get to the broker
	FromDevice  Counts `json:"from_device"`
	ToDevice    Counts `json:"to_device"`
}

// Counts are those of one direction.
type Counts struct {
	Received uint64 `json:"received"` // bytes that came in
	Sent     uint64 `json:"sent"`     // bytes that went out
	// Packets that came in, by their type. Of a stream that is no MQTT, or is not read, none are counted.
	Packets PacketCounts `json:"packets"`
}

// PacketCounts is a number of packets by their type.
type PacketCounts [AUTH + 1]uint64

// Sum is how many packets there are of all types.
func (c PacketCounts) Sum() (sum uint64) {
	for _, n := range c {
		sum += n
	}
	return sum
}

// MarshalJSON writes those that there are by their names, such as {"CONNECT": 1}.
func (c PacketCounts) MarshalJSON() ([]byte, error) {
	named := map[PacketType]uint64{}
	for kind, n := range c {
		if n > 0 {
			named[PacketType(kind)] = n
		}
	}
	return form.Marshal(named)
}

// add adds a link's.
func (t *Traffic) add(l *link) {
	t.Connections++
	for i, c := range []*Counts{&t.FromDevice, &t.ToDevice} {
		from := &l.flows[i].traffic
		c.Received += from.received.Load()
		c.Sent += from.sent.Load()
		for kind := range c.Packets {
			c.Packets[kind] += from.packets[kind].Load()
		}
	}
}

// Traffic returns the counts of all connections so far.
func (p *Proxy) Traffic() Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.past
	t.Failed = p.failed
	for l := range p.links {
		t.add(l)
	}
	return t
}

// Connection is a connection through the proxy as it stands.
type Connection struct {
	Number  int       `json:"number"`
	Opened  time.Time `json:"opened"`
	Device  string    `json:"device"` // address
	Broker  string    `json:"broker"` // address
	Client  string    `json:"client,omitempty"`
	Version byte      `json:"version,omitempty"` // protocol level; 0 where there was no CONNECT yet
	State   string    `json:"state"`             // open, silent, or how it is ending
	NotMQTT string    `json:"not_mqtt,omitempty"`
	Traffic Traffic   `json:"traffic"`
}

// List returns all connections that have not ended, in the order of their numbers.
func (p *Proxy) List() []Connection {
	var list []Connection
	for _, l := range p.present() {
		c := Connection{
			Number: l.number, Opened: l.opened, Client: l.clientID(), Version: byte(l.level.Load()), State: "open",
			Device: l.device.conn.RemoteAddr().String(), Broker: l.broker.conn.RemoteAddr().String(),
		}
		if reason := l.foreign.Load(); reason != nil {
			c.NotMQTT = *reason
		}
		l.mu.Lock()
		if l.silent {
			c.State = "silent"
		}
		l.mu.Unlock()
		c.Traffic.add(l)
		list = append(list, c)
	}
	return list
}
