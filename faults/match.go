package faults

import (
	"errors"
	"fmt"
	glob "path"
	"slices"
	"strings"
	"time"

	"mqtthil/faults/internal/form"
	"mqtthil/harness/timeline"
)

// Match selects packets. It begins with FromDevice or ToDevice; each further method narrows it and returns a new Match,
// so that one can be kept and refined. The zero Match selects nothing, and makes no rule.
type Match struct{ form matchForm }

// matchForm is a Match as rule files write it. All that is set must hold.
type matchForm struct {
	To          Direction             `json:"to"`
	Types       form.List[PacketType] `json:"type,omitempty"` // empty for every type
	Topic       text                  `json:"topic,omitempty"`
	ID          *uint16               `json:"id,omitempty"`
	QoS         *byte                 `json:"qos,omitempty"`
	DUP         *bool                 `json:"dup,omitempty"`
	Retain      *bool                 `json:"retain,omitempty"`
	Payload     text                  `json:"payload,omitempty"`
	Property    *propertyIs           `json:"property,omitempty"`
	Code        *byte                 `json:"code,omitempty"`
	Client      text                  `json:"client,omitempty"`
	Connection  int                   `json:"connection,omitempty"` // 0 for every connection
	During      *window               `json:"during,omitempty"`
	Probability *float64              `json:"probability,omitempty"`
	Nth         int                   `json:"nth,omitempty"`   // 0 for every one
	Since       int                   `json:"since,omitempty"` // the first that counts; 0 for 1
}

// propertyIs demands a property of MQTT 5.0, whatever its value is where Value is nil.
type propertyIs struct {
	Name  string `json:"name"`
	Value *text  `json:"value,omitempty"`
}

// window is a span of time since the proxy was made; it has no end where To is 0.
type window struct {
	From Duration `json:"from,omitempty"`
	To   Duration `json:"to,omitempty"`
}

// FromDevice selects packets that the device sends: those of the given types, or all.
func FromDevice(types ...PacketType) Match {
	return Match{matchForm{To: DeviceToBroker, Types: slices.Clone(types)}}
}

// ToDevice selects packets that the broker sends to the device: those of the given types, or all.
func ToDevice(types ...PacketType) Match {
	return Match{matchForm{To: BrokerToDevice, Types: slices.Clone(types)}}
}

// WithTopic narrows to PUBLISH whose topic the filter fits, wildcards included, and to SUBSCRIBE and UNSUBSCRIBE with this
// very filter among theirs. The topic of a PUBLISH with a topic alias alone is the one that the alias stands for.
func (m Match) WithTopic(filter string) Match { m.form.Topic = text(filter); return m }

// WithID narrows to packets with this packet identifier.
func (m Match) WithID(id uint16) Match { m.form.ID = &id; return m }

// WithQoS narrows to PUBLISH with this quality of service.
func (m Match) WithQoS(qos byte) Match { m.form.QoS = &qos; return m }

// WithDUP narrows to PUBLISH with, or without, the DUP flag.
func (m Match) WithDUP(dup bool) Match { m.form.DUP = &dup; return m }

// WithRetain narrows to PUBLISH with, or without, the retain flag.
func (m Match) WithRetain(retain bool) Match { m.form.Retain = &retain; return m }

// WithPayload narrows to PUBLISH whose payload contains the text. Of a packet larger than a MiB, and of one in a record,
// only the beginning is looked at.
func (m Match) WithPayload(part string) Match { m.form.Payload = text(part); return m }

// WithProperty narrows to packets of MQTT 5.0 that have the property, such as message-expiry-interval. The last will's
// properties in a CONNECT do not count.
func (m Match) WithProperty(name string) Match {
	m.form.Property = &propertyIs{Name: name}
	return m
}

// WithPropertyValue is WithProperty with a value: a decimal number, a text, binary data in hexadecimal, or the key=value of
// a user property.
func (m Match) WithPropertyValue(name, value string) Match {
	written := text(value)
	m.form.Property = &propertyIs{name, &written}
	return m
}

// WithCode narrows to packets with this return or reason code; of SUBACK and UNSUBACK the first one counts. A packet that
// leaves its code out has none.
func (m Match) WithCode(code byte) Match { m.form.Code = &code; return m }

// OfClient narrows to connections whose client identifier fits the pattern, in which * stands for any text without a
// slash. It is the one that the broker has assigned where CONNECT has none.
func (m Match) OfClient(pattern string) Match { m.form.Client = text(pattern); return m }

// OnConnection narrows to one connection through the proxy, counted from 1.
func (m Match) OnConnection(number int) Match {
	mustCount("OnConnection", number)
	m.form.Connection = number
	return m
}

// During narrows to packets that arrive in a span of time, counted from when the proxy was made. It does not end where to
// is 0.
func (m Match) During(from, to time.Duration) Match {
	m.form.During = &window{Duration(from), Duration(to)}
	return m
}

