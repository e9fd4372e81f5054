package main

import (
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"

	"mqtthil/harness"
	"mqtthil/harness/timeline"
)

// progress shows how a run goes on: on a terminal one live line, and what failed; elsewhere a line a scenario.
type progress struct {
	out     *os.File
	live    bool
	started time.Time
}

func newProgress(out *os.File) *progress {
	live := term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb" // which cannot erase a line
	return &progress{out: out, live: live, started: time.Now()}
}

// eraseLine goes to the start of a terminal's line and clears it.
const eraseLine = "\r\x1b[K"

// Started implements harness.Observer.
func (p *progress) Started(number, total int, name string) {
	if !p.live {
		return
	}
	width, _, err := term.GetSize(int(p.out.Fd())) // each time, for a window can be resized
	if err != nil || width == 0 {
		width = 80
	}
	fmt.Fprint(p.out, eraseLine, fit(fmt.Sprintf("[%d/%d] %s", number, total, name), width))
}

// fit cuts a line short of a terminal's width, or the live line would become two.
func fit(line string, width int) string {
	runes := []rune(line)
	if len(runes) < width {
		return line
	}
	return string(runes[:max(width-2, 0)]) + "…"
}

// Ended implements harness.Observer.
func (p *progress) Ended(r harness.Result) {
	passed := r.Verdict.Status == timeline.Passed
	if p.live {
		if passed {
			return
		}
		fmt.Fprint(p.out, eraseLine)
	}
	fmt.Fprintf(p.out, "%-11s %8.2f s  %s\n", r.Verdict.Status, r.Virtual.Seconds(), r.Name)
	if !passed {
		fmt.Fprintf(p.out, "            %s: %s\n            record: %s\n", owner(r.Verdict), indent(r.Verdict.Message), r.Record)
	}
}

func owner(v timeline.Verdict) string {
	if v.Owner == "" {
		return string(v.Status)
	}
	return string(v.Owner)
}

// indent sets a message of several lines below its first, and cuts it short where the report has the rest. What the
// device has put into it, such as a topic, gets no power over the terminal.
func indent(message string) string {
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, message)
	lines := strings.Split(strings.TrimSpace(message), "\n")
	const most = 12
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("… %d more lines in the report", len(lines)-most))
	}
	return strings.Join(lines, "\n            ")
}

// summary says what the run came to.
func (p *progress) summary(r *harness.Run) {
	counts := map[timeline.Status]int{}
	var virtual time.Duration
	for _, result := range r.Results() {
		counts[result.Verdict.Status]++
		virtual += result.Virtual
	}
	if p.live {
		fmt.Fprint(p.out, eraseLine)
	}
	text := fmt.Sprintf("%d of %d scenarios passed", counts[timeline.Passed], r.Total())
	for _, s := range []timeline.Status{timeline.Failed, timeline.Skipped, timeline.Interrupted} {
		if counts[s] > 0 {
			text += fmt.Sprintf(", %d %s", counts[s], s)
		}
	}
	fmt.Fprintf(p.out, "%s: %.1f s on their clocks, %.1f s on the wall\n", text, virtual.Seconds(), time.Since(p.started).Seconds())
}
