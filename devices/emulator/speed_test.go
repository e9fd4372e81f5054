package emulator

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestUARTSpeed: bytes take their time, in both directions.
func TestUARTSpeed(t *testing.T) {
	t.Parallel()
	for _, baud := range []int{300, 9600, 115200, 3_000_000} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			b := run(t, Options{Baud: baud})
			boot := len(b.expect(prompt) + prompt)
			near := func(what string, n int) {
				t.Helper()
				want := time.Duration(n) * 10 * time.Second / time.Duration(baud)
				if took := time.Since(start); took < want-want/50 || took > want+want/50+30*time.Millisecond {
					t.Errorf("%d baud: %s takes %v, want %v", baud, what, took, want)
				}
			}
			near("to boot", boot)
			start = time.Now()
			line := "unsubscribe " + strings.Repeat("x", 500)
			answer := b.command(line)
			near("a command", len(line)+1+2+len(answer)+len(prompt)) // echo and typing overlap
		})
	}
}

// TestUARTPowerOffLosesWhatItHolds: only a UART with a speed still holds something worth the name.
func TestUARTPowerOffLosesWhatItHolds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Baud: 9600})
		b.expect("rst:0x1")
		promptly(t, "PowerOff", b.PowerOff)
		b.drain()
		time.Sleep(time.Minute)
		b.drainInto(func(text string) {
			if len(text) > 100 {
				t.Errorf("after the power has gone comes %q", text)
			}
		})
		b.PowerOn()
		b.expect(prompt)
		_ = b.Panic(Abort)
		b.expect("Rebooting...\r\n") // the panic handler waits until all is out
		b.expect("ets ")
	})
}

// TestTypedTooMuch: what is typed while the console is busy is lost, as far as the UART cannot hold it.
func TestTypedTooMuch(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Baud: 115200})
		b.expect(prompt)
		b.initializes()
		b.command("start")
		conn := b.accepts()
		b.sends(conn, 0x20, 2, 0, 0)
		b.expect("MQTT_EVENT_CONNECTED session_present=0\r\n")
		time.Sleep(100 * time.Millisecond)
		b.types("stop\n") // takes most of a poll
		time.Sleep(100 * time.Millisecond)
		b.types(strings.Repeat("x", 500) + "\n")
		b.expect("Mqtt client stopped\r\n" + prompt)
		time.Sleep(time.Second)
		b.types("\n")
		if got := strings.Count(b.expect(prompt), "x"); got != uartFIFO+uartDriver {
			t.Errorf("%d characters have been held", got)
		}
		b.types(strings.Repeat("y", 2000) + "\n")
		if got := strings.Count(b.expect(prompt), "y"); got != 2000 {
			t.Errorf("a console that reads has got %d characters", got)
		}
	})
}

// TestTCPConsole: one client at a time, and a board that goes on between them.
func TestTCPConsole(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	line := NewTCPConsole(l)
	board := New(line, Options{})
	ended := make(chan error, 1)
	go func() { ended <- board.Run() }()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		return conn
	}
	expect := func(conn net.Conn, text string) {
		t.Helper()
		var got strings.Builder
		for b := make([]byte, 1); !strings.Contains(got.String(), text); {
			if _, err := conn.Read(b); err != nil {
				t.Fatalf("instead of %q: %q, %v", text, got.String(), err)
			}
			got.Write(b)
		}
	}
	for range 3 {
		first := dial()
		for { // the client before this one may not have been missed yet
			_, _ = io.WriteString(first, "help\n")
			answer := make([]byte, len(inUse))
			if _, err := io.ReadFull(first, answer); err == nil && string(answer) != inUse {
				break
			}
			_ = first.Close()
			first = dial()
		}
		second := dial()
		if all, err := io.ReadAll(second); string(all) != inUse || err != nil {
			t.Errorf("the second client gets %q, %v", all, err)
		}
		_ = second.Close()
		_ = board.Reset()
		expect(first, "mqtt> ")
		_, _ = io.WriteString(first, "outbox\n")
		if err := first.(*net.TCPConn).CloseWrite(); err != nil { // it still reads
			t.Fatal(err)
		}
		expect(first, "call init first")
		_ = first.Close()
		_ = board.Reset() // nobody sees that
	}
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	_ = line.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
