package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"mqtthil/harness/timeline"
)

// The benchmarks send MQTT over loopback, straight to its receiver and through the proxy. What counts is how much of the
// direct way's speed is left, measured in the same run.

// ways are those through the proxy; without options a way is the direct one.
func ways() []benchWay {
	options := func(o Options) *Options { return &o }
	return []benchWay{
		{name: "unread", options: options(Options{Unread: true})},
		{name: "read", options: options(Options{})},
		{name: "ten rules", options: options(Options{}), rules: tenRules()},
		{name: "record", options: options(Options{Record: &discarded{}})},
		{name: "Toxiproxy", toxiproxy: true},
	}
}

type benchWay struct {
	name    string
	options *Options
	rules   []Rule

	toxiproxy bool // another proxy in place of ours: Toxiproxy without toxics
}

// tenRules look into packets of every kind that the benchmarks send, and act on none.
func tenRules() []Rule {
	var rules []Rule
	for i := range 5 {
		rules = append(rules,
			On(FromDevice(PUBLISH).WithTopic(fmt.Sprintf("other/%d/+", i)), Drop()),
			On(ToDevice(PUBACK).WithID(uint16(60000+i)), Delay(time.Second)))
	}
	return rules
}

// discarded is a record that is written to nowhere.
type discarded struct {
	mu  sync.Mutex
	seq int
}

func (d *discarded) Append(e timeline.Event) timeline.Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.Seq = d.seq
	d.seq++
	return e
}

// open listens, and leads the way there. It returns the address to connect to.
func (w benchWay) open(b *testing.B) (broker net.Listener, address string) {
	broker = listenOnLoopback(b)
	switch {
	case w.toxiproxy:
		return broker, openToxiproxy(b, broker.Addr().String())
	case w.options == nil:
		return broker, broker.Addr().String()
	}
	front := listenOnLoopback(b)
	options := *w.options
	var dialer net.Dialer
	options.Dial = func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", broker.Addr().String())
	}
	proxy := New(options)
	for _, r := range w.rules {
		proxy.Add(r)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := proxy.Serve(front); err != nil {
			b.Errorf("Serve: %v", err)
		}
	})
	b.Cleanup(func() { proxy.Close(); serving.Wait() })
	return broker, front.Addr().String()
}

// openToxiproxy is what Toxiproxy's server does with a proxy, without its API.
func openToxiproxy(b *testing.B, upstream string) (address string) {
	b.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "bench", "127.0.0.1:0", upstream)
	if err := proxy.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(proxy.Stop)
	return proxy.Listen
}

func listenOnLoopback(b *testing.B) net.Listener {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// connectMQTT opens a connection that begins with CONNECT.
func connectMQTT(b *testing.B, address string, broker net.Listener) (device, server net.Conn) {
	b.Helper()
	device, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { device.Close() })
	if _, err := device.Write(connectPacket); err != nil {
		b.Fatal(err)
	}
	if server, err = broker.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Close() })
	if _, err := io.ReadFull(server, make([]byte, len(connectPacket))); err != nil {
		b.Fatal(err)
	}
	return device, server
}

// load is something that goes one way or another: it does n operations and returns what one of them took.
type load func(n int) time.Duration

// rounds is how often a benchmark changes between the direct way and the other, so that both meet the same disturbances.
const rounds = 10

// compare measures a load on all ways, each in turn with the direct one, and says what part of the direct rate is left.
func compare(b *testing.B, prepare func(b *testing.B, w benchWay, straight bool) load, unit string) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			took, direct := compareOne(b, w, prepare)
			if unit != "" {
				b.ReportMetric(float64(b.N)/took.Seconds(), unit)
			}
			b.ReportMetric(float64(direct)/float64(took), "of-direct")
			b.ReportMetric(float64(direct.Nanoseconds())/float64(b.N), "direct-ns/op")
		})
	}
}

// compareOne measures a load on one way and on the direct one, in turn.
func compareOne(b *testing.B, w benchWay, prepare func(*testing.B, benchWay, bool) load) (took, direct time.Duration) {
	way, straight := prepare(b, w, false), prepare(b, benchWay{}, true)
	b.ReportAllocs()
	b.ResetTimer()
	for round := range rounds {
		n := b.N / rounds
		if round < b.N%rounds {
			n++
		}
		took += way(n)
		b.StopTimer()
		direct += straight(n)
		b.StartTimer()
	}
	b.StopTimer()
	return took, direct
}

