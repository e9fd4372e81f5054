package main

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestPollablePipe: the poller waits for a pipe, which so has deadlines. Nothing is lost: neither what was written before,
// nor the end.
func TestPollablePipe(t *testing.T) {
	t.Parallel()
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	inherited, writer := os.NewFile(uintptr(ends[0]), "inherited"), os.NewFile(uintptr(ends[1]), "writer")
	defer inherited.Close()
	if err := inherited.SetReadDeadline(time.Time{}); err == nil {
		t.Fatal("the inherited pipe has deadlines itself, so that this test shows nothing")
	}
	if _, err := writer.WriteString("start\n"); err != nil {
		t.Fatal(err)
	}
	own := pollable(inherited)
	defer own.Close()
	if err := own.SetReadDeadline(time.Time{}); err != nil {
		t.Errorf("the poller does not wait for it: %v", err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if read, err := io.ReadAll(own); err != nil || string(read) != "start\n" {
		t.Errorf("read %q, %v", read, err)
	}
}

// TestPollableFile: a file is read from where it stands.
func TestPollableFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("init\nstart\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if read, err := io.ReadAll(pollable(file)); err != nil || string(read) != "start\n" {
		t.Errorf("read %q, %v", read, err)
	}
}
