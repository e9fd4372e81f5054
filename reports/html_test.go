package reports

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"mqtthil/harness/timeline"
)

// document is a page that a browser has read.
type document struct {
	t    testing.TB
	root *html.Node
	ids  map[string]*html.Node
}

// render writes the report as HTML and reads it again. Whatever the report, its page must be sound.
func render(t testing.TB, r *Report) *document {
	t.Helper()
	var out bytes.Buffer
	if err := WriteHTML(&out, r); err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	d := &document{t: t, root: root, ids: map[string]*html.Node{}}
	for n := range root.Descendants() {
		if id := attribute(n, "id"); id != "" {
			if d.ids[id] != nil {
				t.Errorf("two elements have the id %s", id)
			}
			d.ids[id] = n
		}
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "img", "iframe", "object", "link", "base", "form"}, n.Data) {
			t.Errorf("the page has an element %s", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "src" {
				t.Errorf("the page has an attribute %s=%q", a.Key, a.Val)
			}
		}
		if href := attribute(n, "href"); strings.HasPrefix(href, "#") && d.ids[href[1:]] == nil {
			t.Errorf("the link %s leads nowhere", href)
		} else if !strings.HasPrefix(href, "#") && href != "" && href != ginkgoFile {
			t.Errorf("the link %q leads out of the page", href)
		}
	}
	return d
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func hasClass(n *html.Node, class string) bool {
	return slices.Contains(strings.Fields(attribute(n, "class")), class)
}

// words is the text of an element and what is in it, with single spaces.
func words(n *html.Node) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// rowOf returns the row of the diagram that tells of an event; nil if there is none.
func (d *document) rowOf(section, seq int) *html.Node {
	n := d.ids[fmt.Sprintf("s%d-e%d", section, seq)]
	for n != nil && n.Data != "tr" {
		n = n.Parent
	}
	return n
}

// shows checks the words and classes of the row that tells of an event.
func (d *document) shows(seq int, classes string, texts ...string) *html.Node {
	d.t.Helper()
	row := d.rowOf(1, seq)
	if row == nil {
		d.t.Errorf("event %d has no row", seq)
		return nil
	}
	for _, class := range strings.Fields(classes) {
		if !hasClass(row, class) {
			d.t.Errorf("row of event %d has classes %q and not %q", seq, attribute(row, "class"), class)
		}
	}
	for _, text := range texts {
		if !strings.Contains(words(row), text) {
			d.t.Errorf("row of event %d reads %q and not %q", seq, words(row), text)
		}
	}
	return row
}

// find returns the elements with a class.
func (d *document) find(class string) []*html.Node {
	var found []*html.Node
	for n := range d.root.Descendants() {
		if hasClass(n, class) {
			found = append(found, n)
		}
	}
	return found
}

// links returns where the links in an element lead.
func links(n *html.Node) []string {
	var all []string
	for c := range n.Descendants() {
		if href := attribute(c, "href"); href != "" {
			all = append(all, href)
		}
	}
	return all
}

// drawn renders a record of its own.
func drawn(t *testing.T, act func(*scene)) *document {
	t.Helper()
	return render(t, load(t, timeline.Run{}, record(t, timeline.Scenario{Name: "a scenario"}, act)))
}

func TestPacketThatPassesIsOneRow(t *testing.T) {
	t.Parallel()
	var up, down, slow int
	d := drawn(t, func(s *scene) {
		up = s.up(publish(1, false, "bench/up", "hello"))
		down = s.down(puback(1))
		slow = s.seen(timeline.LeftDevice, pingreq())
		time.Sleep(350 * time.Millisecond)
		s.seen(timeline.ReachedBroker, pingreq())
	})
	d.shows(up, "packet across", "device → broker", "PUBLISH id 1 QoS 1 bench/up (5 bytes)", "682f7570", "hello")
	d.shows(down, "packet across", "broker → device", "PUBACK id 1")
	d.shows(slow, "packet across", "PINGREQ", "0.000", "arrived at 0.350 s")
	for _, seq := range []int{up, down, slow} {
		if d.rowOf(1, seq) != d.rowOf(1, seq+1) {
			t.Errorf("events %d and %d are the same packet in two rows", seq, seq+1)
		}
		if tags := d.find("fault"); len(tags) > 0 {
			t.Errorf("nothing was done to the packets, but the page has %q", words(tags[0]))
		}
	}
}

