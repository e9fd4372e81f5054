package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mqtthil/faults/internal/form"
	"mqtthil/harness/timeline"
)

// The file that shows everything says everything, and what is read from it can be written and read again.
func TestParseFile(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseFile(data)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	fields := func(v any) {
		each := reflect.Indirect(reflect.ValueOf(v))
		for i := range each.NumField() {
			if !each.Field(i).IsZero() {
				used[fmt.Sprintf("%s.%s", each.Type().Name(), each.Type().Field(i).Name)] = true
			}
		}
	}
	want := func(v any) {
		if t := reflect.TypeOf(v); t.Kind() == reflect.Struct && t != reflect.TypeFor[form.Text]() {
			for i := range t.NumField() {
				if t.Field(i).IsExported() {
					used[fmt.Sprintf("%s.%s", t.Name(), t.Field(i).Name)] = used[fmt.Sprintf("%s.%s", t.Name(), t.Field(i).Name)]
				}
			}
		}
	}
	for name := range actionKinds {
		used["action "+name] = false
	}
	for name := range conditionKinds {
		used["condition "+name] = false
	}
	want(matchForm{})
	for _, r := range f.Rules {
		fields(r.match.form)
		for _, a := range r.actions {
			used["action "+a.verb()] = true
			want(a)
			fields(a)
		}
	}
	for _, c := range f.Link {
		used["condition "+c.kind.name()] = true
		want(c.kind)
		fields(c.kind)
		used["condition to"] = used["condition to"] || c.direction != 0
		used["condition share"] = used["condition share"] || c.share != nil
	}
	for what, isUsed := range used {
		if !isUsed {
			t.Errorf("the file does not show %s", what)
		}
	}

	written, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseFile(written)
	if err != nil {
		t.Fatalf("%s: %v", written, err)
	}
	if !slices.Equal(f.texts(), again.texts()) || *again.Seed != 42 {
		t.Errorf("read again it is\n%s\nwant\n%s", strings.Join(again.texts(), "\n"), strings.Join(f.texts(), "\n"))
	}
	if got := f.texts()[:6]; !slices.Equal(got, []string{"latency 250ms ± 50ms normal", "bandwidth 93750 bytes/s", "loss 0.015",
		"latency 200ms", "latency 200ms ± 50ms normal", "bandwidth 10000 bytes/s"}) {
		t.Errorf("begins with %q", got)
	}
}

// texts are all that the file says, in words.
func (f File) texts() (texts []string) {
	for _, c := range f.Link {
		texts = append(texts, c.String())
	}
	for _, r := range f.Rules {
		texts = append(texts, r.String())
	}
	return texts
}

