package faults

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

// TestServeUntil: what came by a listener ends with it, and the proxy goes on with the next one.
func TestServeUntil(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		firstDevice, firstBroker := s.connectMQTT() // by the listener that the setup has
		var serving sync.WaitGroup
		for connection := 2; connection <= 3; connection++ {
			ctx, leave := context.WithCancel(t.Context())
			l := s.listen()
			address := l.Addr().String()
			serving.Go(func() {
				if err := s.proxy.ServeUntil(ctx, l); err != nil {
					t.Errorf("ServeUntil: %v", err)
				}
			})
			s.address = address
			device, broker := s.connectMQTT()
			leave()
			serving.Wait()
			device.wantRest(FIN)
			broker.wantRest(FIN)
			if conn, err := n.dial(t.Context(), address); err == nil {
				conn.Close()
				t.Error("somebody still listens")
			}
			device.Close()
			broker.Close()
			s.waitFor("connection of that number", func(e timeline.Event) bool { return e.Conn == connection })
		}
		firstDevice.write(publishPacket(1, "still there"))
		firstBroker.wantBytes(publishPacket(1, "still there"))
	})
}

// TestServeUntilWhileRefused: a listener that was to come back when connections are not refused any more does not.
func TestServeUntilWhileRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		refused := s.proxy.Impose(Refuse())
		ctx, leave := context.WithCancel(t.Context())
		l := s.listen()
		address := l.Addr().String()
		ended := make(chan error)
		go func() { ended <- s.proxy.ServeUntil(ctx, l) }()
		leave()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		refused.Remove()
		if conn, err := n.dial(t.Context(), address); err == nil {
			conn.Close()
			t.Error("somebody listens again")
		}
	})
}

// TestServeUntilBeforeTheBroker ends a connection that has not got to the broker yet.
func TestServeUntilBeforeTheBroker(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.proxy.Impose(SlowAccept(time.Hour))
		ctx, leave := context.WithCancel(t.Context())
		l := s.listen()
		ended := make(chan error)
		go func() { ended <- s.proxy.ServeUntil(ctx, l) }()
		conn, err := n.dial(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s.waitFor("connection", ofKind(timeline.KindOpen))
		leave()
		newPeer(t, conn).wantRest(RST)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestShutdown: it ends connections in order, with all that was handed on.
func TestShutdown(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		device.write(publishPacket(1, "last words"))
		broker.wantBytes(publishPacket(1, "last words"))
		var down sync.WaitGroup
		down.Go(s.proxy.Shutdown)
		for _, p := range []*peer{device, broker} {
			p.wantRest(FIN)
			p.Close()
		}
		down.Wait()
	})
}

func TestTrafficAsJSON(t *testing.T) {
	t.Parallel()
	var traffic Traffic
	traffic.Connections = 2
	traffic.FromDevice = Counts{Received: 20, Sent: 19}
	traffic.FromDevice.Packets[CONNECT] = 2
	traffic.FromDevice.Packets[PUBLISH] = 5
	got, err := json.Marshal(traffic)
	want := `{"connections":2,"from_device":{"received":20,"sent":19,"packets":{"CONNECT":2,"PUBLISH":5}},` +
		`"to_device":{"received":0,"sent":0,"packets":{}}}`
	if string(got) != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if n := traffic.FromDevice.Packets.Sum(); n != 7 {
		t.Errorf("%d packets", n)
	}
}
