package faults

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

// Packets that matches are tried on, by name: version and bytes.
var matched = map[string]struct {
	version byte
	hex     string
}{
	"publish":     {4, "3b 0f 0008 62656e63682f7570 0007 616263"},                                           // bench/up, id 7, QoS 1, DUP, retain, abc
	"plain":       {4, "30 05 0001 74 6869"},                                                                // t, QoS 0, hi
	"exactly":     {4, "34 05 0001 74 0009"},                                                                // t, id 9, QoS 2
	"system":      {4, "30 0e 0009 24535953 2f6c6f6164 7979 79"},                                            // $SYS/load
	"unreadable":  {4, "38 05 0001 74 6869"},                                                                // QoS 0 with DUP
	"puback":      {4, "40 02 0007"},                                                                        //
	"badPuback":   {4, "4f 02 0007"},                                                                        // wrong flags
	"pubrel":      {4, "62 02 0009"},                                                                        //
	"subscribe":   {4, "82 0b 0008 0001 61 01 0002 622f 02"},                                                // a, b/
	"unsubscribe": {4, "a2 05 0009 0001 61"},                                                                //
	"suback":      {4, "90 04 0008 0180"},                                                                   // 1, 0x80
	"connack":     {4, "20 02 0105"},                                                                        // code 5
	"ping":        {4, "c0 00"},                                                                             //
	"puback5":     {5, "40 03 0007 10"},                                                                     // code 0x10
	"short5":      {5, "40 02 0007"},                                                                        // no code
	"pubrec5":     {5, "50 0e 0007 97 0a 1f 0001 78 26 0001 6b 0000"},                                       // 0x97, reason x, k=
	"publish5":    {5, "32 1e 0001 74 0007 17 02 0000000a 03 0002 6a73 09 0002 beef 26 0001 6b 0001 76 78"}, //
	"suback5":     {5, "90 04 0008 00 87"},                                                                  // 0x87
	"unsuback5":   {5, "b0 05 0009 00 0011"},                                                                // 0, 0x11
	"disconnect5": {5, "e0 01 8e"},                                                                          // 0x8e
	"auth5":       {5, "f0 06 18 04 15 0001 78"},                                                            // 0x18
	"connack5":    {5, "20 06 0000 03 21 000a"},                                                             // receive maximum 10
	"subscribe5":  {5, "82 09 0008 02 0b05 0001 61 01"},                                                     // a, subscription identifier 5
	"connect5":    {5, "10 15 0004 4d515454 05 02 003c 05 11 00000e10 0003 647574"},                         // session expiry 3600
}