// WithProbability leaves it to chance whether the rule acts on a packet that fits. All that fit are counted, whatever
// chance decides; so with Nth or From, chance decides on those alone.
func (m Match) WithProbability(p float64) Match { m.form.Probability = &p; return m }

// Nth narrows to the n-th packet, from 1, of those that fit otherwise. It replaces an earlier Nth or From.
func (m Match) Nth(n int) Match {
	mustCount("Nth", n)
	m.form.Nth, m.form.Since = n, 0
	return m
}

// From narrows to the n-th packet, from 1, and all later ones of those that fit otherwise. It replaces an earlier Nth
// or From.
func (m Match) From(n int) Match {
	mustCount("From", n)
	m.form.Nth, m.form.Since = 0, n
	return m
}

func (m Match) span() span {
	switch f := m.form; {
	case f.Nth > 0:
		return span{first: f.Nth, last: f.Nth}
	case f.Since > 0:
		return span{first: f.Since}
	}
	return everyMatch
}

// types is a bit for each type that fits.
func (m Match) types() (mask uint32) {
	if len(m.form.Types) == 0 {
		return 0xffff
	}
	for _, t := range m.form.Types {
		mask |= 1 << t
	}
	return mask
}

// sight is a packet as a Match sees it: what it says, and where and when it came.
type sight struct {
	reading
	direction  Direction
	connection int
	client     string        // identifier of the connection's client; "" as long as it is unknown
	began      time.Time     // when the proxy was made
	past       bool          // it came at some time; otherwise it comes now
	at         time.Duration // that time, since the beginning
}

// since is when the packet came, since the proxy was made.
func (s *sight) since() time.Duration {
	if s.past {
		return s.at
	}
	return time.Since(s.began)
}

// fits says whether the packet fits, Nth, From and WithProbability left aside.
func (m *Match) fits(s *sight) bool {
	f := &m.form
	if f.To != s.direction || f.To == 0 || f.Connection != 0 && f.Connection != s.connection {
		return false
	}
	if len(f.Types) > 0 && !slices.Contains(f.Types, s.kind) {
		return false
	}
	publish := s.kind == PUBLISH
	switch {
	case f.QoS != nil && (!publish || s.qos() != *f.QoS),
		f.DUP != nil && (!publish || s.dup() != *f.DUP),
		f.Retain != nil && (!publish || s.retain() != *f.Retain),
		f.ID != nil && s.id != *f.ID,
		f.Code != nil && (!s.hasCode || s.code != *f.Code),
		f.Topic != "" && !s.hasTopic(string(f.Topic)),
		f.Payload != "" && (!publish || !strings.Contains(view(s.payload()), string(f.Payload))),
		f.Property != nil && !hasProperty(s.properties, propertyNamed(f.Property.Name), f.Property.Value),
		f.Client != "" && !clientFits(string(f.Client), s.client),
		f.During != nil && !f.During.contains(s.since()):
		return false
	}
	return true
}

func (s *sight) hasTopic(filter string) bool {
	switch s.kind {
	case PUBLISH:
		return topicFits(filter, s.topic)
	case SUBSCRIBE, UNSUBSCRIBE:
		return s.hasFilter(filter)
	}
	return false
}

// topicFits says whether a topic filter of MQTT fits a topic.
func topicFits(filter, topic string) bool {
	if filter == topic {
		return true
	}
	if topic == "" || topic[0] == '$' && filter[0] != '$' {
		return false // [MQTT-4.7.2-1]
	}
	for {
		level, restOfFilter, more := strings.Cut(filter, "/")
		if level == "#" {
			return true
		}
		name, restOfTopic, deeper := strings.Cut(topic, "/")
		switch {
		case level != "+" && level != name:
			return false
		case !more && !deeper:
			return true
		case more && !deeper:
			return restOfFilter == "#" // which stands for the level above, too
		case !more:
			return false
		}
		filter, topic = restOfFilter, restOfTopic
	}
}

func clientFits(pattern, client string) bool {
	fits, err := glob.Match(pattern, client)
	return err == nil && fits
}

func (w *window) contains(t time.Duration) bool {
	return t >= time.Duration(w.From) && (w.To == 0 || t < time.Duration(w.To))
}

