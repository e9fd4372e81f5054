package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mqtthil/devices/emulator"
)

func TestEmulateCommandLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line   string
		stderr string // regular expression, behind "mqtthil: usage: "
	}{
		{"", `where is the console to be\? one of --stdio, --pty LINK and --uart-tcp ADDRESS`},
		{"--stdio --pty x", `where is the console to be\?.*`},
		{"--pty x --uart-tcp 0", `where is the console to be\?.*`},
		{"--stdio --chip esp8266", `--chip: unknown chip "esp8266"; it is one of ESP32, .*ESP32-C6`},
		{"--stdio --console stub --with-quirk user-properties-freed-twice", `--with-quirk user-properties-freed-twice is of the application conformance, not of stub`},
		{"--stdio --console at", `--console: .*no application has the console "at"; there are espressif, stub`},
		{"--stdio --console stub --app ssl", `--console stub is that of the application stub, not of ssl; leave out --app or --console`},
		{"--stdio --count 2", `--count 2: standard input and output are the console of one board; use --pty or --uart-tcp`},
		{"--pty x --count 2", `--count 2: each board needs a link of its own; put %d for its number into --pty, as in x-%d`},
		{"--pty x --count 0", `--count 0: it is 1 to 65536`},
		{"--uart-tcp 0 --baud 9", `--baud 9: it is 0, for no limit, or at least 300`},
		{"--uart-tcp 0 --baud -1", `--baud -1: .*`},
		{"--uart-tcp x", `--uart-tcp: "x" is no port: it is 0 to 65535`},
		{"--uart-tcp 1:2:3", `--uart-tcp: "1:2:3" is no address such as 127\.0\.0\.1:3333: .*`},
		{"--uart-tcp 65000 --count 1000", `--uart-tcp: from port 65000 on there are not enough ports for 1000 boards`},
		{"--stdio --control-tcp 70000", `--control-tcp: "70000" is no port: .*`},
		{"--stdio --kconfig MQTT_TEA=y", `--kconfig MQTT_TEA=y: there is no such option; known are FREERTOS_HZ, .*WS_BUFFER_SIZE, WS_TRANSPORT`},
		{"--stdio --kconfig MQTT_PROTOCOL_5", `--kconfig MQTT_PROTOCOL_5: it is NAME=VALUE`},
		{"--stdio --kconfig MQTT_PROTOCOL_5=3", `--kconfig MQTT_PROTOCOL_5=3: its values are y and n`},
		{"--stdio --kconfig CONFIG_MQTT_BUFFER_SIZE=y", `--kconfig CONFIG_MQTT_BUFFER_SIZE=y: its value is a number`},
		{"--stdio --kconfig MQTT_BUFFER_SIZE=-5", `--kconfig MQTT_BUFFER_SIZE=-5: .*out of range`},
		{"--stdio --kconfig MQTT_EVENT_QUEUE_SIZE=0", `--kconfig MQTT_EVENT_QUEUE_SIZE=0: .*out of range`},
		{"--stdio --kconfig MQTT_CUSTOM_OUTBOX=y", `--kconfig: firmware: application conformance brings no outbox, .*; ` +
			`application custom_outbox brings one`},
		{"--stdio --app mqtt5 --kconfig MQTT_PROTOCOL_5=n", `--kconfig: firmware: application mqtt5 speaks MQTT 5.0 only; ` +
			`build it with MQTT_PROTOCOL_5=y`},
		{"--stdio --seed -1", `invalid argument "-1" for "--seed".*`},
	} {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := result(t, program(t, append([]string{"emulate"}, strings.Fields(test.line)...)...))
			if code != 2 || stdout != "" || !regexp.MustCompile(`^mqtthil: usage: `+test.stderr+`\n$`).MatchString(stderr) {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestKconfigNames: the names that a mistake is answered with are the ones that there are.
func TestKconfigNames(t *testing.T) {
	t.Parallel()
	for _, name := range kconfigNames() {
		kconfig := emulator.DefaultKconfig()
		asSwitch, asNumber := setKconfig(&kconfig, name+"=y"), setKconfig(&kconfig, "CONFIG_"+name+"=7")
		if (asSwitch == nil) == (asNumber == nil) {
			t.Errorf("%s: as a switch %v, as a number %v", name, asSwitch, asNumber)
		}
	}
}

// TestKconfigValues: what is set arrives, and what only was tried leaves nothing behind.
func TestKconfigValues(t *testing.T) {
	t.Parallel()
	want := emulator.DefaultKconfig()
	want.Protocol5, want.Protocol311, want.BufferSize = true, false, 512
	got := emulator.DefaultKconfig()
	for _, assignment := range []string{"MQTT_PROTOCOL_5=y", "CONFIG_MQTT_PROTOCOL_311=n", "MQTT_BUFFER_SIZE=512"} {
		if err := setKconfig(&got, assignment); err != nil {
			t.Error(err)
		}
	}
	for _, assignment := range []string{"MQTT_BUFFER_SIZE=x", "MQTT_BUFFER_SIZE=-1", "MQTT_PROTOCOL_311=7", "NOTHING=1"} {
		if err := setKconfig(&got, assignment); err == nil {
			t.Errorf("%s is taken", assignment)
		}
	}
	if got != want {
		t.Errorf("%+v", got)
	}
}

func TestPortAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		first string
		i     int
		want  string
	}{
		{"3333", 0, "127.0.0.1:3333"}, {":3333", 2, "127.0.0.1:3335"}, {"0", 5, "127.0.0.1:0"},
		{"0.0.0.0:80", 1, "0.0.0.0:81"}, {"[::1]:80", 0, "[::1]:80"}, {"65535", 1, ""}, {"[::1", 0, ""}, {"", 0, ""},
	} {
		if got, err := portAddress(test.first, test.i); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s for board %d: %s, %v", test.first, test.i, got, err)
		}
	}
}

