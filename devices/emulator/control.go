package emulator

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// controlLimit bounds a line of the control protocol, in bytes.
const controlLimit = 1000

// controlCommand is something that the control protocol can have done to a board.
type controlCommand struct {
	words    string // what the line begins with
	argument string // what stands behind it, for help; empty where nothing may
	about    string
	with     func(argument string) (func(*Board) error, error)
}

// controlCommands are all the commands but help.
var controlCommands = []controlCommand{
	{"power on", "", "give the board power", simply(func(b *Board) error { b.PowerOn(); return nil })},
	{"power off", "", "take its power away", simply(func(b *Board) error { b.PowerOff(); return nil })},
	{"power cut", "BYTES", "take its power away when it has sent so many more bytes", powerCutCommand},
	{"reset", "", "pull the EN pin", simply((*Board).Reset)},
	{"usb reset", "", "reset it over USB-Serial/JTAG", simply((*Board).USBReset)},
	{"restart", "", "have the application call esp_restart", simply((*Board).Restart)},
	{"brownout", "", "let its supply break down for a moment", simply((*Board).Brownout)},
	{"panic", "[load|store|instruction|abort|assert|stack]", "make the application panic", panicCommand},
	{"watchdog", "[task|interrupt]", "let a watchdog bite", watchdogCommand},
	{"sleep", "DURATION", "deep sleep, for a time such as 5s", sleepCommand},
	{"wifi", "up|down", "let it hear its access point, or not", wifiCommand},
}

func powerCutCommand(argument string) (func(*Board) error, error) {
	n, err := strconv.Atoi(argument)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%q is no number of bytes", argument)
	}
	return func(b *Board) error { b.PowerCutAfter(n); return nil }, nil
}

func panicCommand(argument string) (func(*Board) error, error) {
	fault := BadLoad
	if argument != "" {
		var err error
		if fault, err = ParseFault(argument); err != nil {
			return nil, err
		}
	}
	return func(b *Board) error { return b.Panic(fault) }, nil
}

func watchdogCommand(argument string) (func(*Board) error, error) {
	switch argument {
	case "", "task":
		return (*Board).TaskWatchdog, nil
	case "interrupt":
		return (*Board).InterruptWatchdog, nil
	}
	return nil, fmt.Errorf("unknown watchdog %q; it is task or interrupt", argument)
}

func sleepCommand(argument string) (func(*Board) error, error) {
	d, err := time.ParseDuration(argument)
	if err != nil || d <= 0 {
		return nil, fmt.Errorf("%q is no duration such as 5s", argument)
	}
	return func(b *Board) error { return b.DeepSleep(d) }, nil
}

func wifiCommand(argument string) (func(*Board) error, error) {
	if argument != "up" && argument != "down" {
		return nil, fmt.Errorf("%q is neither up nor down", argument)
	}
	return func(b *Board) error { b.WiFi(argument == "up"); return nil }, nil
}

// simply is a command without an argument.
func simply(do func(*Board) error) func(string) (func(*Board) error, error) {
	return func(argument string) (func(*Board) error, error) {
		if argument != "" {
			return nil, fmt.Errorf("nothing is expected behind it, not %q", argument)
		}
		return do, nil
	}
}

// controlHelp is the answer to help, but for its last line.
func controlHelp() string {
	var text strings.Builder
	for _, c := range controlCommands {
		fmt.Fprintf(&text, "%-53s %s\n", strings.TrimSpace(c.words+" "+c.argument), c.about)
	}
	return text.String()
}

// parseControl reads a line: words, with any blanks between them.
func parseControl(line string) (func(*Board) error, error) {
	words := strings.Fields(line)
	for _, c := range controlCommands {
		n := len(strings.Fields(c.words))
		if len(words) < n || strings.Join(words[:n], " ") != c.words {
			continue
		}
		do, err := c.with(strings.Join(words[n:], " "))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.words, err)
		}
		return do, nil
	}
	return nil, fmt.Errorf("unknown command %.50q; try help", strings.Join(words, " "))
}

// ServeControl lets whoever connects to l do to the board what can happen to boards, by a command a line. Each is
// answered, when it is done, by the line ok, or by one that begins with error and a colon; help has other lines before
// that. It returns when l is closed, having closed all connections.
func (b *Board) ServeControl(l net.Listener) error {
	var serving sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]struct{}{}
	defer serving.Wait()
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		for conn := range conns {
			_ = conn.Close()
		}
	}()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for a control connection: %w", err)
		}
		mu.Lock()
		conns[conn] = struct{}{}
		mu.Unlock()
		serving.Go(func() {
			b.control(conn)
			mu.Lock()
			defer mu.Unlock()
			delete(conns, conn)
			_ = conn.Close()
		})
	}
}

// control serves one connection until it ends.
func (b *Board) control(conn net.Conn) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, controlLimit)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		answer := "ok\n"
		if line == "help" {
			answer = controlHelp() + answer
		} else if do, err := parseControl(line); err != nil {
			answer = fmt.Sprintf("error: %v\n", err)
		} else if err := do(b); err != nil {
			answer = fmt.Sprintf("error: %v\n", err)
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		_, _ = fmt.Fprintf(conn, "error: a line has at most %d bytes\n", controlLimit)
	}
}
