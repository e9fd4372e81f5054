package espmqtt

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestStopWhileConnecting: the task does not give its lock up between a failed attempt and the wait that follows, so that a
// stop from meanwhile ends with the first half of that wait.
func TestStopWhileConnecting(t *testing.T) {
	t.Parallel()
	inRig(t, options{stay: true, config: func(c *Config) { c.Network.Timeout = 300 }}, func(r *rig) {
		begin := time.Now()
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took < 790*time.Millisecond || took > 810*time.Millisecond {
			t.Errorf("stopped after %v, not after the time-out and half the time to reconnect", took)
		}
		r.happens("before disconnected")
	})
}

// TestUnregisterEvent: a handler that was taken away hears nothing more.
func TestUnregisterEvent(t *testing.T) {
	t.Parallel()
	inRig(t, options{}, func(r *rig) {
		r.happens("before connected")
		r.UnregisterEvent()
		_ = r.conn.Close()
		r.happens("")
	})
}

// TestNegativeTimes: a negative refresh is always due, and a negative time to reconnect is never over.
func TestNegativeTimes(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: func(c *Config) { c.Network.RefreshAfter = -1 }}, func(r *rig) {
		r.happens("before connected")
		time.Sleep(1100 * time.Millisecond)
		r.happens("disconnected before")
	})
	for wait, ends := range map[int]bool{-1: true, -19: true, -20: false} { // a whole tick below 0 is a long sleep
		inRig(t, options{config: func(c *Config) { c.Network.ReconnectTimeout = wait }}, func(r *rig) {
			_ = r.conn.Close()
			time.Sleep(time.Hour)
			r.happens("before connected error(1,8008) disconnected")
			stopped := make(chan struct{})
			go func() {
				_ = r.Stop()
				close(stopped)
			}()
			time.Sleep(time.Hour)
			select {
			case <-stopped:
				if !ends {
					t.Errorf("%d ms: stopped", wait)
				}
			default:
				if ends {
					t.Errorf("%d ms: not stopped", wait)
				}
			}
			r.PowerOff()
			<-stopped
		})
	}
}

// TestVersionChanged: what esp_mqtt_client_init makes for MQTT 5.0 is there for a client that was made for it, whatever it
// speaks later.
func TestVersionChanged(t *testing.T) {
	t.Parallel()
	speak := func(version ProtocolVersion) Config { return Config{Session: Session{Protocol: version}} }
	made5 := func(c *Config) { c.Session.Protocol = ProtocolV5 }
	inRig(t, options{config: made5}, func(r *rig) {
		if err := r.SetConfig(speak(ProtocolV311)); err != nil {
			t.Error(err)
		}
		_ = r.conn.Close()
		synctest.Wait()
		for _, e := range r.events {
			if !e.V5 {
				t.Errorf("event %d has no property", e.ID)
			}
		}
	})
}

// TestTransportBehindURI: a transport is in conflict with a URI of any earlier configuration, and counts all the same.
func TestTransportBehindURI(t *testing.T) {
	t.Parallel()
	c, err := newClient(parse(t, `{"broker": {"address": {"uri": "mqtt://h"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetConfig(parse(t, `{"broker": {"address": {"transport": 3}}}`)); !errors.Is(err, ErrInvalidArgument) ||
		c.settings.scheme != "ws" {
		t.Errorf("scheme %q: %v", c.settings.scheme, err)
	}
}

// TestSmallBuffers: buffers have the size that they are set to, be it too small for a packet.
func TestSmallBuffers(t *testing.T) {
	t.Parallel()
	small := func(c *Config) { c.Buffer = Buffer{Size: 4, OutSize: 64} }
	inRig(t, options{config: small}, func(r *rig) {
		r.happens("before connected")
		r.send("9003 0001 00")
		r.happens("error(1,0) disconnected")
	})
	for version, incoming := range map[ProtocolVersion][3]string{ // PUBLISH, PUBREC, PUBREL
		ProtocolV311: {"3205 0001 74 0001", "5002 0001", "6202 0001"},
		ProtocolV5:   {"3206 0001 74 0001 00", "5002 0001", "6202 0001"},
	} {
		for i, packet := range incoming {
			needs := 7 // the room for the fixed header, and the packet identifier
			if version == ProtocolV5 {
				needs = 9
			}
			for _, size := range []int{needs - 1, needs} {
				inRig(t, options{config: func(c *Config) { c.Session.Protocol = version }}, func(r *rig) {
					config := Config{Buffer: Buffer{Size: 64, OutSize: size}}
					if err := r.SetConfig(config); err != nil {
						t.Error(err)
					}
					r.send(packet)
					if connected := r.State() == Connected; connected != (size == needs) {
						t.Errorf("version %d, packet %d, %d bytes: connected %v", version, i, size, connected)
					}
				})
			}
		}
	}
}

// TestConfigureWithinPacket: with new buffers what has come of a packet is lost, but not how much of it that was. What lies
// there instead is hardly the beginning of a packet.
func TestConfigureWithinPacket(t *testing.T) {
	t.Parallel()
	inRig(t, options{}, func(r *rig) {
		r.happens("before connected")
		r.send("30")
		if err := r.SetConfig(Config{}); err != nil {
			t.Error(err)
		}
		r.send("04 0001 7478") // of a packet whose type is lost
		r.send("3004 0001 7479")
		r.happens(`data("t",0,1@0/1)`)
		r.send("3004")
		if err := r.SetConfig(Config{}); err != nil {
			t.Error(err)
		}
		r.send("0001 7478")
		time.Sleep(1100 * time.Millisecond)
		r.happens("disconnected")
	})
}

// TestSameID: of two items with one identifier the client marks the older one, whichever it has sent.
func TestSameID(t *testing.T) {
	t.Parallel()
	inRig(t, options{}, func(r *rig) {
		for _, topic := range []string{"a", "b"} {
			if id := r.Enqueue(topic, nil, -1, false, true); id != 0 {
				t.Errorf("enqueued as %d", id)
			}
		}
		r.expect("3603 0001 61")
		for range 3 { // the second one stays queued
			r.expect("3603 0001 62")
		}
	})
}

// TestNoHost: the client does not look whether it has a host before it connects, and panics.
func TestNoHost(t *testing.T) {
	t.Parallel()
	for _, host := range []*string{nil, text("")} {
		config := func(c *Config) { c.Broker.Address = Address{Hostname: host, Transport: TransportTCP} }
		inRig(t, options{stay: true, config: config}, func(r *rig) {
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			if host != nil {
				r.happens("before error(1,8001) disconnected")
				return
			}
			r.happens("before")
			if !r.dead() {
				t.Error("no panic")
			}
		})
	}
}

// TestNegativeWill: there is no memory for a last will of a negative length.
func TestNegativeWill(t *testing.T) {
	t.Parallel()
	if _, err := newClient(parse(t, `{"session": {"last_will": {"msg": "m", "msg_len": -1}}}`)); !errors.Is(err, ErrNoMemory) {
		t.Error(err)
	}
}
