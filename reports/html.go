package reports

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"mqtthil/harness/timeline"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"clock":   clock,
	"seconds": seconds,
	"count":   count,
	"later":   func(d time.Duration) bool { return d >= time.Second },
	"long":    func(s string) bool { return strings.Count(s, "\n") >= 12 },
}).Parse(pageText))

// WriteHTML writes the report as one HTML page that needs nothing beside it.
func WriteHTML(w io.Writer, r *Report) error {
	if err := pageTemplate.Execute(w, newPage(r)); err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	return nil
}

// page is what the template shows. All texts in it are fit to be shown; the template makes them fit for HTML.
type page struct {
	Style        template.CSS
	Outcome      string
	Mood         string // class of the outcome
	Headline     string
	Context      []string
	Notes        []string
	Environment  []setting
	GinkgoFile   string
	Failed       []*section // what a reader wants to see first
	Sections     []*section
	Requirements []requirementRow
}

// setting is a name with its value.
type setting struct{ Name, Value string }

// section shows one scenario.
type section struct {
	ID       string // anchor
	Number   int
	Name     string
	Topic    string
	Status   string
	Mood     string // class of the status
	Message  string
	Decisive *link // the event that decided, where there is one
	Notes    []string

	Duration string
	Wall     string
	Passed   int // checks
	Total    int

	Covers     []cited
	Settings   []setting
	Checks     []checkView
	Findings   []findingView
	Deviations []findingView

	Rows   []row
	Hidden int // rows that are left out
	Open   bool
}

// link leads to an event, or just names it where the event has no row on the page.
type link struct{ Text, Href string }

// cited is a requirement that is named somewhere.
type cited struct{ ID, Text, Href string }

type checkView struct {
	Passed  bool
	Text    string
	Message string
	At      link
	Events  []link
}

type findingView struct {
	Requirement cited
	Profile     string
	Judge       string
	Text        string
	Deviation   string
	At          link
	Events      []link
}

type requirementRow struct {
	Anchor   string
	ID       string
	Text     string
	Standing string
	Mood     string
	Reason   string
	Found    []link // what counts against it
	Covered  []link // the other scenarios that cover it
}

func newPage(r *Report) *page {
	p := &page{
		Style:       template.CSS(pageStyle),
		Outcome:     r.outcome(),
		Mood:        mood(r.outcome()),
		Headline:    r.Summary().String(),
		Context:     r.context(),
		Environment: environment(r.Run),
	}
	if r.HasGinkgo {
		p.GinkgoFile = ginkgoFile
	}
	for _, note := range r.Notes {
		p.Notes = append(p.Notes, line(note))
	}
	all := r.requirements()
	anchors := map[string]string{}
	for i, q := range all {
		anchors[q.ID] = "r" + strconv.Itoa(i+1)
	}
	cite := func(id string) cited {
		c := cited{ID: line(id), Text: "text unknown", Href: "#" + anchors[id]}
		if text := r.Run.Requirements[id]; text != "" {
			c.Text = line(text)
		}
		return c
	}
	for i, s := range r.Scenarios {
		p.Sections = append(p.Sections, newSection(s, i+1, cite))
	}
	p.Failed = failuresFirst(r.Scenarios, p.Sections)
	for _, q := range all {
		c := cite(q.ID)
		p.Requirements = append(p.Requirements, requirementRow{
			Anchor: anchors[q.ID], ID: c.ID, Text: c.Text,
			Standing: string(q.Standing), Mood: mood(string(q.Standing)), Reason: q.Reason,
			Found:   p.links(q.FoundIn),
			Covered: p.links(slices.DeleteFunc(q.CoveredBy, func(n int) bool { return slices.Contains(q.FoundIn, n) })),
		})
	}
	return p
}

// links leads to sections by their numbers.
func (p *page) links(numbers []int) []link {
	var all []link
	for _, n := range numbers {
		s := p.Sections[n-1]
		all = append(all, link{Text: fmt.Sprintf("%d %s", n, printable(s.Name, 80, false)), Href: "#" + s.ID})
	}
	return all
}