// Each mistake has an error that says where it is, and what.
func TestParseFileMistakes(t *testing.T) {
	t.Parallel()
	rule := func(do string) string { return "rules:\n- on: {to: device}\n  do:\n  - " + do + "\n" }
	on := func(match string) string { return "rules:\n- on: {to: device, " + match + "}\n  do: drop\n" }
	for _, test := range []struct {
		name, file, at string
		says           []string
	}{
		{"empty", "", "", []string{"nothing in it"}},
		{"only a comment", "# rules\n", "", []string{"nothing in it"}},
		{"nothing", "~", "", []string{"nothing in it"}},
		{"nothing, as JSON", "{}", "1:1", []string{"nothing in it", "rules: []"}},
		{"nothing but a seed", "seed: 1\n", "1:1", []string{"nothing in it"}},
		{"no rules where they belong", "rules:\n", "1:1", []string{"nothing in it"}},
		{"second document", "rules: []\n---\nseed: 2\n", "3:", []string{"second document", "---"}},
		{"a list", "- drop\n", "1:", []string{"sequence", "mapping"}},
		{"a text", "drop\n", "1:", []string{"string", "mapping"}},
		{"not closed", "rules: [\n", "1:", []string{"]"}},
		{"indented wrongly", "rules:\n- on: {to: device}\n do: drop\n", "", nil},
		{"tab", "rules:\n\t- on\n", "2:", []string{"cannot start"}},
		{"unknown field", "ruels: []\n", "1:1", []string{`"ruels"`}},
		{"unknown field of a rule", "rules:\n- on: {to: device}\n  do: drop\n  tmies: 2\n", "4:3", []string{`"tmies"`}},
		{"unknown field of a match", on("tpoic: x"), "2:20", []string{`"tpoic"`}},
		{"unknown field of an action", rule("delay: {bye: 1s}"), "4:13", []string{`"bye"`}},
		{"unknown field of a condition", "link:\n- latency: {by: 1s, jtter: 1s}\n", "2:21", []string{`"jtter"`}},
		{"field twice", "seed: 1\nseed: 2\n", "2:1", []string{"seed"}},
		{"unknown action", rule("dorp"), "4:5", []string{`"dorp"`, "drop"}},
		{"unknown action with fields", rule("dealy: {by: 1s}"), "4:5", []string{`"dealy"`, "delay"}},
		{"unknown condition", "link: [latancy: 1s]\n", "1:8", []string{`"latancy"`, "latency"}},
		{"unknown preset", "link: [preset: 6g]\n", "1:8", []string{`"6g"`, "gprs"}},
		{"two actions in one", rule("{delay: 1s, drop: {}}"), "4:6", []string{"one action", "delay, drop"}},
		{"an action that is no name", rule("[drop]"), "4:5", []string{"here belongs a text"}},
		{"two conditions in one", "link:\n- latency: 1s\n  to: device\n", "2:3", []string{"one condition", "latency, to"}},
		{"no condition", "link:\n- condition:\n  to: device\n", "2:3", []string{"condition"}},
		{"no on", "rules:\n- do: drop\n", "2:3", []string{"on is missing"}},
		{"no do", "rules:\n- on: {to: device}\n", "2:3", []string{"do is missing"}},
		{"empty do", "rules:\n- on: {to: device}\n  do: []\n", "2:3", []string{"do is missing"}},
		{"no to", "rules:\n- on: {type: PUBACK}\n  do: drop\n", "2:8", []string{"to is missing"}},
		{"wrong to", "rules:\n- on: {to: client}\n  do: drop\n", "2:12", []string{`"client"`, "device nor broker"}},
		{"wrong type", on("type: PUBACC"), "2:26", []string{`"PUBACC"`, "packet type"}},
		{"wrong type among others", on("type: [PUBACK, PUBACC]"), "2:35", []string{`"PUBACC"`}},
		{"text for a number", on("id: seven"), "2:24", []string{"number from 0 to 65535"}},
		{"number for a truth", on("dup: 3"), "2:25", []string{"true or false"}},
		{"too large an id", on("id: 65536"), "2:24", []string{"65536", "0 to 65535"}},
		{"negative id", on("id: -1"), "2:24", []string{"-1", "0 to 65535"}},
		{"too large a code", on("code: 256"), "2:26", []string{"256", "0 to 255"}},
		{"huge number", on("nth: 99999999999999999999"), "2:25", []string{"99999999999999999999"}},
		{"broken number", on("nth: 1.5"), "2:25", []string{"whole number"}},
		{"broken number of an action", rule("glue: {packets: 1.5}"), "4:21", []string{"whole number"}},
		{"broken number of a condition", "link: [limit: {bytes: 1.5}]\n", "1:23", []string{"whole number"}},
		{"broken times", "rules:\n- on: {to: device}\n  do: drop\n  times: 1.5\n", "4:10", []string{"whole number"}},
		{"broken seed", "seed: 1.5\n", "1:7", []string{"whole number"}},
		{"QoS 3", on("qos: 3"), "2:8", []string{"qos 3"}},
		{"nth and since", on("nth: 1, since: 2"), "2:8", []string{"nth and since"}},
		{"negative nth", on("nth: -1"), "2:8", []string{"nth"}},
		{"negative connection", on("connection: -1"), "2:8", []string{"connection"}},
		{"negative times", "rules:\n- on: {to: device}\n  do: drop\n  times: -1\n", "2:3", []string{"times is negative"}},
		{"probability", on("probability: 1.1"), "2:8", []string{"probability 1.1"}},
		{"probability that is none", on("probability: .nan"), "2:8", []string{"probability NaN"}},
		{"property", on("property: {name: colour}"), "2:8", []string{`"colour"`}},
		{"no property", on("property: {value: 1}"), "2:8", []string{"property"}},
		{"during", on("during: {from: 3s, to: 2s}"), "2:8", []string{"during", "3s"}},
		{"client", on("client: 'a['"), "2:8", []string{`client "a["`}},
		{"time", rule("delay: 5x"), "4:12", []string{`"5x"`, "1.5s"}},
		{"time without a unit", rule("delay: 5"), "4:12", []string{`"5"`, "1.5s"}},
		{"time in fields", rule("delay: {by: 5x}"), "4:17", []string{`"5x"`}},
		{"too long a time", rule("delay: 2000000h"), "4:12", []string{"100 years"}},
		{"overlong time", rule("delay: 99999999999h"), "4:12", []string{`"99999999999h"`}},
		{"negative time", rule("delay: -5s"), "4:", []string{"negative", "-5s"}},
		{"negative jitter", rule("delay: {by: 5s, jitter: -1s}"), "4:", []string{"negative", "-1s"}},
		{"distribution", rule("delay: {by: 5s, jitter: 1s, distribution: poisson}"), "4:", []string{`"poisson"`}},
		{"reorder one", rule("reorder: {packets: 1}"), "4:", []string{"reorder", "2"}},
		{"reorder alone", rule("reorder"), "4:5", []string{"reorder", "2"}},
		{"glue nothing", rule("glue: {packets: 0}"), "4:", []string{"glue"}},
		{"split into nothing", rule("split: {size: 0}"), "4:", []string{"split"}},
		{"negative gap", rule("split: {size: 1, gap: -1s}"), "4:", []string{"split", "gap"}},
		{"mask without byte", rule("corrupt: {mask: 1}"), "4:", []string{"byte"}},
		{"rewrite nothing", rule("rewrite"), "4:5", []string{"rewrite"}},
		{"rewrite QoS", rule("rewrite: {qos: 4}"), "4:", []string{"qos 4"}},
		{"rewrite flags", rule("rewrite: {flags: 16}"), "4:", []string{"flags"}},
		{"hexadecimal", rule("answer: 40 02 zz"), "4:13", []string{"40 02 zz", "hexadecimal"}},
		{"no packet", rule("answer:"), "4:", []string{"packet is missing"}},
		{"rewrite to nothing", rule("rewrite: {topic:}"), "4:", []string{"rewrite"}},
		{"no hexadecimal", rule("rewrite: {payload: {hex: 0x}}"), "4:25", []string{`"0x"`, "hexadecimal"}},
		{"no hex", rule("rewrite: {payload: {}}"), "4:24", []string{"hex: ff00"}},
		{"half a byte", on("payload: {hex: 123}"), "2:", []string{`"123"`, "odd length"}},
		{"a time in bytes", rule("delay: {by: {hex: 3573}}"), "4:", []string{"text"}},
		{"delay alone", rule("delay"), "4:5", []string{"more belongs to it", "by"}},
		{"delay by nothing", rule("delay:"), "4:5", []string{"more belongs to it", "by"}},
		{"latency alone", "link: [latency]\n", "1:8", []string{"more belongs to it", "by"}},
		{"no action", rule(""), "4:", []string{"nothing in this place"}},
		{"no rule", "rules:\n-\n", "2:", []string{"nothing in this place"}},
		{"no element of link", "link: [~]\n", "1:8", []string{"nothing in this place"}},
		{"packet that needs bytes", rule("forge: {to: device, packet: PUBLISH}"), "4:33", []string{"PUBLISH", "hexadecimal"}},
		{"drop, then duplicate", "rules:\n- on: {to: device}\n  do: [drop, duplicate]\n", "2:3", []string{`behind "drop"`, `"duplicate"`}},
		{"forge to nowhere", rule("forge: {packet: PUBACK}"), "4:", []string{"forge needs to"}},
		{"cut without an end", rule("cut: {at: before}"), "4:", []string{"cut needs with"}},
		{"cut by magic", rule("cut: {with: magic}"), "4:17", []string{`"magic"`, "half-close"}},
		{"cut at nowhere", rule("cut: {at: middle, with: fin}"), "4:15", []string{`"middle"`}},
		{"cut beyond all packets", rule("cut: {at: 99999999999, with: fin}"), "4:15", []string{"99999999999", "268435460"}},
		{"FIN that lasts", rule("cut: {with: fin, for: 1s}"), "4:", []string{"silence only"}},
		{"silence, then silence", rule("cut: {with: silence, for: 1s, then: silence}"), "4:", []string{"silence"}},
		{"then without for", rule("cut: {with: silence, then: fin}"), "4:", []string{"then needs for"}},
		{"rate", "link: [bandwidth: {rate: 0}]\n", "1:", []string{"rate"}},
		{"loss", "link: [loss: 2]\n", "1:", []string{"loss 2"}},
		{"loss that is no number", "link: [loss: much]\n", "1:14", []string{"number"}},
		{"slice", "link: [slice: {size: 0}]\n", "1:", []string{"slice"}},
		{"slice that varies by all", "link: [slice: {size: 1, variation: 9223372036854775807}]\n", "1:", []string{"slice", "variation"}},
		{"limit", "link: [limit: {bytes: -1}]\n", "1:", []string{"limit"}},
		{"half a flap", "link: [down: {up: 3s}]\n", "1:", []string{"up and for"}},
		{"reset in the past", "link: [reset: {after: -3s}]\n", "1:", []string{"after is negative"}},
		{"share", "link:\n- condition: refuse\n  share: 2\n", "2:", []string{"share 2"}},
		{"a share of refusing", "link:\n- condition: refuse\n  share: 0.5\n", "2:", []string{"share", "refuse"}},
		{"condition to nowhere", "link:\n- condition: down\n  to: moon\n", "3:7", []string{`"moon"`}},
		{"negative seed", "seed: -1\n", "1:7", []string{"-1"}},
		{"JSON", `{"rules": [{"on": {"to": "device"}, "do": ["dorp"]}]}`, "1:44", []string{`"dorp"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := ParseFile([]byte(test.file))
			if err == nil {
				t.Fatalf("no error in %s, read as %q", test.file, f.texts())
			}
			if len(f.texts()) > 0 || f.Seed != nil {
				t.Errorf("read as %q for all that", f.texts())
			}
			message := err.Error()
			if !strings.HasPrefix(message, "["+test.at) && test.at != "" {
				t.Errorf("is not at %s: %s", test.at, message)
			}
			for _, part := range test.says {
				if !strings.Contains(message, part) {
					t.Errorf("does not say %s: %s", part, message)
				}
			}
			if test.at != "" && !strings.Contains(message, "^") {
				t.Errorf("does not show the place: %s", message)
			}
		})
	}
}

// What is written is taken as it is, also where it looks like a number.
func TestParseFileTakesTextsAsWritten(t *testing.T) {
	t.Parallel()
	f, err := ParseFile([]byte(`rules:
- on: {to: device, topic: 007, payload: 1e3, client: 0x10, property: {name: user-property, value: 1.50}}
  do: [rewrite: {topic: true, payload: 010}, answer: 0700]
- on: &puback {to: device, type: puback}
  do: &drop [drop]
- on: *puback
  do: *drop
- on: {<<: *puback, nth: 2}
  do: drop
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"on every packet 007 with payload \"1e3\" with user-property 1.50 to the device of client 0x10: " +
			"rewrite topic to \"true\", payload to \"010\", answer with 0700",
		"on every PUBACK to the device: drop", "on every PUBACK to the device: drop", "on 2nd PUBACK to the device: drop",
	}
	if got := f.texts(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A file may say that there is nothing in it.
func TestParseFileOfNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"rules: []", "link: []", "{seed: 1, rules: []}"} {
		f, err := ParseFile([]byte(text))
		if err != nil || len(f.texts()) > 0 {
			t.Errorf("%s: %q, %v", text, f.texts(), err)
		}
		written, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseFile(written); err != nil || !reflect.DeepEqual(again, f) {
			t.Errorf("%s is written as %s, which is %+v, %v", text, written, again, err)
		}
	}
}

func TestParseOne(t *testing.T) {
	t.Parallel()
	if r, err := ParseRule([]byte(`{"on": {"to": "device"}, "do": ["drop"]}`)); err != nil || r.String() != "on every packet to the device: drop" {
		t.Errorf("%s, %v", r, err)
	}
	if c, err := ParseCondition([]byte(`latency: 2s`)); err != nil || c.String() != "latency 2s" {
		t.Errorf("%s, %v", c, err)
	}
	for _, text := range []string{"", "{}", "~", "5", "[drop]", "a: {b: c}"} {
		if r, err := ParseRule([]byte(text)); err == nil {
			t.Errorf("%q is the rule %s", text, r)
		}
		if c, err := ParseCondition([]byte(text)); err == nil {
			t.Errorf("%q is the condition %s", text, c)
		}
	}
}

// Whatever a rule or condition is, written and read again it is the same.
func TestRulesAndConditionsRoundTrip(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		rule, condition := randomRule(random), randomCondition(random)
		written, err := json.Marshal(rule)
		if err != nil {
			t.Fatal(err)
		}
		read, err := ParseRule(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if again, err := json.Marshal(read); read.String() != rule.String() || string(again) != string(written) {
			t.Fatalf("%s\n%s\nread again is %v\n%s\n%s", rule, written, err, read, again)
		}
		if written, err = json.Marshal(condition); err != nil {
			t.Fatal(err)
		}
		c, err := ParseCondition(written)
		if err != nil || c.String() != condition.String() {
			t.Fatalf("%s\n%s\nread again is %v\n%s", condition, written, err, c)
		}
	}
}

// A text need not be one: bytes that are no UTF-8 survive, in rules and in the record's replay.
func TestTextsThatAreNone(t *testing.T) {
	t.Parallel()
	const bytes = "\xff\x00"
	rule := On(FromDevice(PUBLISH).WithTopic(bytes).WithPayload(bytes).WithPropertyValue("content-type", bytes),
		Rewrite(NewPayload(bytes), NewTopic("\xc3(")))
	written, err := json.Marshal(rule)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseRule(written)
	if err != nil {
		t.Fatalf("%s: %v", written, err)
	}
	if !reflect.DeepEqual(read, rule) {
		t.Errorf("%s is read as %s, want %s", written, read, rule)
	}
	replayed, err := Replay([]timeline.Event{{Kind: timeline.KindFault, Fault: &timeline.Fault{Do: marshalActions(rule.actions)}}})
	if err != nil || !reflect.DeepEqual(replayed[0].actions, rule.actions) {
		t.Errorf("replayed as %s, %v, want %s", replayed, err, rule)
	}
}

// randomText may be anything, UTF-8 or not.
func randomText(random *rand.Rand) string {
	letters := []rune("abz019 /+#$*-_.:,{}[]&!%@`'\"\\|<>=?~\t\n\r\x00\x1f\x7f\u0085\u2028\ufeff\ufffdéß漢😀")
	runes := make([]rune, random.IntN(8))
	for i := range runes {
		runes[i] = letters[random.IntN(len(letters))]
	}
	if random.IntN(3) == 0 {
		return []string{"007", "true", "null", "~", "1e3", ".nan", "0x10", "-", "---", "...", "yes", "=", "<<"}[random.IntN(13)]
	}
	if random.IntN(5) == 0 {
		return string(runes) + string([]byte{byte(random.Uint32()), 0x80 + byte(random.IntN(128))})
	}
	return string(runes)
}

func randomSpread(random *rand.Rand) Spread {
	return Spread{Duration(random.Int64N(1e10)), Duration(random.Int64N(2) * random.Int64N(1e10)),
		[]Distribution{"", Uniform, Normal, Pareto}[random.IntN(4)]}
}

func randomRule(random *rand.Rand) Rule {
	types := make([]PacketType, random.IntN(3))
	for i := range types {
		types[i] = CONNECT + PacketType(random.IntN(15))
	}
	m := []func(...PacketType) Match{FromDevice, ToDevice}[random.IntN(2)](types...)
	flag := func() bool { return random.IntN(2) == 0 }
	for _, narrow := range []func(Match) Match{
		func(m Match) Match { return m.WithTopic(randomText(random)) },
		func(m Match) Match { return m.WithID(uint16(random.Uint32())) },
		func(m Match) Match { return m.WithQoS(byte(random.IntN(3))) },
		func(m Match) Match { return m.WithDUP(flag()) },
		func(m Match) Match { return m.WithRetain(flag()) },
		func(m Match) Match { return m.WithPayload(randomText(random)) },
		func(m Match) Match { return m.WithProperty("topic-alias") },
		func(m Match) Match { return m.WithPropertyValue("user-property", randomText(random)) },
		func(m Match) Match { return m.WithCode(byte(random.Uint32())) },
		func(m Match) Match { return m.OfClient("dut-*") },
		func(m Match) Match { return m.OnConnection(1 + random.IntN(1e9)) },
		func(m Match) Match {
			from := time.Duration(random.Int64N(1e10))
			return m.During(from, from+time.Duration(1+random.Int64N(1e10)))
		},
		func(m Match) Match { return m.WithProbability(random.Float64()) },
		func(m Match) Match { return m.Nth(1 + random.IntN(100)) },
		func(m Match) Match { return m.From(1 + random.IntN(100)) },
	} {
		if random.IntN(4) == 0 {
			m = narrow(m)
		}
	}
	place := []Place{Before, After, Place(random.IntN(100)), Place(-random.IntN(100))}[random.IntN(4)]
	endings := []Ending{FIN, RST, HalfClose, Silence}
	all := []Action{
		Drop(), Delay(time.Duration(random.Int64N(1e10))), DelayBy(randomSpread(random)), Hold(), Duplicate(),
		Reorder(2 + random.IntN(9)), Rewrite(NewID(uint16(random.Uint32())), NewQoS(byte(random.IntN(4)))),
		Rewrite(NewDUP(flag()), NewRetain(flag()), NewTopic(randomText(random)), NewPayload(randomText(random))),
		Rewrite(NewCode(byte(random.Uint32())), NewSessionPresent(flag()), NewFlags(byte(random.IntN(16)))),
		Rewrite(NewBytes("40 02 {id}")), CorruptAnywhere(), Corrupt(random.IntN(100)-50, byte(1+random.IntN(255))),
		Forge(DeviceToBroker, "PUBACK"), Answer("PUBREC 7 0x87"), Answer("e0 00"),
		Split(1+random.IntN(9), time.Duration(random.Int64N(1e10))), Slow(time.Second), Glue(1 + random.IntN(9)),
		Cut(place, endings[random.IntN(4)]), Pause(place, time.Second, endings[random.IntN(3)]), Pause(place, time.Second, ""),
	}
	var does []Action
	for range 1 + random.IntN(4) {
		does = append(does, all[random.IntN(len(all))])
		if takesAway(does[len(does)-1]) {
			break
		}
	}
	r := On(m, does...)
	if flag() {
		r = r.Times(1 + random.IntN(9))
	}
	return r
}

func randomCondition(random *rand.Rand) Condition {
	some := time.Duration(1 + random.Int64N(1e10))
	c := []Condition{
		Latency(randomSpread(random)), Bandwidth(1 + random.IntN(1e9)), SharedBandwidth(1 + random.IntN(1e9)),
		Loss(random.Float64()), Slice(1+random.IntN(100), random.IntN(100), some), Limit(random.Int64N(1e12)), Blackhole(some),
		Blackhole(0), SlowClose(some), Reset(some), Reset(0), Down(), Flapping(some, some+1), Refuse(), NeverAnswer(),
		SlowAccept(some),
	}[random.IntN(16)]
	if random.IntN(3) == 0 {
		c = c.Toward(DeviceToBroker + Direction(random.IntN(2)))
	}
	if random.IntN(3) == 0 && c.kind != (refuse{}) {
		c = c.ForShare(random.Float64())
	}
	return c
}

func TestPresets(t *testing.T) {
	t.Parallel()
	want := []string{"3g", "dsl", "edge", "flapping", "gprs", "lte", "satellite", "wifi-weak"}
	if got := Presets(); !slices.Equal(got, want) {
		t.Errorf("presets %q, want %q", got, want)
	}
	for _, name := range Presets() {
		conditions, err := Preset(name)
		if err != nil || len(conditions) == 0 {
			t.Errorf("%s: %v, %v", name, conditions, err)
		}
		for _, c := range conditions {
			written, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if read, err := ParseCondition(written); err != nil || read.String() != c.String() {
				t.Errorf("%s is %s, %v when it is read again", c, read, err)
			}
		}
	}
	if _, err := Preset("6g"); err == nil || !strings.Contains(err.Error(), "gprs") {
		t.Errorf("got %v", err)
	}
}

// FuzzParseFile takes any text: what can be read can be written and read again, and says the same.
func FuzzParseFile(f *testing.F) {
	data, err := os.ReadFile("testdata/rules.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	for part := range strings.SplitSeq(string(data), "\n  - ") {
		f.Add("rules:\n  - " + part)
		f.Add("link:\n  - " + part)
	}
	for _, text := range []string{"", "{}", "~", "- a", "a: &a [*a]", "seed: 1\n---\n", "rules: [{on: {to: device}, do: [drop]}]",
		"link: [preset: gprs]", "? a\n: b", "rules: !!binary aa", "\t", "link: [down: ~]"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := ParseFile([]byte(text))
		if err != nil {
			_ = err.Error()
			return
		}
		written, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseFile(written)
		if err != nil {
			t.Fatalf("%q is written as %s, which has the error %v", text, written, err)
		}
		if !slices.Equal(file.texts(), again.texts()) {
			t.Fatalf("%q is\n%q, and written as %s it is\n%q", text, file.texts(), written, again.texts())
		}
	})
}
