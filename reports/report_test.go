package reports

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

func passed(t *testing.T, name string) []byte {
	return record(t, timeline.Scenario{Name: name}, func(s *scene) {
		s.step("all is well")
		s.verdict(timeline.Verdict{Status: timeline.Passed, Wall: time.Second})
	})
}

func TestLoadRefusesWhatIsNoRun(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	fileForFolder := t.TempDir()
	write(t, filepath.Join(fileForFolder, runFile), []byte("{}"))
	write(t, filepath.Join(fileForFolder, recordFolder), nil)
	folderForFile := t.TempDir()
	if err := os.Mkdir(filepath.Join(folderForFile, runFile), 0o755); err != nil {
		t.Fatal(err)
	}
	for dir, missing := range map[string]string{
		empty: "it has no run.json", filepath.Join(empty, "nowhere"): "it has no run.json",
		fileForFolder: "records", folderForFile: "read the run",
	} {
		_, err := Load(dir)
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), missing) {
			t.Errorf("Load(%s) says %v, want something about %q", dir, err, missing)
		}
		if _, err := Write(dir); err == nil {
			t.Errorf("Write(%s) succeeds", dir)
		}
	}
	if _, err := Load(empty); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cause is lost in %v", err)
	}
}

func TestLoadEmptyRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, runFile), []byte(`{"tool":"mqtthil","unheard-of":[1],"selected":["a","b","a"]}`))
	report, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Scenarios) != 3 || report.Summary().NotRun != 3 || report.outcome() != "not finished" {
		t.Errorf("%d scenarios, %v, %s", len(report.Scenarios), report.Summary(), report.outcome())
	}
	if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "no folder of records") {
		t.Errorf("the notes are %q", report.Notes)
	}
	render(t, report)
}

func TestLoadDamagedRunFile(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{"tool":"mqtthil","seed":"no number","device":"esp"}`, `{"tool":"mqtthil","dev`, ``,
		`[]`} {
		dir := t.TempDir()
		writeRun(t, dir, timeline.Run{}, named{"001-a.jsonl", passed(t, "a")})
		write(t, filepath.Join(dir, runFile), []byte(data))
		report, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "run.json is damaged") ||
			report.Summary().Passed != 1 {
			t.Errorf("of %s: notes %q, %v", data, report.Notes, report.Summary())
		}
		if strings.HasSuffix(data, "}") && report.Run.Device != "esp" {
			t.Errorf("of %s the device is lost", data)
		}
		if !strings.Contains(words(render(t, report).root), "run.json is damaged") {
			t.Error("the page does not say so")
		}
	}
}