// BenchmarkProxyBulk sends PUBLISH packets one way as fast as they go; one op is one packet.
func BenchmarkProxyBulk(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"100B", 100}, {"10KB", 10_000}, {"64KB", 64_000}, {"1MB", 1_000_000}} {
		header := "\x00\x01t"
		remaining := len(header) + size.bytes
		length := []byte{0x30, byte(remaining)&0x7f | 0x80, byte(remaining>>7)&0x7f | 0x80, byte(remaining >> 14)}
		packet := append(length, header+strings.Repeat("x", size.bytes)...)
		// Small packets are sent several at a time, or the sender's system calls are all that is measured.
		batch := max(1, 16_000/len(packet))
		b.Run(size.name, func(b *testing.B) {
			block := []byte(strings.Repeat(string(packet), batch))
			compare(b, func(b *testing.B, w benchWay, _ bool) load {
				broker, address := w.open(b)
				device, server := connectMQTT(b, address, broker)
				b.SetBytes(int64(len(packet)))
				return func(n int) time.Duration {
					start := time.Now()
					bulk(b, device, server, block, int64(n)*int64(len(packet)))
					return time.Since(start)
				}
			}, "")
		})
	}
}

// bulk sends that many bytes, written in blocks, and waits until all have arrived.
func bulk(b *testing.B, from, to net.Conn, block []byte, bytes int64) {
	sending := make(chan error, 1)
	go func() {
		for left := bytes; left > 0; left -= int64(len(block)) {
			if _, err := from.Write(block[:min(left, int64(len(block)))]); err != nil {
				sending <- err
				return
			}
		}
		sending <- nil
	}()
	buffer := make([]byte, 256<<10)
	for got := int64(0); got < bytes; {
		n, err := to.Read(buffer)
		if got += int64(n); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-sending; err != nil {
		b.Fatal(err)
	}
}

// acknowledge answers each PUBLISH of QoS 1 on a connection, whose packets all have the same length.
func acknowledge(conn net.Conn, length int) {
	in := bufio.NewReaderSize(conn, 64<<10)
	packet := make([]byte, length)
	var out []byte
	for {
		if _, err := io.ReadFull(in, packet); err != nil {
			return
		}
		out = append(out, 0x40, 2, packet[5], packet[6])
		if in.Buffered() < length {
			if _, err := conn.Write(out); err != nil {
				return
			}
			out = out[:0]
		}
	}
}

// benchPublish is a PUBLISH of QoS 1 with 64 bytes to topic t.
func benchPublish() []byte { return publishPacket(1, strings.Repeat("x", 64)) }

// BenchmarkProxyRoundTrip publishes a message of QoS 1 and waits for its PUBACK; that is one op. It reports the median and
// what 99 % of the round trips keep to, and compares the medians.
func BenchmarkProxyRoundTrip(b *testing.B) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			var took, direct []time.Duration
			compareOne(b, w, func(b *testing.B, w benchWay, straight bool) load {
				broker, address := w.open(b)
				device, server := connectMQTT(b, address, broker)
				packet := benchPublish()
				go acknowledge(server, len(packet))
				answer := make([]byte, 4)
				trips := &took
				if straight {
					trips = &direct
				}
				return func(n int) time.Duration {
					for range n {
						start := time.Now()
						if _, err := device.Write(packet); err != nil {
							b.Fatal(err)
						}
						if _, err := io.ReadFull(device, answer); err != nil {
							b.Fatal(err)
						}
						*trips = append(*trips, time.Since(start))
					}
					return 0
				}
			})
			slices.Sort(took)
			slices.Sort(direct)
			median, usual := took[len(took)/2], took[len(took)*99/100]
			b.ReportMetric(float64(median.Nanoseconds())/1000, "p50-µs")
			b.ReportMetric(float64(usual.Nanoseconds())/1000, "p99-µs")
			b.ReportMetric(float64(median)/float64(direct[len(direct)/2]), "times-direct")
			b.ReportMetric(float64(direct[len(direct)/2].Nanoseconds())/1000, "direct-p50-µs")
			b.ReportMetric(float64(direct[len(direct)*99/100].Nanoseconds())/1000, "direct-p99-µs")
		})
	}
}

