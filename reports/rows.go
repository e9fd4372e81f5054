package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mqtthil/harness/timeline"
)

// Bounds of what is shown of one long record: its beginning, its end, and what surrounds everything that failed.
const (
	maxRows    = 3000
	firstRows  = 1000
	lastRows   = 500
	aroundRows = 200
)

// The shapes of rows, as the page knows them.
const (
	shapeAcross = "across"      // an arrow between device and broker
	shapeDevice = "device-side" // an arrow between device and proxy
	shapeBroker = "broker-side" // an arrow between proxy and broker
	shapeOnDev  = "on-device"   // something at the device
	shapeOnBrk  = "on-broker"   // something at the broker
	shapeWide   = "wide"        // something that concerns all
	shapeGap    = "gap"         // rows that are left out
)

// row is one row of a scenario's diagram.
type row struct {
	Seqs  []int    // the events that it tells of; the first gives it its place and time
	IDs   []string // their anchors on the page
	At    time.Duration
	Since time.Duration // since the row before; not set for the console, which may be hidden

	Shape   string
	Class   string // what it is: a kind, and the mood of a check, finding or verdict
	Route   string // from and to, in words, for an arrow
	Left    bool   // whether the arrow points left
	Stopped bool   // whether the arrow ends at the proxy for good
	Number  int    // of the connection, where the record has several; else 0

	Label  string
	Detail string // further lines
	Bytes  string
	Tags   []tag

	Hot     bool // failed, or what something failed about
	LeftOut int  // of a gap: how many rows
}

// tag is a remark at a row.
type tag struct {
	Class  string // fault, fail, deviation or about
	Text   string
	Target int // Seq of the event that it leads to, 0 for none: event 0 only opens the record and has no row
	Href   string
}

// diagram makes rows of a record.
type diagram struct {
	*trace
	rows  []row
	rowOf map[int]int   // Seq: index of the row that tells of it
	tags  map[int][]tag // Seq: remarks that other events make about it
	hot   map[int]bool
	conns bool        // whether connections need to be told apart
	acted map[int]int // number of a rule: how often it has acted
}

func draw(events []timeline.Event) []row {
	d := &diagram{trace: follow(events), rowOf: map[int]int{}, tags: map[int][]tag{}, hot: map[int]bool{},
		acted: map[int]int{}}
	for i := range events {
		if f := events[i].Fault; events[i].Kind == timeline.KindFault && f != nil {
			d.acted[f.Rule]++
		}
		d.remark(&events[i])
		d.conns = d.conns || events[i].Conn > 1
	}
	for i := range events {
		d.add(&events[i])
	}
	d.showUnfinishedLine()
	for i := range d.rows {
		r := &d.rows[i]
		for _, seq := range r.Seqs {
			r.Hot = r.Hot || d.hot[seq]
			for _, t := range d.tags[seq] {
				if !slices.Contains(r.Tags, t) {
					r.Tags = append(r.Tags, t)
				}
			}
		}
	}
	return shorten(d.rows)
}

// showUnfinishedLine makes the raw reads behind the last whole line of the console part of what is shown of it: no line
// repeats them, and where a device crashes or a run is killed they are its last words.
func (d *diagram) showUnfinishedLine() {
	for _, r := range slices.Backward(d.rows) {
		switch d.events[r.Seqs[0]].Kind {
		case timeline.KindLine:
			return
		case timeline.KindConsoleIn:
			d.rows[d.rowOf[r.Seqs[0]]].Class = className(string(timeline.KindLine))
		}
	}
}

