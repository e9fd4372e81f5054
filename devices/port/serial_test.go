package port_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mqtthil/devices/port"
)

// line opens both ends of a pseudo-terminal.
func line(t *testing.T) (*port.Pty, *port.Serial) {
	t.Helper()
	pty, err := port.OpenPty()
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = pty.Close() })
	s, err := port.OpenSerial(pty.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return pty, s
}

// TestSerialBothWays: every byte arrives as it is, none is translated, swallowed or echoed.
func TestSerialBothWays(t *testing.T) {
	t.Parallel()
	pty, s := line(t)
	var text strings.Builder
	for range 20 {
		for b := range 256 {
			text.WriteByte(byte(b))
		}
	}
	for name, ends := range map[string]struct {
		from io.Writer
		to   io.Reader
	}{"to the board": {s, pty}, "to the bench": {pty, s}} {
		go func() {
			if n, err := io.WriteString(ends.from, text.String()); err != nil || n != text.Len() {
				t.Errorf("%s: wrote %d of %d bytes: %v", name, n, text.Len(), err)
			}
		}()
		got := make([]byte, text.Len())
		if _, err := io.ReadFull(ends.to, got); err != nil {
			t.Fatal(err)
		}
		if string(got) != text.String() {
			t.Errorf("%s: other bytes arrived", name)
		}
	}
}

func TestSerialReopened(t *testing.T) {
	t.Parallel()
	pty, s := line(t)
	for i := range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if s, err = port.OpenSerial(pty.Path()); err != nil {
			t.Fatalf("opening again, %d: %v", i, err)
		}
		if _, err := io.WriteString(s, "x"); err != nil {
			t.Fatal(err)
		}
		if n, err := pty.Read(make([]byte, 10)); n != 1 || err != nil {
			t.Errorf("the board reads %d bytes, %v", n, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSerialDropsOldInput: what was printed before the port was opened is none of the bench's.
func TestSerialDropsOldInput(t *testing.T) {
	t.Parallel()
	pty, before := line(t)
	_ = before.Close()
	if _, err := io.WriteString(pty, "old "); err != nil {
		t.Fatal(err)
	}
	s, err := port.OpenSerial(pty.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := io.WriteString(pty, "new"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(s, got); err != nil || string(got) != "new" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestSerialCloseWhileReading(t *testing.T) {
	t.Parallel()
	_, s := line(t)
	reading := make(chan error)
	go func() { _, err := s.Read(make([]byte, 10)); reading <- err }()
	soon(t, "Close", func() { _ = s.Close() })
	soon(t, "Read", func() {
		if err := <-reading; !errors.Is(err, os.ErrClosed) || !strings.Contains(err.Error(), s.String()) {
			t.Errorf("read error %v", err)
		}
	})
	for what, call := range map[string]func() error{
		"Read":  func() error { _, err := s.Read(make([]byte, 1)); return err },
		"Write": func() error { _, err := s.Write([]byte("x")); return err },
		"Reset": func() error { return s.Reset(context.Background()) },
	} {
		if err := call(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestSerialCloseWhileWriting: the board reads nothing, and must not hold up the end.
func TestSerialCloseWhileWriting(t *testing.T) {
	t.Parallel()
	pty, s := line(t)
	writing := make(chan error)
	go func() {
		var err error
		for err == nil {
			_, err = s.Write(make([]byte, 1000))
		}
		writing <- err
	}()
	soon(t, "Close", func() { _ = s.Close() })
	_ = pty.Close()
	soon(t, "Write", func() {
		if err := <-writing; !errors.Is(err, os.ErrClosed) {
			t.Errorf("write error %v", err)
		}
	})
}

// TestSerialVanishes: the board's end goes while the bench reads.
func TestSerialVanishes(t *testing.T) {
	t.Parallel()
	pty, s := line(t)
	reading := make(chan error)
	go func() {
		var err error
		for err == nil {
			_, err = s.Read(make([]byte, 10))
		}
		reading <- err
	}()
	if _, err := io.WriteString(pty, "last words"); err != nil {
		t.Fatal(err)
	}
	if err := pty.Close(); err != nil {
		t.Fatal(err)
	}
	soon(t, "Read", func() {
		if err := <-reading; !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "has gone") {
			t.Errorf("read error %v", err)
		}
	})
	if _, err := s.Write([]byte("x")); err == nil {
		t.Error("writing to a port that has gone succeeds")
	}
}

func TestPtyCloseWhileInUse(t *testing.T) {
	t.Parallel()
	pty, err := port.OpenPty()
	if err != nil {
		t.Skip(err)
	}
	reading, writing := make(chan error), make(chan error)
	go func() { _, err := pty.Read(make([]byte, 10)); reading <- err }()
	go func() {
		var err error
		for err == nil { // nobody reads the other end
			_, err = pty.Write(make([]byte, 1000))
		}
		writing <- err
	}()
	soon(t, "Close", func() { _ = pty.Close() })
	soon(t, "Read", func() {
		if err := <-reading; err != io.EOF {
			t.Errorf("read error %v", err)
		}
	})
	soon(t, "Write", func() { <-writing })
}

func TestSerialReset(t *testing.T) {
	t.Parallel()
	_, s := line(t)
	err := s.Reset(t.Context())
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), s.String()) {
		t.Errorf("reset of a pseudo-terminal: %v", err)
	}
}

func TestOpenSerialRefuses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	locked := filepath.Join(folder, "locked")
	if err := errors.Join(os.WriteFile(file, nil, 0o666), os.WriteFile(locked, nil, 0)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ path, says string }{
		"missing":        {filepath.Join(folder, "ttyUSB0"), "plugged in"},
		"folder":         {folder, "serial port at all"},
		"ordinary file":  {file, "serial port at all"},
		"device":         {os.DevNull, "serial port at all"},
		"not permitted":  {locked, "dialout"},
		"already opened": {"", "another program"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() == 0 && (name == "not permitted" || name == "already opened") {
				t.Skip("root may do anything")
			}
			if test.path == "" {
				pty, s := line(t)
				test.path = pty.Path()
				_ = s
			}
			s, err := port.OpenSerial(test.path)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), test.path) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q does not say %q", err, test.says)
			}
		})
	}
}

// TestPtyIsNotInherited: a program that is started while a pseudo-terminal is open must not keep it open.
func TestPtyIsNotInherited(t *testing.T) {
	t.Parallel()
	pty, s := line(t)
	_, out := start(t, "echo up; exec cat")
	readLine(t, out)
	if err := pty.Close(); err != nil {
		t.Fatal(err)
	}
	soon(t, "Read", func() {
		if _, err := s.Read(make([]byte, 10)); err == nil {
			t.Error("the terminal lives on")
		}
	})
}

// TestSerialAtOnce closes while everything else goes on.
func TestSerialAtOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		pty, s := line(t)
		var all sync.WaitGroup
		all.Go(func() { _, _ = io.Copy(io.Discard, s) })
		all.Go(func() { _, _ = io.Copy(pty, pty) })
		for range 2 {
			all.Go(func() {
				for {
					if _, err := s.Write([]byte("hello")); err != nil {
						return
					}
				}
			})
		}
		all.Go(func() { _ = s.Reset(context.Background()) })
		time.Sleep(time.Millisecond) // for more to happen; nothing depends on it
		for range 2 {
			all.Go(func() { _ = s.Close() })
		}
		soon(t, "Close", func() { _ = s.Close() })
		_ = pty.Close()
		soon(t, "one of the calls", all.Wait)
	}
}