// BenchmarkProxyMessages publishes messages of QoS 1 on 200 connections at a time, each with up to 10 on their way; one op
// is one message that is acknowledged.
func BenchmarkProxyMessages(b *testing.B) {
	const connections, inFlight = 200, 10
	compare(b, func(b *testing.B, w benchWay, _ bool) load {
		broker, address := w.open(b)
		packet := benchPublish()
		var devices []net.Conn
		for range connections {
			device, server := connectMQTT(b, address, broker)
			devices = append(devices, device)
			go acknowledge(server, len(packet))
		}
		return func(n int) time.Duration {
			start := time.Now()
			var working sync.WaitGroup
			for i, device := range devices {
				messages := n / connections
				if i < n%connections {
					messages++
				}
				working.Go(func() { publishAll(b, device, packet, messages, inFlight) })
			}
			working.Wait()
			return time.Since(start)
		}
	}, "messages/s")
}

// publishAll publishes messages, each as soon as there are fewer than inFlight that are not acknowledged.
func publishAll(b *testing.B, device net.Conn, packet []byte, messages, inFlight int) {
	answers := make([]byte, 4*inFlight)
	sent, acknowledged, part := 0, 0, 0
	for acknowledged < messages {
		for sent < messages && sent-acknowledged < inFlight {
			if _, err := device.Write(packet); err != nil {
				b.Error(err)
				return
			}
			sent++
		}
		n, err := device.Read(answers)
		if err != nil {
			b.Error(err)
			return
		}
		acknowledged += (part + n) / 4
		part = (part + n) % 4
	}
}

// BenchmarkProxyConnect opens a connection, sends CONNECT, waits for CONNACK and closes it; that is one op.
func BenchmarkProxyConnect(b *testing.B) {
	compare(b, func(b *testing.B, w benchWay, _ bool) load {
		broker, address := w.open(b)
		go func() {
			for {
				conn, err := broker.Accept()
				if err != nil {
					return
				}
				go welcome(conn)
			}
		}()
		answer := make([]byte, len(connackPacket))
		return func(n int) time.Duration {
			start := time.Now()
			for range n {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := conn.Write(connectPacket); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, answer); err != nil {
					b.Fatal(err)
				}
				_ = conn.(*net.TCPConn).SetLinger(0) // or the system runs out of ports
				conn.Close()
			}
			return time.Since(start)
		}
	}, "connections/s")
}

// welcome is a broker that answers CONNECT, and waits for the end.
func welcome(conn net.Conn) {
	defer conn.Close()
	packet := make([]byte, 64)
	if _, err := io.ReadFull(conn, packet[:len(connectPacket)]); err != nil {
		return
	}
	_, _ = conn.Write(connackPacket)
	_, _ = conn.Read(packet)
}

// BenchmarkProxyIdle measures what a connection costs on which nothing happens, without its two ends, which are in this
// process as well. The system may not allow as many open files as 10,000 connections have ends; then there are fewer.
func BenchmarkProxyIdle(b *testing.B) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			for range b.N {
				connections := 10_000
				if limit := openFiles(); limit > 0 {
					connections = min(connections, (limit-100)/4)
				}
				direct, through := idle(b, benchWay{}, connections), idle(b, w, connections)
				b.ReportMetric(through-direct, "B/connection")
				b.ReportMetric(float64(connections), "connections")
			}
		})
	}
}

// idle is the memory that each of that many connections takes.
func idle(b *testing.B, w benchWay, connections int) float64 {
	before := memoryInUse()
	broker, address := w.open(b)
	var ends []net.Conn
	for range connections {
		device, server := connectMQTT(b, address, broker)
		ends = append(ends, device, server)
	}
	perConnection := float64(memoryInUse()-before) / float64(connections)
	for _, end := range ends {
		end.Close()
	}
	return perConnection
}

// memoryInUse is the memory of heap and stacks.
func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
