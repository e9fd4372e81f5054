package espmqtt_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/transcript"
	"mqtthil/harness/simnet"
)

var transcripts = flag.String("transcripts", "testdata/transcripts", "folder of recorded transcripts to compare with")

// compared counts the transcripts that TestTranscripts has compared, and those that match.
var compared struct{ all, match atomic.Int64 }

// TestMain says at the end, behind the lines of all cases, how many transcripts match.
func TestMain(m *testing.M) {
	code := m.Run()
	if all := compared.all.Load(); all > 0 {
		fmt.Printf("%d of %d transcripts match\n", compared.match.Load(), all)
	}
	os.Exit(code)
}

// TestTranscripts goes through the recorded cases with the emulated board and compares what it does, and when, with what
// the real client did.
func TestTranscripts(t *testing.T) {
	playFolder(t, *transcripts, func(match bool) {
		compared.all.Add(1) // also one that cannot be read or played
		if match {
			compared.match.Add(1)
		}
	})
}

// TestRecordings does the same with cases that showed something which those of TestTranscripts do not. They were recorded
// in the same way, with the same client.
func TestRecordings(t *testing.T) {
	playFolder(t, "testdata/recordings", func(bool) {})
}

// playFolder plays each case of a folder and tells whether it matches.
func playFolder(t *testing.T, folder string, done func(match bool)) {
	files, err := transcriptFiles(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			defer func() { done(!t.Failed()) }()
			recorded, err := transcript.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			if difference := transcript.Difference(recorded.Trace, play(t, &recorded.Case, espmqtt.Behaviour{})); difference != "" {
				t.Errorf("%s: %s", recorded.Case.About, difference)
			}
		})
	}
}

// transcriptFiles lists the transcripts in a folder.
func transcriptFiles(folder string) ([]string, error) {
	whole, err := filepath.Abs(folder) // go test has changed to the package's folder
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(whole)
	if err != nil {
		return nil, fmt.Errorf("the folder of transcripts: %w; name another with -transcripts", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			files = append(files, filepath.Join(whole, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no transcript (*.json) is in %s; name another folder with -transcripts", whole)
	}
	return files, nil
}

// TestTranscriptFiles: a folder that has no transcripts is named in what is said about it.
func TestTranscriptFiles(t *testing.T) {
	t.Parallel()
	if files, err := transcriptFiles("testdata/transcripts"); err != nil || len(files) < 200 {
		t.Errorf("%d transcripts: %v", len(files), err)
	}
	for _, folder := range []string{t.TempDir(), "testdata/no-such", "doc.go"} {
		if _, err := transcriptFiles(folder); err == nil || !strings.Contains(err.Error(), filepath.Base(folder)) ||
			!strings.Contains(err.Error(), "-transcripts") {
			t.Errorf("%s: %v", folder, err)
		}
	}
}

// play goes through a case in virtual time.
func play(t *testing.T, script *transcript.Case, behaviour espmqtt.Behaviour) (played []transcript.Row) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New()
		var err error
		played, err = transcript.Play(script, transcript.Network{
			Host:   "127.0.0.1",
			Listen: network.Listen,
			Dial:   transcript.Nagle(network.DialContext),
		}, behaviour)
		if err != nil {
			t.Fatal(err)
		}
	})
	return played
}

// parseCase reads a case that a test has in its text.
func parseCase(t *testing.T, text string) *transcript.Case {
	t.Helper()
	script := new(transcript.Case)
	if err := json.Unmarshal([]byte(text), script); err != nil {
		t.Fatal(err)
	}
	return script
}
