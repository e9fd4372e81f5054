package espmqtt_test

import (
	"path/filepath"
	"sync"
	"testing"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/transcript"
	"mqtthil/harness/requirement"
)

// TestDefects demands of every planted defect that at least one transcript shows it: the first that does, and where, is
// in the log. A defect that no transcript can show has a case of its own here, which the sound client and the one with
// the defect go through differently.
func TestDefects(t *testing.T) {
	t.Parallel()
	read := sync.OnceValues(readTranscripts)
	cases := map[espmqtt.Defect]string{
		espmqtt.ConnackAwaitedForever: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"network": {"timeout_ms": 500}}, "rules": [{"on": "CONNECT", "do": []}], "run_ms": 3000}`,
		espmqtt.BufferOffByOne: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}, "buffer": {"size": 64}},
			"steps": [{"at_ms": 100, "publish": {"topic": "t", "payload": {"pattern": "x", "reps": 59}}}], "run_ms": 500}`,
		espmqtt.RetransmitFirstFragment: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"buffer": {"out_size": 64}}, "rules": [{"on": "PUBLISH", "do": []}],
			"steps": [{"at_ms": 100, "cmd": "publish t x 180 1 0 0"}], "run_ms": 3000}`,
		espmqtt.RefreshNever: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"network": {"refresh_connection_after_ms": 1500}}, "run_ms": 3000}`,
		espmqtt.OutboxKeptOverStop: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}},
			"rules": [{"on": "PUBLISH", "do": []}], "steps": [{"at_ms": 100, "cmd": "publish t x 1 1 0 0"},
			{"at_ms": 200, "cmd": "stop"}, {"at_ms": 2000, "cmd": "start"}], "run_ms": 5000}`,
		espmqtt.AutoReconnectAlways: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"network": {"reconnect_timeout_ms": 500, "disable_auto_reconnect": true}},
			"steps": [{"at_ms": 100, "close": "fin"}], "run_ms": 3000}`,
		espmqtt.UserPropertiesLost: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"session": {"protocol_ver": 3}}, "config": [{"connect_property": {"user_property": [{"key": "k", "value": "v"}]}}],
			"run_ms": 500}`,
		espmqtt.CorrelationDataLost: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"session": {"protocol_ver": 3}}, "config": [{"publish_property": {"correlation_data": "c"}}],
			"steps": [{"at_ms": 100, "cmd": "publish t x 1 0 0 0"}], "run_ms": 500}`,
		espmqtt.SharedUnsubscribeLost: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}},
			"session": {"protocol_ver": 3}},
			"config": [{"unsubscribe_property": {"is_share_subscribe": true, "share_name": "s"}}],
			"steps": [{"at_ms": 100, "cmd": "unsubscribe t"}], "run_ms": 500}`,
		espmqtt.SetURIReconnects: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}},
			"steps": [{"at_ms": 100, "cmd": "set_uri mqtt://nowhere"}], "run_ms": 500}`,
		espmqtt.UserEventLost: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}},
			"steps": [{"at_ms": 100, "cmd": "user_event hello 0"}], "run_ms": 2000}`,
		espmqtt.UserEventHurryMissing: `{"client": {"broker": {"address": {"uri": "mqtt://${HOST}:${PORT}"}}},
			"kconfig": {"MQTT_EVENT_QUEUE_SIZE": 3}, "steps": [{"at_ms": 100, "cmd": "user_event a 0"},
			{"at_ms": 100, "cmd": "user_event b 0"}], "run_ms": 2500}`,
	}
	for _, defect := range espmqtt.Defects() {
		t.Run(string(defect), func(t *testing.T) {
			t.Parallel()
			planted := espmqtt.Behaviour{Defects: []espmqtt.Defect{defect}}
			if own, ok := cases[defect]; ok {
				script := parseCase(t, own)
				difference := transcript.Difference(play(t, script, espmqtt.Behaviour{}), play(t, script, planted))
				if difference == "" {
					t.Error("the defect changes nothing")
				}
				t.Logf("a case of its own: %s", difference)
				return
			}
			recordings, err := read()
			if err != nil {
				t.Fatal(err)
			}
			for _, recorded := range recordings {
				if difference := transcript.Difference(recorded.Trace, play(t, &recorded.Case, planted)); difference != "" {
					t.Logf("%s: %s", recorded.Case.Name, difference)
					return
				}
			}
			t.Error("no transcript shows the defect")
		})
	}
}

func readTranscripts() (all []*transcript.Transcript, err error) {
	files, err := filepath.Glob("testdata/transcripts/*.json")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		recorded, err := transcript.Read(file)
		if err != nil {
			return nil, err
		}
		all = append(all, recorded)
	}
	return all, nil
}

// TestRules holds the rules that defects and quirks name against the list.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, d := range espmqtt.Defects() {
		if len(d.Rules()) == 0 {
			t.Errorf("%s breaks no rule", d)
		}
		for _, id := range d.Rules() {
			if _, ok := requirement.Lookup(id); !ok {
				t.Errorf("%s breaks %s, which is in no list", d, id)
			}
		}
	}
	for _, q := range espmqtt.Quirks() {
		if _, ok := requirement.Lookup(q.Rule()); !ok {
			t.Errorf("%s is described by %s, which is in no list", q, q.Rule())
		}
	}
}