// Each match fits the packets that it should and no other, on the wire and in the record.
func TestMatch(t *testing.T) {
	t.Parallel()
	from := FromDevice()
	for _, test := range []struct {
		match Match
		want  string // names of the packets that fit
	}{
		{from, strings.Join(slices.Sorted(maps.Keys(matched)), " ")},
		{ToDevice(), ""},
		{Match{}, ""},
		{FromDevice(PUBLISH), "exactly plain publish publish5 system unreadable"},
		{FromDevice(SUBSCRIBE, UNSUBSCRIBE), "subscribe subscribe5 unsubscribe"},
		{FromDevice(PUBACK), "badPuback puback puback5 short5"},
		{FromDevice(AUTH, DISCONNECT), "auth5 disconnect5"},
		{from.WithTopic("bench/up"), "publish"},
		{from.WithTopic("bench/down"), ""},
		{from.WithTopic("bench/+"), "publish"},
		{from.WithTopic("+/up"), "publish"},
		{from.WithTopic("bench/#"), "publish"},
		{from.WithTopic("bench/up/#"), "publish"},
		{from.WithTopic("bench"), ""},
		{from.WithTopic("#"), "exactly plain publish publish5 unreadable"},
		{from.WithTopic("+/+"), "publish"},
		{from.WithTopic("$SYS/+"), "system"},
		{from.WithTopic("$SYS/#"), "system"},
		{from.WithTopic("t"), "exactly plain publish5 unreadable"},
		{from.WithTopic("a"), "subscribe subscribe5 unsubscribe"},
		{from.WithTopic("b/"), "subscribe"},
		{from.WithTopic("c"), ""},
		{from.WithID(7), "badPuback puback puback5 publish publish5 pubrec5 short5"},
		{from.WithID(8), "suback suback5 subscribe subscribe5"},
		{from.WithID(9), "exactly pubrel unsuback5 unsubscribe"},
		{from.WithID(1), ""},
		{from.WithQoS(0), "plain system unreadable"},
		{from.WithQoS(1), "publish publish5"},
		{from.WithQoS(2), "exactly"},
		{from.WithDUP(true), "publish unreadable"},
		{from.WithDUP(false), "exactly plain publish5 system"},
		{from.WithRetain(true), "publish"},
		{from.WithRetain(false), "exactly plain publish5 system unreadable"},
		{from.WithPayload("b"), "publish"},
		{from.WithPayload("hi"), "plain unreadable"},
		{from.WithPayload("abcd"), ""},
		{from.WithProperty("message-expiry-interval"), "publish5"},
		{from.WithPropertyValue("message-expiry-interval", "10"), "publish5"},
		{from.WithPropertyValue("message-expiry-interval", "11"), ""},
		{from.WithPropertyValue("content-type", "js"), "publish5"},
		{from.WithPropertyValue("correlation-data", "beef"), "publish5"},
		{from.WithProperty("user-property"), "publish5 pubrec5"},
		{from.WithPropertyValue("user-property", "k=v"), "publish5"},
		{from.WithPropertyValue("user-property", "k="), "pubrec5"},
		{from.WithPropertyValue("reason-string", "x"), "pubrec5"},
		{from.WithPropertyValue("receive-maximum", "10"), "connack5"},
		{from.WithPropertyValue("subscription-identifier", "5"), "subscribe5"},
		{from.WithPropertyValue("session-expiry-interval", "3600"), "connect5"},
		{from.WithPropertyValue("authentication-method", "x"), "auth5"},
		{from.WithCode(5), "connack"},
		{from.WithCode(0), "connack5 unsuback5"},
		{from.WithCode(1), "suback"},
		{from.WithCode(0x10), "puback5"},
		{from.WithCode(0x87), "suback5"},
		{from.WithCode(0x97), "pubrec5"},
		{from.WithCode(0x8e), "disconnect5"},
		{from.WithCode(0x18), "auth5"},
		{from.OnConnection(3), strings.Join(slices.Sorted(maps.Keys(matched)), " ")},
		{from.OnConnection(2), ""},
		{from.OfClient("dut-*"), strings.Join(slices.Sorted(maps.Keys(matched)), " ")},
		{from.OfClient("dut-1"), strings.Join(slices.Sorted(maps.Keys(matched)), " ")},
		{from.OfClient("dut"), ""},
		{from.OfClient("*-2"), ""},
		{FromDevice(PUBLISH).During(time.Second, 3*time.Second).WithQoS(2), "exactly"},
		{FromDevice(PUBLISH).During(2*time.Second, 0).WithQoS(2), "exactly"},
		{FromDevice(PUBLISH).During(0, 2*time.Second).WithQoS(2), ""},
		{FromDevice(PUBLISH).During(2*time.Second+1, 0), ""},
		{FromDevice(PUBLISH).WithTopic("bench/up").WithID(7).WithQoS(1).WithDUP(true).WithRetain(true).WithPayload("abc"),
			"publish"},
		{FromDevice(PUBLISH).WithTopic("bench/up").WithID(8).WithQoS(1).WithDUP(true), ""},
		{FromDevice(PINGREQ).Nth(2), "ping"}, // counting is for others
		{FromDevice(PINGREQ).From(2), "ping"},
		{FromDevice(PINGREQ).WithProbability(0), "ping"}, // so is chance
	} {
		for how, see := range map[string]func(s *sight, raw []byte, version byte){
			"on the wire":   func(s *sight, raw []byte, version byte) { s.read(raw, len(raw), version, nil) },
			"in the record": func(s *sight, raw []byte, version byte) { s.readRecorded(Decode(raw, version)) },
		} {
			var got []string
			for _, name := range slices.Sorted(maps.Keys(matched)) {
				s := sight{direction: DeviceToBroker, connection: 3, client: "dut-1", past: true, at: 2 * time.Second}
				see(&s, unhex(t, matched[name].hex), matched[name].version)
				if test.match.fits(&s) {
					got = append(got, name)
				}
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("%s, %s fits %s, want %s", how, test.match, text, test.want)
			}
		}
	}
}