// failuresFirst picks the sections of what went wrong: the device's failures, those of the other owners, and then what
// came to no result.
func failuresFirst(scenarios []*Scenario, sections []*section) []*section {
	var failed []*section
	for _, owner := range owners {
		for i, s := range scenarios {
			if s.Status == timeline.Failed && s.Owner == owner {
				failed = append(failed, sections[i])
			}
		}
	}
	for _, status := range []timeline.Status{NotFinished, timeline.Interrupted} {
		for i, s := range scenarios {
			if s.Status == status {
				failed = append(failed, sections[i])
			}
		}
	}
	return failed
}

func newSection(s *Scenario, number int, cite func(string) cited) *section {
	v := &section{
		ID:      "s" + strconv.Itoa(number),
		Number:  number,
		Name:    line(s.Info.Name),
		Topic:   line(s.Info.Topic),
		Status:  statusText(s.Status, s.Owner),
		Mood:    mood(string(s.Status)),
		Message: block(s.Message),
		Rows:    draw(s.Events),
		Open: s.Status == timeline.Failed || s.Status == NotFinished || s.Status == timeline.Interrupted ||
			s.Status == timeline.Recorded,
	}
	for _, note := range s.Notes {
		v.Notes = append(v.Notes, line(note))
	}
	if len(s.Events) > 0 {
		v.Duration = seconds(s.Duration())
	}
	if s.Wall > 0 {
		v.Wall = seconds(s.Wall)
	}
	for _, id := range s.Info.Covers {
		v.Covers = append(v.Covers, cite(id))
	}
	v.Settings = s.settings()

	anchors := map[int]string{} // of the events that a row tells of
	for i := range v.Rows {
		v.Hidden += v.Rows[i].LeftOut
		for _, seq := range v.Rows[i].Seqs {
			anchors[seq] = fmt.Sprintf("%s-e%d", v.ID, seq)
			v.Rows[i].IDs = append(v.Rows[i].IDs, anchors[seq])
		}
	}
	href := func(seq int) string {
		if anchors[seq] == "" {
			return ""
		}
		return "#" + anchors[seq]
	}
	for i := range v.Rows {
		for j := range v.Rows[i].Tags {
			t := &v.Rows[i].Tags[j]
			if !slices.Contains(v.Rows[i].Seqs, t.Target) {
				t.Href = href(t.Target)
			}
		}
	}
	v.addResults(s, cite, href)
	return v
}

// addResults adds what was checked and found, and the link to what decided.
func (v *section) addResults(s *Scenario, cite func(string) cited, href func(int) string) {
	to := func(seq int) link { return link{Text: reference(&s.Events[seq]), Href: href(seq)} }
	all := func(seqs []int) []link {
		var links []link
		for _, seq := range seqs {
			if seq >= 0 && seq < len(s.Events) {
				links = append(links, to(seq))
			}
		}
		return links
	}
	at := func(e timeline.Event) link { return link{Text: seconds(e.At), Href: href(e.Seq)} }

	for _, e := range s.Checks() {
		v.Total++
		if e.Check.Passed {
			v.Passed++
		}
		v.Checks = append(v.Checks, checkView{
			Passed: e.Check.Passed, Text: line(e.Check.Text), Message: block(e.Check.Message),
			At: at(e), Events: all(e.Check.Events),
		})
	}
	for _, e := range s.Findings() {
		f := findingView{
			Requirement: cite(e.Finding.Requirement), Profile: line(e.Finding.Profile), Judge: line(e.Finding.Judge),
			Text: line(e.Finding.Text), Deviation: line(e.Finding.Deviation),
			At: at(e), Events: all(e.Finding.Events),
		}
		if e.Finding.Deviation != "" {
			v.Deviations = append(v.Deviations, f)
		} else {
			v.Findings = append(v.Findings, f)
		}
	}
	if seq, ok := s.decisive(); ok && s.Status != timeline.Passed {
		l := to(seq)
		v.Decisive = &l
	}
}

