package espmqtt_test

import (
	"encoding/json"
	"flag"
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

// TestTranscripts goes through the recorded cases with the emulated board and compares what it does, and when, with what
// the real client did.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(*transcripts, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts in %s: %v", *transcripts, err)
	}
	var match atomic.Int64
	t.Run("case", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
				t.Parallel()
				recorded, err := transcript.Read(file)
				if err != nil {
					t.Fatal(err)
				}
				if difference := transcript.Difference(recorded.Trace, play(t, &recorded.Case, espmqtt.Behaviour{})); difference != "" {
					t.Errorf("%s: %s", recorded.Case.About, difference)
					return
				}
				match.Add(1)
			})
		}
	})
	t.Logf("%d of %d transcripts match", match.Load(), len(files)) // a case that could not be read or played counts
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
