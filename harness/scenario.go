package harness

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	ginkgotypes "github.com/onsi/ginkgo/v2/types"

	"mqtthil/harness/timeline"
)

// Scenario declares a scenario: a Ginkgo It whose body has a bench. Beside one func(*Bench) it takes Covers, FailsOn,
// Shows and all that Ginkgo's It takes.
//
//	Scenario("an unacknowledged QoS 1 message is sent again with DUP",
//		Covers("ESP-OUTBOX-06", "MQTT-3.3.1-1"), FailsOn(espmqtt.NoRetransmit), Shows(espmqtt.QuirkLivePublish),
//		func(b *harness.Bench) { … })
func Scenario(text string, arguments ...any) bool {
	var body func(*Bench)
	decorators := []any{ginkgo.Offset(1)}
	for _, a := range arguments {
		if f, ok := a.(func(*Bench)); ok {
			body = f
		} else {
			decorators = append(decorators, a)
		}
	}
	if body == nil {
		panic(fmt.Sprintf("scenario %q has no func(*harness.Bench)", text))
	}
	return ginkgo.It(text, append(decorators, func(ctx ginkgo.SpecContext) {
		run, ok := ctx.Value(runKey{}).(*Run)
		if !ok {
			panic("a scenario runs by harness.Run.Play only")
		}
		run.scenario(ctx, body)
	})...)
}

// Keys of the labels that carry a scenario's declarations. Ginkgo's label filter can select by them, such as
// 'covers: containsAny MQTT-3.3.1-1'.
const (
	coversKey = "covers"
	defectKey = "defect"
	quirkKey  = "quirk"
)

// Covers names the requirements that a scenario gives the device occasion to meet or break.
func Covers(requirements ...string) ginkgo.Labels { return labels(coversKey, requirements) }

// FailsOn names planted defects that must make the scenario fail. A scenario without one proves nothing.
func FailsOn[D ~string](defects ...D) ginkgo.Labels { return labels(defectKey, defects) }

// Shows names quirks without which a client cannot pass the scenario, however right it is. The scenario is skipped where
// the device is said to be without one of them.
func Shows[Q ~string](quirks ...Q) ginkgo.Labels { return labels(quirkKey, quirks) }

func labels[S ~string](key string, values []S) ginkgo.Labels {
	var l ginkgo.Labels
	for _, v := range values {
		l = append(l, key+":"+string(v))
	}
	return l
}

// Description is what a scenario declares.
type Description struct {
	Name     string // full text, containers first
	Topic    string // outermost container
	Labels   []string
	Covers   []string
	Defects  []string // that must make it fail
	Quirks   []string // that it shows
	Location string
}

// List returns all scenarios, sorted by name.
func List() []Description {
	preview := ginkgo.PreviewSpecs("mqtthil")
	var all []Description
	for _, spec := range preview.SpecReports {
		if spec.LeafNodeType == ginkgotypes.NodeTypeIt {
			all = append(all, describe(spec))
		}
	}
	slices.SortFunc(all, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func describe(spec ginkgotypes.SpecReport) Description {
	d := Description{
		Name:     spec.FullText(),
		Location: fmt.Sprintf("%s:%d", filepath.Base(spec.LeafNodeLocation.FileName), spec.LeafNodeLocation.LineNumber),
	}
	if len(spec.ContainerHierarchyTexts) > 0 {
		d.Topic = strings.TrimSuffix(spec.ContainerHierarchyTexts[0], ":")
	}
	for _, label := range spec.Labels() {
		key, value, found := strings.Cut(label, ":")
		switch {
		case found && key == coversKey:
			d.Covers = append(d.Covers, value)
		case found && key == defectKey:
			d.Defects = append(d.Defects, value)
		case found && key == quirkKey:
			d.Quirks = append(d.Quirks, value)
		default:
			d.Labels = append(d.Labels, label)
		}
	}
	return d
}

// header opens a scenario's record; started is on the wall clock.
func (d Description) header(o Options, started time.Time) timeline.Event {
	return timeline.Event{Kind: timeline.KindScenario, Scenario: &timeline.Scenario{
		Name: d.Name, Topic: d.Topic, Labels: d.Labels, Covers: d.Covers, Location: d.Location, Started: started,
		Settings: map[string]string{
			"device":         o.Device,
			"console":        o.Console,
			"transport":      o.Transport,
			"time":           string(o.Time),
			"defects":        strings.Join(o.Defects, ", "),
			"without quirks": strings.Join(o.WithoutQuirks, ", "),
			"keep alive":     o.KeepAlive.String(),
		},
	}}
}

var (
	notWord   = regexp.MustCompile(`[^a-z0-9]+`)
	labelWord = regexp.MustCompile(`/[^/]*/|[^&|!(){},\s]+`)
)

// fileName is the name of a scenario's record. The number makes it unique in its run.
func fileName(number int, name string) string {
	slug := strings.Trim(notWord.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(slug) > 80 {
		slug = strings.TrimRight(slug[:80], "-")
	}
	return fmt.Sprintf("%03d-%s.jsonl", number, slug)
}

// checkLabels finds a word in a label filter that is no label of any scenario: a slip of the pen would select nothing,
// or everything.
func checkLabels(filter string, all []Description) error {
	known := map[string]bool{}
	for _, word := range []string{"isEmpty", "containsAny", "containsAll", "consistsOf", "isSubsetOf", coversKey, defectKey, quirkKey} {
		known[strings.ToLower(word)] = true
	}
	for _, d := range all {
		for _, l := range slices.Concat(d.Labels, d.Covers, d.Defects, d.Quirks) {
			known[strings.ToLower(l)] = true
		}
	}
	for _, word := range labelWord.FindAllString(filter, -1) {
		for _, part := range strings.Split(word, ":") {
			if part != "" && part[0] != '/' && !known[strings.ToLower(part)] {
				return fmt.Errorf("%w: no scenario has the label %q; see mqtthil list labels", ErrUsage, part)
			}
		}
	}
	return nil
}