func TestSwallowedPacketStopsAtTheProxy(t *testing.T) {
	t.Parallel()
	var dropped, fault, again, lost int
	d := drawn(t, func(s *scene) {
		dropped = s.seen(timeline.LeftBroker, puback(1))
		fault = s.fault(1, "drop PUBACK to the device", "drop", dropped)
		again = s.down(puback(1)) // the same bytes: they must not be taken for those that were dropped
		lost = s.seen(timeline.LeftDevice, pingreq())
	})
	row := d.shows(dropped, "broker-side", "broker → proxy, stopped there", "PUBACK id 1",
		"rule 1: drop (drop PUBACK to the device)")
	if d.rowOf(1, fault) != row {
		t.Error("the fault is not marked on the row of its packet")
	}
	if slices.Contains(links(row), fmt.Sprintf("#s1-e%d", fault)) {
		t.Error("the row has a link to itself")
	}
	d.shows(again, "across", "broker → device")
	d.shows(lost, "device-side", "device → proxy, stopped there", "not passed on")
}

func TestOvertakenPacketIsLost(t *testing.T) {
	t.Parallel()
	var lost, passed int
	d := drawn(t, func(s *scene) {
		lost = s.seen(timeline.LeftDevice, pingreq())
		s.up(publish(1, false, "bench/up", ""))
		time.Sleep(time.Minute)
		passed = s.up(pingreq())
	})
	d.shows(lost, "device-side", "stopped there")
	d.shows(passed, "across", "60.000", "+60.000")
}

// TestRulesThatAct: a rule that never acted is told from one that did.
func TestRulesThatAct(t *testing.T) {
	t.Parallel()
	var used, unused, removed int
	d := drawn(t, func(s *scene) {
		armed := func(number int, text string) int {
			return s.Append(timeline.Event{Kind: timeline.KindRule, Fault: &timeline.Fault{Rule: number, Text: text}}).Seq
		}
		used, unused = armed(1, "on every PUBACK to the device: drop"), armed(2, "on every PUBREC to the device: drop")
		for range 2 {
			s.fault(1, "on every PUBACK to the device: drop", "drop", s.seen(timeline.LeftBroker, puback(1)))
		}
		removed = s.Append(timeline.Event{Kind: timeline.KindRule, Fault: &timeline.Fault{Rule: 2, Text: "on every PUBREC", Action: "removed"}}).Seq
	})
	d.shows(used, "wide", "rule 1 is armed: on every PUBACK to the device: drop", "acted on 2 packets")
	d.shows(removed, "wide", "rule 2: removed")
	d.shows(unused, "wide", "rule 2 is armed: on every PUBREC to the device: drop", "never acted")
}

