// Package reports turns the folder of a run into what people and build servers read: one self-contained HTML page and
// one JUnit file. It only reads the records that the harness left there, so a report can be written while the harness
// is long gone, again after the reports have been improved, or of a run that was killed half-way.
//
// Everything in a record came from a device or a network under attack. Nothing of it is trusted: not to be text, not
// to be short, not to be complete.
package reports

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"mqtthil/harness/timeline"
)

// The names inside a run's folder.
const (
	runFile      = "run.json"
	recordFolder = "scenarios"
	recordSuffix = ".jsonl"
	ginkgoFile   = "ginkgo.json"
	htmlFile     = "report.html"
	junitFile    = "junit.xml"
)

// Results that no verdict states, because they are those of scenarios without one.
const (
	NotFinished timeline.Status = "not finished" // started, but the record has no verdict: the run was killed
	NotRun      timeline.Status = "not run"      // selected, but the run ended before it
)

// Report is all that is known about a run.
type Report struct {
	Run       timeline.Run
	Notes     []string    // what is wrong with the folder itself, in words
	Scenarios []*Scenario // in the order they ran; those that did not run come last
	HasGinkgo bool        // Ginkgo's own report lies in the folder too
}

// Scenario is the record of one scenario and what it came to.
type Scenario struct {
	File   string // name of the record in the folder of records; empty where there is none
	Info   timeline.Scenario
	Events []timeline.Event // each event's Seq is its index
	Notes  []string         // what is wrong with the record, in words

	Status  timeline.Status // a result of package timeline, NotFinished or NotRun
	Owner   timeline.Owner  // set where Status is failed
	Message string          // the decisive reason, one or more lines
	Wall    time.Duration   // 0 where the record does not say
}

// Checks returns the events that hold a check, in order.
func (s *Scenario) Checks() []timeline.Event {
	var found []timeline.Event
	for _, e := range s.Events {
		if e.Kind == timeline.KindCheck && e.Check != nil {
			found = append(found, e)
		}
	}
	return found
}

// Findings returns the events that hold a finding, in order; known deviations are among them.
func (s *Scenario) Findings() []timeline.Event {
	var found []timeline.Event
	for _, e := range s.Events {
		if e.Kind == timeline.KindFinding && e.Finding != nil {
			found = append(found, e)
		}
	}
	return found
}

// Duration is how long the scenario took on the clock of its record, which may be a virtual one.
func (s *Scenario) Duration() time.Duration {
	if len(s.Events) == 0 {
		return 0
	}
	return s.Events[len(s.Events)-1].At
}

// Load reads the folder of a run. What is damaged in there is told by the notes of the report and its scenarios; an
// error means that dir is not the folder of a run or cannot be read.
func Load(dir string) (*Report, error) {
	data, err := os.ReadFile(filepath.Join(dir, runFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not the folder of a run: it has no %s; name a folder that a run has written: %w",
			dir, runFile, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the run in %s: %w", dir, err)
	}
	report := &Report{}
	// What json.Unmarshal could read before an error stays in Run, and is better than nothing.
	if err := json.Unmarshal(data, &report.Run); err != nil {
		report.Notes = append(report.Notes, fmt.Sprintf("%s is damaged, parts of the environment are unknown: %v",
			runFile, err))
	}
	_, err = os.Stat(filepath.Join(dir, ginkgoFile))
	report.HasGinkgo = err == nil

	names, err := recordNames(filepath.Join(dir, recordFolder))
	switch {
	case errors.Is(err, os.ErrNotExist):
		report.Notes = append(report.Notes, "the run has no folder of records: it ended before its first scenario")
	case err != nil:
		return nil, fmt.Errorf("read the records of the run in %s: %w", dir, err)
	}
	for _, name := range names {
		report.Scenarios = append(report.Scenarios, loadRecord(dir, name))
	}
	report.addNotRun()
	return report, nil
}

// recordNames lists the records in the order in which they ran: by number, and not by name, which would put scenario
// 1000 before scenario 999.
func recordNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), recordSuffix) {
			names = append(names, entry.Name())
		}
	}
	number := func(name string) uint64 {
		digits, _, _ := strings.Cut(name, "-")
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return ^uint64(0) // not one of ours: last
		}
		return n
	}
	sort.SliceStable(names, func(i, j int) bool { return number(names[i]) < number(names[j]) })
	return names, nil
}

func loadRecord(dir, name string) *Scenario {
	f, err := os.Open(filepath.Join(dir, recordFolder, name))
	if err != nil {
		s := &Scenario{File: name, Status: NotFinished}
		s.Notes = append(s.Notes, fmt.Sprintf("the record cannot be read: %v", err))
		s.conclude()
		return s
	}
	defer f.Close()
	return readRecord(name, f)
}

