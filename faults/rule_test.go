package faults

import (
	"slices"
	"testing"

	"mqtthil/harness/timeline"
)

// chosen runs PUBLISH packets with the given identifiers past the rules and returns what is done to each.
func chosen(r *rules, ids ...uint16) []string {
	var actions []string
	for _, id := range ids {
		arrival := r.rec.Append(timeline.Event{Kind: timeline.KindPacket, Conn: 1, Point: timeline.LeftDevice,
			Packet: &timeline.Packet{Type: "PUBLISH", ID: id}})
		name := "-"
		if a := r.choose(arrival, DeviceToBroker); a != nil {
			name = a.String()
		}
		actions = append(actions, name)
	}
	return actions
}

func TestRulesAreCounted(t *testing.T) {
	t.Parallel()
	publish := FromDevice(PUBLISH)
	for _, test := range []struct {
		name  string
		rules []Rule
		want  []string // of five packets with identifiers 1, 2, 1, 2, 1
		fired []int
	}{
		{"every", []Rule{Drop(publish)}, []string{"drop", "drop", "drop", "drop", "drop"}, []int{5}},
		{"none fits", []Rule{Drop(ToDevice())}, []string{"-", "-", "-", "-", "-"}, []int{0}},
		{"the first two", []Rule{Drop(publish).Times(2)}, []string{"drop", "drop", "-", "-", "-"}, []int{2}},
		{"the second", []Rule{Drop(publish.Nth(2))}, []string{"-", "drop", "-", "-", "-"}, []int{1}},
		{"the fourth and later", []Rule{Drop(publish.From(4))}, []string{"-", "-", "-", "drop", "drop"}, []int{2}},
		{"two from the third", []Rule{Drop(publish.From(3)).Times(2)}, []string{"-", "-", "drop", "drop", "-"}, []int{2}},
		{"the second with an identifier", []Rule{Drop(publish.WithID(1).Nth(2))},
			[]string{"-", "-", "drop", "-", "-"}, []int{1}},
		{"cut once", []Rule{Cut(publish, Before, RST)},
			[]string{"cut rst before the packet", "-", "-", "-", "-"}, []int{1}},
		{"cut twice", []Rule{Cut(publish, After, FIN).Times(2)},
			[]string{"cut fin after the packet", "cut fin after the packet", "-", "-", "-"}, []int{2}},
		{"the next rule gets what the first leaves", []Rule{Drop(publish).Times(1), Duplicate(publish).Times(1)},
			[]string{"drop", "duplicate", "-", "-", "-"}, []int{1, 1}},
		{"a rule counts what another has acted on", []Rule{Drop(publish.Nth(1)), Duplicate(publish.Nth(2))},
			[]string{"drop", "duplicate", "-", "-", "-"}, []int{1, 1}},
		{"first come", []Rule{Duplicate(publish.WithID(2)), Drop(publish)},
			[]string{"drop", "duplicate", "drop", "duplicate", "drop"}, []int{2, 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &rules{rec: timeline.NewRecorder(nil)}
			var armed []*Armed
			for _, rule := range test.rules {
				armed = append(armed, r.add(rule))
			}
			if got := chosen(r, 1, 2, 1, 2, 1); !slices.Equal(got, test.want) {
				t.Errorf("did %q, want %q", got, test.want)
			}
			for i, a := range armed {
				if a.Fired() != test.fired[i] {
					t.Errorf("%s fired %d times, want %d", a, a.Fired(), test.fired[i])
				}
			}
		})
	}
}

func TestRulesComeAndGo(t *testing.T) {
	t.Parallel()
	r := &rules{rec: timeline.NewRecorder(nil)}
	first := r.add(Drop(FromDevice()))
	second := r.add(Duplicate(FromDevice()))
	got := chosen(r, 1)
	first.Remove()
	first.Remove()
	third := r.add(Drop(FromDevice()))
	got = append(got, chosen(r, 2)...)
	second.Remove()
	got = append(got, chosen(r, 3)...)
	third.Remove()
	got = append(got, chosen(r, 4)...)
	if want := []string{"drop", "duplicate", "drop", "-"}; !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	if len(r.all()) != 0 {
		t.Errorf("left over: %v", r.all())
	}

	var faults []timeline.Fault
	for _, e := range r.rec.Events() {
		if e.Kind == timeline.KindFault {
			faults = append(faults, *e.Fault)
		}
	}
	want := []timeline.Fault{
		{Rule: 1, Text: "drop every packet from the device", Action: "drop", Packet: 0},
		{Rule: 2, Text: "duplicate every packet from the device", Action: "duplicate", Packet: 2},
		{Rule: 3, Text: "drop every packet from the device", Action: "drop", Packet: 4},
	}
	if !slices.Equal(faults, want) {
		t.Errorf("recorded %+v, want %+v", faults, want)
	}
}
