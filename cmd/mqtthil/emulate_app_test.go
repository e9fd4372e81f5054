package main

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestEmulateAppCommandLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line   string
		stderr string // regular expression, behind "mqtthil: usage: "
	}{
		{"--app blinky", `--app: .*unknown application "blinky"; it is one of conformance, stub, tcp, .*mqtt5, custom_outbox`},
		{"--app ssl", `--app: .*application ssl has no CA; it needs CA`},
		{"--app ssl --ca nowhere.pem", `--ca: open nowhere\.pem: no such file or directory`},
		{"--app ssl_mutual_auth --ca ca.pem", `--app: .*has no certificate; it needs CA, certificate, key`},
		{"--app ssl_ds --ca ca.pem --cert ca.pem --key ca.pem", `--app: .*key of the digital signature peripheral: .*`},
		{"--app ssl_psk --psk-hint h", `--psk-hint and --psk-key go together`},
		{"--app ssl_psk --psk-hint h --psk-key xyz", `--psk-key: it is not in hexadecimal digits: .*`},
	} {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			command := program(t, append([]string{"emulate", "--stdio"}, strings.Fields(test.line)...)...)
			if err := os.WriteFile(filepath.Join(command.Dir, "ca.pem"), []byte("no certificate"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := result(t, command)
			if code != 2 || stdout != "" || !regexp.MustCompile(`^mqtthil: usage: `+test.stderr+`\n$`).MatchString(stderr) {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}

// TestEmulateApp: an example boots, and its console's end ends it.
func TestEmulateApp(t *testing.T) {
	t.Parallel()
	lineOfBoard(t, regexp.MustCompile("mqtt5_example: MQTT_EVENT_DISCONNECTED"), "--app", "mqtt5", "--uri", "mqtt://127.0.0.1:1")
}

// TestEmulatePowered: a board that is a process has power from when the process began. Its first line says how long ago
// that was.
func TestEmulatePowered(t *testing.T) {
	t.Parallel()
	if first := lineOfBoard(t, regexp.MustCompile(`I \((\d+)\) `)); first[1] == "0" {
		t.Errorf("the first line's time is 0: %q", first)
	}
}

// lineOfBoard starts a board, waits for a line of its console, ends the console, and with it the board.
func lineOfBoard(t *testing.T, pattern *regexp.Regexp, arguments ...string) (found []string) {
	t.Helper()
	command := program(t, append([]string{"emulate", "--stdio"}, arguments...)...)
	console, printed := startPiped(t, command)
	for lines := bufio.NewScanner(printed); lines.Scan(); {
		if found == nil {
			if found = pattern.FindStringSubmatch(lines.Text()); found != nil {
				_ = console.Close()
			}
		}
	}
	if err := command.Wait(); err != nil || found == nil {
		t.Fatalf("a line like %q: %q; the program's end: %v", pattern, found, err)
	}
	return found
}
