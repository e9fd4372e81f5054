package faults

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mqtthil/harness/timeline"
)

func TestSession(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		device.write(publishPacket(7, "hello"))
		broker.wantBytes(publishPacket(7, "hello"))
		broker.write([]byte{0x40, 2, 0, 7})
		device.wantBytes([]byte{0x40, 2, 0, 7})
		if got := s.proxy.Connections(); got != 1 {
			t.Errorf("%d connections, want 1", got)
		}
		device.write([]byte{0xe0, 0})
		device.fin()
		broker.wantRest(FIN, []byte{0xe0, 0})
		broker.fin()
		device.wantRest(FIN)

		want := []string{
			"open left-device",
			"open reached-broker",
			`packet left-device CONNECT "dut" keep alive 60 s clean`,
			`packet reached-broker CONNECT "dut" keep alive 60 s clean`,
			"packet left-broker CONNACK code 0",
			"packet reached-device CONNACK code 0",
			"packet left-device PUBLISH id 7 QoS 1 t (5 bytes)",
			"packet reached-broker PUBLISH id 7 QoS 1 t (5 bytes)",
			"packet left-broker PUBACK id 7",
			"packet reached-device PUBACK id 7",
			"packet left-device DISCONNECT",
			"packet reached-broker DISCONNECT",
			"close left-device fin",
			"close reached-broker fin",
			"close left-broker fin",
			"close reached-device fin",
		}
		// What comes in on one side is recorded while what went before it goes out on the other.
		got := s.lines(func(timeline.Event) bool { return true })
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want -, got +\n%s", diff)
		}
		for _, e := range s.rec.Events() {
			if e.Conn != 1 {
				t.Errorf("event %d is of connection %d, want 1", e.Seq, e.Conn)
			}
		}
	})
}

// An exit is in the record before the peer can react to it, and after its entry.
func TestRecordIsCausal(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		for id := byte(1); id <= 50; id++ {
			device.write(publishPacket(id, "x"))
			broker.wantBytes(publishPacket(id, "x"))
			broker.write([]byte{0x40, 2, 0, id})
			device.wantBytes([]byte{0x40, 2, 0, id})
		}
		points := []timeline.Point{timeline.LeftDevice, timeline.ReachedBroker, timeline.LeftBroker, timeline.ReachedDevice}
		var got []timeline.Event
		for _, e := range s.rec.Events() {
			if e.Kind == timeline.KindPacket && e.Packet.ID != 0 {
				got = append(got, e)
			}
		}
		if len(got) != 200 {
			t.Fatalf("%d packet events, want 200", len(got))
		}
		for i, e := range got {
			if e.Point != points[i%4] || int(e.Packet.ID) != i/4+1 {
				t.Fatalf("event %d is %s of %s, want %s of id %d", e.Seq, e.Point, e.Packet, points[i%4], i/4+1)
			}
		}
	})
}

// A packet may come in any number of parts, and in one with others.
func TestPacketsInParts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connect()
		payload := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)[:0xffff8]
		large := append([]byte{0x30, 0xfb, 0xff, 0x3f, 0, 1, 't'}, payload...)
		stream := slices.Concat(connectPacket, publishPacket(1, "a"), large, publishPacket(2, "b"))
		received := make(chan []byte)
		go func() {
			got := make([]byte, 0, len(stream))
			buffer := make([]byte, 1000)
			for len(got) < len(stream) {
				n, err := broker.Read(buffer)
				got = append(got, buffer[:n]...)
				if err != nil {
					t.Errorf("reading: %v", err)
					break
				}
			}
			received <- got
		}()
		for part := range slices.Chunk(stream[:len(connectPacket)+20], 3) {
			device.write(part)
		}
		device.write(stream[len(connectPacket)+20:])
		if got := <-received; !bytes.Equal(got, stream) {
			t.Errorf("got %d bytes, want the %d that were sent", len(got), len(stream))
		}
		var lengths []int
		for _, e := range s.rec.Events() {
			if e.Kind == timeline.KindPacket && e.Point == timeline.ReachedBroker {
				lengths = append(lengths, e.Packet.Length)
			}
		}
		if want := []int{len(connectPacket), 8, len(large), 8}; !slices.Equal(lengths, want) {
			t.Errorf("packets of %v bytes, want %v", lengths, want)
		}
	})
}

