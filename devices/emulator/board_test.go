package emulator

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices"
	"mqtthil/devices/console"
	"mqtthil/devices/port"
	"mqtthil/harness/simnet"
	"mqtthil/harness/timeline"
)

// bench is a board, with the test at its console and at its broker's place.
type bench struct {
	*Board
	t       *testing.T
	console net.Conn
	printed chan string
	unread  string // what was printed and not expected yet
	broker  net.Listener
	ended   chan error // of Run

	patience time.Duration // for what is expected
}

// run runs a board until the test ends. Options may name another network than the one that the broker is on.
func run(t *testing.T, options Options) *bench {
	t.Helper()
	n := simnet.New()
	uart, err := n.Listen("uart:0")
	if err != nil {
		t.Fatal(err)
	}
	near, err := n.DialContext(context.Background(), "tcp", uart.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := uart.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = uart.Close()
	if options.Dial == nil {
		options.Dial = n.DialContext
	}
	b := &bench{Board: New(far, options), t: t, console: near, printed: make(chan string, 1000), ended: make(chan error, 1),
		patience: 5 * time.Minute}
	if b.broker, err = n.Listen("broker:1883"); err != nil {
		t.Fatal(err)
	}
	go func() { b.ended <- b.Run() }()
	go func() {
		defer close(b.printed)
		for buffer := make([]byte, 1000); ; {
			n, err := near.Read(buffer)
			if b.printed <- string(buffer[:n]); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { b.close(); _ = b.broker.Close() })
	return b
}

// close ends the console, and with it the board.
func (b *bench) close() {
	_ = b.console.Close()
	for range b.printed {
	}
	if err, more := <-b.ended; more && err != nil {
		b.t.Errorf("Run: %v", err)
	}
	select {
	case <-b.ended:
	default:
		close(b.ended)
	}
}

// expect waits until text is printed, and returns what was printed before it.
func (b *bench) expect(text string) string {
	b.t.Helper()
	late := time.After(b.patience)
	for {
		if before, after, found := strings.Cut(b.unread, text); found {
			b.unread = after
			return before
		}
		select {
		case more, open := <-b.printed:
			if b.unread += more; !open {
				b.t.Fatalf("the console ended before %q; printed was %q", text, b.unread)
			}
		case <-late:
			b.t.Fatalf("no %q; printed was %q", text, b.unread)
		}
	}
}

func (b *bench) types(text string) {
	b.t.Helper()
	if _, err := io.WriteString(b.console, text); err != nil {
		b.t.Fatal(err)
	}
}

// command types a line and returns what the command prints.
func (b *bench) command(line string) string {
	b.t.Helper()
	b.types(line + "\n")
	b.expect(line + "\r\n")
	return b.expect(prompt)
}

// initCommand is the line that creates a client.
var initCommand = "init " + base64.StdEncoding.EncodeToString([]byte(
	`{"mqtt_config": {"broker": {"address": {"uri": "mqtt://broker:1883"}}, "credentials": {"client_id": "dut"}}}`))

// initializes creates a client.
func (b *bench) initializes() {
	b.t.Helper()
	if got := b.command(initCommand); !strings.Contains(got, "Mqtt client initialized") {
		b.t.Fatalf("init: %q", got)
	}
}

// accepts waits for the board's connection and its CONNECT.
func (b *bench) accepts() net.Conn {
	b.t.Helper()
	conn, err := b.broker.Accept()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	if p := b.receives(conn); p[0] != 0x10 || !bytes.Contains(p, []byte("dut")) {
		b.t.Fatalf("instead of CONNECT % x", p)
	}
	return conn
}

// receives reads a packet of less than 16384 bytes.
func (b *bench) receives(conn net.Conn) []byte {
	b.t.Helper()
	read := func(n int) []byte {
		data := make([]byte, n)
		if _, err := io.ReadFull(conn, data); err != nil {
			b.t.Fatal(err)
		}
		return data
	}
	packet := read(2)
	length := int(packet[1])
	if length >= 0x80 {
		packet = append(packet, read(1)...)
		length = length&0x7f | int(packet[2])<<7
	}
	return append(packet, read(length)...)
}

func (b *bench) sends(conn net.Conn, packet ...byte) {
	b.t.Helper()
	if _, err := conn.Write(packet); err != nil {
		b.t.Fatal(err)
	}
}

// connects brings the board's client to where it is connected.
func (b *bench) connects() net.Conn {
	b.t.Helper()
	b.initializes()
	b.types("start\n")
	conn := b.accepts()
	b.sends(conn, 0x20, 2, 0, 0)
	b.expect("MQTT_EVENT_CONNECTED session_present=0\r\n")
	return conn
}

// silent checks that nothing comes over a connection for a long time: no byte and no end.
func (b *bench) silent(conn net.Conn) {
	b.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		b.t.Errorf("a board without power gives %d bytes, %v", n, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
}

// refused checks that a connection is reset.
func (b *bench) refused(conn net.Conn) {
	b.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		b.t.Errorf("a connection that the board does not know gives %d bytes, %v", n, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
}

// promptly calls f, for which no time may pass.
func promptly(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	if took := time.Since(start); took != 0 {
		t.Errorf("%s took %v", what, took)
	}
}

// inBubble runs a test in virtual time; the bubble's end finds goroutines that are left.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Parallel()
	synctest.Test(t, test)
}

func TestBoardBoots(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{MAC: [6]byte{1, 2, 3, 0xa, 0xb, 0xc}})
		log := b.expect(prompt)
		at := 0
		for _, part := range []string{
			"ets ", "\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n", "entry 0x", "I (0) boot: ESP-IDF v",
			"I (0) mqtt_conformance: [APP] Free memory: 262144 bytes\r\n", "I (0) mqtt_conformance: [APP] IDF version: v",
			"01:02:03:0a:0b:0c",
		} {
			i := strings.Index(log[at:], part)
			if i < 0 {
				t.Fatalf("no %q where it belongs in %q", part, log)
			}
			at += i
		}
	})
}

