package reports

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mqtthil/harness/timeline"
)

// suites is what a build server makes of a JUnit file.
type suites struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Suite    struct {
		Tests      int        `xml:"tests,attr"`
		Failures   int        `xml:"failures,attr"`
		Errors     int        `xml:"errors,attr"`
		Skipped    int        `xml:"skipped,attr"`
		Timestamp  string     `xml:"timestamp,attr"`
		Properties []property `xml:"properties>property"`
		Cases      []testcase `xml:"testcase"`
	} `xml:"testsuite"`
}

type property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type testcase struct {
	Classname string  `xml:"classname,attr"`
	Name      string  `xml:"name,attr"`
	Time      string  `xml:"time,attr"`
	Failure   *result `xml:"failure"`
	Error     *result `xml:"error"`
	Skipped   *result `xml:"skipped"`
	Output    string  `xml:"system-out"`
}

type result struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// readJUnit writes the report as JUnit and reads it again. Whatever the report, it must be valid XML that counts right.
func readJUnit(t testing.TB, r *Report) suites {
	t.Helper()
	var out bytes.Buffer
	if err := WriteJUnit(&out, r); err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(out.Bytes()) {
		t.Error("the file is not UTF-8")
	}
	for tokens := xml.NewDecoder(bytes.NewReader(out.Bytes())); ; { // strict to the end of the file
		if _, err := tokens.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the file is not XML: %v", err)
		}
	}
	var all suites
	if err := xml.Unmarshal(out.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	failures, errs, skipped := 0, 0, 0
	for _, c := range all.Suite.Cases {
		results := 0
		for n, r := range map[*int]*result{&failures: c.Failure, &errs: c.Error, &skipped: c.Skipped} {
			if r != nil {
				*n++
				results++
			}
		}
		if results > 1 {
			t.Errorf("test case %q has %d results", c.Name, results)
		}
	}
	s := all.Suite
	if len(s.Cases) != len(r.Scenarios) || s.Tests != len(r.Scenarios) || s.Failures != failures || s.Errors != errs ||
		s.Skipped != skipped {
		t.Errorf("%d tests, %d failures, %d errors, %d skipped are said; there are %d, %d, %d, %d",
			s.Tests, s.Failures, s.Errors, s.Skipped, len(r.Scenarios), failures, errs, skipped)
	}
	if all.Tests != s.Tests || all.Failures != s.Failures || all.Errors != s.Errors || all.Skipped != s.Skipped {
		t.Error("the suite and the suites count differently")
	}
	return all
}

func TestJUnitResults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status timeline.Status
		owner  timeline.Owner
		want   string
	}{
		{timeline.Passed, "", ""},
		{timeline.Failed, timeline.OwnerDevice, "failure"},
		{timeline.Failed, timeline.OwnerHarness, "error"},
		{timeline.Failed, timeline.OwnerInfrastructure, "error"},
		{timeline.Failed, timeline.OwnerBoard, "error"},
		{timeline.Interrupted, "", "error"},
		{NotFinished, "", "error"},
		{timeline.Skipped, "", "skipped"},
		{timeline.Recorded, "", "skipped"},
	} {
		s := &Scenario{Info: timeline.Scenario{Name: "a b", Topic: "topic"}, Status: c.status, Owner: c.owner,
			Message: "first\nsecond", Wall: 1500 * time.Millisecond}
		got := readJUnit(t, &Report{Scenarios: []*Scenario{s}}).Suite.Cases[0]
		if got.Classname != "topic" || got.Name != "a b" || got.Time != "1.500" {
			t.Errorf("the test case is %+v", got)
		}
		results := map[string]*result{"failure": got.Failure, "error": got.Error, "skipped": got.Skipped}
		for name, r := range results {
			if (r != nil) != (name == c.want) {
				t.Errorf("%s %s is a %s: %v", c.status, c.owner, name, r != nil)
			}
		}
		if r := results[c.want]; r != nil && (r.Message != "first" || c.want != "skipped" &&
			(r.Text != "first\nsecond" || r.Type != statusText(c.status, c.owner))) {
			t.Errorf("%s %s: %+v", c.status, c.owner, r)
		}
	}
}

func TestJUnitOfARunThatEndedEarlyIsNoSuccess(t *testing.T) {
	t.Parallel()
	passed, notRun := Scenario{Status: timeline.Passed}, Scenario{Status: NotRun}
	all := readJUnit(t, &Report{Scenarios: []*Scenario{&passed, &notRun, &notRun}})
	if all.Errors != 1 || all.Skipped != 1 || all.Suite.Cases[1].Error == nil {
		t.Errorf("%d errors, %d skipped", all.Errors, all.Skipped)
	}
	failed := Scenario{Status: timeline.Failed, Owner: timeline.OwnerDevice}
	all = readJUnit(t, &Report{Scenarios: []*Scenario{&failed, &notRun, &notRun}})
	if all.Errors != 0 || all.Skipped != 2 {
		t.Errorf("%d errors, %d skipped where there is a failure already", all.Errors, all.Skipped)
	}
}

func TestJUnitEnvironmentAndOutput(t *testing.T) {
	t.Parallel()
	report := load(t, madeUpRun(), record(t, timeline.Scenario{Name: "a scenario"}, func(s *scene) {
		for range 40 {
			s.step("a step")
		}
		time.Sleep(2 * time.Second)
		s.up(publish(1, true, "bench/up", "hello"))
	}))
	suite := readJUnit(t, report).Suite
	if suite.Timestamp != "2026-03-14T09:26:53" {
		t.Errorf("the time stamp is %q", suite.Timestamp)
	}
	properties := map[string]string{}
	for _, p := range suite.Properties {
		properties[p.Name] = p.Value
	}
	if properties["planted defects"] != "no-dup" || properties["seed"] != "4711" || properties["host"] != "bench-3" {
		t.Errorf("the properties are %q", properties)
	}
	output := strings.Split(strings.TrimSpace(suite.Cases[0].Output), "\n")
	if len(output) != lastEvents+1 || output[0] != "(13 events before these, see the HTML report)" {
		t.Errorf("the output has %d lines and begins with %q", len(output), output[0])
	}
	if last := output[len(output)-1]; last != "     2.000  packet reached-broker 1: PUBLISH id 1 QoS 1 DUP bench/up (5 bytes)" {
		t.Errorf("the output ends with %q", last)
	}
}

func TestJUnitOfHostileText(t *testing.T) {
	t.Parallel()
	const attack = "]]></system-out><testcase name=\"x\"/>\x00\x01\x1b\xff\ufffe\u202e&amp;<![CDATA["
	report := load(t, timeline.Run{Device: attack, Host: attack, Command: []string{attack}},
		record(t, timeline.Scenario{Name: attack, Topic: attack}, func(s *scene) {
			s.broker(timeline.Broker{Hook: "message", Payload: []byte(attack)})
			s.verdict(timeline.Verdict{Status: timeline.Failed, Owner: timeline.OwnerDevice, Message: attack + "\n" + attack})
		}))
	got := readJUnit(t, report).Suite.Cases
	if len(got) != 1 {
		t.Fatalf("there are %d test cases", len(got))
	}
	if want := `]]></system-out><testcase name="x"/>\x00\x01\x1b\xff\u{fffe}\u{202e}&amp;<![CDATA[`; !strings.Contains(got[0].Output, want) {
		t.Errorf("the output is %q", got[0].Output)
	}
	if !strings.HasPrefix(got[0].Failure.Message, `]]></system-out><testcase name="x"/>\x00`) {
		t.Errorf("the message is %q", got[0].Failure.Message)
	}
}