// The protocol version of a connection comes from its CONNECT and holds for the broker's packets too.
func TestVersionIsLearned(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connect()
		connect := []byte("\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03dut")
		device.write(connect)
		broker.wantBytes(connect)
		suback := []byte{0x90, 4, 0, 8, 0, 1}
		broker.write(suback)
		device.wantBytes(suback)
		got := ToDevice(SUBACK).Select(s.rec.Events())
		if len(got) != 1 || !bytes.Equal(got[0].Packet.Codes, []byte{1}) {
			t.Errorf("SUBACK of 5.0 is recorded as %+v", got)
		}
	})
}

func TestConnectionsEndAsTheyDid(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		fromDevice bool
		how        Ending
		want       []string
	}{
		{"device, FIN", true, FIN, []string{"close left-device fin", "close reached-broker fin"}},
		{"device, RST", true, RST, []string{"close left-device rst", "close reached-broker rst"}},
		{"broker, FIN", false, FIN, []string{"close left-broker fin", "close reached-device fin"}},
		{"broker, RST", false, RST, []string{"close left-broker rst", "close reached-device rst"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				sender, receiver := s.connectMQTT()
				if !test.fromDevice {
					sender, receiver = receiver, sender
				}
				sender.write(publishPacket(1, "x"))
				receiver.wantBytes(publishPacket(1, "x"))
				if test.how == FIN {
					sender.fin()
				} else {
					sender.rst()
				}
				receiver.wantRest(test.how)
				if got := s.lines(ofKind(timeline.KindClose)); !slices.Equal(got, test.want) {
					t.Errorf("closed by %q, want %q", got, test.want)
				}
				if test.how == FIN { // the other direction is still open
					receiver.write(publishPacket(2, "y"))
					sender.wantBytes(publishPacket(2, "y"))
				}
			})
		})
	}
}

// After an RST the kernel tells only one of Read and Write of it; the other direction's traffic must not make the
// proxy take it for FIN.
func TestRSTInTraffic(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		message := publishPacket(1, strings.Repeat("x", 100))
		for range 5 {
			device, broker := s.connectMQTT()
			stop := make(chan struct{})
			go func() {
				defer close(stop)
				for {
					if _, err := broker.Write(message); err != nil {
						return
					}
				}
			}()
			device.wantBytes(message)
			device.rst()
			if _, err := broker.Read(make([]byte, 1)); err == nil {
				t.Error("the device is gone but the broker reads something")
			}
			<-stop
		}
		s.proxy.Close()
		closed := s.lines(ofKind(timeline.KindClose))
		if i := slices.IndexFunc(closed, func(line string) bool { return strings.HasSuffix(line, "fin") }); i >= 0 {
			t.Errorf("%q after RST", closed[i])
		}
		count := 0
		for _, line := range closed {
			if line == "close left-device rst" {
				count++
			}
		}
		if count != 5 {
			t.Errorf("%d connections were reset by the device, want 5: %q", count, closed)
		}
	})
}

// A device that has closed completely answers what still comes with RST; the broker must learn that too.
func TestRSTAfterFIN(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		device.Close()
		broker.wantRest(FIN)
		for {
			if _, err := broker.Write(publishPacket(1, "x")); err != nil {
				break
			}
		}
		s.waitForClose(timeline.ReachedBroker, "rst")
		want := []string{
			"close left-device fin", "close reached-broker fin", "close left-device rst", "close reached-broker rst",
		}
		if got := s.lines(ofKind(timeline.KindClose)); !slices.Equal(got, want) {
			t.Errorf("closed by %q, want %q", got, want)
		}
	})
}