// Rules know topic aliases and the client identifier that the broker has assigned, and so does Select, each connection's
// own.
func TestMatchKnowsTheConnection(t *testing.T) {
	t.Parallel()
	for _, record := range []bool{true, false} {
		onBoth(t, func(t *testing.T, n network) {
			s := newSetupWith(t, n, Options{Summary: !record})
			onTopic := FromDevice(PUBLISH).WithTopic("a/+").OfClient("auto-*")
			back := ToDevice(PUBLISH).WithTopic("b")
			armed := s.proxy.Add(On(onTopic, Drop()))
			armedBack := s.proxy.Add(On(back, Drop()))
			publish := func(topic string, alias byte, payload string) []byte {
				p := append([]byte{0x30, byte(6 + len(topic) + len(payload)), 0, byte(len(topic))}, topic...)
				return append(append(p, 3, 0x23, 0, alias), payload...)
			}
			for _, id := range []string{"auto-1", "other"} {
				device, broker := s.connect()
				connect := unhex(t, "10 10 0004 4d515454 05 02 003c 03 22 000a 0000")
				connack := append(unhex(t, "20"), byte(3+3+3+len(id)), 0, 0, byte(3+3+len(id)), 0x22, 0, 10, 0x12, 0, byte(len(id)))
				connack = append(connack, id...)
				device.write(connect)
				broker.wantBytes(connect)
				broker.write(connack)
				device.wantBytes(connack)
				device.write(publish("a/b", 1, "1"), publish("c", 2, "2"), publish("", 1, "3"), publish("", 2, "4"),
					publish("d", 1, "5"), publish("", 1, "6"))
				broker.write(publish("b", 1, "7"), publish("e", 2, "8"), publish("", 1, "9"))
				device.fin()
				broker.fin()
				want := slices.Concat(publish("c", 2, "2"), publish("", 2, "4"), publish("d", 1, "5"), publish("", 1, "6"))
				if id == "other" {
					want = slices.Concat(publish("a/b", 1, "1"), publish("c", 2, "2"), publish("", 1, "3"), publish("", 2, "4"),
						publish("d", 1, "5"), publish("", 1, "6"))
				}
				broker.wantRest(FIN, want)
				device.wantRest(FIN, publish("e", 2, "8"))
			}
			if armed.Fired() != 2 || armedBack.Fired() != 4 {
				t.Errorf("fired %d and %d times, want 2 and 4", armed.Fired(), armedBack.Fired())
			}
			if got := len(onTopic.Select(s.rec.Events())); record && got != 2 {
				t.Errorf("Select picks %d packets, want 2", got)
			}
			if got := s.proxy.Rules(); len(got) != 2 {
				t.Errorf("%d rules", len(got))
			}
		})
	}
}

// A rule may be for a span of time since the proxy began.
func TestDuring(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.proxy.Add(On(FromDevice(PUBLISH).During(2*time.Second, 4*time.Second), Drop()))
		device, broker := s.connectMQTT()
		for id := range byte(6) {
			device.write(publishPacket(id, "x"))
			if id != 2 && id != 3 {
				broker.wantBytes(publishPacket(id, "x"))
			}
			time.Sleep(time.Second)
		}
		device.fin()
		broker.wantRest(FIN)
	})
}

func TestTopicFits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		filter, topic string
		want          bool
	}{
		{"a", "a", true}, {"a", "A", false}, {"a", "ab", false}, {"ab", "a", false}, {"a/b", "a/b", true},
		{"+", "a", true}, {"+", "a/b", false}, {"+", "", false}, {"+", "/a", false}, {"/+", "/a", true}, {"+/+", "/a", true},
		{"a/+", "a/", true}, {"a/+", "a", false}, {"a/+/c", "a/b/c", true}, {"a/+/c", "a/b/d", false}, {"+/b", "a/b", true},
		{"#", "a", true}, {"#", "a/b/c", true}, {"#", "/", true}, {"a/#", "a", true}, {"a/#", "a/b/c", true}, {"a/#", "ab", false},
		{"a/#", "b", false}, {"a/+/#", "a", false}, {"a/+/#", "a/b", true}, {"+/#", "a", true},
		{"#", "$SYS", false}, {"#", "$SYS/x", false}, {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/x", true}, {"a/$x", "a/$x", true}, {"a/+", "a/$x", true}, {"a//b", "a//b", true}, {"a/+/b", "a//b", true},
	} {
		if got := topicFits(test.filter, test.topic); got != test.want {
			t.Errorf("%s fits %q: %t, want %t", test.filter, test.topic, got, test.want)
		}
	}
}

