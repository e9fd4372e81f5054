package harness

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"

	"mqtthil/harness/timeline"
)

// trouble is the environment variable that says what goes wrong in the suite below.
const trouble = "MQTTHIL_TEST_TROUBLE"

// A suite of its own, for what concerns a run as a whole. Ginkgo shuffles the containers.
var _ = ginkgo.Describe("One:", func() {
	ginkgo.AfterEach(func() {
		if os.Getenv(trouble) == "after each" {
			ginkgo.Fail("the hook failed")
		}
	})
	Scenario("first", func(*Bench) {})
	Scenario("waits for an answer", ginkgo.Pending, func(*Bench) {})
})

var _ = ginkgo.Describe("Two:", func() {
	Scenario("second", func(b *Bench) {
		if os.Getenv(trouble) == "device" {
			b.Eventually("the device says hello", Reports("HELLO"), Some(), time.Second)
		}
	})
})

var _ = ginkgo.Describe("Three:", func() { Scenario("third", func(*Bench) {}) })

// spoiler removes the folder of records when the first scenario has ended.
type spoiler struct{}

func (spoiler) Started(int, int, string) {}
func (spoiler) Ended(r Result) {
	if os.Getenv(trouble) == "folder" {
		_ = os.RemoveAll(filepath.Dir(r.Record))
	}
}

// TestRun plays the suite in a process of its own for each trouble, for a process can play only one run.
func TestRun(t *testing.T) {
	if os.Getenv(trouble) != "" {
		playInTrouble(t)
		return
	}
	t.Parallel()
	for _, name := range []string{"none", "device", "after each", "folder"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(os.Args[0], "-test.run=^TestRun$", "-test.v")
			command.Env = append(os.Environ(), trouble+"="+name)
			if output, err := command.CombinedOutput(); err != nil || !strings.Contains(string(output), "--- PASS: TestRun") {
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

func playInTrouble(t *testing.T) {
	r, err := Prepare(Options{Out: t.TempDir(), Quiet: true}, spoiler{})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Play(t)
	var ran []string
	for _, result := range r.Results() {
		ran = append(ran, result.Name)
	}
	if r.Total() != 3 || !slices.Equal(ran, r.info.Selected) {
		t.Errorf("ran %q\nwant %q: run.json lists the scenarios in their order, and no pending one", ran, r.info.Selected)
	}
	want := map[string]struct {
		code    int
		err     error
		message string // of the error, or else of the last scenario's verdict
	}{
		"none":       {code: ExitPass},
		"device":     {code: ExitDevice},
		"after each": {code: ExitHarness, err: ErrHarness, message: "something failed that is no scenario"},
		"folder":     {code: ExitInfrastructure, message: "the record could not be made: open "},
	}[os.Getenv(trouble)]
	message := r.Results()[len(ran)-1].Verdict.Message
	if err != nil {
		message = err.Error()
	}
	if r.ExitCode() != want.code || !errors.Is(err, want.err) || !strings.Contains(message, want.message) {
		t.Errorf("exit code %d, error %v, %q\nwant %d, %v, %q", r.ExitCode(), err, message, want.code, want.err, want.message)
	}
	for _, result := range r.Results() {
		if result.failed() && result.Verdict.Owner == timeline.OwnerHarness {
			t.Errorf("%s: %s", result.Name, result.Verdict.Message)
		}
	}
}
