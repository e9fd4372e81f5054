package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onsi/ginkgo/v2"

	"mqtthil/devices"
	"mqtthil/harness/judge"
	"mqtthil/harness/requirement"
	"mqtthil/harness/timeline"
)

// Reasons for which a scenario ends before its body does.
var (
	errInterrupted = errors.New("interrupted by the user")
	errBudget      = errors.New("the scenario exceeded its time budget")
)

// failure ends a scenario's body; it is what the methods of a Bench panic with.
type failure struct {
	status  timeline.Status
	owner   timeline.Owner
	message string
	events  []int
}

// interruptGrace is how long a scenario has to end by itself after an interrupt.
const interruptGrace = 2 * time.Second

// scenario plays one scenario from its first event to its verdict. It is called by Ginkgo.
func (r *Run) scenario(ctx ginkgo.SpecContext, body func(*Bench)) {
	description := describe(ginkgo.CurrentSpecReport())
	number := len(r.results) + 1
	r.observer.Started(number, r.Total(), description.Name)
	path := filepath.Join(r.folder, "scenarios", fileName(number, description.Name))

	p := newPlay(r.options, description, body)
	file, err := os.Create(path)
	if err != nil {
		p.outcome = failure{timeline.Failed, timeline.OwnerInfrastructure,
			fmt.Sprintf("the record could not be made: %v; is the run's folder still there, and is there room?", err), nil}
	} else {
		defer file.Close()
		p.file = file
		if why := r.options.lacking(description.Quirks); why != "" {
			p.skip(why)
		} else {
			p.perform(ctx, r.t)
		}
	}
	verdict, events := p.judge(time.Since(p.started))
	if verdict.Status == timeline.Interrupted {
		r.interrupted = true
	}
	result := Result{Name: description.Name, Verdict: verdict, Record: path}
	if len(events) > 0 {
		result.Virtual = events[len(events)-1].At
	}
	r.results = append(r.results, result)
	r.observer.Ended(result)
	switch verdict.Status {
	case timeline.Failed:
		ginkgo.Fail(fmt.Sprintf("%s: %s", verdict.Owner, verdict.Message))
	case timeline.Skipped:
		ginkgo.Skip(verdict.Message)
	}
}

// play is one performance of a scenario.
type play struct {
	options     Options
	description Description
	body        func(*Bench)
	started     time.Time // on the wall clock
	file        *os.File

	recorders chan *timeline.Recorder // gets the recorder as soon as there is one
	recorder  *timeline.Recorder
	outcome   failure
}

func newPlay(options Options, description Description, body func(*Bench)) *play {
	return &play{
		options: options, description: description, body: body, started: time.Now(),
		recorders: make(chan *timeline.Recorder, 1),
	}
}

// skip makes a record that says why the scenario is not run.
func (p *play) skip(why string) {
	p.recorder = timeline.NewRecorder(p.file)
	p.recorder.Append(p.description.header(p.options, p.started))
	p.outcome = failure{status: timeline.Skipped, message: why}
}

// perform runs the scenario and waits until it has ended, or has to be given up: a part of the harness that hangs must
// not stop the run.
func (p *play) perform(ctx context.Context, t *testing.T) {
	done := make(chan failure, 1)
	limit := p.options.wallBudget
	run := func() failure { return p.inBubble(t) }
	if p.options.Time == Real {
		limit = p.options.Budget + p.options.wallBudget // what comes after the budget takes time, too
		run = func() failure { return p.onStage(ctx) }
	}
	go func() {
		outcome := failure{timeline.Failed, timeline.OwnerHarness,
			"the goroutine of the scenario was ended, as by runtime.Goexit or a data race in virtual time", nil}
		defer func() { done <- outcome }()
		outcome = run()
	}()
	watchdog := time.NewTimer(limit)
	defer watchdog.Stop()
	interrupt := ctx.Done()
	for p.outcome.status == "" {
		select {
		case p.outcome = <-done:
		case <-interrupt:
			interrupt = nil
			watchdog.Reset(interruptGrace)
		case <-watchdog.C:
			p.outcome = failure{timeline.Failed, timeline.OwnerHarness, fmt.Sprintf(
				"the scenario did not come to its end within %v on the wall clock\n%s", limit, stacks(0)), nil}
			if ctx.Err() != nil {
				p.outcome = failure{status: timeline.Interrupted, message: errInterrupted.Error()}
			}
		}
	}
	select {
	case p.recorder = <-p.recorders:
	default:
	}
}

// inBubble plays the scenario in virtual time. A bubble that comes to a standstill, or in which something still runs
// after the scenario's end, is a defect of the harness.
func (p *play) inBubble(t *testing.T) (outcome failure) {
	defer func() {
		if v := recover(); v != nil {
			text := fmt.Sprint(v)
			outcome = failure{timeline.Failed, timeline.OwnerHarness, text + "\n" + stacks(newestBubble()), nil}
		}
	}()
	synctest.Test(t, func(*testing.T) { outcome = p.onStage(context.Background()) })
	return outcome
}