func FuzzKconfig(f *testing.F) {
	f.Add("MQTT_PROTOCOL_5=y")
	f.Add("CONFIG_MQTT_BUFFER_SIZE=00012")
	f.Add("=")
	f.Fuzz(func(t *testing.T, assignment string) {
		before := emulator.DefaultKconfig()
		after := before
		if err := setKconfig(&after, assignment); err != nil && after != before {
			t.Errorf("%v, and yet something is set", err)
		}
	})
}

// startEmulation starts boards, waits until they say that they run, and gives what else they say. They end with the
// test.
func startEmulation(t *testing.T, arguments ...string) (command *exec.Cmd, said []string) {
	t.Helper()
	command = program(t, append([]string{"emulate"}, arguments...)...)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		late := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
		defer late.Stop()
		if err := command.Wait(); err != nil {
			t.Errorf("ending the boards: %v", err)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() == "Ctrl-C ends it" {
			return command, said
		}
		said = append(said, lines.Text())
	}
	t.Fatalf("the boards did not start; they said %q", said)
	return nil, nil
}

// speak opens a TCP port, sends text, and reads up to an answer.
func speak(t *testing.T, address, text, answer string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, text)
	var got strings.Builder
	for b := make([]byte, 1); !strings.Contains(got.String(), answer); got.Write(b) {
		if _, err := conn.Read(b); err != nil {
			t.Fatalf("%s: instead of %q: %q, %v", address, answer, got.String(), err)
		}
	}
	return got.String()
}

