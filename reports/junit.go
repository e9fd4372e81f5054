package reports

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"mqtthil/harness/timeline"
)

// lastEvents is how many events of a record a test case repeats as its output.
const lastEvents = 30

type junitSuites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Time     string   `xml:"time,attr"`
	Suite    junitSuite
}

type junitSuite struct {
	XMLName    xml.Name        `xml:"testsuite"`
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Hostname   string          `xml:"hostname,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	XMLName   xml.Name     `xml:"testcase"`
	Classname string       `xml:"classname,attr"`
	Name      string       `xml:"name,attr"`
	Time      string       `xml:"time,attr"`
	Failure   *junitResult `xml:"failure"`
	Error     *junitResult `xml:"error"`
	Skipped   *junitResult `xml:"skipped"`
	Output    *junitOutput `xml:"system-out"`
}

type junitOutput struct {
	Text string `xml:",cdata"`
}

type junitResult struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",cdata"`
}

// WriteJUnit writes the report as JUnit XML. What the device did wrong is a failure; what kept the harness from finding
// out is an error.
func WriteJUnit(w io.Writer, r *Report) error {
	suite := junitSuite{
		Name:     cmp.Or(line(r.Run.Device), "mqtthil"),
		Hostname: line(r.Run.Host),
	}
	if !r.Run.Started.IsZero() {
		suite.Timestamp = r.Run.Started.UTC().Format("2006-01-02T15:04:05")
	}
	for _, e := range environment(r.Run) {
		suite.Properties = append(suite.Properties, junitProperty(e))
	}
	var wall time.Duration
	for _, s := range r.Scenarios {
		suite.add(s)
		wall += s.Wall
	}
	suite.markEarlyEnd(r)
	suite.Time = clock(wall)

	all := junitSuites{
		Name: "mqtthil", Tests: suite.Tests, Failures: suite.Failures, Errors: suite.Errors, Skipped: suite.Skipped,
		Time: suite.Time, Suite: suite,
	}
	out := xml.NewEncoder(w)
	out.Indent("", "  ")
	_, err := io.WriteString(w, xml.Header)
	if err == nil {
		err = out.Encode(all)
	}
	if err == nil {
		_, err = io.WriteString(w, "\n")
	}
	if err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	return nil
}

func (suite *junitSuite) add(s *Scenario) {
	first, _, _ := strings.Cut(strings.TrimSpace(s.Message), "\n")
	result := &junitResult{
		Message: cmp.Or(line(first), statusText(s.Status, s.Owner)),
		Type:    statusText(s.Status, s.Owner),
		Text:    block(s.Message),
	}
	c := junitCase{
		Classname: cmp.Or(line(s.Info.Topic), "mqtthil"),
		Name:      line(s.Info.Name),
		Time:      clock(s.Wall),
	}
	if output := lastLines(s); output != "" {
		c.Output = &junitOutput{"\n" + output}
	}
	switch {
	case s.Status == timeline.Passed:
	case s.Status == timeline.Failed && s.Owner == timeline.OwnerDevice:
		c.Failure = result
		suite.Failures++
	case s.Status == timeline.Skipped || s.Status == timeline.Recorded || s.Status == NotRun:
		c.Skipped = &junitResult{Message: result.Message}
		suite.Skipped++
	default:
		c.Error = result
		suite.Errors++
	}
	suite.Tests++
	suite.Cases = append(suite.Cases, c)
}

// markEarlyEnd makes sure that a run which ended before all its scenarios is not taken for a success: if nothing else
// went wrong, the first scenario that did not run is an error.
func (suite *junitSuite) markEarlyEnd(r *Report) {
	if suite.Failures > 0 || suite.Errors > 0 {
		return
	}
	for i, s := range r.Scenarios {
		if s.Status == NotRun {
			c := &suite.Cases[i]
			c.Error, c.Skipped = c.Skipped, nil
			c.Error.Type = string(NotRun)
			suite.Errors++
			suite.Skipped--
			return
		}
	}
}

// lastLines writes out what is wrong with a record and its last events.
func lastLines(s *Scenario) string {
	var b strings.Builder
	for _, note := range s.Notes {
		fmt.Fprintf(&b, "note: %s\n", line(note))
	}
	left := max(0, len(s.Events)-lastEvents)
	if left > 0 {
		fmt.Fprintf(&b, "(%s before these, see the HTML report)\n", count(left, "event"))
	}
	for i := range s.Events[left:] {
		e := &s.Events[left+i]
		what := string(e.Kind)
		if e.Point != "" {
			what = fmt.Sprintf("%s %s %d", what, e.Point, e.Conn)
		}
		fmt.Fprintf(&b, "%10s  %s: %s\n", clock(e.At), line(what), describe(e))
	}
	return b.String()
}