func TestBoardConsole(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		const missing = "E (0) mqtt_conformance: MQTT client not initialized, call init first\r\n" + returnedOn
		for _, test := range []struct{ typed, echo, printed string }{
			{"\n", "\r\n", ""},
			{"   \r", "   \r\n", ""},
			{"reboot\n", "reboot\r\n", notKnown},
			{"\"start\n", "\"start\r\n", missing}, // the line's end closes a quote
			{"start\r", "start\r\n", missing},
			{"xx\x08\x08\x7fstop\n", "xx\b \b\b \bstop\r\n", missing},
			{"xx\x7f\x7fstop\n", "xx\b \x7f\b \x7fstop\r\n", missing},
			{`publish "a b" c\ d 1 0 0 0` + "\n", `publish "a b" c\ d 1 0 0 0` + "\r\n", missing},
			{"destroy\n", "destroy\r\n", ""},
			{"\xff\x00\x1b\n", "\xff\r\n", ""},                // only printable characters are kept
			{"st\xc3\xbcart\n", "st\xc3\xbcart\r\n", missing}, // as are those of the line
		} {
			b.types(test.typed)
			if got := untimed(b.expect(prompt)); got != test.echo+test.printed {
				t.Errorf("%q gives %q, want %q", test.typed, got, test.echo+test.printed)
			}
		}
		for range 3 { // byte by byte gives what all at once gives
			for _, c := range []byte("start\r") {
				b.types(string(c))
				synctest.Wait()
			}
			if got := untimed(b.expect(prompt)); got != "start\r\n"+missing {
				t.Errorf("typed byte by byte: %q", got)
			}
		}
	})
}

// untimed sets the times of errors to 0.
func untimed(log string) string { return errorTime.ReplaceAllString(log, "E (0)") }

var errorTime = regexp.MustCompile(`E \(\d+\)`)