func TestFaultsOnPackets(t *testing.T) {
	t.Parallel()
	var late, arrived, doubled, copied, original, rewritten, forged, cut, reset, bench, released int
	d := drawn(t, func(s *scene) {
		late = s.seen(timeline.LeftDevice, publish(1, false, "bench/up", "late"))
		s.fault(1, "delay PUBLISH", "delay 2s", late)
		time.Sleep(2 * time.Second)
		arrived = s.seen(timeline.ReachedBroker, publish(1, false, "bench/up", "late"))

		doubled = s.down(puback(1))
		s.fault(2, "duplicate PUBACK", "duplicate", doubled)
		copied = s.seen(timeline.ReachedDevice, puback(1))

		original = s.seen(timeline.LeftBroker, puback(2))
		s.fault(3, "rewrite PUBACK", "rewrite id 9", original)
		rewritten = s.seen(timeline.ReachedDevice, puback(9))
		forged = s.seen(timeline.ReachedDevice, puback(77))

		bench = s.fault(0, "", "link down", 0)
		time.Sleep(time.Second)
		released = s.fault(1, "delay PUBLISH", "release", late)
		cut = s.seen(timeline.LeftDevice, publish(5, false, "bench/up", "x"))
		s.fault(4, "cut at PUBLISH", "cut rst", cut)
		reset = s.Append(timeline.Event{Kind: timeline.KindClose, Conn: 1, Point: timeline.ReachedDevice, Text: "rst"}).Seq
	})
	d.shows(late, "device-side", "device → proxy", "rule 1: delay 2s", "goes on at 2.000 s")
	d.shows(arrived, "broker-side", "proxy → broker", "2.000", "came in at 0.000 s")
	d.shows(doubled, "across", "rule 2: duplicate")
	d.shows(copied, "device-side", "proxy → device", "copy of the one that came in at 2.000 s")
	d.shows(original, "broker-side", "broker → proxy", "PUBACK id 2", "goes on changed")
	d.shows(rewritten, "device-side", "proxy → device", "PUBACK id 9", "changed by the proxy")
	d.shows(forged, "device-side", "proxy → device", "PUBACK id 77", "made by the proxy")
	d.shows(bench, "wide fault", "bench: link down")
	d.shows(released, "wide fault", "rule 1: release", "PUBLISH id 1")
	d.shows(cut, "device-side", "stopped there", "rule 4: cut rst")
	d.shows(reset, "device-side close", "proxy → device", "connection 1 closed: RST", "by the proxy")
	if strings.Contains(words(d.rowOf(1, late)), "stopped") {
		t.Error("a packet that is just late is said to have been stopped")
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	var opened, closed, raw, second int
	d := drawn(t, func(s *scene) {
		opened = len(s.Events())
		s.open(timeline.LeftDevice)
		s.open(timeline.ReachedBroker)
		closed = len(s.Events())
		s.close(timeline.LeftDevice, "fin")
		s.close(timeline.ReachedBroker, "fin")
		s.conn = 2
		second = s.up(pingreq())
		raw = s.Append(timeline.Event{Kind: timeline.KindRaw, Conn: 2, Point: timeline.LeftBroker,
			Data: []byte{0xff, 'H', 'T', 'T', 'P'}, Text: "packet type 15 is forbidden"}).Seq
	})
	d.shows(opened, "across open", "device → broker", "connection 1 opened")
	d.shows(closed, "across close", "device → broker", "connection 1 closed: FIN")
	d.shows(second, "across", "conn 2 PINGREQ")
	d.shows(raw, "broker-side raw", "broker → proxy", "5 bytes that are no packet: packet type 15 is forbidden",
		"ff485454 50 .HTTP")
}

func TestEveryKindOfEventIsShown(t *testing.T) {
	t.Parallel()
	rows := map[int][2]string{}
	d := drawn(t, func(s *scene) {
		add := func(e timeline.Event, classes, text string) { rows[s.Append(e).Seq] = [2]string{classes, text} }
		add(timeline.Event{Kind: timeline.KindStep, Text: "the device connects"}, "wide step", "the device connects")
		add(timeline.Event{Kind: timeline.KindHarness, Text: "hung\n" + strings.Repeat("goroutine\n", 30)}, "wide harness",
			"hung more goroutine")
		add(timeline.Event{Kind: timeline.KindReset, Text: "brownout"}, "wide reset", "reset: brownout")
		add(timeline.Event{Kind: timeline.KindConsoleOut, Data: []byte("publish\r\n")}, "wide console", "typed: publish")
		add(timeline.Event{Kind: timeline.KindConsoleIn, Data: []byte("ready\r\n")}, "console-in", `ready\r\n`)
		add(timeline.Event{Kind: timeline.KindLine, Text: "ready"}, "console-line", "ready")
		add(timeline.Event{Kind: timeline.KindConsoleIn, Data: []byte("Guru Med")}, "console-line", "Guru Med")
		add(timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{Name: "MQTT_EVENT_PUBLISHED",
			Fields: map[string]string{"msg_id": "7", "data": "x"}}}, "on-device", "MQTT_EVENT_PUBLISHED data=x msg_id=7")
		message := timeline.Broker{Hook: "message", Client: "c", ID: 3, Topic: "a/b", QoS: 1, Retain: true,
			Payload: []byte{'h', 0, 0xff}, Text: "kept"}
		add(timeline.Event{Kind: timeline.KindBroker, Broker: &message}, "on-broker",
			`message c id 3 a/b QoS 1 retain “h\x00\xff”: kept`)
		add(timeline.Event{Kind: "new-kind", Text: "what is it"}, "wide", "what is it")
		add(timeline.Event{Kind: timeline.KindPacket, Conn: 1, Point: "elsewhere", Packet: pingreq()}, "wide", "PINGREQ")
	})
	for seq, want := range rows {
		d.shows(seq, want[0], want[1])
	}
}

