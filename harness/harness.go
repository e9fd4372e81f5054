// Package harness runs scenarios: it puts device, fault proxy and broker together on one bench, plays a scenario on it in
// virtual or real time, judges the record that it leaves, and says whose fault a failure is.
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/formatter"
	ginkgotypes "github.com/onsi/ginkgo/v2/types"

	"mqtthil/harness/requirement"
	"mqtthil/harness/timeline"
)

// ErrUsage marks an error that the user makes good by another command line.
var ErrUsage = errors.New("usage")

// ErrInfrastructure marks an error of the machine: a folder that cannot be written, a port that cannot be opened.
var ErrInfrastructure = errors.New("infrastructure")

// ErrHarness marks an error that is mqtthil's own.
var ErrHarness = errors.New("harness")

// Observer is told how a run goes on.
type Observer interface {
	Started(number, total int, name string)
	Ended(Result)
}

// Result is the outcome of one scenario.
type Result struct {
	Name    string
	Verdict timeline.Verdict
	Virtual time.Duration // on the scenario's own clock
	Record  string        // file of its record
}

// Run is one run of a suite of scenarios.
type Run struct {
	options  Options
	folder   string
	observer Observer
	info     timeline.Run
	t        *testing.T
	suite    ginkgotypes.SuiteConfig
	reporter ginkgotypes.ReporterConfig

	results       []Result
	interrupted   bool
	failedOutside bool // Ginkgo reports a failure, and no scenario failed
}

// Prepare checks the options, makes the run's folder and chooses the scenarios. Every error that wraps ErrUsage names
// what is wrong and what to do.
func Prepare(options Options, observer Observer) (*Run, error) {
	options, err := options.settle()
	if err != nil {
		return nil, err
	}
	r := &Run{options: options, observer: observer}
	r.suite, r.reporter = ginkgo.GinkgoConfiguration()
	if err := r.choose(); err != nil {
		return nil, err
	}
	if r.folder, err = makeFolder(options.Out, options.Started); err != nil {
		return nil, err
	}
	r.reporter.JSONReport = filepath.Join(r.folder, "ginkgo.json")
	r.info = options.info(r.suite.RandomSeed, r.info.Selected, r.info.Requirements)
	return r, r.writeInfo()
}

// Folder is where the run leaves its records.
func (r *Run) Folder() string { return r.folder }

// Total is the number of scenarios that were chosen.
func (r *Run) Total() int { return len(r.info.Selected) }

// Results returns the outcome of the scenarios that have ended, in the order in which they ran.
func (r *Run) Results() []Result { return r.results }

// makeFolder makes a folder of its own for the run, named by the time.
func makeFolder(out string, started time.Time) (string, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("%w: the folder for results cannot be made: %w; name another with --out", ErrUsage, err)
	}
	name := started.Format("20060102-150405")
	for n := 1; ; n++ {
		folder := filepath.Join(out, name)
		if n > 1 {
			folder = fmt.Sprintf("%s-%d", folder, n)
		}
		err := os.Mkdir(folder, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Mkdir(filepath.Join(folder, "scenarios"), 0o755)
		}
		if err != nil {
			return "", fmt.Errorf("%w: the folder for results cannot be written: %w; name another with --out", ErrUsage, err)
		}
		linkLatest(out, filepath.Base(folder))
		return folder, nil
	}
}

// linkLatest makes out/latest point to the newest run, where the system has links and nothing else has the name.
func linkLatest(out, folder string) {
	link := filepath.Join(out, "latest")
	if info, err := os.Lstat(link); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return
	}
	fresh := filepath.Join(out, ".latest-"+folder) // renamed, so that there is a link at every moment
	_ = os.Symlink(folder, fresh)
	if os.Rename(fresh, link) != nil {
		_ = os.Remove(fresh)
	}
}