// TestBoardLineLimit: a full line ends by itself, and what is typed behind it is the next one.
func TestBoardLineLimit(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		long := "unsubscribe " + strings.Repeat("x", lineLimit-len("unsubscribe "))
		b.types(long + "destroy\n" + long + "\n")
		for _, want := range []string{long + "\r\nE (0)", "destroy\r\n", long + "\r\nE (0)", "\r\n"} {
			if got := b.expect(prompt); !strings.HasPrefix(got, want) {
				t.Errorf("%d characters, %.50q, want %.50q", len(got), got, want)
			}
		}
	})
}

func TestBoardSession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		conn := b.connects()
		if got := b.command("init e30="); !strings.Contains(got, "already initialized") || strings.Contains(got, returnedOn) {
			t.Errorf("second init: %q", got)
		}
		b.types("subscribe a/b 1\n")
		b.expect("Subscribe requested, msg_id=")
		p := b.receives(conn)
		b.sends(conn, 0x90, 3, p[2], p[3], 1)
		b.expect("MQTT_EVENT_SUBSCRIBED, msg_id=")
		b.types("publish \"a b\" ab 3 1 0 0\n")
		b.expect("Publish requested, msg_id=")
		p = b.receives(conn)
		if p[0] != 0x32 || !bytes.Contains(p, []byte("a b")) || !bytes.HasSuffix(p, []byte("ababab")) {
			t.Errorf("instead of the PUBLISH % x", p)
		}
		b.sends(conn, 0x40, 2, p[7], p[8])
		b.expect("MQTT_EVENT_PUBLISHED, msg_id=")
		b.sends(conn, append([]byte{0x30, 8, 0, 1, 'a'}, "hello"...)...)
		b.expect("MQTT_EVENT_DATA topic=a qos=0 len=5 offset=0 total=5\r\n")
		b.expect("MQTT_EVENT_DATA_PAYLOAD hello\r\n")
		if got := b.command("publish -- a x -1 1 0 0"); !strings.Contains(got, "Invalid pattern repetitions") {
			t.Errorf("-1 repetitions: %q", got)
		}
		b.types("stop\n")
		if p := b.receives(conn); p[0] != 0xe0 {
			t.Errorf("instead of DISCONNECT % x", p)
		}
		b.expect("Mqtt client stopped\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection ends with %v", err)
		}
		b.expect(prompt)
		if got := b.command("destroy"); !strings.Contains(got, "mqtt client for tests destroyed") {
			t.Errorf("destroy: %q", got)
		}
	})
}

// TestBoardPowerCut: for the broker the board goes silent, and another client comes when it boots again.
func TestBoardPowerCut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		before := b.connects()
		promptly(t, "PowerOff", b.PowerOff)
		b.silent(before)
		b.sends(before, 0xd0, 0) // nobody refuses it
		b.types("start\n")       // nobody echoes it
		synctest.Wait()
		b.PowerOff() // once more has no effect
		b.PowerOn()
		b.PowerOn()
		if got := b.expect(prompt); !strings.HasPrefix(got, "ets ") {
			t.Errorf("the new life begins with %q", got)
		}
		if got := b.command("start"); !strings.Contains(got, "not initialized") {
			t.Errorf("start: %q", got)
		}
		after := b.connects()
		b.Reset()
		b.expect("ets ")
		b.expect(prompt)
		b.refused(before)
		b.silent(after)
		b.close()
		for _, conn := range []net.Conn{before, after} {
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a connection outlives its board: %v", err)
			}
		}
		b.PowerOn() // a board whose console has ended stays off; a task of it would outlive the bubble
		if err := b.Reset(); err != ErrOff {
			t.Errorf("Reset: %v", err)
		}
	})
}