// remark puts remarks on the events that e refers to.
func (d *diagram) remark(e *timeline.Event) {
	about := func(refs []int, hot bool, t tag) {
		t.Target = e.Seq
		for _, seq := range refs {
			d.tags[seq] = append(d.tags[seq], t)
			d.hot[seq] = d.hot[seq] || hot
		}
		d.hot[e.Seq] = d.hot[e.Seq] || hot
	}
	switch {
	case e.Check != nil && !e.Check.Passed:
		about(e.Check.Events, true, tag{Class: "fail", Text: "failed check"})
	case e.Finding != nil && e.Finding.Deviation != "":
		about(e.Finding.Events, false, tag{Class: "deviation", Text: "known deviation " + line(e.Finding.Requirement)})
	case e.Finding != nil:
		about(e.Finding.Events, true, tag{Class: "fail", Text: "finding " + line(e.Finding.Requirement)})
	case e.Verdict != nil && e.Verdict.Status == timeline.Failed:
		about(e.Verdict.Events, true, tag{Class: "fail", Text: "decided the verdict"})
	}
}

// add makes the row of an event, unless a row tells of it already or it is told elsewhere on the page.
func (d *diagram) add(e *timeline.Event) {
	switch e.Kind {
	case timeline.KindScenario:
	case timeline.KindPacket, timeline.KindRaw, timeline.KindOpen, timeline.KindClose:
		d.addWire(e)
	case timeline.KindRule:
		d.addRule(e)
	case timeline.KindFault:
		d.addFault(e)
	case timeline.KindDevice:
		class := ""
		if e.Device != nil && e.Device.Reply { // the lines that it was read from are there to see
			class = "reply"
		}
		d.put(e, row{Shape: shapeOnDev, Class: class, Label: describe(e)})
	case timeline.KindBroker:
		d.put(e, row{Shape: shapeOnBrk, Label: describe(e)})
	case timeline.KindCheck:
		d.addCheck(e)
	case timeline.KindFinding:
		d.addFinding(e)
	case timeline.KindVerdict:
		d.addVerdict(e)
	case timeline.KindConsoleOut:
		d.put(e, row{Shape: shapeWide, Class: "console", Label: "typed: " + line(strings.TrimRight(string(e.Data), "\r\n"))})
	case timeline.KindReset:
		d.put(e, row{Shape: shapeWide, Label: "reset: " + describe(e)})
	case timeline.KindStep, timeline.KindHarness:
		first, rest, _ := strings.Cut(strings.TrimSpace(e.Text), "\n")
		d.put(e, row{Shape: shapeWide, Label: line(first), Detail: block(rest)})
	default:
		d.put(e, row{Shape: shapeWide, Label: describe(e)})
	}
}

// put appends a row and fills in what the event gives every row.
func (d *diagram) put(e *timeline.Event, r row) {
	r.Seqs, r.At = []int{e.Seq}, e.At
	r.Class = strings.TrimSpace(className(string(e.Kind)) + " " + r.Class)
	if d.conns && (e.Kind == timeline.KindPacket || e.Kind == timeline.KindRaw) {
		r.Number = e.Conn
	}
	d.rowOf[e.Seq] = len(d.rows)
	d.rows = append(d.rows, r)
}

// attach makes the row that tells of one event tell of another too.
func (d *diagram) attach(seq, to int) {
	i := d.rowOf[to]
	d.rows[i].Seqs = append(d.rows[i].Seqs, seq)
	d.rowOf[seq] = i
}

// addWire draws what passes between device, proxy and broker.
func (d *diagram) addWire(e *timeline.Event) {
	way, out, ok := direction(e)
	if !ok {
		d.put(e, row{Shape: shapeWide, Label: describe(e)})
		return
	}
	source, known := d.source[e.Seq]
	if known && !d.again[e.Seq] && d.whole(source) {
		d.attach(e.Seq, source)
		return
	}
	r := row{Left: !way.toBroker, Label: describe(e), Bytes: bytesOf(e)}
	if e.Kind == timeline.KindOpen || e.Kind == timeline.KindClose {
		r.Label = strings.Replace(r.Label, "connection", fmt.Sprintf("connection %d", e.Conn), 1)
	}
	switch {
	case !out && d.whole(e.Seq):
		r.Shape, r.Route = shapeAcross, route("device", "broker", r.Left)
	case way.toBroker != out:
		r.Shape, r.Route = shapeDevice, route("device", "proxy", r.Left)
	default:
		r.Shape, r.Route = shapeBroker, route("proxy", "broker", r.Left)
	}
	if out {
		d.tellSource(e, &r, source, known)
	} else {
		d.tellFate(e, &r)
	}
	d.put(e, r)
}

