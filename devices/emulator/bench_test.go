package emulator

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
)

// trivialBroker is a network on which every connection ends at a broker that accepts it and answers pings. It has no
// goroutine and next to no memory of its own.
type trivialBroker struct {
	listener  net.Listener
	network   *simnet.Network
	connected chan struct{} // one for each connection

	mu sync.Mutex // a connection is accepted by who made it
}

func newTrivialBroker(b testing.TB, boards int) *trivialBroker {
	n := simnet.New()
	l, err := n.Listen("broker:1883")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return &trivialBroker{listener: l, network: n, connected: make(chan struct{}, boards)}
}

func (t *trivialBroker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	near, err := t.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	far, err := t.listener.Accept()
	return &brokerConn{Conn: near, far: far, broker: t}, err
}

// brokerConn answers what is written to it.
type brokerConn struct {
	net.Conn
	far    net.Conn
	broker *trivialBroker
}

func (c *brokerConn) Write(p []byte) (int, error) {
	switch p[0] >> 4 {
	case 1:
		c.broker.connected <- struct{}{}
		_, _ = c.far.Write([]byte{0x20, 2, 0, 0})
	case 12:
		_, _ = c.far.Write([]byte{0xd0, 0})
	}
	return len(p), nil
}

// script is a console on which somebody has typed something, and nobody reads.
type script struct {
	typed  string
	closed chan struct{}
}

func newScript(typed string) *script { return &script{typed, make(chan struct{})} }

func (s *script) Read(p []byte) (int, error) {
	if n := copy(p, s.typed); n > 0 {
		s.typed = s.typed[n:]
		return n, nil
	}
	<-s.closed
	return 0, io.EOF
}

func (s *script) Write(p []byte) (int, error) { return len(p), nil }

// boardOptions are those of board i.
func boardOptions(i int, broker *trivialBroker) Options {
	return Options{MAC: [6]byte{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, Seed: uint64(i + 1), Dial: broker.dial}
}

// fleet runs boards whose consoles are scripts, until their clients are connected. It ends them with the function that
// it returns.
func fleet(b testing.TB, boards int) (end func()) {
	broker := newTrivialBroker(b, boards)
	var running sync.WaitGroup
	var scripts []*script
	for i := range boards {
		s := newScript(initCommand + "\nstart\n")
		scripts = append(scripts, s)
		board := New(s, boardOptions(i, broker))
		running.Go(func() { _ = board.Run() })
	}
	for range boards {
		<-broker.connected
	}
	return func() {
		for _, s := range scripts {
			close(s.closed)
		}
		running.Wait()
	}
}

// memory is what the Go runtime has in use, in bytes, beside its own.
type memory struct{ heap, stacks float64 }

func memoryInUse() memory {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{float64(m.HeapInuse), float64(m.StackInuse)}
}

// BenchmarkMemory measures what a connected board takes, with and without somebody at its console.
func BenchmarkMemory(b *testing.B) {
	for _, console := range []bool{false, true} {
		b.Run(fmt.Sprintf("console=%v", console), func(b *testing.B) {
			var sum memory
			for range b.N {
				m := memoryPerBoard(b, 1000, console)
				sum = memory{sum.heap + m.heap, sum.stacks + m.stacks}
			}
			kib := 1024 * float64(b.N)
			b.ReportMetric(sum.heap/kib, "heap-KiB/board")
			b.ReportMetric(sum.stacks/kib, "stack-KiB/board")
			b.ReportMetric((sum.heap+sum.stacks)/kib, "KiB/board")
		})
	}
}

// memoryPerBoard is what a connected board takes, both ends of its connections in the network included, and who sits at
// its console.
func memoryPerBoard(b testing.TB, boards int, console bool) memory {
	before := memoryInUse()
	var end func()
	if console {
		end = watchedFleet(b, boards)
	} else {
		end = fleet(b, boards)
	}
	time.Sleep(200 * time.Millisecond) // until all that has been started is at rest
	after := memoryInUse()
	end()
	return memory{(after.heap - before.heap) / float64(boards), (after.stacks - before.stacks) / float64(boards)}
}

// watchedFleet is a fleet with somebody at each console, who has asked for help and reads the answers.
func watchedFleet(b testing.TB, boards int) (end func()) {
	broker := newTrivialBroker(b, boards)
	uart, err := broker.network.Listen("uart:1")
	if err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	var consoles []net.Conn
	for i := range boards {
		near, err := broker.network.DialContext(context.Background(), "tcp", "uart:1")
		if err != nil {
			b.Fatal(err)
		}
		far, err := uart.Accept()
		if err != nil {
			b.Fatal(err)
		}
		consoles = append(consoles, near)
		board := New(far, boardOptions(i, broker))
		running.Go(func() { _ = board.Run() })
		running.Go(func() {
			for buffer := make([]byte, 512); ; {
				if _, err := near.Read(buffer); err != nil {
					return
				}
			}
		})
		_, _ = io.WriteString(near, initCommand+"\nstart\nhelp\n")
	}
	for range boards {
		<-broker.connected
	}
	return func() {
		for _, c := range consoles {
			_ = c.Close()
		}
		running.Wait()
		_ = uart.Close()
	}
}

// BenchmarkStart boots boards side by side, connects their clients, and ends them.
func BenchmarkStart(b *testing.B) {
	const boards = 100
	for b.Loop() {
		fleet(b, boards)()
	}
	b.ReportMetric(boards*float64(b.N)/b.Elapsed().Seconds(), "boards/s")
}

// BenchmarkVirtualTime lets virtual time pass for connected boards; one op is ten seconds of it.
func BenchmarkVirtualTime(b *testing.B) {
	for _, boards := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("boards=%d", boards), func(b *testing.B) {
			inABubble(func(t *testing.T) { // in which the benchmark's timer would show another time
				end := fleet(t, boards)
				synctest.Wait()
				before := processorTime()
				passed := time.Duration(b.N) * 10 * time.Second
				time.Sleep(passed)
				synctest.Wait()
				used := processorTime() - before
				b.ReportMetric(passed.Seconds()/used.Seconds(), "virtual-s/CPU-s")
				end()
			})
		})
	}
}

// inABubble runs f in virtual time, from within a benchmark.
func inABubble(f func(t *testing.T)) {
	all := func(string, string) (bool, error) { return true, nil }
	testing.RunTests(all, []testing.InternalTest{{Name: "bubble", F: func(t *testing.T) { synctest.Test(t, f) }}})
}

// processorTime is the time that this process has had of all processors.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