// TestBoardPowerOffAnyTime takes the power away while the board waits for something; that ends at once.
func TestBoardPowerOffAnyTime(t *testing.T) {
	t.Parallel()
	never := func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	tests := map[string]struct {
		dial func(ctx context.Context, network, address string) (net.Conn, error)
		wait func(b *bench) // brings the board to the wait
	}{
		"idle":               {nil, func(b *bench) {}},
		"client not started": {nil, func(b *bench) { b.initializes() }},
		"connection attempt": {never, func(b *bench) {
			b.initializes()
			b.command("start")
			time.Sleep(time.Second)
		}},
		"stop during a connection attempt": {never, func(b *bench) {
			b.initializes()
			b.command("start")
			time.Sleep(time.Second)
			b.types("stop\n")
		}},
		"publish during a connection attempt": {never, func(b *bench) {
			b.initializes()
			b.command("start")
			time.Sleep(time.Second)
			b.types("publish a b 1 1 0 0\npublish a b 1 1 0 1\nsubscribe a 1\ndisconnect\ndestroy\n")
		}},
		"wait for CONNACK": {nil, func(b *bench) {
			b.initializes()
			b.command("start")
			b.accepts()
			b.types("stop\n")
			time.Sleep(time.Second)
		}},
		"wait to reconnect": {nil, func(b *bench) {
			_ = b.broker.Close()
			b.initializes()
			b.command("start")
			b.expect("MQTT_EVENT_DISCONNECTED")
			time.Sleep(time.Second)
		}},
		"stop while connected": {nil, func(b *bench) {
			b.connects()
			time.Sleep(time.Second + time.Second/3) // in the middle of a poll
			b.types("stop\n")
		}},
		"publish that the broker does not read": {nil, func(b *bench) {
			b.connects()
			for range 5 {
				b.types("publish a x 262144 1 0 0\n")
			}
			time.Sleep(time.Second)
		}},
		"a line half typed": {nil, func(b *bench) { b.types("sta") }},
	}
	for name, test := range tests {
		for _, settled := range []bool{true, false} { // false: at whatever moment it is
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					b := run(t, Options{Dial: test.dial})
					b.expect(prompt)
					test.wait(b)
					if settled {
						synctest.Wait()
					}
					promptly(t, "PowerOff", b.PowerOff)
					b.PowerOn()
					b.expect("ets ")
					if log := b.expect(prompt); strings.Contains(log, "MQTT_EVENT") {
						t.Errorf("the life before goes on: %q", log)
					}
					b.types("\n") // what was typed too late for the life before stands on the console of this one
					if got := b.command("start"); !strings.Contains(got, "not initialized") {
						t.Errorf("start: %q", got)
					}
				})
			})
		}
	}
}

// TestBoardSwitchedAtOnce plays with power and console at the same time, in virtual and in real time.
func TestBoardSwitchedAtOnce(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T) {
		b := run(t, Options{})
		serving := make(chan struct{})
		go func() {
			defer close(serving)
			for {
				conn, err := b.broker.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte{0x20, 2, 0, 0})
				defer conn.Close()
			}
		}()
		b.expect(prompt)
		var all sync.WaitGroup
		reset := func() { _ = b.Reset() }
		for _, do := range []func(){b.PowerOff, b.PowerOn, reset, reset,
			func() { b.types(initCommand + "\nstart\npublish a b 1 1 0 0\nstop\n") }} {
			all.Go(func() {
				for range 20 {
					do()
					time.Sleep(time.Millisecond)
				}
			})
		}
		reading := make(chan struct{})
		go func() {
			defer close(reading)
			for range b.printed {
			}
		}()
		all.Wait()
		_ = b.console.Close()
		<-reading
		b.close()
		_ = b.broker.Close()
		<-serving
	}
	t.Run("virtual", func(t *testing.T) { inBubble(t, play) })
	t.Run("real", func(t *testing.T) { t.Parallel(); play(t) })
}

