package port_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mqtthil/devices/port"
)

// start runs a program until the test ends.
func start(t *testing.T, command string) (*port.Process, *bufio.Reader) {
	t.Helper()
	p, err := port.StartProcess(command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, bufio.NewReader(p)
}

func readLine(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, then %v", line, err)
	}
	return strings.TrimSpace(line)
}

func readNumber(t *testing.T, r *bufio.Reader) int {
	t.Helper()
	number, err := strconv.Atoi(readLine(t, r))
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// soon calls f, which must return without waiting for anything that takes as long as the programs here sleep.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}

// awaitDeath waits until no process has this number, or only the remains of one that its new parent has to bury.
func awaitDeath(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
	}
	t.Errorf("process %d lives on", pid)
}

func TestProcessSpeaks(t *testing.T) {
	t.Parallel()
	p, out := start(t, "cat")
	for _, text := range []string{"hello", "again", strings.Repeat("x", 100_000)} {
		go func() {
			if _, err := io.WriteString(p, text+"\n"); err != nil {
				t.Error(err)
			}
		}()
		if got := readLine(t, out); got != text {
			t.Errorf("%.20q came back as %.20q", text, got)
		}
	}
	if p.String() != "exec:cat" {
		t.Errorf("name %q", p)
	}
}

func TestProcessSpeaksOnItsErrorStream(t *testing.T) {
	t.Parallel()
	_, out := start(t, "echo sorry >&2; exec cat")
	if got := readLine(t, out); got != "sorry" {
		t.Errorf("read %q", got)
	}
}

