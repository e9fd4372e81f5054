package faults

import (
	"slices"
	"testing"

	"mqtthil/harness/timeline"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	publish := &timeline.Packet{Type: "PUBLISH", Topic: "bench/up", QoS: 1, ID: 7, DUP: true}
	subscribe := &timeline.Packet{Type: "SUBSCRIBE", ID: 8, Filters: []timeline.Filter{{Topic: "a"}, {Topic: "b"}}}
	ping := &timeline.Packet{Type: "PINGREQ"}
	unreadable := &timeline.Packet{Type: "PUBACK", ID: 7, Flags: 1, Error: "malformed packet: flags"}
	for _, test := range []struct {
		match  Match
		packet *timeline.Packet
		want   bool
	}{
		{FromDevice(), publish, true},
		{FromDevice(), ping, true},
		{ToDevice(), publish, false},
		{FromDevice(PUBLISH), publish, true},
		{FromDevice(SUBSCRIBE, PUBLISH), publish, true},
		{FromDevice(SUBSCRIBE), publish, false},
		{FromDevice(PUBACK), unreadable, true},
		{FromDevice().WithTopic("bench/up"), publish, true},
		{FromDevice().WithTopic("bench/down"), publish, false},
		{FromDevice().WithTopic("bench/+"), publish, true},
		{FromDevice().WithTopic("#"), publish, true},
		{FromDevice().WithTopic("bench"), publish, false},
		{FromDevice().WithTopic("b"), subscribe, true},
		{FromDevice().WithTopic("c"), subscribe, false},
		{FromDevice().WithTopic("#"), ping, false},
		{FromDevice().WithID(7), publish, true},
		{FromDevice().WithID(7), unreadable, true},
		{FromDevice().WithID(8), publish, false},
		{FromDevice().WithQoS(1), publish, true},
		{FromDevice().WithQoS(0), publish, false},
		{FromDevice().WithQoS(0), ping, false},
		{FromDevice().WithDUP(true), publish, true},
		{FromDevice().WithDUP(false), publish, false},
		{FromDevice().WithDUP(false), ping, false},
		{FromDevice().OnConnection(3), publish, true},
		{FromDevice().OnConnection(2), publish, false},
		{FromDevice(PUBLISH).WithTopic("bench/up").WithID(7).WithQoS(1).WithDUP(true), publish, true},
		{FromDevice(PUBLISH).WithTopic("bench/up").WithID(8).WithQoS(1).WithDUP(true), publish, false},
		{FromDevice().Nth(2), publish, true}, // counting is for others
		{FromDevice().From(2), publish, true},
		{Match{}, publish, false},
	} {
		s := sight{direction: DeviceToBroker, connection: 3}
		s.readRecorded(test.packet)
		if got := test.match.fits(&s); got != test.want {
			t.Errorf("%s matches %s: %t, want %t", test.match, test.packet, got, test.want)
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
		"Split":        func() { Split(0, 0) },
		"Glue":         func() { Glue(0) },
		"Reorder":      func() { Reorder(0) },
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