// route names the ends of an arrow in the order in which it points.
func route(left, right string, reversed bool) string {
	if reversed {
		left, right = right, left
	}
	return left + " → " + right
}

// tellFate says what became of something that came in.
func (d *diagram) tellFate(e *timeline.Event, r *row) {
	for _, seq := range d.faults[e.Seq] {
		r.Tags = append(r.Tags, tag{Class: "fault", Text: describe(&d.events[seq]), Target: seq})
	}
	out, passed := d.exit[e.Seq]
	switch {
	case passed && r.Shape == shapeAcross && sameTime(e.At, d.events[out].At):
	case passed && r.Shape == shapeAcross:
		r.Tags = append(r.Tags, tag{Class: "about", Text: "arrived at " + seconds(d.events[out].At)})
	case passed && d.changed[out]:
		r.Tags = append(r.Tags, tag{Class: "fault", Text: "goes on changed at " + seconds(d.events[out].At), Target: out})
	case passed:
		r.Tags = append(r.Tags, tag{Class: "fault", Text: "goes on at " + seconds(d.events[out].At), Target: out})
	case e.Kind == timeline.KindClose: // each side is closed on its own account
	case e.Kind == timeline.KindRaw: // what is no packet need not go out in the same pieces
	default:
		r.Stopped = true
		if len(r.Tags) == 0 {
			r.Tags = append(r.Tags, tag{Class: "fault", Text: "not passed on"})
		}
	}
}

// tellSource says where something that went out came from, if not just from the other side.
func (d *diagram) tellSource(e *timeline.Event, r *row, source int, known bool) {
	var t tag
	switch {
	case known && d.changed[e.Seq]:
		t = tag{Class: "fault", Text: "changed by the proxy, came in at " + seconds(d.events[source].At), Target: source}
	case known && d.again[e.Seq]:
		t = tag{Class: "fault", Text: "copy of the one that came in at " + seconds(d.events[source].At), Target: source}
	case known:
		t = tag{Class: "fault", Text: "came in at " + seconds(d.events[source].At), Target: source}
	case e.Kind == timeline.KindPacket:
		t = tag{Class: "fault", Text: "made by the proxy"}
	case e.Kind == timeline.KindClose:
		t = tag{Class: "fault", Text: "by the proxy"}
	default:
		return
	}
	r.Tags = append(r.Tags, t)
}

// addRule says that a rule was armed, and how often it has acted since; or what else became of it.
func (d *diagram) addRule(e *timeline.Event) {
	r := row{Shape: shapeWide, Label: describe(e), Tags: []tag{{Class: "fail", Text: "never acted"}}}
	if e.Fault != nil && e.Fault.Action != "" { // what became of it later
		r.Tags = nil
	} else if e.Fault != nil && d.acted[e.Fault.Rule] > 0 {
		r.Tags = []tag{{Class: "fault", Text: "acted on " + count(d.acted[e.Fault.Rule], "packet")}}
	}
	d.put(e, r)
}

// addFault gives an action a row of its own unless it is just what happened to the packet when it came in, whose row
// tells of it.
func (d *diagram) addFault(e *timeline.Event) {
	r := row{Shape: shapeWide, Label: describe(e)}
	if e.Fault != nil && e.Fault.Packet > 0 {
		if _, ok := d.rowOf[e.Fault.Packet]; ok {
			packet := &d.events[e.Fault.Packet]
			if packet.Kind == timeline.KindPacket && sameTime(packet.At, e.At) {
				d.attach(e.Seq, e.Fault.Packet)
				return
			}
			r.Tags = []tag{d.reference(e.Fault.Packet)}
		}
	}
	d.put(e, r)
}