func readRecord(name string, in io.Reader) *Scenario {
	s := &Scenario{File: name, Status: NotFinished}
	events, err := timeline.Read(in)
	switch {
	case errors.Is(err, timeline.ErrCutOff):
		s.Notes = append(s.Notes, fmt.Sprintf("the record ends in the middle of a line, as it does when a run is "+
			"killed; it is shown up to there (%v)", err))
	case err != nil:
		s.Notes = append(s.Notes, fmt.Sprintf("the record is damaged and shown up to the damage: %v", err))
	}
	s.Events = events
	s.conclude()
	return s
}

// conclude derives from the events what the scenario is called and what it came to.
func (s *Scenario) conclude() {
	var verdict *timeline.Verdict
	misnumbered := false
	for i := range s.Events {
		e := &s.Events[i]
		if e.Seq != i {
			e.Seq, misnumbered = i, true
		}
		if e.Kind == timeline.KindScenario && e.Scenario != nil && s.Info.Name == "" {
			s.Info = *e.Scenario
		}
		if e.Kind == timeline.KindVerdict && e.Verdict != nil {
			verdict = e.Verdict
		}
	}
	if misnumbered {
		s.Notes = append(s.Notes, "the events of the record are not numbered in order: something is missing or was "+
			"added, and references between events may lead to the wrong one")
	}
	if verdict == nil {
		s.Message = s.whereItStopped()
		return
	}
	s.Status, s.Owner, s.Message, s.Wall = verdict.Status, verdict.Owner, verdict.Message, verdict.Wall
	switch s.Status {
	case timeline.Passed, timeline.Skipped, timeline.Interrupted, timeline.Recorded:
		s.Owner = ""
	case timeline.Failed:
		s.checkOwner()
	default:
		s.Notes = append(s.Notes, fmt.Sprintf("the verdict has the unknown status %q", s.Status))
		s.Status, s.Owner = NotFinished, ""
	}
}

// checkOwner makes sure that a failure has an owner. To leave it unsaid is a fault of the harness, and so it is taken.
func (s *Scenario) checkOwner() {
	switch s.Owner {
	case timeline.OwnerDevice, timeline.OwnerHarness, timeline.OwnerInfrastructure, timeline.OwnerBoard:
		return
	}
	s.Notes = append(s.Notes, fmt.Sprintf("the verdict names the unknown owner %q and is counted as the harness's",
		s.Owner))
	s.Owner = timeline.OwnerHarness
}

// whereItStopped is the message of a scenario without a verdict.
func (s *Scenario) whereItStopped() string {
	if len(s.Events) == 0 {
		return "The record is empty: the run ended, or was killed, as the scenario began."
	}
	text := fmt.Sprintf("The record stops at %s without a verdict: the run was killed or crashed.", seconds(s.Duration()))
	for i := len(s.Events) - 1; i >= 0; i-- {
		if e := s.Events[i]; e.Kind == timeline.KindStep {
			return text + "\nLast step: " + e.Text
		}
	}
	return text
}

// addNotRun gives each record without a name the one it was selected under, or else its file's, and adds the selected
// scenarios that have no record.
func (r *Report) addNotRun() {
	waiting := map[string]int{} // selected and not yet found among the records; a scenario may be selected repeatedly
	for _, name := range r.Run.Selected {
		waiting[name]++
	}
	for _, s := range r.Scenarios {
		if s.Info.Name != "" {
			waiting[s.Info.Name]--
		}
	}
	for i, s := range r.Scenarios {
		if s.Info.Name != "" {
			continue
		}
		s.Info.Name = strings.TrimSuffix(s.File, recordSuffix)
		if i < len(r.Run.Selected) && waiting[r.Run.Selected[i]] > 0 {
			s.Info.Name = r.Run.Selected[i]
			waiting[s.Info.Name]--
		}
	}
	for _, name := range r.Run.Selected {
		if waiting[name] > 0 {
			waiting[name]--
			r.Scenarios = append(r.Scenarios, &Scenario{
				Info:    timeline.Scenario{Name: name},
				Status:  NotRun,
				Message: "The run ended before this scenario.",
			})
		}
	}
}

// Paths are the files that Write has written.
type Paths struct {
	HTML  string
	JUnit string
}

// Write loads the run in dir and writes its reports, report.html and junit.xml, into dir. Each file appears whole or not
// at all.
func Write(dir string) (Paths, error) {
	report, err := Load(dir)
	if err != nil {
		return Paths{}, err
	}
	paths := Paths{HTML: filepath.Join(dir, htmlFile), JUnit: filepath.Join(dir, junitFile)}
	if err := writeFile(paths.HTML, report, WriteHTML); err != nil {
		return Paths{}, err
	}
	if err := writeFile(paths.JUnit, report, WriteJUnit); err != nil {
		return Paths{}, err
	}
	return paths, nil
}

// writeFile writes to a file of another name first, for a reader must never find half a report.
func writeFile(path string, report *Report, write func(io.Writer, *Report) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".*-"+filepath.Base(path))
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close() // has no effect where it was closed already
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err := write(f, report); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