// A Match that is refined twice in different ways must stay what it is.
func TestMatchIsAValue(t *testing.T) {
	t.Parallel()
	types := []PacketType{PUBLISH}
	base := FromDevice(types...).WithTopic("t").WithQoS(1).WithID(1)
	types[0] = PUBACK
	dup, first := base.WithDUP(true), base.WithDUP(false)
	for _, test := range []struct {
		match Match
		want  string
	}{
		{base, "PUBLISH t id 1 QoS 1 from the device"},
		{dup, "PUBLISH t id 1 QoS 1 with DUP from the device"},
		{first, "PUBLISH t id 1 QoS 1 without DUP from the device"},
	} {
		if got := test.match.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	rec := timeline.NewRecorder(nil)
	see := func(connection int, at timeline.Point, kind PacketType, id uint16) {
		rec.Append(timeline.Event{Kind: timeline.KindPacket, Conn: connection, Point: at,
			Packet: &timeline.Packet{Type: kind.String(), ID: id}})
	}
	rec.Append(timeline.Event{Kind: timeline.KindOpen, Conn: 1, Point: timeline.LeftDevice})
	see(1, timeline.LeftDevice, PUBLISH, 1)    // 1
	see(1, timeline.ReachedBroker, PUBLISH, 1) // 2
	see(1, timeline.LeftDevice, PUBLISH, 2)    // 3, dropped
	see(1, timeline.LeftBroker, PUBACK, 1)     // 4, dropped
	see(1, timeline.LeftBroker, PUBACK, 2)     // 5
	see(1, timeline.ReachedDevice, PUBACK, 2)  // 6
	see(2, timeline.LeftDevice, PUBLISH, 1)    // 7
	see(2, timeline.LeftDevice, PUBLISH, 3)    // 8

	for _, test := range []struct {
		match Match
		want  []int
	}{
		{FromDevice(PUBLISH), []int{1, 3, 7, 8}},
		{FromDevice(PUBLISH).WithID(1), []int{1, 7}},
		{FromDevice(PUBLISH).Nth(3), []int{7}},
		{FromDevice(PUBLISH).From(2), []int{3, 7, 8}},
		{FromDevice(PUBLISH).OnConnection(2).Nth(2), []int{8}},
		{FromDevice(PUBLISH).Nth(5), nil},
		{ToDevice(PUBACK), []int{6}},
		{ToDevice(PUBACK).WithID(1), nil},
		{ToDevice(), []int{6}},
		{Match{}, nil},
	} {
		var got []int
		for _, e := range test.match.Select(rec.Events()) {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s selects %v, want %v", test.match, got, test.want)
		}
	}
}

// A packet at the very beginning of a record came then, and not now.
func TestSelectDuring(t *testing.T) {
	t.Parallel()
	var events []timeline.Event
	for seq, at := range []time.Duration{0, time.Second, 2 * time.Second} {
		events = append(events, timeline.Event{Seq: seq, At: at, Kind: timeline.KindPacket, Point: timeline.LeftDevice,
			Packet: &timeline.Packet{Type: "PINGREQ"}})
	}
	if got := FromDevice().During(0, time.Second+1).Select(events); len(got) != 2 || got[0].Seq != 0 {
		t.Errorf("selects %v, want the first two", got)
	}
}

// A code is found in a record without the packets' bytes, too, and so is that there is none.
func TestCodeWithoutBytes(t *testing.T) {
	t.Parallel()
	for name, packet := range matched {
		raw := unhex(t, packet.hex)
		var whole, recorded reading
		whole.read(raw, len(raw), packet.version, nil)
		p := Decode(raw, packet.version)
		if p.Error != "" {
			continue
		}
		p.Raw = nil
		if recorded.readRecorded(p); recorded.hasCode != whole.hasCode || recorded.code != whole.code {
			t.Errorf("%s: code %d, %t, want %d, %t", name, recorded.code, recorded.hasCode, whole.code, whole.hasCode)
		}
	}
}

func TestOrdinal(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 10: "10th", 11: "11th", 12: "12th",
		13: "13th", 20: "20th", 21: "21st", 22: "22nd", 23: "23rd", 101: "101st", 111: "111th", 112: "112th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}

func TestSpanLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		span  span
		limit int
		want  string
	}{
		{everyMatch, 0, "every"},
		{everyMatch, 1, "1st"},
		{everyMatch, 2, "1st-2nd"},
		{span{first: 3}, 0, "3rd and later"},
		{span{first: 3}, 1, "3rd"},
		{span{first: 3}, 4, "3rd-6th"},
		{span{first: 3, last: 3}, 0, "3rd"},
		{span{first: 3, last: 3}, 4, "3rd"},
	} {
		if got := test.span.limit(test.limit).String(); got != test.want {
			t.Errorf("%v limited to %d is %q, want %q", test.span, test.limit, got, test.want)
		}
	}
}

// Counts below 1 would make rules that never act, or always.
func TestCountsBeginAtOne(t *testing.T) {
	t.Parallel()
	for name, build := range map[string]func(){
		"Nth":          func() { ToDevice().Nth(0) },
		"From":         func() { ToDevice().From(0) },
		"OnConnection": func() { ToDevice().OnConnection(0) },
		"Times":        func() { On(ToDevice(), Drop()).Times(0) },
		"Split":        func() { On(ToDevice(), Split(0, 0)) },
		"Glue":         func() { On(ToDevice(), Glue(0)) },
		"Reorder":      func() { On(ToDevice(), Reorder(0)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s took a count that is none", name)
				}
			}()
			build()
		}()
	}
}