// onStage sets the bench up, runs the body and takes the bench down.
func (p *play) onStage(ctx context.Context) (outcome failure) {
	recorder := timeline.NewRecorder(p.file)
	recorder.Append(p.description.header(p.options, p.started))
	p.recorders <- recorder

	if ctx.Done() != nil { // the user's interrupt
		var cancel context.CancelCauseFunc
		outer := ctx
		ctx, cancel = context.WithCancelCause(context.WithoutCancel(outer))
		stop := context.AfterFunc(outer, func() { cancel(errInterrupted) })
		defer stop()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.options.Budget, errBudget)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)

	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if f, ok := v.(failure); ok {
			outcome = f
			return
		}
		outcome = failure{timeline.Failed, timeline.OwnerHarness, fmt.Sprintf("panic: %v\n%s", v, debug.Stack()), nil}
	}()
	bench := &Bench{ctx: ctx, giveUp: giveUp, options: p.options, Record: recorder, ended: make(chan struct{})}
	defer bench.close()
	bench.open()
	// A body that waits for something else than the bench does not see the end of its time. Without the bench nothing
	// goes on around it, and a bubble comes to a standstill that can be seen.
	defer context.AfterFunc(ctx, func() {
		if rest := time.NewTimer(p.options.grace); waitEither(rest.C, bench.ended) {
			bench.close()
		}
	})()
	defer close(bench.ended)
	p.body(bench)
	bench.settle()
	bench.checkFaults()
	return failure{status: timeline.Passed}
}

// waitEither says whether the time came before the end.
func waitEither(t <-chan time.Time, end <-chan struct{}) bool {
	select {
	case <-t:
		return true
	case <-end:
		return false
	}
}

// judge holds the record to every judge and comes to the verdict, which it writes as the record's last event.
func (p *play) judge(wall time.Duration) (timeline.Verdict, []timeline.Event) {
	verdict := timeline.Verdict{
		Status: p.outcome.status, Owner: p.outcome.owner, Message: p.outcome.message, Events: p.outcome.events, Wall: wall,
	}
	if p.recorder == nil {
		return verdict, nil
	}
	fail := func(owner timeline.Owner, events []int, format string, arguments ...any) { // what came first, stands
		if verdict.Status == timeline.Passed {
			verdict.Status, verdict.Owner, verdict.Events = timeline.Failed, owner, events
			verdict.Message = fmt.Sprintf(format, arguments...)
		}
	}
	events := p.recorder.Events()
	var final []timeline.Event
	if verdict.Status == timeline.Passed || verdict.Owner == timeline.OwnerDevice {
		if reset, ok := unwantedReset(events); ok { // and whatever else went wrong may come of it
			verdict.Status = timeline.Passed
			fail(timeline.OwnerBoard, append([]int{reset.Seq}, p.outcome.events...),
				"the board was reset, %s; look at its supply and its firmware\n%s", reset.Text, p.outcome.message)
		}
		findings, missing := requirement.Apply(Client, p.description.Name, judge.Run(events))
		for i := range findings {
			f := &findings[i]
			final = append(final, timeline.Event{Kind: timeline.KindFinding, Finding: f})
			if f.Deviation == "" {
				fail(timeline.OwnerDevice, f.Events, "%s: %s", f.Requirement, f.Text)
			}
		}
		for _, d := range missing {
			if p.options.lacks(d.Quirk) {
				continue
			}
			fail(timeline.OwnerDevice, nil, "known deviation %s of %s no longer happens: take it out of the list of known "+
				"deviations (%s)", d.Quirk, d.Requirement, d.Reason)
		}
	}
	if err := p.recorder.Err(); err != nil {
		fail(timeline.OwnerInfrastructure, nil, "the record could not be written: %v; is the disk full?", err)
	}
	p.recorder.Seal(append(final, timeline.Event{Kind: timeline.KindVerdict, Verdict: &verdict})...)
	if err := p.recorder.Err(); err != nil {
		fail(timeline.OwnerInfrastructure, nil, "the verdict could not be written: %v; is the disk full?", err)
	}
	return verdict, events
}

// unwantedReset finds a reset that the bench did not ask for.
func unwantedReset(events []timeline.Event) (timeline.Event, bool) {
	for _, e := range events {
		if e.Kind == timeline.KindReset && strings.HasPrefix(e.Text, devices.UnwantedReset) {
			return e, true
		}
	}
	return timeline.Event{}, false
}

// stacks returns the stacks of all goroutines, or of those of one bubble.
func stacks(bubble int) string {
	buffer := make([]byte, 1<<20)
	all := string(buffer[:runtime.Stack(buffer, true)])
	if bubble == 0 {
		return all
	}
	var own []string
	for _, s := range strings.Split(all, "\n\n") {
		if bubbleOf(s) == bubble {
			own = append(own, s)
		}
	}
	return strings.Join(own, "\n\n")
}

// bubbleOf reads the number of a goroutine's bubble off its stack; 0 is none.
func bubbleOf(stack string) int {
	header, _, _ := strings.Cut(stack, "\n")
	_, number, found := strings.Cut(header, "synctest bubble ")
	if !found {
		return 0
	}
	number = strings.TrimRight(number, "]:")
	number, _, _ = strings.Cut(number, ",")
	n, _ := strconv.Atoi(number)
	return n
}

// newestBubble is the number of the bubble that was made last.
func newestBubble() int {
	newest := 0
	for _, s := range strings.Split(stacks(0), "\n\n") {
		newest = max(newest, bubbleOf(s))
	}
	return newest
}
