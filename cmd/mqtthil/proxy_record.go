package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"mqtthil/harness"
	"mqtthil/harness/timeline"
)

// recordFolder is the folder of a run that mqtthil report renders: run.json, and a record for each proxy.
type recordFolder struct {
	path string
	say  func(string)
	info timeline.Run

	mu     sync.Mutex
	number int // of the last record
	failed []error
}

// newRecordFolder makes the folder, which must be none of another run.
func newRecordFolder(path string, command []string, seed uint64, say func(string)) (*recordFolder, error) {
	host, _ := os.Hostname()
	signed := int64(seed)
	f := &recordFolder{path: path, say: say, info: timeline.Run{
		Tool: "mqtthil", Version: harness.Version(), Started: time.Now(), Command: command,
		Device: "whatever connects to the proxy", Time: string(harness.Real), Seed: &signed,
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Host: host,
	}}
	if _, err := os.Lstat(filepath.Join(path, "run.json")); err == nil {
		return nil, usage("--record %s: there is a record already; name another folder", path)
	}
	if err := os.MkdirAll(filepath.Join(path, "scenarios"), 0o755); err != nil {
		return nil, usage("--record: %w; name another folder", err)
	}
	if err := f.writeInfo(); err != nil {
		return nil, usage("--record: %w; name another folder", err)
	}
	return f, nil
}

func (f *recordFolder) writeInfo() error {
	text, err := json.MarshalIndent(f.info, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.path, "run.json"), append(text, '\n'), 0o644)
}

// add begins the record of a proxy; done ends it.
func (f *recordFolder) add(proxy, listen, upstream string) (record *timeline.Stream, done func(), err error) {
	f.mu.Lock()
	f.number++
	name := fmt.Sprintf("%03d-%s.jsonl", f.number, slug(proxy))
	f.mu.Unlock()
	path := filepath.Join(f.path, "scenarios", name)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, nil, err
	}
	record = timeline.NewStream(out, func(err error) {
		f.say(fmt.Sprintf("the record ends here, but relaying goes on: %v; make room, and start again with another --record", err))
	})
	began := time.Now()
	record.Append(timeline.Event{Kind: timeline.KindScenario, Scenario: &timeline.Scenario{
		Name: "proxy " + proxy, Topic: "proxy", Started: began,
		Settings: map[string]string{"listen": listen, "upstream": upstream},
	}})
	return record, func() {
		err := errors.Join(record.Close(timeline.Event{Kind: timeline.KindVerdict, Verdict: &timeline.Verdict{
			Status: timeline.Recorded, Message: "Traffic was recorded, and not judged.", Wall: time.Since(began),
		}}), out.Close())
		if err != nil {
			f.mu.Lock()
			f.failed = append(f.failed, fmt.Errorf("the record of proxy %s is not whole: %w", proxy, err))
			f.mu.Unlock()
		}
	}, nil
}

// slug makes a name fit for a file.
func slug(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
	return name[:min(len(name), 60)]
}

// close finishes run.json, when all records have ended, and says where they are.
func (f *recordFolder) close(out *lines) error {
	f.info.Ended = time.Now()
	if err := f.writeInfo(); err != nil {
		f.failed = append(f.failed, err)
	}
	out.printf("record  %s (mqtthil report %s renders it)\n", f.path, f.path)
	if err := errors.Join(f.failed...); err != nil {
		return infrastructure(err)
	}
	return nil
}