func (d *diagram) addCheck(e *timeline.Event) {
	if e.Check == nil {
		d.put(e, row{Shape: shapeWide, Label: describe(e)})
		return
	}
	r := row{Shape: shapeWide, Class: "holds", Label: line(e.Check.Text), Tags: d.references(e.Check.Events)}
	if !e.Check.Passed {
		r.Class, r.Detail = "fails", block(e.Check.Message)
	}
	d.put(e, r)
}

func (d *diagram) addFinding(e *timeline.Event) {
	if e.Finding == nil {
		d.put(e, row{Shape: shapeWide, Label: describe(e)})
		return
	}
	f := e.Finding
	r := row{Shape: shapeWide, Class: "fails", Label: line(f.Requirement + ": " + f.Text), Tags: d.references(f.Events)}
	if f.Deviation != "" {
		r.Class, r.Detail = "deviates", block(f.Deviation)
	}
	d.put(e, r)
}

func (d *diagram) addVerdict(e *timeline.Event) {
	if e.Verdict == nil {
		d.put(e, row{Shape: shapeWide, Label: describe(e)})
		return
	}
	first, rest, _ := strings.Cut(strings.TrimSpace(e.Verdict.Message), "\n")
	r := row{Shape: shapeWide, Label: line(statusText(e.Verdict.Status, e.Verdict.Owner)), Detail: block(rest)}
	if first != "" {
		r.Label += " — " + line(first)
	}
	switch e.Verdict.Status {
	case timeline.Passed:
		r.Class = "holds"
	case timeline.Failed:
		r.Class = "fails"
	}
	d.put(e, r)
}

// references leads to the events that a check or finding is about, as far as there is room.
func (d *diagram) references(seqs []int) []tag {
	const most = 12
	var tags []tag
	for _, seq := range seqs {
		if seq < 0 || seq >= len(d.events) {
			continue
		}
		if len(tags) == most {
			return append(tags, tag{Class: "about", Text: fmt.Sprintf("and %d more", len(seqs)-most)})
		}
		tags = append(tags, d.reference(seq))
	}
	return tags
}

func (d *diagram) reference(seq int) tag {
	return tag{Class: "about", Text: reference(&d.events[seq]), Target: seq}
}

// reference names an event and its time, for a link that leads to it.
func reference(e *timeline.Event) string {
	return printable(tell(e), 60, false) + " at " + seconds(e.At)
}

// shorten leaves out of a long diagram what lies far from its ends and from everything that failed, and says so.
func shorten(rows []row) []row {
	keep := func(int) bool { return true }
	if len(rows) > maxRows {
		near := make([]bool, len(rows))
		end := 0 // up to where near is filled in
		for i := range rows {
			if rows[i].Hot {
				for end = max(end, i-aroundRows); end < min(i+aroundRows+1, len(rows)); end++ {
					near[end] = true
				}
			}
		}
		keep = func(i int) bool { return i < firstRows || i >= len(rows)-lastRows || near[i] }
	}
	var shown []row
	last := time.Duration(0)
	for i, r := range rows {
		switch {
		case keep(i):
			if !strings.HasPrefix(r.Class, "console") {
				r.Since, last = r.At-last, r.At
			}
			shown = append(shown, r)
		case shown[len(shown)-1].Shape == shapeGap:
			shown[len(shown)-1].LeftOut++
		default:
			shown = append(shown, row{Shape: shapeGap, LeftOut: 1})
		}
	}
	return shown
}

// className makes any word fit to be a class of the page.
func className(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r
		}
		return '-'
	}, s)
}

// statusText is a result in words, with its owner.
func statusText(status timeline.Status, owner timeline.Owner) string {
	if status == timeline.Failed && owner != "" {
		return fmt.Sprintf("failed: %s", owner)
	}
	return string(status)
}
