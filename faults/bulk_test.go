package faults

import (
	"bytes"
	"io"
	"testing"

	"mqtthil/harness/timeline"
)

// TestBulk sends large packets that nobody wants to see, with small ones between them, and ends the connection in both
// ways: everything arrives as it was, and so does the end.
func TestBulk(t *testing.T) {
	t.Parallel()
	var stream []byte
	for range 5 {
		stream = append(stream, largePublish(7, 200_000)...)
		stream = append(stream, publishPacket(1, "small")...)
		stream = append(stream, largePublish(8, spliceFrom)...)
	}
	for _, how := range []Ending{FIN, RST} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			rec := timeline.NewRecorder(nil)
			s := newSetupWith(t, loopback(), Options{Summary: true})
			s.rec = rec
			device, broker := s.connectMQTT()
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				device.write(stream)
			}()
			got := make([]byte, len(stream))
			if _, err := io.ReadFull(broker, got); err != nil || !bytes.Equal(got, stream) {
				t.Fatalf("the stream has arrived otherwise than it was sent: %v", err)
			}
			<-sent
			last := largePublish(9, 1_000_000) // of which no read finds all
			go device.write(last)
			broker.wantBytes(last)
			if how == FIN {
				device.fin()
			} else {
				device.rst()
			}
			broker.wantRest(how)
			if c := s.proxy.Traffic().FromDevice; c.Packets[PUBLISH] != 16 || c.Received != c.Sent {
				t.Errorf("counted %d PUBLISH, %d bytes in and %d out", c.Packets[PUBLISH], c.Received, c.Sent)
			}
		})
	}
}

// TestRuleWithinBulk: a rule that is armed while large packets come in gets the next one.
func TestRuleWithinBulk(t *testing.T) {
	t.Parallel()
	s := newSetupWith(t, loopback(), Options{Summary: true})
	device, broker := s.connectMQTT()
	large := largePublish(9, 100_000)
	go device.write(large, large)
	broker.wantBytes(large, large)
	dropped := s.proxy.Add(On(FromDevice(PUBLISH).WithTopic("t"), Drop()).Times(1))
	go device.write(large, large[:1], large[1:])
	broker.wantBytes(large)
	if dropped.Fired() != 1 {
		t.Errorf("the rule has fired %d times, want 1", dropped.Fired())
	}
}