// TestBoardUnread: nobody reads the console, and the board does its work all the same.
func TestBoardUnread(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		near, far := net.Pipe()
		board := New(far, Options{})
		ended := make(chan error)
		go func() { ended <- board.Run() }()
		for range 1000 {
			if _, err := io.WriteString(near, "help\n"+strings.Repeat("help ", 400)+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		promptly(t, "PowerOff", board.PowerOff)
		board.PowerOn()
		_ = near.Close()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// broken is a console that fails.
type broken struct{ error }

func (b broken) Read([]byte) (int, error)  { return 0, b.error }
func (b broken) Write([]byte) (int, error) { return 0, b.error }

func TestBoardConsoleFails(t *testing.T) {
	t.Parallel()
	fire := errors.New("on fire")
	if err := New(broken{fire}, Options{}).Run(); !errors.Is(err, fire) {
		t.Errorf("Run: %v", err)
	}
	for _, err := range []error{io.EOF, io.ErrClosedPipe, net.ErrClosed, os.ErrClosed} {
		if err := New(broken{err}, Options{}).Run(); err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// TestBoardOnPty drives a board over a pseudo-terminal, as if it were a board on a serial line.
func TestBoardOnPty(t *testing.T) {
	t.Parallel()
	pty, err := port.OpenPty()
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	line, err := port.OpenSerial(pty.Path())
	if err != nil {
		t.Fatal(err)
	}
	options := devices.Options{Fail: func(err error) { t.Fatal(err) }}
	dut := devices.Open(t.Context(), line, console.Espressif{}, timeline.NewRecorder(nil), options)
	board := New(pty, Options{Dial: simnet.New().DialContext})
	ended := make(chan error)
	go func() { ended <- board.Run() }()
	dut.AwaitBoot()
	dut.Init(devices.Config{Broker: "127.0.0.1:1", ReconnectTimeout: 100 * time.Millisecond})
	dut.Start()
	dut.Reset() // the client is destroyed instead
	dut.Init(devices.Config{})
	if err := dut.Close(); err != nil {
		t.Error(err)
	}
	if err := pty.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// FuzzConsole types anything. The board must neither panic nor hang: in the end it takes a command, and loses its power.
func FuzzConsole(f *testing.F) {
	start := initCommand + "\nstart\n"
	f.Add([]byte(start + "publish a b 1 1 0 0\nstop\n"))
	f.Add([]byte(start + "subscribe \"a b\" 7\rconfig e30=\noutbox\ndisconnect\nreconnect\ndestroy\n"))
	f.Add([]byte("publish \"\" \"\" 9223372036854775807 9 9 9\n\x08\x7f\xff\x00\\"))
	f.Add([]byte("init eyJhIjoxZTk5OX0=\nstart\nhelp -v 0 -v\n")) // a number that makes the board panic
	f.Add([]byte(start + "publish a bb 2147483647 1 0 0\npublish -- -a bcde 1073741824 0x1 0 1\n\x00"))
	f.Add([]byte("help --verbose=1 -x -\nsubscribe - 1KB\nunsubscribe " + strings.Repeat("x", lineLimit)))
	f.Add([]byte("config eyJtcXR0X2NvbmZpZyI6bnVsbH0=\ninit eyJtcXR0X2NvbmZpZyI6bnVsbH0=\nstart"))
	f.Fuzz(func(t *testing.T, typed []byte) {
		if len(typed) > typedLimit/2 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			b := run(t, Options{})
			b.expect(prompt)
			for _, chunk := range [][]byte{typed[:len(typed)/2], typed[len(typed)/2:]} {
				if _, err := b.console.Write(chunk); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			time.Sleep(b.patience) // a panic loses what is typed before it
			b.types("\rhelp\n")
			b.expect("help\r\ninit  <base64_json>\r\n")
			b.expect(prompt)
			promptly(t, "PowerOff", b.PowerOff)
			b.PowerOn()
		})
	})
}

// TestPowered: a board's clock shows since when it has had power, and begins anew with a reset.
func TestPowered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Powered: time.Now().Add(-1234 * time.Millisecond)})
		b.expect("I (1234) boot:")
		b.expect(prompt)
		if err := b.Reset(); err != nil {
			t.Fatal(err)
		}
		b.expect("I (0) boot:")
	})
}