// TestProcessEndsByItself: what it printed is read first, then why it ended; and the port has ended with it.
func TestProcessEndsByItself(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ command, output, why string }{
		"done":            {"echo bye", "bye\n", "exit status 0"},
		"failed":          {"echo bye; exit 3", "bye\n", "exit status 3"},
		"killed":          {"echo bye; kill -9 $$", "bye\n", "signal: killed"},
		"unknown command": {"no-such-program-anywhere", "not found\n", "exit status 127"},
		"silent":          {"exit 7", "", "exit status 7"},
		"its child stays": {"sleep 1000 & echo bye; exit 4", "bye\n", "exit status 4"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, out := start(t, test.command)
			output, err := io.ReadAll(out)
			if !strings.HasSuffix(string(output), test.output) {
				t.Errorf("printed %q", output)
			}
			check := func(what string, err error) {
				if err == nil || !strings.Contains(err.Error(), test.why) || !strings.Contains(err.Error(), test.command) {
					t.Errorf("%s: error %v does not say %q", what, err, test.why)
				}
			}
			check("Read", err)
			_, err = p.Write([]byte("hello?\n"))
			check("Write", err)
			check("PowerOn", p.PowerOn(t.Context()))
			check("Reset", p.Reset(t.Context()))
			if err := p.PowerOff(t.Context()); err != nil {
				t.Errorf("PowerOff: %v", err)
			}
			if err := p.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// TestProcessLeavesADaemon: a process in a group of its own holds the output. It cannot be killed with the program, and
// must not hold up anything.
func TestProcessLeavesADaemon(t *testing.T) {
	t.Parallel()
	const command = "setsid sh -c 'echo $$; exec sleep 1000' & read line; exit 5"
	daemon := func(t *testing.T, out *bufio.Reader) {
		pid := readNumber(t, out)
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	}
	t.Run("and ends", func(t *testing.T) {
		t.Parallel()
		p, out := start(t, command)
		daemon(t, out)
		if _, err := io.WriteString(p, "end\n"); err != nil {
			t.Fatal(err)
		}
		soon(t, "Read", func() {
			if _, err := out.ReadString('\n'); err == nil || !strings.Contains(err.Error(), "exit status 5") {
				t.Errorf("read error %v", err)
			}
		})
	})
	t.Run("and loses power", func(t *testing.T) {
		t.Parallel()
		p, out := start(t, command)
		daemon(t, out)
		soon(t, "PowerOff", func() { _ = p.PowerOff(t.Context()) })
		soon(t, "Close", func() { _ = p.Close() })
	})
	t.Run("and is closed", func(t *testing.T) {
		t.Parallel()
		p, out := start(t, command)
		daemon(t, out)
		reading := make(chan error)
		go func() { _, err := out.ReadString('\n'); reading <- err }()
		soon(t, "Close", func() { _ = p.Close() })
		if err := <-reading; !errors.Is(err, os.ErrClosed) {
			t.Errorf("read error %v", err)
		}
	})
}

func TestProcessPowerOff(t *testing.T) {
	t.Parallel()
	p, out := start(t, "sleep 1000 & echo $!; sh -c 'echo $$; sleep 1000' & echo $$; wait")
	pids := []int{readNumber(t, out), readNumber(t, out), readNumber(t, out)}
	for range 2 { // the second time there is nothing to do
		if err := p.PowerOff(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range pids {
		awaitDeath(t, pid)
	}
	if n, err := io.WriteString(p, "anybody?\n"); n != 9 || err != nil {
		t.Errorf("writing without power: %d, %v", n, err)
	}
	if err := p.PowerOn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := readNumber(t, out); again == pids[0] {
		t.Errorf("the same process %d", again)
	}
	if err := p.PowerOn(t.Context()); err != nil { // has no effect
		t.Fatal(err)
	}
}

// TestProcessPowerOffUnread cuts the power of a program that prints without end and is not read.
func TestProcessPowerOffUnread(t *testing.T) {
	t.Parallel()
	p, _ := start(t, "yes")
	soon(t, "PowerOff", func() { _ = p.PowerOff(t.Context()) })
	soon(t, "Close", func() { _ = p.Close() })
}

// TestProcessReset: each life is another process, the console goes on, and nothing is left of the lives before.
func TestProcessReset(t *testing.T) {
	t.Parallel()
	p, out := start(t, "echo $$; exec cat")
	before := readNumber(t, out)
	for i := range 5 {
		if err := p.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		pid := readNumber(t, out)
		if pid == before {
			t.Errorf("reset %d: the same process", i)
		}
		if err := syscall.Kill(before, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("reset %d: process %d is still there: %v", i, before, err)
		}
		before = pid
		if _, err := io.WriteString(p, "hello\n"); err != nil {
			t.Fatal(err)
		}
		if got := readLine(t, out); got != "hello" {
			t.Errorf("reset %d: read %q", i, got)
		}
	}
}

// TestProcessWriteUnread: a program that does not read holds up a Write until it ends.
func TestProcessWriteUnread(t *testing.T) {
	t.Parallel()
	p, out := start(t, "echo up; sleep 1000")
	readLine(t, out)
	writing := make(chan error)
	go func() {
		_, err := p.Write(make([]byte, 1<<20))
		writing <- err
	}()
	soon(t, "PowerOff", func() { _ = p.PowerOff(t.Context()) })
	soon(t, "Write", func() {
		if err := <-writing; err != nil && !strings.Contains(err.Error(), p.String()) {
			t.Errorf("error %v does not name the port", err)
		}
	})
}

func TestProcessClose(t *testing.T) {
	t.Parallel()
	p, out := start(t, "echo $$; exec cat")
	pid := readNumber(t, out)
	reading := make(chan error)
	go func() { _, err := out.ReadByte(); reading <- err }()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-reading; !errors.Is(err, os.ErrClosed) {
		t.Errorf("read error %v", err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write error %v", err)
	}
	if err := p.PowerOn(t.Context()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("power-on error %v", err)
	}
}

// TestProcessBeside runs a program that lies beside this one's own.
func TestProcessBeside(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	program, err := os.CreateTemp(filepath.Dir(self), "beside-*")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = os.Remove(program.Name()) })
	_, err = program.WriteString("#!/bin/sh\necho found\nexec cat\n")
	if err := errors.Join(err, program.Chmod(0o755), program.Close()); err != nil {
		t.Fatal(err)
	}
	_, out := start(t, filepath.Base(program.Name()))
	if got := readLine(t, out); got != "found" {
		t.Errorf("read %q", got)
	}
}

// TestProcessAtOnce does everything at the same time.
func TestProcessAtOnce(t *testing.T) {
	t.Parallel()
	p, out := start(t, "exec cat")
	var all sync.WaitGroup
	for _, do := range []func() error{
		func() error { return p.PowerOff(context.Background()) },
		func() error { return p.PowerOn(context.Background()) },
		func() error { return p.Reset(context.Background()) },
		func() error { _, _ = p.Write([]byte("x\n")); return nil },
	} {
		all.Go(func() {
			for range 20 {
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	reading := make(chan error)
	go func() { _, err := io.Copy(io.Discard, out); reading <- err }()
	all.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := <-reading; !errors.Is(err, os.ErrClosed) {
		t.Errorf("read error %v", err)
	}
}