// choose finds out which scenarios the filters select.
func (r *Run) choose() error {
	r.options.configure(&r.suite)
	if err := checkFlags(r.suite); err != nil {
		return err
	}
	for _, expression := range slices.Concat(r.suite.FocusStrings, r.suite.SkipStrings) {
		if _, err := regexp.Compile(expression); err != nil {
			return fmt.Errorf("%w: focus or skip: %w", ErrUsage, err)
		}
	}
	if _, err := ginkgotypes.ParseLabelFilter(r.suite.LabelFilter); err != nil {
		return fmt.Errorf("%w: label filter %q: %s", ErrUsage, r.suite.LabelFilter, firstLine(err.Error()))
	}
	all := List()
	if err := checkLabels(r.suite.LabelFilter, all); err != nil {
		return err
	}
	r.info.Requirements = map[string]string{}
	preview := ginkgo.PreviewSpecs("mqtthil", r.suite)
	for _, spec := range preview.SpecReports {
		if spec.LeafNodeType != ginkgotypes.NodeTypeIt ||
			spec.State.Is(ginkgotypes.SpecStateSkipped|ginkgotypes.SpecStatePending) {
			continue
		}
		s := describe(spec)
		r.info.Selected = append(r.info.Selected, s.Name)
		for _, id := range s.Covers {
			r.info.Requirements[id] = requirementText(id)
		}
	}
	if len(r.info.Selected) == 0 {
		return fmt.Errorf("%w: no scenario fits the filters; see mqtthil list scenarios", ErrUsage)
	}
	return nil
}

// requirementText is the text of a requirement; an id that is in no list says so.
func requirementText(id string) string {
	if q, ok := requirement.Lookup(id); ok {
		return q.Text
	}
	return "not in the lists of requirements"
}

// Play runs the chosen scenarios; t is the test that it all happens in, which virtual time needs. It returns an error
// only where the run as a whole failed: what the scenarios came to is in Results. A process can play one run.
func (r *Run) Play(t *testing.T) error {
	r.t = t
	var failer ginkgo.GinkgoTestingT = t
	if r.options.Quiet {
		formatter.ColorableStdOut = io.Discard
		failer = ignore{}
	}
	interrupts := make(chan os.Signal, 1) // Ginkgo ends the suite on these
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupts)
	passed := ginkgo.RunSpecs(failer, "mqtthil", r.suite, r.reporter, ginkgo.AroundNode(func(ctx context.Context) context.Context {
		return context.WithValue(ctx, runKey{}, r)
	}))
	select {
	case <-interrupts:
		r.interrupted = true
	default:
	}
	r.info.Ended, r.info.Interrupted = time.Now(), r.interrupted
	if err := r.writeInfo(); err != nil {
		return err
	}
	if !passed && !r.interrupted && !slices.ContainsFunc(r.results, Result.failed) {
		r.failedOutside = true
		return fmt.Errorf("%w: something failed that is no scenario, such as a BeforeEach; see %s",
			ErrHarness, r.reporter.JSONReport)
	}
	return nil
}

func (r Result) failed() bool { return r.Verdict.Status == timeline.Failed }

// ignore is told by Ginkgo that the suite failed; the exit code comes from the verdicts.
type ignore struct{}

func (ignore) Fail() {}

// runKey is where the context of a scenario holds its Run.
type runKey struct{}

// Exit codes of a run.
const (
	ExitPass           = 0
	ExitDevice         = 1
	ExitUsage          = 2
	ExitInfrastructure = 3
	ExitHarness        = 4
	ExitInterrupted    = 130
)

// ExitCode says what the run came to. A device that failed stands, whatever else went wrong.
func (r *Run) ExitCode() int {
	if r.interrupted {
		return ExitInterrupted
	}
	owners := map[timeline.Owner]bool{}
	for _, result := range r.results {
		if result.failed() {
			owners[result.Verdict.Owner] = true
		}
	}
	switch {
	case owners[timeline.OwnerDevice]:
		return ExitDevice
	case owners[timeline.OwnerHarness], len(r.results) < r.Total(), r.failedOutside:
		return ExitHarness
	case owners[timeline.OwnerInfrastructure], owners[timeline.OwnerBoard]:
		return ExitInfrastructure
	}
	return ExitPass
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