func TestFailingCheckIsMarked(t *testing.T) {
	t.Parallel()
	var first, second, holds, fails, finding, known, verdict int
	report := load(t, timeline.Run{Requirements: map[string]string{"MQTT-3.3.1-1": "DUP is 1 <again>."}},
		record(t, timeline.Scenario{Name: "sent again", Covers: []string{"MQTT-3.3.1-1"}}, func(s *scene) {
			first = s.up(publish(1, false, "bench/up", "hello"))
			time.Sleep(time.Second)
			second = s.up(publish(1, false, "bench/up", "hello"))
			holds = s.check(timeline.Check{Text: "sent twice", Passed: true, Events: []int{first, second}})
			fails = s.check(timeline.Check{Text: "DUP is set", Message: "it is not\nset", Events: []int{second, second + 1}})
			finding = s.finding(timeline.Finding{Judge: "redelivery", Requirement: "MQTT-3.3.1-1", Profile: "mqtt-3.1.1",
				Text: "no DUP", Events: []int{first, second + 1}})
			known = s.finding(timeline.Finding{Requirement: "MQTT-4.4.0-1", Text: "sent on a live connection",
				Events: []int{first}, Deviation: "it always does"})
			verdict = len(s.Events())
			s.verdict(timeline.Verdict{Status: timeline.Failed, Owner: timeline.OwnerDevice, Message: "DUP is set\nno",
				Events: []int{second, fails}})
		}))
	d := render(t, report)

	d.shows(holds, "check holds", "sent twice", "PUBLISH id 1")
	d.shows(fails, "check fails hot", "DUP is set", "it is not set")
	d.shows(finding, "finding fails hot", "MQTT-3.3.1-1: no DUP")
	d.shows(known, "finding deviates", "sent on a live connection", "it always does")
	d.shows(verdict, "verdict fails", "failed: device — DUP is set", "no")
	row := d.shows(first, "hot", "finding MQTT-3.3.1-1", "known deviation MQTT-4.4.0-1")
	if strings.Contains(words(row), "failed check") {
		t.Error("a packet that only a passed check is about is marked as that of a failed one")
	}
	row = d.shows(second, "hot", "failed check", "finding MQTT-3.3.1-1", "decided the verdict")
	if n := strings.Count(words(row), "failed check"); n != 1 {
		t.Errorf("the packet, seen twice, is marked %d times as that of the failed check", n)
	}
	if !slices.Contains(links(row), fmt.Sprintf("#s1-e%d", fails)) {
		t.Errorf("the packet's row leads to %q and not to the failed check", links(row))
	}
	if hasClass(d.rowOf(1, holds), "hot") || hasClass(d.rowOf(1, known), "hot") {
		t.Error("what did not fail is marked as failed")
	}

	block := words(d.ids["failed"])
	for _, text := range []string{"failed: device", "1 sent again", "DUP is set no",
		"Look at PUBLISH id 1 QoS 1 bench/up (5 bytes) at 1.000 s"} {
		if !strings.Contains(block, text) {
			t.Errorf("what failed reads %q and not %q", block, text)
		}
	}
	if want := fmt.Sprintf("#s1-e%d", second); !slices.Contains(links(d.ids["failed"]), want) {
		t.Errorf("what failed leads to %q and not to %s", links(d.ids["failed"]), want)
	}
	section := words(d.ids["s1"])
	for _, text := range []string{"DUP is 1 <again>.", "Required by mqtt-3.1.1", "judge redelivery",
		"Known deviation: it always does"} {
		if !strings.Contains(section, text) {
			t.Errorf("the section does not read %q", text)
		}
	}
	if list := words(d.ids["scenarios"]); !strings.Contains(list, "1/2 1 1 known 1.000 s") {
		t.Errorf("the list reads %q", list)
	}
}

