package emulator

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestOrderOfArrival: of a packet and a command that come at the same moment, the board deals first with what comes first.
// A message that is queued before the client turns to a packet goes out at once, and one that is queued after it at the
// end of the next poll.
func TestOrderOfArrival(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		conn := b.connects()
		packet := func() { b.sends(conn, 0x62, 2, 0, 7); synctest.Wait() }
		command := func() { b.types("publish t a 1 0 0 1\n"); synctest.Wait() }
		for range 3 {
			for _, test := range []struct {
				name   string
				events []func()
				atOnce bool
			}{
				{"packet, command", []func(){packet, command}, false},
				{"command, packet", []func(){command, packet}, true},
			} {
				time.Sleep(300 * time.Millisecond)
				for _, event := range test.events {
					event()
				}
				if p := b.receives(conn); p[0] != 0x70 {
					t.Fatalf("%s: instead of PUBCOMP % x", test.name, p)
				}
				start := time.Now()
				if p := b.receives(conn); p[0] != 0x30 {
					t.Fatalf("%s: instead of PUBLISH % x", test.name, p)
				}
				if took := time.Since(start); took < time.Second != test.atOnce {
					t.Errorf("%s: the message took %v", test.name, took)
				}
			}
		}
	})
}

// TestPause: a board that does not go by Go's timers waits as it is told before it runs a command.
func TestPause(t *testing.T) {
	for name, test := range map[string]struct {
		pause func(time.Duration)
		takes time.Duration
	}{
		"timer": {nil, lineCost},
		"other": {func(d time.Duration) { time.Sleep(7 * d) }, 7 * lineCost},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := run(t, Options{Pause: test.pause})
				b.expect(prompt)
				start := time.Now()
				b.types("help\n")
				b.expect("help\r\ninit")
				if took := time.Since(start); took != test.takes {
					t.Errorf("the command ran after %v, not after %v", took, test.takes)
				}
			})
		})
	}
}