// Select picks from a record the packets that fit, Nth and From included. It looks at the device's side of the proxy:
// at what the device really sent, and at what it really got. Chance has no say there, and During counts from where the
// record begins, for it does not say when the proxy was made. Like On, it panics where the match makes no sense.
func (m Match) Select(events []timeline.Event) []timeline.Event {
	if m.form.To == 0 {
		return nil
	}
	must(m.form.check())
	var selected []timeline.Event
	clients := map[int]string{}
	count := 0
	for _, e := range events {
		if e.Kind != timeline.KindPacket {
			continue
		}
		if e.Packet.Connect != nil && e.Packet.Connect.ClientID != "" {
			clients[e.Conn] = e.Packet.Connect.ClientID
		}
		for _, p := range e.Packet.Properties {
			if e.Packet.Type == CONNACK.String() && p.Name == properties[propertyAssignedClientID].name {
				clients[e.Conn] = p.Value
			}
		}
		if e.Point != m.form.To.atDevice() {
			continue
		}
		s := sight{direction: m.form.To, connection: e.Conn, client: clients[e.Conn], past: true, at: e.At}
		s.readRecorded(e.Packet)
		if !m.fits(&s) {
			continue
		}
		if count++; m.span().contains(count) {
			selected = append(selected, e)
		}
	}
	return selected
}

// String says it in words, such as: 2nd PUBACK to the device.
func (m Match) String() string {
	if m.span() == everyMatch {
		return m.packets()
	}
	return m.span().String() + " " + m.packets()
}

// packets is String without the count.
func (m Match) packets() string {
	f := m.form
	words := []string{typesText(f.Types)}
	add := func(format string, arguments ...any) { words = append(words, fmt.Sprintf(format, arguments...)) }
	if f.Topic != "" {
		add("%s", f.Topic)
	}
	if f.ID != nil {
		add("id %d", *f.ID)
	}
	if f.QoS != nil {
		add("QoS %d", *f.QoS)
	}
	if f.DUP != nil {
		add("%s DUP", withOrWithout(*f.DUP))
	}
	if f.Retain != nil {
		add("%s retain", withOrWithout(*f.Retain))
	}
	if f.Payload != "" {
		add("with payload %q", f.Payload)
	}
	if f.Property != nil {
		add("with %s", f.Property.Name)
		if f.Property.Value != nil {
			add("%s", *f.Property.Value)
		}
	}
	if f.Code != nil {
		add("with code %#02x", *f.Code)
	}
	add("%s", f.To)
	if f.Client != "" {
		add("of client %s", f.Client)
	}
	if f.Connection != 0 {
		add("on connection %d", f.Connection)
	}
	if f.During != nil {
		add("%s", f.During)
	}
	if f.Probability != nil {
		add("with probability %v", *f.Probability)
	}
	return strings.Join(words, " ")
}

func withOrWithout(on bool) string {
	if on {
		return "with"
	}
	return "without"
}

// check finds what makes no sense in a span of time.
func (w *window) check() error {
	if w != nil && (w.From < 0 || w.To < 0 || w.To > 0 && w.To <= w.From) {
		return fmt.Errorf("during ends before it begins: from %s to %s", w.From, w.To)
	}
	return nil
}

// String says it in words.
func (w window) String() string {
	if w.To == 0 {
		return fmt.Sprintf("after %s", w.From)
	}
	return fmt.Sprintf("between %s and %s", w.From, w.To)
}

func typesText(types []PacketType) string {
	var names []string
	for _, t := range types {
		names = append(names, t.String())
	}
	switch last := len(names) - 1; last {
	case -1:
		return "packet"
	case 0:
		return names[0]
	default:
		return strings.Join(names[:last], ", ") + " or " + names[last]
	}
}

// MarshalJSON writes it as in a rule file.
func (m Match) MarshalJSON() ([]byte, error) { return form.Marshal(m.form) }

// UnmarshalYAML reads it from a rule file.
func (m *Match) UnmarshalYAML(unmarshal func(any) error) error {
	if err := form.UnmarshalStruct(unmarshal, &m.form); err != nil {
		return err
	}
	return form.Located(unmarshal, m.form.check())
}

// check finds what makes no sense in a match.
func (f matchForm) check() error {
	_, badPattern := glob.Match(string(f.Client), "")
	switch {
	case f.To == 0:
		return errors.New("to is missing: device or broker, where the packets are going")
	case f.QoS != nil && *f.QoS > 2:
		return fmt.Errorf("qos %d is none of 0, 1 and 2", *f.QoS)
	case f.Property != nil && propertyNamed(f.Property.Name) == 0:
		return fmt.Errorf("MQTT has no property %q; one that it has is message-expiry-interval", f.Property.Name)
	case f.Connection < 0 || f.Nth < 0 || f.Since < 0:
		return errors.New("connection, nth and since count from 1")
	case f.Nth > 0 && f.Since > 0:
		return errors.New("nth and since exclude each other")
	case f.Probability != nil && !(*f.Probability >= 0 && *f.Probability <= 1):
		return fmt.Errorf("probability %v is not between 0 and 1", *f.Probability)
	case badPattern != nil:
		return fmt.Errorf("client %q is no pattern: %w", f.Client, badPattern)
	}
	return f.During.check()
}