func TestDecisive(t *testing.T) {
	t.Parallel()
	failed := timeline.Verdict{Status: timeline.Failed, Owner: timeline.OwnerDevice}
	for _, c := range []struct {
		name string
		act  func(*scene) int
	}{
		{"packet before other events of the verdict", func(s *scene) int {
			want := s.up(pingreq())
			step := s.device("MQTT_EVENT_ERROR", nil)
			v := failed
			v.Events = []int{want, step, -1, 1 << 30}
			s.verdict(v)
			return want
		}},
		{"failed check without a packet", func(s *scene) int {
			want := s.device("MQTT_EVENT_ERROR", nil)
			s.check(timeline.Check{Events: []int{want}})
			s.verdict(failed)
			return want
		}},
		{"failed check alone", func(s *scene) int {
			s.up(pingreq())
			want := s.check(timeline.Check{})
			s.verdict(failed)
			return want
		}},
		{"finding", func(s *scene) int {
			want := s.up(pingreq())
			s.finding(timeline.Finding{Events: []int{want}})
			s.verdict(failed)
			return want
		}},
		{"word of the harness", func(s *scene) int {
			want := s.Append(timeline.Event{Kind: timeline.KindHarness, Text: "deadlock"}).Seq
			s.verdict(failed)
			return want
		}},
		{"end of a killed record", func(s *scene) int {
			s.up(pingreq())
			return s.device("MQTT_EVENT_ERROR", nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var want int
			data := record(t, timeline.Scenario{Name: "a scenario"}, func(s *scene) { want = c.act(s) })
			seq, ok := load(t, timeline.Run{}, data).Scenarios[0].decisive()
			if !ok || seq != want {
				t.Errorf("event %d (%v) is decisive and not %d", seq, ok, want)
			}
		})
	}
}

func TestHostileTextIsOnlyText(t *testing.T) {
	t.Parallel()
	const attack = `</script></style></pre><img src=x onerror=alert(1)>"'` + "`" + `{{.}}<!--`
	run := timeline.Run{Tool: attack, Device: attack, Time: attack, Host: attack, Command: []string{attack},
		Defects:      []string{attack},
		Requirements: map[string]string{attack: attack}, Selected: []string{attack + "not run"}}
	var row int
	report := load(t, run, record(t, timeline.Scenario{Name: attack, Topic: attack, Labels: []string{attack},
		Covers:   []string{attack},
		Location: attack, Settings: map[string]string{attack: attack}}, func(s *scene) {
		s.open(timeline.LeftDevice)
		s.up(connect(attack, attack, attack))
		row = s.up(publish(1, false, attack, attack))
		s.broker(timeline.Broker{Hook: attack, Client: attack, Topic: attack, Payload: []byte(attack), Text: attack})
		s.console(attack)
		s.typed(attack)
		s.device(attack, map[string]string{attack: attack})
		s.step(attack + "\n" + attack)
		s.fault(1, attack, attack, row)
		s.close(timeline.LeftDevice, attack)
		s.Append(timeline.Event{Kind: attack, Text: attack})
		s.Append(timeline.Event{Kind: timeline.KindPacket, Point: attack,
			Packet: &timeline.Packet{Type: attack, Error: attack}})
		s.check(timeline.Check{Text: attack, Message: attack, Events: []int{row}})
		s.finding(timeline.Finding{Judge: attack, Requirement: attack, Profile: attack, Text: attack, Events: []int{row}})
		s.finding(timeline.Finding{Judge: attack, Requirement: attack, Profile: attack, Text: attack, Deviation: attack})
		s.verdict(timeline.Verdict{Status: timeline.Failed, Owner: attack, Message: attack})
	}))
	report.Notes = append(report.Notes, attack)
	d := render(t, report) // checks that no element came of it
	d.shows(row, "across", `PUBLISH id 1 QoS 1 </script></style></pre><img src=x onerror=alert(1)>"'`)
}

func TestWhatCannotBeSeenIsEscaped(t *testing.T) {
	t.Parallel()
	var row int
	d := drawn(t, func(s *scene) {
		row = s.broker(timeline.Broker{Hook: "message", Payload: []byte("\xc3\x28 \x1b[31mred \u202e"),
			Text: strings.Repeat("long", 1000)})
	})
	d.shows(row, "", `\xc3( \x1b[31mred \u{202e}`, "bytes in all)")
	if n := len(words(d.rowOf(1, row))); n > 2*maxLine {
		t.Errorf("the row has %d bytes", n)
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	const password = "swordfish"
	var open, closed, broken int
	report := load(t, timeline.Run{}, record(t, timeline.Scenario{Name: "a scenario"}, func(s *scene) {
		closed = s.up(connect("c", "", ""))
		open = s.up(connect("c", "u", password))
		p := connect("c", "u", password)
		p.Connect, p.Error = nil, "protocol name is wrong"
		broken = s.up(p)
	}))
	d := render(t, report)
	d.shows(closed, "", "000163", "MQTT...x..c")
	d.shows(open, "", "may hold a password")
	d.shows(broken, "", "may hold a password")
	var junit bytes.Buffer
	if err := WriteJUnit(&junit, report); err != nil {
		t.Fatal(err)
	}
	hex := fmt.Sprintf("%x", password[:4])
	for _, out := range []string{words(d.root), junit.String()} {
		if strings.Contains(out, password) || strings.Contains(out, hex) {
			t.Error("the password is in a report")
		}
	}
}

func TestLongRecordIsShortened(t *testing.T) {
	t.Parallel()
	const rows = 10000
	var fails, packet, far, verdict int
	d := drawn(t, func(s *scene) {
		for i := range rows {
			switch seq := len(s.Events()); i {
			case 4000:
				packet = s.up(pingreq())
			case 6000:
				far = seq
				s.step("far from everything")
			case 8000:
				fails = s.check(timeline.Check{Text: "something holds", Events: []int{packet, far + 1<<20}})
				s.check(timeline.Check{Text: "something else holds", Passed: true, Events: []int{far}})
			default:
				s.step(fmt.Sprint("row ", i))
			}
		}
		verdict = len(s.Events())
		s.verdict(timeline.Verdict{Status: timeline.Failed, Owner: timeline.OwnerDevice})
	})
	for seq, shown := range map[int]bool{
		1: true, 1000: true, 1001: false, packet - 201: false, packet - 200: true, packet: true, packet +
			201: true, packet + 202: false,
		far: false, fails - 200: true, fails: true, fails + 200: true, fails +
			201: false, verdict - 500: false, verdict - 499: true, verdict: true,
	} {
		if (d.rowOf(1, seq) != nil) != shown {
			t.Errorf("event %d is shown: %v, want %v", seq, !shown, shown)
		}
	}
	left, all := 0, 0
	for n := range d.root.Descendants() {
		if n.Data != "tr" || n.Parent.Parent.Data != "table" || !hasClass(n.Parent.Parent, "lanes") ||
			n.Parent.Data != "tbody" {
			continue
		}
		var gap int
		if _, err := fmt.Sscanf(words(n), "%d rows left out", &gap); err == nil && hasClass(n, "gap") {
			left += gap
		} else {
			all++
		}
	}
	if total := verdict - 1; left+all != total { // the opening event has no row, and the packet's two have one
		t.Errorf("%d rows are shown and %d said to be left out, which does not make %d", all, left, total)
	}
	if note := words(d.find("note")[0]); !strings.Contains(note, fmt.Sprintf("%d rows", left)) {
		t.Errorf("the note says %q, but %d rows are left out", note, left)
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	report := load(t, madeUpRun())
	d := render(t, report)
	head := words(d.root)
	for _, text := range []string{
		"not finished 0 of 7 scenarios passed, 7 not run",
		"emulated esp-mqtt · virtual time · 2026-03-14 09:26:53 UTC · took 3.417s",
		"planted defects no-dup", "seed 4711", "host bench-3",
		"command mqtthil run --device emulated --defect no-dup --label 'qos1 && !slow'",
		"Exit codes of a run: 0 everything passed, 1 the device failed",
	} {
		if !strings.Contains(head, text) {
			t.Errorf("the page does not read %q", text)
		}
	}
	if strings.Contains(head, ginkgoFile) {
		t.Error("the page names a file that is not there")
	}
	report.HasGinkgo = true
	if !strings.Contains(words(render(t, report).root), ginkgoFile) {
		t.Error("the page does not name Ginkgo's report")
	}
}

func TestUnknownIsSaid(t *testing.T) {
	t.Parallel()
	d := render(t, &Report{})
	for _, text := range []string{"nothing was run", "device unknown · time mode unknown · start unknown", "seed unknown",
		"planted defects unknown", "command unknown", "The run has no scenario.", "No scenario covers a requirement."} {
		if !strings.Contains(words(d.root), text) {
			t.Errorf("the page does not read %q", text)
		}
	}
	run := timeline.Run{Defects: []string{}, Quirks: []string{"sticky-port"}, Seed: new(int64)}
	if page := words(render(t, &Report{Run: run}).root); !strings.Contains(page, "planted defects none") ||
		!strings.Contains(page, "quirks switched off sticky-port") || !strings.Contains(page, "seed 0") {
		t.Errorf("no defects, a quirk and seed 0 are not said: %s", page)
	}
}

func TestMadeUpRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeRun(t, dir, madeUpRun(), madeUpRecords(t)...)
	report, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := render(t, report)
	const want = "failed 2 of 7 scenarios failed (1 device, 1 harness), 3 passed, 1 not finished, 1 not run, 1 known deviation"
	if got := words(d.root); !strings.Contains(got, want) {
		t.Errorf("the page does not read %q", want)
	}
	var order []string
	for _, n := range d.find("failure") {
		order = append(order, words(n)[:14])
	}
	if want := []string{"failed: device", "failed: harnes", "not finished 6"}; !slices.Equal(order, want) {
		t.Errorf("what failed is listed as %q, want %q", order, want)
	}
	for id, open := range map[string]bool{"s1": true, "s2": false, "s5": true, "s6": true} {
		for n := range d.ids[id].Descendants() {
			if hasClass(n, "sequence") {
				if got := slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "open" }); got != open {
					t.Errorf("the sequence of %s is open: %v", id, got)
				}
			}
		}
	}
}
