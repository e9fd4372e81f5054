package emulator

import (
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/frame"
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

// slowTimer is a timer by which all takes seven times as long.
type slowTimer struct{ espmqtt.Timer }

func (t slowTimer) Reset(d time.Duration) { t.Timer.Reset(7 * d) }

// TestTimers: what a command, a packet and a poll of the client take, by the timers that the board is given.
func TestTimers(t *testing.T) {
	for name, test := range map[string]struct {
		newTimer func() espmqtt.Timer
		takes    time.Duration // instead of 1
	}{
		"Go's":  {nil, 1},
		"other": {func() espmqtt.Timer { return slowTimer{espmqtt.NewTimer()} }, 7},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := run(t, Options{NewTimer: test.newTimer})
				b.expect(prompt)
				conn := b.connects()
				time.Sleep(turn)
				start := time.Now()
				took := func(what string, want time.Duration) {
					t.Helper()
					if took := time.Since(start); took != test.takes*want {
						t.Errorf("%s after %v, not after %v", what, took, test.takes*want)
					}
				}
				b.sends(conn, 0x62, 2, 0, 7)
				b.receives(conn)
				took("the answer to a packet came", wakeCost)
				start = time.Now()
				b.types("publish t a 1 0 0 1\n")
				b.expect("publish t a 1 0 0 1\r\n")
				took("the command ran", turn+lineCost)
				b.receives(conn)
				if took := time.Since(start); took < test.takes*time.Second || took > test.takes*time.Second*101/100 {
					t.Errorf("a poll of 1 s took %v, not %v", took, test.takes*time.Second)
				}
			})
		})
	}
}

// TestFrameCost: a frame of the stub console takes as long as a line.
func TestFrameCost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{})
		time.Sleep(time.Second)
		start := time.Now()
		b.typesFrame(frame.Command, 1, "{}")
		b.expectFrame(frame.Ack)
		if took := time.Since(start); took != lineCost {
			t.Errorf("the frame was taken after %v, not after %v", took, lineCost)
		}
	})
}

// TestYield: who asks for a reconnect lets the client's task go first, as long as a turn takes.
func TestYield(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		_ = b.connects().Close()
		b.expect("MQTT_EVENT_DISCONNECTED")
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		b.types("reconnect\n")
		b.expect("Client force reconnect requested")
		if took := time.Since(start); took != lineCost {
			t.Errorf("the command ran after %v, not after %v", took, lineCost)
		}
		b.expect(prompt)
		if took := time.Since(start); took != lineCost+2*turn {
			t.Errorf("the command was over after %v, not after %v, its own turn, and another", took, lineCost+2*turn)
		}
	})
}