// TestEmulateSeveral has boards on TCP ports and on pseudo-terminals, each with a console and control of its own.
func TestEmulateSeveral(t *testing.T) {
	t.Parallel()
	ports := regexp.MustCompile(`^(console|control) at (127\.0\.0\.1:\d+)$`)
	_, said := startEmulation(t, "--uart-tcp", "0", "--control-tcp", "0", "--count", "3", "--chip", "esp32c3",
		"--kconfig", "MQTT_PROTOCOL_5=y", "--seed", "7", "--baud", "1000000")
	if len(said) != 6 {
		t.Fatalf("they said %q", said)
	}
	for i := range 3 {
		console, control := ports.FindStringSubmatch(said[2*i]), ports.FindStringSubmatch(said[2*i+1])
		if console == nil || control == nil {
			t.Fatalf("they said %q", said)
		}
		conn, err := net.Dial("tcp", console[2])
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(conn, "\nhelp\n"); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(conn)
		until := func(text string) {
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatalf("instead of %q: %q, %v", text, line, err)
				}
				if strings.Contains(line, text) {
					return
				}
			}
		}
		until("publish  <topic>")
		if got := speak(t, control[2], "panic\n", "\n"); got != "ok\n" {
			t.Errorf("panic is answered by %q", got)
		}
		until("Load access fault")
		until("rst:0xc (RTC_SW_CPU_RST)")
		until(fmt.Sprintf("24:0a:c4:12:34:%02x", 0x56+i))
		_ = conn.Close()
	}

	folder := t.TempDir()
	command, said := startEmulation(t, "--pty", filepath.Join(folder, "board-%d"), "--count", "2")
	for i := range 2 {
		link := filepath.Join(folder, fmt.Sprintf("board-%d", i))
		if said[i] != "console at "+link {
			t.Errorf("they said %q", said)
		}
		if _, err := os.Readlink(link); err != nil {
			t.Error(err)
		}
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// TestEmulateStdioWithControl: the control port is told on standard error, because standard output is the console's.
func TestEmulateStdioWithControl(t *testing.T) {
	t.Parallel()
	command := program(t, "emulate", "--stdio", "--control-tcp", "0")
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, stdout := startPiped(t, command)
	line, err := bufio.NewReader(stderr).ReadString('\n')
	address, found := strings.CutPrefix(strings.TrimSpace(line), "control at ")
	if !found {
		t.Fatalf("%q, %v", line, err)
	}
	if got := speak(t, address, "brownout\n", "\n"); got != "ok\n" {
		t.Errorf("brownout is answered by %q", got)
	}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "rst:0x3") {
	}
	_ = stdin.Close()
	_, _ = io.Copy(io.Discard, stdout)
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// TestEmulatePortTaken: a port that is in use is not the user's mistake.
func TestEmulatePortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, _, stderr := result(t, program(t, "emulate", "--uart-tcp", l.Addr().String()))
	if code != 3 || !strings.Contains(stderr, "infrastructure") || !strings.Contains(stderr, "in use") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// TestEmulateExactTimers: a board in real time waits by the kernel's timers. This one is refused, and waits to try again.
func TestEmulateExactTimers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	command := program(t, "emulate", "--stdio", "--app", "tcp", "--uri", "mqtt://"+l.Addr().String())
	stdin, stdout := startPiped(t, command)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "MQTT_EVENT_DISCONNECTED") {
	}
	go io.Copy(io.Discard, stdout)
	again, patience := time.NewTicker(time.Millisecond), time.After(20*time.Second)
	defer again.Stop()
	for !slices.ContainsFunc(timersOf(t, command.Process.Pid), func(left string) bool { return left != "(0, 0)" }) {
		select {
		case <-again.C:
		case <-patience:
			t.Fatalf("no timer runs, of %q", timersOf(t, command.Process.Pid))
		}
	}
	_ = stdin.Close()
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// timersOf returns what is left of the waits of a process's timer files, as proc(5) shows it.
func timersOf(t *testing.T, process int) (left []string) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", process))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may be closed by now
		if _, rest, found := strings.Cut(string(text), "it_value: "); found {
			value, _, _ := strings.Cut(rest, "\n")
			left = append(left, value)
		}
	}
	return left
}