func TestRelaysWhatIsNotMQTT(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		stream string
		packet int // bytes that are packets
		want   string
	}{
		{"web browser", "GET /mqtt HTTP/1.1\r\n\r\n", 0, "not MQTT: first byte 47 does not begin a CONNECT"},
		{"TLS", "\x16\x03\x01\x00\x05hello", 0, "not MQTT: 16 03 begins a TLS handshake"},
		{"type 0", string(connectPacket) + "\x00\x01\x02", len(connectPacket), "not MQTT: first byte 00 has packet type 0"},
		{"length of five bytes", string(connectPacket) + "\x30\x80\x80\x80\x80\x01abc", len(connectPacket),
			"not MQTT: remaining length 80 80 80 80 goes on after 4 bytes"},
		{"ends inside a packet", string(connectPacket) + "\x30\x05\x00", len(connectPacket), "stream ended inside a packet"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connect()
				device.write([]byte(test.stream))
				device.fin()
				broker.wantRest(FIN, []byte(test.stream))
				for _, at := range []timeline.Point{timeline.LeftDevice, timeline.ReachedBroker} {
					var raw []byte
					for _, e := range s.rec.Events() {
						if e.Kind != timeline.KindRaw || e.Point != at {
							continue
						}
						raw = append(raw, e.Data...)
						if e.Text != test.want {
							t.Errorf("%s: recorded because %q, want %q", at, e.Text, test.want)
						}
					}
					if want := test.stream[test.packet:]; string(raw) != want {
						t.Errorf("%s: recorded %q, want %q", at, raw, want)
					}
				}
			})
		})
	}
}

// What is no MQTT is relayed as it arrives, and so is the answer to it.
func TestRelaysDialogueThatIsNotMQTT(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connect()
		for range 3 {
			device.write([]byte("GET / HTTP/1.1"))
			broker.wantBytes([]byte("GET / HTTP/1.1"))
			broker.write([]byte("HTTP/1.1 404")) // as a packet: a PUBACK of 86 bytes
			device.wantBytes([]byte("HTTP/1.1 404"))
		}
		if got := s.lines(ofKind(timeline.KindPacket)); len(got) > 0 {
			t.Errorf("recorded packets %q", got)
		}
	})
}

// A device that loses the thread does not make the broker's packets something else.
func TestBrokerSpeaksMQTTWhenTheDeviceDoesNotAnyMore(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		device.write([]byte{0, 1, 2})
		broker.wantBytes([]byte{0, 1, 2})
		broker.write(publishPacket(1, "x"))
		device.wantBytes(publishPacket(1, "x"))
		if got := ToDevice(PUBLISH).Select(s.rec.Events()); len(got) != 1 {
			t.Errorf("%d PUBLISH recorded, want 1", len(got))
		}
	})
}

// The record keeps the beginning of a large heap of raw bytes; the peer gets all of it.
func TestRawBytesInTheRecordAreBounded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connect()
		partial := append([]byte{0x30, 0xff, 0x7f}, make([]byte, 3000)...)
		device.write(connectPacket, partial)
		device.fin()
		broker.wantRest(FIN, connectPacket, partial)
		for _, e := range s.rec.Events() {
			if e.Kind == timeline.KindRaw && (len(e.Data) != timeline.MaxRaw || !strings.Contains(e.Text, "3003 bytes")) {
				t.Errorf("%s: recorded %d bytes, %q", e.Point, len(e.Data), e.Text)
			}
		}
	})
}

func TestRSTInsideAPacket(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		device.write([]byte{0x30, 10, 1, 2, 3})
		device.rst()
		broker.wantRest(RST, []byte{0x30, 10, 1, 2, 3})
	})
}

func TestBrokerOutOfReach(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		s.broker.Close()
		switch conn, err := n.dial(t.Context(), s.address); {
		case errors.Is(err, syscall.ECONNRESET): // already
		case err != nil:
			t.Fatal(err)
		default:
			newPeer(t, conn).wantRest(RST)
		}
		s.waitForClose(timeline.ReachedDevice, "rst")
		got := s.lines(func(timeline.Event) bool { return true })
		if len(got) != 3 || got[0] != "open left-device" || got[2] != "close reached-device rst" ||
			!strings.HasPrefix(got[1], "close reached-broker reaching the broker: dial tcp ") {
			t.Errorf("recorded %q", got)
		}
	})
}

// Close must not wait for a broker that does not answer.
func TestCloseWhileReachingTheBroker(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		l, err := n.listen()
		if err != nil {
			t.Fatal(err)
		}
		dialing := make(chan struct{})
		proxy := New(Options{Dial: func(ctx context.Context) (net.Conn, error) {
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		served := make(chan error)
		go func() { served <- proxy.Serve(l) }()
		conn, err := n.dial(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		<-dialing
		proxy.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("device reads %v, want RST", err)
		}
		conn.Close()
	})
}
