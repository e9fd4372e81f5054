package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mqtthil/devices/port"
	"mqtthil/harness"
)

// asProgram makes this test binary the program itself: a run in virtual time ends its process.
const asProgram = "MQTTHIL_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// program is a command line that will run in the test's own folder.
func program(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0], arguments...)
	command.Env = append(os.Environ(), asProgram+"=1")
	command.Dir = t.TempDir()
	return command
}

// startPiped starts a command line and returns the ends of its standard streams. It is gone when the test has ended.
func startPiped(t *testing.T, command *exec.Cmd) (stdin io.WriteCloser, stdout io.ReadCloser) {
	t.Helper()
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if stdout, err = command.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	return stdin, stdout
}

// result runs a command line to its end.
func result(t *testing.T, command *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	command.Stdout, command.Stderr = &out, &err
	_ = command.Run()
	return command.ProcessState.ExitCode(), out.String(), err.String()
}

func TestCommandLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		line   []string
		code   int
		stdout string // regular expressions
		stderr string
	}{
		{"help shows examples", []string{"run", "--help"}, 0, `(?s)Examples:.*mqtthil run --device serial:`, `^$`},
		{"version", []string{"version"}, 0, `^mqtthil \S`, `^$`},
		{"list scenarios", []string{"list", "scenarios"}, 0, `(?m)^Last will: .*last-will$`, `^$`},
		{"list defects", []string{"list", "defects"}, 0, `(?m)^no-ping +never sends PINGREQ$`, `^$`},
		{"list all defects", []string{"list", "defects", "--all"}, 0,
			`(?ms)^no-ping +never sends PINGREQ$.*^ping-only-once +sends only one PINGREQ \(found by transcripts\)$`, `^$`},
		{"list quirks", []string{"list", "quirks"}, 0, `(?m)^sticky-port +ESP-QRK-49 +keeps the port .*; without: takes .*$`, `^$`},
		{"all of what is listed whole", []string{"list", "labels", "--all"}, 2, `^$`, `^mqtthil: usage: --all is for mqtthil list defects\n$`},
		{"a run without quirks", []string{"run", "--focus", "QoS 2 message that comes twice", "--without-quirk", "qos2-delivered-again"},
			0, `1 of 1 scenarios passed`, `^$`},
		{"a run without what a scenario shows", []string{"run", "--focus", "unanswered SUBSCRIBE", "--without-quirk",
			"subscribe-retransmission"}, 0, `(?s)^skipped .*skipped: it shows the quirk subscribe-retransmission \(ESP-QRK-02\), ` +
			`which the device is said to be without\n.*0 of 1 scenarios passed, 1 skipped: `, `^$`},
		{"a run of a device without quirks", []string{"run", "--without-quirk", "sticky-port", "--device", "exec:true"}, 2, `^$`,
			`^mqtthil: usage: a quirk can be switched off in the emulated device only, not in "exec:true"\n$`},
		{"an unknown quirk", []string{"run", "--without-quirk", "tired"}, 2, `^$`,
			`^mqtthil: usage: unknown quirk "tired"; see mqtthil list quirks\n$`},
		{"list labels", []string{"list", "labels"}, 0, `(?m)^fragmentation +\d+ scenarios$`, `^$`},
		{"list requirements", []string{"list", "requirements"}, 0, `(?m)^MQTT-3.3.1-1 +mqtt-3.1.1 +[1-9]\d* scenarios`, `^$`},
		{"an unknown quirk of the application", []string{"emulate", "--stdio", "--with-quirk", "tired"}, 2, `^$`,
			`^mqtthil: usage: --with-quirk: unknown quirk "tired" of the application; there are \[user-properties-freed-twice\]\n$`},
		{"list nothing", []string{"list"}, 2, `^$`, `^mqtthil: usage: list what\? one of defects, labels, quirks, requirements, scenarios\n$`},
		{"a run that passes", []string{"run", "--label-filter", "connect"}, 0,
			`(?s)^passed +0\.\d\d s  Connect: .*scenarios passed: .*\nreport  out/\S+/report\.html\njunit   out/\S+/junit\.xml\nrecord  out/\S+\n$`, `^$`},
		{"a run over the stub console", []string{"run", "--console", "stub", "--label-filter", "fragmentation"}, 0,
			`7 of 7 scenarios passed`, `^$`},
		{"a run that fails over the stub console", []string{"run", "--console", "stub", "--focus", "QoS 1 message is delivered",
			"--defect", "no-puback"}, 1, `(?s)^failed .*\n +device: it is acknowledged: .*0 of 1 scenarios passed, 1 failed`, `^$`},
		{"an unknown console", []string{"run", "--console", "at"}, 2, `^$`,
			`^mqtthil: usage: --console: unknown console "at"; it is one of espressif, stub\n$`},
		{"a device with another console", []string{"run", "--device", "exec:cat", "--console", "stub", "--focus", "carries what"}, 3,
			`infrastructure: .*exec:cat printed no frame HIL-READY within 5s \(does it run mqtthil's firmware stub\?\)`, `^$`},
		{"a run that fails", []string{"run", "--focus", "QoS 1 message is delivered", "--defect", "no-puback"}, 1,
			`(?s)^failed .*\n +device: it is acknowledged: .*0 of 1 scenarios passed, 1 failed`, `^$`},
		{"an unknown command", []string{"walk"}, 2, `^$`, `^mqtthil: unknown command "walk" for "mqtthil"\n$`},
		{"an unknown flag", []string{"run", "--fast"}, 2, `^$`, `^mqtthil: usage: unknown flag: --fast; see mqtthil run --help\n$`},
		{"an unknown device", []string{"run", "--device", "toaster"}, 2, `^$`, `^mqtthil: usage: unknown device "toaster"; it is emulated, .*\n$`},
		{"an unknown defect", []string{"run", "--defect", "tired"}, 2, `^$`, `^mqtthil: usage: unknown defect "tired"; see mqtthil list defects\n$`},
		{"an unknown label", []string{"run", "--label-filter", "lost-will"}, 2, `^$`, `^mqtthil: usage: no scenario has the label "lost-will"; see mqtthil list labels\n$`},
		{"a broken label filter", []string{"run", "--label-filter", "(connect"}, 2, `^$`, `^mqtthil: usage: label filter .*\n$`},
		{"a broken focus", []string{"run", "--focus", "("}, 2, `^$`, `^mqtthil: usage: focus or skip: error parsing regexp.*\n$`},
		{"a filter that fits nothing", []string{"run", "--focus", "tea time"}, 2, `^$`, `^mqtthil: usage: no scenario fits the filters.*\n$`},
		{"a folder that cannot be made", []string{"run", "--out", "/proc/no/such"}, 2, `^$`, `^mqtthil: usage: the folder for results cannot be made: .*; name another with --out\n$`},
		{"a report of nothing", []string{"report", "/no/such"}, 2, `^$`, `^mqtthil: usage: .*/no/such.*\n$`},
		{"a report of a file", []string{"report", "/etc/passwd"}, 2, `^$`, `^mqtthil: usage: .*/etc/passwd.*not a directory\n$`},
		{"a board without an address", []string{"run", "--device", "serial:/dev/ttyUSB0"}, 2, `^$`, `^mqtthil: usage: .*name the address .* --listen.*\n$`},
		{"every address", []string{"run", "--time", "real", "--listen", "0.0.0.0"}, 2, `^$`, `^mqtthil: usage: a device cannot connect to --listen 0\.0\.0\.0; .*\n$`},
		{"an address that is a name", []string{"run", "--listen", "localhost"}, 2, `^$`, `^mqtthil: usage: --listen "localhost" is no IP address; .*\n$`},
		{"a console nowhere", []string{"emulate"}, 2, `^$`, `^mqtthil: usage: where is the console to be.*\n$`},
		{"a pty in the place of a file", []string{"emulate", "--pty", "/etc/passwd"}, 2, `^$`, `^mqtthil: usage: --pty: /etc/passwd is there and no link.*\n$`},
		{"a program that is not there", []string{"run", "--device", "exec:/no/such", "--focus", "carries what"}, 3,
			`(?s)infrastructure: .*/no/such`, `^$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := result(t, program(t, test.line...))
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for got, want := range map[*string]string{&stdout: test.stdout, &stderr: test.stderr} {
				if !regexp.MustCompile(want).MatchString(*got) {
					t.Errorf("got:\n%s\nwant: %s", *got, want)
				}
			}
		})
	}
}

// TestRunLeavesAReport looks at what a run leaves behind.
func TestRunLeavesAReport(t *testing.T) {
	t.Parallel()
	command := program(t, "run", "--label-filter", "retransmission", "--defect", "retransmit-without-dup")
	if code, stdout, stderr := result(t, command); code != harness.ExitDevice {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	folder := filepath.Join(command.Dir, "out", "latest")
	page, err := os.ReadFile(filepath.Join(folder, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"retransmit-without-dup", "DUP on all but the first", "MQTT-3.3.1-1"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if bytes.Contains(page, []byte("http://")) || bytes.Contains(page, []byte("https://")) {
		t.Error("the page is not self-contained")
	}
	data, err := os.ReadFile(filepath.Join(folder, "junit.xml"))
	if err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(data, &suites); err != nil || suites.Failures == 0 {
		t.Errorf("junit.xml: %d failures, %v", suites.Failures, err)
	}
	if _, err := os.Stat(filepath.Join(folder, "ginkgo.json")); err != nil {
		t.Error(err)
	}
}

// TestReaderThatHasGone closes the run's standard output, as mqtthil run | head does. The run goes on to its report.
func TestReaderThatHasGone(t *testing.T) {
	t.Parallel()
	command := program(t, "run", "--label-filter", "connect")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = reader.Close()
	command.Stdout = writer
	err = command.Run()
	_ = writer.Close()
	if err != nil {
		t.Errorf("the run ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(command.Dir, "out", "latest", "report.html")); err != nil {
		t.Error(err)
	}
}

// TestReportThatCannotBeWritten puts a folder in the report's place.
func TestReportThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "run.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "report.html", "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := result(t, program(t, "report", folder))
	if code != harness.ExitInfrastructure || !strings.Contains(stderr, "write "+filepath.Join(folder, "report.html")) {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// startReal starts a run in real time and returns when it has begun its second scenario.
func startReal(t *testing.T) *exec.Cmd {
	t.Helper()
	command := program(t, "run", "--time", "real", "--label-filter", "connect || receiving")
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "passed") {
		t.Fatalf("%q %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return command
}

// TestKill kills a run; its first scenarios are reported all the same.
func TestKill(t *testing.T) {
	t.Parallel()
	command := startReal(t)
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	report := program(t, "report", "out/latest")
	report.Dir = command.Dir
	if code, stdout, stderr := result(t, report); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	page, err := os.ReadFile(filepath.Join(command.Dir, "out", "latest", "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"passed", "not run"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestInterrupt ends a run as Ctrl-C does; it leaves a report.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	command := startReal(t)
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if code := command.ProcessState.ExitCode(); code != harness.ExitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(command.Dir, "out", "latest", "report.html")); err != nil {
		t.Error(err)
	}
}

// TestEmulateOnStandardStreams drives the emulated board as any program would.
func TestEmulateOnStandardStreams(t *testing.T) {
	t.Parallel()
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	blob := base64.StdEncoding.EncodeToString(fmt.Appendf(nil,
		`{"mqtt_config":{"broker":{"address":{"uri":"mqtt://%s"}},"credentials":{"client_id":"me"}}}`, broker.Addr()))
	command := program(t, "emulate", "--stdio")
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	command.Stdout = &out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(stdin, "init %s\nstart\n", blob)
	conn, err := broker.Accept()
	if err != nil {
		t.Fatal(err)
	}
	connect := make([]byte, 16)
	if _, err := io.ReadFull(conn, connect); err != nil {
		t.Fatal(err)
	}
	if want := "\x10\x0e\x00\x04MQTT\x04\x02\x00\x78\x00\x02me"; string(connect) != want {
		t.Errorf("CONNECT is % x", connect)
	}
	_ = stdin.Close()
	if err := command.Wait(); err != nil {
		t.Errorf("the end of the console is no error: %v", err)
	}
	if !strings.Contains(out.String(), "rst:0x1 (POWERON_RESET)") || !strings.Contains(out.String(), "mqtt> ") {
		t.Errorf("no boot log and prompt:\n%s", out.String())
	}
}

// TestStubDevice runs scenarios against a program that speaks the stub console: mqtthil's own emulator.
func TestStubDevice(t *testing.T) {
	t.Parallel()
	board := "exec:" + os.Args[0] + " emulate --stdio --console stub --chip esp32-s3 --seed 3"
	code, output, stderr := result(t, program(t, "run", "--device", board, "--console", "stub",
		"--focus", "(receiving|Connect): .*(delivered|carries)"))
	if code != harness.ExitPass {
		t.Errorf("exit code %d\n%s%s", code, output, stderr)
	}
}

// TestStubSerialDevice does it behind a pseudo-terminal, which cannot reset its board.
func TestStubSerialDevice(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "board")
	startEmulation(t, "--pty", link, "--console", "stub", "--baud", "115200")
	code, output, stderr := result(t, program(t, "run", "--device", "serial:"+link, "--listen", "127.0.0.1", "--console", "stub",
		"--focus", "(Receiving|Connect): .*(delivered|carries)"))
	if code != harness.ExitPass {
		t.Errorf("exit code %d\n%s%s", code, output, stderr)
	}
}

// TestSerialDevice runs scenarios against an emulated board behind a pseudo-terminal, by way of the serial port driver.
func TestSerialDevice(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "board")
	board := program(t, "emulate", "--pty", link)
	stdout, err := board.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := board.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || !strings.Contains(line, link) {
		t.Fatalf("%q %v", line, err)
	}
	serial, err := port.OpenSerial(link)
	if err != nil {
		t.Fatal(err)
	}
	_ = serial.Close()
	code, output, stderr := result(t, program(t, "run", "--device", "serial:"+link, "--listen", "127.0.0.1",
		"--focus", "(receiving|Connect): .*(delivered|carries)"))
	if code != harness.ExitPass {
		t.Errorf("exit code %d\n%s%s", code, output, stderr)
	}
	if err := board.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- board.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ending the board: %v", err)
		}
	case <-time.After(10 * time.Second):
		_ = board.Process.Kill()
		t.Error("the board did not end")
	}
	if _, err := os.Lstat(link); err == nil {
		t.Error("the link was left behind")
	}
}
