package emulator

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mqtthil/harness/simnet"
)

// TestControl goes through the protocol, in virtual time and over TCP.
func TestControl(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T, listen func() (net.Listener, error), dial func(address string) (net.Conn, error)) {
		b := run(t, Options{Chip: ESP32S3})
		b.expect(prompt)
		l, err := listen()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- b.ServeControl(l) }()
		conn, err := dial(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		answers := bufio.NewReader(conn)
		for _, test := range []struct{ line, answer, printed string }{
			{"reset", "ok", "rst:0x1 "},
			{"usb reset", "ok", "rst:0x15 "},
			{"  usb \t reset\r", "ok", "rst:0x15 "},
			{"restart", "ok", "rst:0xc "},
			{"brownout", "ok", "rst:0x3 "},
			{"panic", "ok", "LoadProhibited"},
			{"panic store", "ok", "StoreProhibited"},
			{"panic tea", `error: panic: unknown fault "tea"; it is one of load, store, instruction, abort, assert, stack`, ""},
			{"watchdog", "ok", "task_wdt: "},
			{"watchdog interrupt", "ok", "Interrupt wdt timeout on CPU0"},
			{"watchdog big", `error: watchdog: unknown watchdog "big"; it is task or interrupt`, ""},
			{"wifi down", "ok", "wifi:bcn_timeout"},
			{"wifi up", "ok", ""},
			{"wifi", `error: wifi: "" is neither up nor down`, ""},
			{"sleep 100ms", "ok", "rst:0x5 "},
			{"sleep", `error: sleep: "" is no duration such as 5s`, ""},
			{"sleep -1s", `error: sleep: "-1s" is no duration such as 5s`, ""},
			{"sleep 100h", "ok", ""},
			{"restart", "error: the board is in deep sleep", ""},
			{"reset", "ok", "rst:0x1 "},
			{"power off", "ok", ""},
			{"reset", "error: the board has no power", ""},
			{"power on", "ok", "rst:0x1 "},
			{"power cut 10", "ok", ""},
			{"power cut", `error: power cut: "" is no number of bytes`, ""},
			{"power cut -1", `error: power cut: "-1" is no number of bytes`, ""},
			{"power", `error: unknown command "power"; try help`, ""},
			{"reset now", `error: reset: nothing is expected behind it, not "now"`, ""},
			{"", `error: unknown command ""; try help`, ""},
		} {
			if _, err := io.WriteString(conn, test.line+"\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := answers.ReadString('\n')
			if answer != test.answer+"\n" {
				t.Fatalf("%q is answered by %q, %v", test.line, answer, err)
			}
			if test.printed != "" {
				b.expect(test.printed)
			}
			if strings.HasPrefix(test.printed, "rst") {
				b.expect(prompt)
			}
		}
		_, _ = io.WriteString(conn, "help\n")
		for _, c := range controlCommands {
			if line, err := answers.ReadString('\n'); !strings.HasPrefix(line, c.words+" ") {
				t.Errorf("help: %q, %v, where %s belongs", line, err, c.words)
			}
		}
		if line, _ := answers.ReadString('\n'); line != "ok\n" {
			t.Errorf("help ends with %q", line)
		}
		_, _ = io.WriteString(conn, strings.Repeat("x", controlLimit+1))
		if line, _ := answers.ReadString('\n'); !strings.HasPrefix(line, "error: a line has at most") {
			t.Errorf("a line without end: %q", line)
		}
		idle, err := dial(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(idle, "wifi up\n")
		if _, err := io.ReadFull(idle, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if err := <-ended; err != nil {
			t.Errorf("ServeControl: %v", err)
		}
		if _, err := idle.Read(make([]byte, 1)); err == nil {
			t.Error("a connection outlives its server")
		}
		_, _ = conn.Close(), idle.Close()
	}
	t.Run("virtual", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			n := simnet.New()
			play(t, func() (net.Listener, error) { return n.Listen("control:1") },
				func(address string) (net.Conn, error) { return n.DialContext(t.Context(), "tcp", address) })
		})
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		play(t, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
			func(address string) (net.Conn, error) { return net.DialTimeout("tcp", address, time.Minute) })
	})
}

func TestParseChip(t *testing.T) {
	t.Parallel()
	for _, c := range Chips() {
		for _, name := range []string{c.String(), strings.ToLower(c.String()), strings.ReplaceAll(c.String(), "-", "")} {
			if got, err := ParseChip(name); got != c || err != nil {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	}
	if _, err := ParseChip("ESP8266"); err == nil || !strings.Contains(err.Error(), "ESP32-C6") {
		t.Errorf("%v", err)
	}
}

func FuzzControl(f *testing.F) {
	for _, c := range controlCommands {
		f.Add(c.words + " " + c.argument)
	}
	f.Add("sleep 9999999999h")
	f.Add("power cut 99999999999999999999")
	f.Add("panic \x00\xff\npower")
	f.Fuzz(func(t *testing.T, line string) {
		do, err := parseControl(line)
		if (do == nil) != (err != nil) {
			t.Fatalf("neither a command nor an error: %v", err)
		}
		if err == nil {
			again, err := parseControl(" " + strings.Join(strings.Fields(line), "  ") + "\t")
			if again == nil || err != nil {
				t.Errorf("with other blanks it is none: %v", err)
			}
		} else if strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("an answer of several lines: %q", err)
		}
	})
}