// decisive finds the event that a reader of a failure should look at first: what decided the verdict, or what the
// first failed check was about, or what the first finding was about; a packet, if there is one among them. Where there
// is nothing of the kind it is the last word of the harness, or where a record stopped.
func (s *Scenario) decisive() (seq int, ok bool) {
	pick := func(seqs []int) bool {
		for _, n := range slices.Backward(seqs) {
			if n < 0 || n >= len(s.Events) {
				continue
			}
			if s.Events[n].Kind == timeline.KindPacket {
				seq, ok = n, true
				return true
			}
			if !ok {
				seq, ok = n, true
			}
		}
		return ok
	}
	for _, e := range slices.Backward(s.Events) {
		if e.Verdict != nil && pick(e.Verdict.Events) {
			return seq, ok
		}
	}
	for _, e := range s.Checks() {
		if !e.Check.Passed && pick(append([]int{e.Seq}, e.Check.Events...)) {
			return seq, ok
		}
	}
	for _, e := range s.Findings() {
		if e.Finding.Deviation == "" && pick(append([]int{e.Seq}, e.Finding.Events...)) {
			return seq, ok
		}
	}
	for i, e := range slices.Backward(s.Events) {
		if e.Kind == timeline.KindHarness || s.Status == NotFinished && i > 0 {
			return i, true
		}
	}
	return 0, false
}

func (s *Scenario) settings() []setting {
	var all []setting
	add := func(name, value string) {
		if value != "" {
			all = append(all, setting{line(name), line(value)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Info.Settings)) {
		add(name, s.Info.Settings[name])
	}
	add("topic", s.Info.Topic)
	add("labels", strings.Join(s.Info.Labels, ", "))
	add("declared at", s.Info.Location)
	if !s.Info.Started.IsZero() {
		add("started", s.Info.Started.Format(time.RFC3339))
	}
	if s.File != "" {
		add("record", path.Join(recordFolder, s.File))
	}
	return all
}

// mood is the class under which the page shows a status, standing or outcome.
func mood(status string) string { return strings.ReplaceAll(line(status), " ", "-") }

// context says beside the counts what was tested, how, when and for how long.
func (r *Report) context() []string {
	parts := []string{orUnknown(r.Run.Device, "device unknown")}
	switch r.Run.Time {
	case "virtual":
		parts = append(parts, "virtual time")
	case "real":
		parts = append(parts, "real time")
	default:
		parts = append(parts, orUnknown(r.Run.Time, "time mode unknown"))
	}
	if r.Run.Started.IsZero() {
		return append(parts, "start unknown")
	}
	parts = append(parts, r.Run.Started.Format("2006-01-02 15:04:05 MST"))
	switch {
	case r.Run.Ended.IsZero():
		parts = append(parts, "end not recorded")
	case r.Run.Interrupted:
		parts = append(parts, "interrupted after "+r.Run.Ended.Sub(r.Run.Started).Round(time.Millisecond).String())
	default:
		parts = append(parts, "took "+r.Run.Ended.Sub(r.Run.Started).Round(time.Millisecond).String())
	}
	return parts
}

// environment lists what is known about the run's circumstances, and what is not.
func environment(run timeline.Run) []setting {
	list := func(values []string) string {
		switch {
		case values == nil:
			return ""
		case len(values) == 0:
			return "none"
		}
		return strings.Join(values, ", ")
	}
	date := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339)
	}
	seed := ""
	if run.Seed != nil {
		seed = strconv.FormatInt(*run.Seed, 10)
	}
	all := []setting{
		{"device", run.Device},
		{"planted defects", list(run.Defects)},
		{"quirks switched off", list(run.Quirks)},
		{"profiles", list(run.Profiles)},
		{"time", run.Time},
		{"seed", seed},
		{"started", date(run.Started)},
		{"ended", date(run.Ended)},
		{"tool", strings.TrimSpace(run.Tool + " " + run.Version)},
		{"go", run.Go},
		{"system", run.OS},
		{"host", run.Host},
		{"command", commandLine(run.Command)},
	}
	for i := range all {
		all[i].Value = orUnknown(all[i].Value, "unknown")
	}
	return all
}

func orUnknown(s, unknown string) string {
	if s == "" {
		return unknown
	}
	return line(s)
}

// commandLine quotes the words of a command that a shell would take apart.
func commandLine(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		if word == "" || strings.ContainsAny(word, " \t\n\"'`$&|;<>()*?[]#~\\!{}") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		quoted[i] = word
	}
	return strings.Join(quoted, " ")
}
