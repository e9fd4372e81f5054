package faults

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// soak is how long and how wide TestSoak runs. The environment variable MQTTHIL_SOAK=full asks for the long run, which
// make soak starts.
type soak struct {
	connections int           // at the same time
	packets     uint64        // both ways together, and then it ends
	limit       time.Duration // after which it ends, too
	every       time.Duration // between two looks at the heap
}

func soakOf(environment string) soak {
	if environment == "full" {
		return soak{connections: 2000, packets: 10_000_000, limit: 10 * time.Minute, every: 300 * time.Millisecond}
	}
	return soak{connections: 50, packets: 200_000, limit: 1500 * time.Millisecond, every: 20 * time.Millisecond}
}

const (
	countedBytes = 128  // of each packet that rules drop and duplicate, so that counting them is counting bytes
	sessionSize  = 1000 // packets that a connection sends each way before it is made anew
	// growth bounds the most heap in the last third of the packets, given the most before. How many connections hold a buffer of
	// 64 KiB each way is a matter of the moment, which shows where there are few of them.
	growth      = 1.3
	growthSlack = 8 << 20
)

// TestSoak sends packets over many connections that come and go, over real TCP and through rules and conditions that act by
// chance. In the end the proxy's own counters account for every byte, and memory does not grow.
func TestSoak(t *testing.T) {
	size := soakOf(os.Getenv("MQTTHIL_SOAK"))
	start := time.Now()
	n := loopback()
	broker, err := n.listen()
	if err != nil {
		t.Fatal(err)
	}
	front, err := n.listen()
	if err != nil {
		t.Fatal(err)
	}
	proxy := New(Options{Seed: 1, Dial: func(ctx context.Context) (net.Conn, error) {
		return n.dial(ctx, broker.Addr().String())
	}})
	served := make(chan error, 1)
	go func() { served <- proxy.Serve(front) }()

	var dropped, duplicated [2]*Armed // each way
	for i, publish := range []Match{FromDevice(PUBLISH), ToDevice(PUBLISH)} {
		dropped[i] = proxy.Add(On(publish.WithTopic("c").WithProbability(0.01), Drop()))
		duplicated[i] = proxy.Add(On(publish.WithTopic("c").WithProbability(0.01), Duplicate()))
		proxy.Add(On(publish.WithProbability(0.001), DelayBy(Spread{By: Duration(time.Millisecond), Jitter: Duration(time.Millisecond)})))
		proxy.Add(On(publish.WithProbability(0.002), Split(50, 0)))
		proxy.Add(On(publish.WithProbability(0.002), Glue(3)))
		proxy.Add(On(publish.WithProbability(0.002), Reorder(2)))
		proxy.Add(On(publish.WithProbability(0.002), Rewrite(NewRetain(true))))
	}
	proxy.Impose(Slice(700, 300, 0).ForShare(0.1))
	proxy.Impose(Latency(Spread{By: Duration(time.Millisecond)}).ForShare(0.1))

	s := &soaking{soak: size, deadline: start.Add(size.limit + time.Minute)}
	stop := time.AfterFunc(size.limit, s.stop)
	defer stop.Stop()
	var peers sync.WaitGroup
	peers.Go(func() {
		for {
			conn, err := broker.Accept()
			if err != nil {
				return
			}
			peers.Go(func() { s.report(t, s.session(conn, 1)) })
		}
	})
	var devices sync.WaitGroup
	for range size.connections {
		devices.Go(func() {
			for !s.stopped.Load() {
				conn, err := n.dial(t.Context(), front.Addr().String())
				if err != nil {
					s.report(t, err)
					return
				}
				s.report(t, s.session(conn, 0))
			}
		})
	}

	var most [3]uint64 // heap, by thirds of the packets
	for !s.stopped.Load() {
		time.Sleep(size.every)
		third := min(2, 3*s.sent.Load()/size.packets)
		most[third] = max(most[third], heapBytes())
	}
	devices.Wait()
	broker.Close()
	peers.Wait()
	traffic := proxy.Traffic()
	proxy.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	took := time.Since(start)

	for i, c := range []Counts{traffic.FromDevice, traffic.ToDevice} {
		wrote, got := s.bytes[i].wrote.Load(), s.bytes[i].got.Load()
		direction := DeviceToBroker + Direction(i)
		if c.Received != wrote || c.Sent != got {
			t.Errorf("%s: the proxy counts %d bytes in and %d out, the peers %d and %d", direction, c.Received, c.Sent, wrote, got)
		}
		gained := int64(duplicated[i].Fired()-dropped[i].Fired()) * countedBytes
		if int64(c.Sent) != int64(c.Received)+gained {
			t.Errorf("%s: %d bytes in, %d by rules, but %d out", direction, c.Received, gained, c.Sent)
		}
		if want := s.bytes[i].packets.Load(); c.Packets[PUBLISH] != want {
			t.Errorf("%s: the proxy counts %d PUBLISH, the peers %d", direction, c.Packets[PUBLISH], want)
		}
	}
	if before := max(most[0], most[1]); before > 0 && float64(most[2]) > growth*float64(before)+growthSlack {
		t.Errorf("the heap has grown from %d KiB to %d KiB", before>>10, most[2]>>10)
	}
	packets := traffic.FromDevice.Packets[PUBLISH] + traffic.ToDevice.Packets[PUBLISH]
	t.Logf("%d packets and %d MiB over %d connections, %d at a time, in %s: %.0f packets/s; most heap %d, %d and %d KiB by thirds; "+
		"%d packets dropped, %d duplicated", packets, (traffic.FromDevice.Received+traffic.ToDevice.Received)>>20,
		traffic.Connections, size.connections, took.Round(time.Millisecond), float64(packets)/took.Seconds(),
		most[0]>>10, most[1]>>10, most[2]>>10,
		dropped[0].Fired()+dropped[1].Fired(), duplicated[0].Fired()+duplicated[1].Fired())
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// soaking is what all peers of TestSoak share.
type soaking struct {
	soak
	deadline time.Time
	sessions atomic.Uint64
	sent     atomic.Uint64 // packets
	stopped  atomic.Bool
	failed   atomic.Bool
	bytes    [2]struct{ wrote, got, packets atomic.Uint64 } // from the device, to the device
}

func (s *soaking) stop() { s.stopped.Store(true) }

// report tells the first failure; those behind it follow from it.
func (s *soaking) report(t *testing.T, err error) {
	t.Helper()
	if err != nil && !s.failed.Swap(true) {
		t.Error(err)
		s.stop()
	}
}

// session is one connection as a peer has it: it sends packets and FIN, and reads to the end. The way is that of what it
// sends: 0 is from the device.
func (s *soaking) session(conn net.Conn, way int) error {
	defer conn.Close()
	if err := conn.SetDeadline(s.deadline); err != nil {
		return err
	}
	sending := make(chan error, 1)
	greeted := make(chan struct{}) // closed when something has come
	go func() {
		if way == 1 {
			<-greeted // a broker says nothing before there is a CONNECT
		}
		sending <- s.send(conn, way)
	}()
	err := s.receive(conn, &s.bytes[1-way].got, sync.OnceFunc(func() { close(greeted) }))
	return errors.Join(err, <-sending)
}

func (s *soaking) send(conn net.Conn, way int) error {
	counts := &s.bytes[way]
	random := rand.New(rand.NewPCG(s.sessions.Add(1), 0))
	out := bufio.NewWriterSize(countingWriter{conn, &counts.wrote}, 8<<10)
	first := connectPacket
	if way == 1 {
		first = connackPacket
	}
	if _, err := out.Write(first); err != nil {
		return fmt.Errorf("way %d: %w", way, err)
	}
	packet := make([]byte, 0, 4<<10)
	for range sessionSize {
		if s.stopped.Load() {
			break
		}
		topic, length := "v", 20+random.IntN(100)
		switch random.IntN(50) {
		case 0:
			length = 2000 + random.IntN(2000)
		case 1, 2, 3, 4, 5, 6, 7, 8, 9:
			topic, length = "c", countedBytes-2
		}
		packet = binary.AppendUvarint(append(packet[:0], 0x30), uint64(length))
		packet = append(packet, 0, 1, topic[0])
		packet = append(packet, make([]byte, length-3)...)
		if _, err := out.Write(packet); err != nil {
			return fmt.Errorf("way %d: %w", way, err)
		}
		counts.packets.Add(1)
		if s.sent.Add(1) >= s.packets {
			s.stop()
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("way %d: %w", way, err)
	}
	return conn.(*net.TCPConn).CloseWrite()
}

// receive reads to the end and sees to it that packets follow one another.
func (s *soaking) receive(conn net.Conn, got *atomic.Uint64, greeted func()) error {
	defer greeted()
	in := bufio.NewReaderSize(conn, 8<<10)
	for {
		kind, err := in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		length, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		n, err := in.Discard(int(length))
		got.Add(uint64(1 + len(binary.AppendUvarint(nil, length)) + n))
		if t := PacketType(kind >> 4); err != nil || t != PUBLISH && t != CONNECT && t != CONNACK {
			return fmt.Errorf("a packet of type %s and %d bytes: %w", t, length, err)
		}
		greeted()
	}
}

// countingWriter counts what is written.
type countingWriter struct {
	io.Writer
	count *atomic.Uint64
}

func (w countingWriter) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.count.Add(uint64(n))
	return n, err
}
