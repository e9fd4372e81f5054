package espmqtt_test

import (
	"path/filepath"
	"testing"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/transcript"
)

// TestDefects demands of every planted defect that at least one transcript shows it. One that no transcript can show has
// a case of its own here, which the sound client and the one with the defect go through differently.
func TestDefects(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/transcripts/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	cases := map[espmqtt.Defect]string{
		espmqtt.ConnackAwaitedForever: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"network": {"timeout_ms": 500}}, "rules": [{"on": "CONNECT", "do": []}], "run_ms": 3000}`,
		espmqtt.BufferOffByOne: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}, "buffer": {"size": 64}},
			"steps": [{"at_ms": 100, "publish": {"topic": "t", "payload": {"pattern": "x", "reps": 59}}}], "run_ms": 500}`,
		espmqtt.RetransmitFirstFragment: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"buffer": {"out_size": 64}}, "rules": [{"on": "PUBLISH", "do": []}],
			"steps": [{"at_ms": 100, "cmd": "publish t x 180 1 0 0"}], "run_ms": 3000}`,
	}
	for _, defect := range espmqtt.Defects() {
		t.Run(string(defect), func(t *testing.T) {
			t.Parallel()
			if own, ok := cases[defect]; ok {
				script := parseCase(t, own)
				if transcript.Difference(play(t, script), play(t, script, defect)) == "" {
					t.Error("the defect changes nothing")
				}
				return
			}
			for _, file := range files {
				recorded, err := transcript.Read(file)
				if err != nil {
					t.Fatal(err)
				}
				if transcript.Difference(recorded.Trace, play(t, &recorded.Case, defect)) != "" {
					return
				}
			}
			t.Error("no transcript shows the defect")
		})
	}
}
