package faults

import (
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

// TestAnswersToAPeerThatDoesNotRead: what a rule makes up for a device that does not read takes no more memory than it
// may, and the record tells what was left out.
func TestAnswersToAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.proxy.Add(On(FromDevice(PINGREQ), Answer(Template("30 80 20 00 01 74 "+string(slices.Repeat([]byte("00"), 4096-3))))))
		device, _ := s.connectMQTT()
		pings := slices.Repeat([]byte{0xc0, 0}, 1000)
		for range 5 {
			device.write(pings)
		}
		s.waitFor("packet left out", func(e timeline.Event) bool {
			return e.Fault != nil && e.Fault.Action == "leave a packet out to the device"
		})
	})
}

// flood has a peer send to another one that does not read, until nothing more fits. It returns when the proxy is held up.
func flood(t *testing.T, from *peer) {
	t.Helper()
	go func() {
		for {
			if _, err := from.Write(publishPacket(1, "flood")); err != nil {
				return
			}
		}
	}()
	time.Sleep(time.Minute) // of virtual time
}

// TestFINPassesAWriteThatWaits: that a device has ended its stream reaches the broker although the proxy waits for the
// device to read.
func TestFINPassesAWriteThatWaits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		flood(t, broker)
		device.fin()
		broker.wantRest(FIN)
		if s.proxy.Connections() != 1 {
			t.Error("the other direction has ended, too")
		}
	})
}

// TestHalfCloseWaitsForAWrite: the proxy ends the way to the device between two packets, and the device learns it when it
// has read what came before. Nobody is reset.
func TestHalfCloseWaitsForAWrite(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		flood(t, broker)
		s.proxy.Disconnect(HalfClose)
		got, err := io.ReadAll(device)
		if err != nil || len(got)%len(publishPacket(1, "flood")) != 0 {
			t.Errorf("the device has read %d bytes, and then %v", len(got), err)
		}
		device.write(publishPacket(2, "still here"))
		broker.wantBytes(publishPacket(2, "still here"))
	})
}

// slowGoodbye is a connection that takes its time to say goodbye.
type slowGoodbye struct{ stream }

func (c slowGoodbye) CloseWrite() error {
	time.Sleep(2 * time.Second)
	return c.stream.CloseWrite()
}

func slowly(dial func(context.Context) (net.Conn, error)) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		return slowGoodbye{conn.(stream)}, nil
	}
}

// TestShutdownEndsConnectionsSideBySide: a goodbye that takes long holds up neither the others nor who looks at the proxy.
func TestShutdownEndsConnectionsSideBySide(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetupWith(t, n, Options{})
		dial := s.proxy.options.Dial
		s.proxy.options.Dial = slowly(dial)
		for range 3 {
			s.connectMQTT()
		}
		start := time.Now()
		go s.proxy.Shutdown()
		time.Sleep(time.Second)
		s.proxy.Connections()
		if took := time.Since(start); took != time.Second {
			t.Errorf("looking at the proxy took until %s", took)
		}
		s.proxy.Close()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("the end took %s", took)
		}
	})
}