func TestLoadDamagedRecords(t *testing.T) {
	t.Parallel()
	whole := string(passed(t, "a"))
	first := whole[:strings.Index(whole, "\n")+1]
	for _, c := range []struct {
		name, data string
		status     timeline.Status
		events     int
		note       string // part of the only note; empty for none
	}{
		{"whole", whole, timeline.Passed, 3, ""},
		{"without its last line end", strings.TrimSuffix(whole, "\n"), timeline.Passed, 3, ""},
		{"cut off in a line", whole[:len(whole)-9], NotFinished, 2, "ends in the middle of a line"},
		{"cut off between lines", first, NotFinished, 1, ""},
		{"empty", "", NotFinished, 0, ""},
		{"damaged in a line", first + "{\"seq\":}\n" + whole, NotFinished, 1, "damaged and shown up to the damage: line 2"},
		{"a line is missing", first + whole[strings.Index(whole, `{"seq":2`):], timeline.Passed, 2, "not numbered in order"},
		{"no JSON", "\x00\xff\n", NotFinished, 0, "line 1"},
		{"unknown status", strings.Replace(whole, `"passed"`, `"great"`, 1), NotFinished, 3, `unknown status "great"`},
		{"unknown owner", strings.Replace(whole, `"passed"`, `"failed","owner":"me"`, 1), timeline.Failed, 3,
			`unknown owner "me"`},
		{"no owner", strings.Replace(whole, `"passed"`, `"failed"`, 1), timeline.Failed, 3, `unknown owner ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			report := load(t, timeline.Run{}, []byte(c.data))
			s := report.Scenarios[0]
			if s.Status != c.status || len(s.Events) != c.events {
				t.Errorf("status %q and %d events, want %q and %d", s.Status, len(s.Events), c.status, c.events)
			}
			if c.note == "" && len(s.Notes) > 0 || c.note != "" && (len(s.Notes) != 1 || !strings.Contains(s.Notes[0], c.note)) {
				t.Errorf("the notes are %q, want one about %q", s.Notes, c.note)
			}
			if (s.Status == timeline.Failed) != (s.Owner == timeline.OwnerHarness) {
				t.Errorf("the owner is %q", s.Owner)
			}
			page := render(t, report)
			if c.note != "" && !strings.Contains(words(page.ids["s1"]), c.note) {
				t.Error("the page does not say so")
			}
			if c.status == NotFinished && !strings.Contains(words(page.ids["failed"]), "not finished") {
				t.Error("the page does not list it as not finished")
			}
		})
	}
}

func TestKilledRun(t *testing.T) {
	t.Parallel()
	run := timeline.Run{Selected: []string{"a", "b", "c"}, Started: time.Now()}
	stopped := record(t, timeline.Scenario{Name: "b"}, func(s *scene) {
		s.step("the broker is cut off")
		time.Sleep(1500 * time.Millisecond)
		s.up(pingreq())
	})
	report := load(t, run, passed(t, "a"), stopped)
	sum := report.Summary()
	if sum.Passed != 1 || sum.NotFinished != 1 || sum.NotRun != 1 || report.outcome() != "not finished" {
		t.Errorf("%v, %s", sum, report.outcome())
	}
	page := words(render(t, report).root)
	for _, text := range []string{"The record stops at 1.500 s without a verdict", "Last step: the broker is cut off",
		"Look at PINGREQ at 1.500 s",
		"end not recorded", "not run 3 c"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page does not read %q", text)
		}
	}
}

func TestRecordWithoutNameTakesThatOfItsPlace(t *testing.T) {
	t.Parallel()
	report := load(t, timeline.Run{Selected: []string{"a", "b"}}, passed(t, "a"), nil)
	if len(report.Scenarios) != 2 || report.Scenarios[1].Info.Name != "b" {
		t.Errorf("%d scenarios, the last is %q", len(report.Scenarios), report.Scenarios[len(report.Scenarios)-1].Info.Name)
	}
	report = load(t, timeline.Run{Selected: []string{"a"}}, passed(t, "a"), nil)
	if name := report.Scenarios[1].Info.Name; name != "002-record" {
		t.Errorf("a record that nothing names is called %q", name)
	}
}

func TestRecordsAreInTheOrderTheyRan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeRun(t, dir, timeline.Run{}, named{"1000-a.jsonl", passed(t, "1000")}, named{"999-b.jsonl", passed(t, "999")},
		named{"002-c.jsonl", passed(t, "2")}, named{"notes.jsonl", passed(t, "unnumbered")}, named{"003-d.txt", nil})
	// A record that cannot be read is a folder here, for to the super-user every file is readable.
	if err := os.Mkdir(filepath.Join(dir, recordFolder, "500-folder.jsonl"), 0o755); err != nil {
		t.Fatal(err)
	}
	report, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range report.Scenarios {
		names = append(names, s.Info.Name)
	}
	if got := strings.Join(names, " "); got != "2 500-folder 999 1000 unnumbered" {
		t.Errorf("the order is %s", got)
	}
	if s := report.Scenarios[1]; s.Status != NotFinished || len(s.Notes) != 1 {
		t.Errorf("the record that cannot be read: %q, %q", s.Status, s.Notes)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	scenario := func(status timeline.Status, owner timeline.Owner) *Scenario {
		s := &Scenario{Status: status, Owner: owner}
		deviation := timeline.Finding{Requirement: "MQTT-4.4.0-1", Deviation: "known"}
		s.Events = []timeline.Event{{Kind: timeline.KindFinding, Finding: &deviation},
			{Kind: timeline.KindFinding, Finding: &timeline.Finding{Requirement: "MQTT-1.5.3-1"}}}
		return s
	}
	good := &Scenario{Status: timeline.Passed}
	for _, c := range []struct {
		scenarios []*Scenario
		text      string
		outcome   string
	}{
		{nil, "0 of 0 scenarios passed", "nothing was run"},
		{[]*Scenario{good}, "1 of 1 scenario passed", "passed"},
		{[]*Scenario{{Status: timeline.Skipped}}, "0 of 1 scenario passed, 1 skipped", "nothing was run"},
		{[]*Scenario{{Status: timeline.Recorded}, {Status: timeline.Recorded}}, "2 records of traffic, not judged", "recorded"},
		{[]*Scenario{good, {Status: timeline.Recorded}}, "1 of 2 scenarios passed, 1 recorded", "passed"},
		{[]*Scenario{good, {Status: timeline.Skipped}}, "1 of 2 scenarios passed, 1 skipped", "passed"},
		{[]*Scenario{good, {Status: NotRun}}, "1 of 2 scenarios passed, 1 not run", "not finished"},
		{[]*Scenario{good, {Status: NotFinished}}, "1 of 2 scenarios passed, 1 not finished", "not finished"},
		{[]*Scenario{good, {Status: timeline.Interrupted}}, "1 of 2 scenarios passed, 1 interrupted", "interrupted"},
		{[]*Scenario{scenario(timeline.Passed, ""), scenario(timeline.Passed, "")},
			"2 of 2 scenarios passed, 1 known deviation", "passed"},
		{[]*Scenario{good, scenario(timeline.Failed, timeline.OwnerHarness), scenario(timeline.Failed, timeline.OwnerDevice),
			scenario(timeline.Failed, timeline.OwnerDevice), {Status: timeline.Failed, Owner: timeline.OwnerBoard},
			{Status: timeline.Failed, Owner: timeline.OwnerInfrastructure}, {Status: NotRun}},
			"5 of 7 scenarios failed (2 device, 1 board, 1 infrastructure, 1 harness), 1 passed, 1 not run, 1 known deviation", "failed"},
	} {
		r := &Report{Scenarios: c.scenarios}
		if got := r.Summary().String(); got != c.text || r.outcome() != c.outcome {
			t.Errorf("%s: %s, want %s: %s", r.outcome(), got, c.outcome, c.text)
		}
		if r.Summary().Total() != len(c.scenarios) {
			t.Errorf("%d scenarios are counted as %d", len(c.scenarios), r.Summary().Total())
		}
	}
	interrupted := &Report{Run: timeline.Run{Interrupted: true}, Scenarios: []*Scenario{good}}
	if got := interrupted.outcome(); got != "interrupted" {
		t.Errorf("an interrupted run is %s", got)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeRun(t, dir, timeline.Run{}, named{"001-a.jsonl", passed(t, "a")})
	for range 2 { // the second time over the files of the first
		paths, err := Write(dir)
		if err != nil {
			t.Fatal(err)
		}
		for path, begins := range map[string]string{paths.HTML: "<!DOCTYPE html>", paths.JUnit: "<?xml"} {
			data, err := os.ReadFile(path)
			if err != nil || !strings.HasPrefix(string(data), begins) {
				t.Errorf("%s begins with %.20q: %v", path, data, err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("%s has the mode %v: %v", path, info.Mode(), err)
			}
		}
	}
	noLeftOver(t, dir)
}

func TestWriteLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{htmlFile, junitFile} {
		dir := t.TempDir()
		writeRun(t, dir, timeline.Run{})
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil { // a file cannot replace a folder
			t.Fatal(err)
		}
		if _, err := Write(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("writing over a folder says %v", err)
		}
		noLeftOver(t, dir)
	}
}

func noLeftOver(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s is left over", e.Name())
		}
	}
}

// fullDisk fails after some bytes.
type fullDisk struct{ left int }

var errFull = errors.New("no space left on device")

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.left {
		return 0, errFull
	}
	d.left -= len(p)
	return len(p), nil
}

func TestErrorsOfTheWriterAreReturned(t *testing.T) {
	t.Parallel()
	report := load(t, timeline.Run{}, passed(t, "a"))
	for _, space := range []int{0, 50, 500} {
		if err := WriteHTML(&fullDisk{space}, report); !errors.Is(err, errFull) {
			t.Errorf("WriteHTML with %d bytes of space says %v", space, err)
		}
		if err := WriteJUnit(&fullDisk{space}, report); !errors.Is(err, errFull) {
			t.Errorf("WriteJUnit with %d bytes of space says %v", space, err)
		}
	}
}

func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"selected":["a"],"requirements":{"MQTT-1":"x"}}`),
		[]byte(`{"seq":0,"kind":"scenario","scenario":{"name":"a","covers":["MQTT-1"]}}
{"seq":1,"at":1000000,"kind":"open","conn":1,"point":"left-device"}
{"seq":2,"at":1000000,"kind":"packet","conn":1,"point":"left-device","packet":{"type":"PUBLISH","length":9,"raw":"MgcAAWEAAQ==","topic":"a","id":1}}
{"seq":3,"at":1000000,"kind":"fault","conn":1,"fault":{"rule":1,"text":"t","action":"duplicate","packet":2}}
{"seq":4,"at":9000000,"kind":"packet","conn":1,"point":"reached-broker","packet":{"type":"PUBLISH","length":9,"topic":"a","id":1}}
{"seq":5,"at":9000000,"kind":"packet","conn":1,"point":"reached-broker","packet":{"type":"PUBLISH","length":9,"topic":"a","id":1}}
{"seq":6,"at":9000000,"kind":"check","check":{"text":"c","message":"m","events":[2,4,5]}}
{"seq":7,"at":9000000,"kind":"finding","finding":{"requirement":"MQTT-1","events":[2,-1,99],"deviation":"d"}}
{"seq":8,"at":9000000,"kind":"verdict","verdict":{"status":"failed","owner":"device","message":"m\nn","events":[2]}}
`))
	f.Add([]byte(`{}`), []byte(`{"kind":"packet"}`+"\n"+`{"kind":"check"}`+"\n"+`{"kind":"finding"}`+"\n"+`{"kind":"verdict"}`+
		"\n"+`{"kind":"fault"}`+"\n"+`{"kind":"device"}`+"\n"+`{"kind":"broker"}`+"\n"+`{"kind":"scenario"}`))
	f.Add([]byte(`null`), []byte(`{"kind":"console-line","text":"\u0000<b>\ud800"}`))
	f.Add([]byte(`{"requirements":{"\u0000":"","7":"","07":""}}`),
		[]byte(`{"kind":"close","fault":{"packet":1}}`+"\n"+`{"kind":"close","conn":1,"point":"left-device","fault":{"packet":1}}`))
	f.Fuzz(func(t *testing.T, run, record []byte) {
		dir := t.TempDir()
		writeRun(t, dir, timeline.Run{}, named{"001-fuzz.jsonl", record}, named{"002-fuzz.jsonl", record})
		write(t, filepath.Join(dir, runFile), run)
		report, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		d := render(t, report)
		for i := range report.Scenarios {
			if d.ids[fmt.Sprintf("s%d", i+1)] == nil {
				t.Errorf("scenario %d has no section", i+1)
			}
		}
		readJUnit(t, report)
	})
}
