package faults

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

// chosen runs PUBLISH packets with the given identifiers past the rules and returns what is done to each.
func chosen(r *rules, ids ...uint16) []string {
	var actions []string
	for _, id := range ids {
		s := sight{direction: DeviceToBroker, connection: 1}
		s.read(publishPacket(byte(id), "x"), 6, version311, nil)
		e := r.rec.Append(timeline.Event{Kind: timeline.KindPacket, Conn: 1, Point: timeline.LeftDevice,
			Packet: &timeline.Packet{Type: "PUBLISH", ID: id}})
		name := "-"
		if chosen := r.choose(&s, arrival{event: e.Seq}); len(chosen) > 0 {
			name = actionsText(chosen)
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
		{"every", []Rule{On(publish, Drop())}, []string{"drop", "drop", "drop", "drop", "drop"}, []int{5}},
		{"none fits", []Rule{On(ToDevice(), Drop())}, []string{"-", "-", "-", "-", "-"}, []int{0}},
		{"the first two", []Rule{On(publish, Drop()).Times(2)}, []string{"drop", "drop", "-", "-", "-"}, []int{2}},
		{"the second", []Rule{On(publish.Nth(2), Drop())}, []string{"-", "drop", "-", "-", "-"}, []int{1}},
		{"the fourth and later", []Rule{On(publish.From(4), Drop())}, []string{"-", "-", "-", "drop", "drop"}, []int{2}},
		{"two from the third", []Rule{On(publish.From(3), Drop()).Times(2)}, []string{"-", "-", "drop", "drop", "-"}, []int{2}},
		{"the second with an identifier", []Rule{On(publish.WithID(1).Nth(2), Drop())},
			[]string{"-", "-", "drop", "-", "-"}, []int{1}},
		{"cut once", []Rule{On(publish, Cut(Before, RST)).Times(1)},
			[]string{"cut with RST before it", "-", "-", "-", "-"}, []int{1}},
		{"cut twice", []Rule{On(publish, Cut(After, FIN)).Times(2)},
			[]string{"cut with FIN after it", "cut with FIN after it", "-", "-", "-"}, []int{2}},
		{"the next rule gets what the first leaves", []Rule{On(publish, Drop()).Times(1), On(publish, Duplicate()).Times(1)},
			[]string{"drop", "duplicate", "-", "-", "-"}, []int{1, 1}},
		{"a rule counts what another has acted on", []Rule{On(publish.Nth(1), Drop()), On(publish.Nth(2), Duplicate())},
			[]string{"drop", "duplicate", "-", "-", "-"}, []int{1, 1}},
		{"rules combine", []Rule{On(publish.WithID(2), Duplicate()), On(publish, Drop())},
			[]string{"drop", "duplicate, drop", "drop", "duplicate, drop", "drop"}, []int{2, 5}},
		{"nothing is done to what an earlier rule takes away", []Rule{On(publish, Drop()), On(publish, Duplicate())},
			[]string{"drop", "drop", "drop", "drop", "drop"}, []int{5, 0}},
		{"actions of one rule", []Rule{On(publish.Nth(2), Delay(time.Second), Duplicate())},
			[]string{"-", "delay 1s, duplicate", "-", "-", "-"}, []int{1}},
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
	first := r.add(On(FromDevice(), Drop()))
	second := r.add(On(FromDevice(), Duplicate()))
	got := chosen(r, 1)
	first.Remove()
	first.Remove()
	third := r.add(On(FromDevice().WithID(3), Drop()))
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
	for _, e := range r.rec.(*timeline.Recorder).Events() {
		if e.Kind == timeline.KindFault {
			faults = append(faults, *e.Fault)
		}
	}
	want := []timeline.Fault{
		{Rule: 1, Text: "on every packet from the device: drop", Action: "drop", Packet: 2, Point: "left-device", Do: `["drop"]`},
		{Rule: 2, Text: "on every packet from the device: duplicate", Action: "duplicate", Packet: 6, Point: "left-device",
			Do: `["duplicate"]`},
		{Rule: 3, Text: "on every packet id 3 from the device: drop", Action: "drop", Packet: 9, Point: "left-device",
			Do: `["drop"]`},
	}
	if !slices.Equal(faults, want) {
		t.Errorf("recorded %+v, want %+v", faults, want)
	}
}

// What makes no sense in a rule file makes none in Go, either.
func TestNonsense(t *testing.T) {
	t.Parallel()
	on := func(m Match) func() error { return func() error { On(m, Drop()); return nil } }
	do := func(actions ...Action) func() error { return func() error { On(ToDevice(), actions...); return nil } }
	condition := func(c Condition) func() error { return c.check }
	for name, test := range map[string]struct {
		build func() error // panics or fails
		want  string
	}{
		"match of nothing":         {on(Match{}), "on is missing"},
		"client":                   {on(FromDevice().OfClient("[")), `client "[" is no pattern`},
		"QoS":                      {on(FromDevice().WithQoS(3)), "qos 3"},
		"property":                 {on(FromDevice().WithProperty("colour")), `no property "colour"`},
		"value of a property":      {on(FromDevice().WithPropertyValue("colour", "red")), `no property "colour"`},
		"during":                   {on(FromDevice().During(5*time.Second, 2*time.Second)), "during ends before it begins"},
		"probability":              {on(FromDevice().WithProbability(2)), "probability 2"},
		"Select":                   {func() error { FromDevice().WithQoS(3).Select(nil); return nil }, "qos 3"},
		"no action":                {do(), "do is missing"},
		"nil action":               {do(nil), "action is nil"},
		"answer":                   {do(Answer("PUBAK {id}")), `answer: packet "PUBAK {id}" is neither`},
		"answer of nothing":        {do(Answer("")), "packet is missing"},
		"forge to nowhere":         {do(Forge(0, "PUBACK")), "forge needs to"},
		"rewrite":                  {do(Rewrite(NewBytes("4x"))), "hexadecimal"},
		"delay":                    {do(Delay(-1)), "negative"},
		"distribution":             {do(DelayBy(Spread{By: 1, Distribution: "even"})), `"even"`},
		"cut without an end":       {do(Cut(Before, "")), "cut needs with"},
		"cut by magic":             {do(Cut(Before, "magic")), `"magic"`},
		"pause, then silence":      {do(Pause(Before, time.Second, Silence)), "cannot be silence"},
		"pause, then magic":        {do(Pause(Before, time.Second, "magic")), `"magic"`},
		"pause of nothing":         {do(Pause(Before, 0, FIN)), "then needs for"},
		"behind drop":              {do(Delay(1), Drop(), Duplicate()), `behind "drop", such as "duplicate"`},
		"behind answer":            {do(Answer("PUBACK"), Drop()), `behind "answer with PUBACK"`},
		"behind pause":             {do(Pause(After, time.Second, ""), Duplicate()), `such as "duplicate"`},
		"condition of nothing":     {condition(Condition{}), "condition is missing"},
		"condition that is over":   {condition(Down().During(5*time.Second, 2*time.Second)), "during"},
		"share":                    {condition(Down().ForShare(math.NaN())), "share NaN"},
		"loss":                     {condition(Loss(2)), "loss 2"},
		"swallow, then half-close": {condition(Swallow(time.Second, HalfClose)), "then half-close"},
		"swallow without then":     {condition(Swallow(time.Second, "")), "after needs then"},
		"latency":                  {condition(Latency(Spread{By: -1})), "negative"},
		"bandwidth":                {condition(Bandwidth(0)), "rate"},
		"shared bandwidth":         {condition(SharedBandwidth(-1)), "rate"},
		"slice":                    {condition(Slice(0, 0, 0)), "slice needs a size"},
		"limit":                    {condition(Limit(-1)), "limit"},
		"black hole":               {condition(Blackhole(-1)), "negative"},
		"slow close":               {condition(SlowClose(-1)), "negative"},
		"slow accept":              {condition(SlowAccept(-1)), "negative"},
		"reset":                    {condition(Reset(-1)), "negative"},
		"flapping":                 {condition(Flapping(1, 0)), "two times"},
	} {
		err := func() (err error) {
			defer func() {
				if text := recover(); text != nil {
					err = errors.New(fmt.Sprint(text))
				}
			}()
			return test.build()
		}()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
