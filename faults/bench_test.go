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

	"mqtthil/harness/timeline"
)

// The benchmarks send MQTT over loopback, straight to its receiver and through the proxy. What counts is how much of the
// direct way's speed is left, measured in the same run.

// ways are those that the benchmarks go; nil options stand for the direct way.
func ways() []benchWay {
	options := func(o Options) *Options { return &o }
	return []benchWay{
		{name: "direct"},
		{name: "unread", options: options(Options{Unread: true})},
		{name: "read", options: options(Options{})},
		{name: "ten rules", options: options(Options{}), rules: tenRules()},
		{name: "record", options: options(Options{Record: &discarded{}})},
	}
}

type benchWay struct {
	name    string
	options *Options
	rules   []Rule
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
	if w.options == nil {
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

// compare runs a measurement for all ways, and then says of each what part it is of the direct one, or how many times.
func compare(b *testing.B, measure func(b *testing.B, w benchWay) float64, times bool) {
	var direct float64
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			value := measure(b, w)
			if w.options == nil {
				direct = value
			}
			if direct > 0 {
				unit := "of-direct"
				if times {
					unit = "times-direct"
				}
				b.ReportMetric(value/direct, unit)
			}
		})
	}
}

// BenchmarkProxyBulk sends PUBLISH packets one way as fast as they go; one op is one packet.
func BenchmarkProxyBulk(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"100B", 100}, {"10KB", 10_000}, {"1MB", 1_000_000}} {
		header := "\x00\x01t"
		remaining := len(header) + size.bytes
		length := []byte{0x30, byte(remaining)&0x7f | 0x80, byte(remaining>>7)&0x7f | 0x80, byte(remaining >> 14)}
		packet := append(length, header+strings.Repeat("x", size.bytes)...)
		// Small packets are sent several at a time, or the sender's system calls are all that is measured.
		batch := max(1, 16_000/len(packet))
		b.Run(size.name, func(b *testing.B) {
			compare(b, func(b *testing.B, w benchWay) float64 {
				broker, address := w.open(b)
				device, server := connectMQTT(b, address, broker)
				b.SetBytes(int64(len(packet)))
				b.ReportAllocs()
				b.ResetTimer()
				bulk(b, device, server, []byte(strings.Repeat(string(packet), batch)), int64(b.N)*int64(len(packet)))
				return float64(b.N) / b.Elapsed().Seconds()
			}, false)
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
	b.StopTimer()
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
// what 99 % of the round trips keep to.
func BenchmarkProxyRoundTrip(b *testing.B) {
	compare(b, func(b *testing.B, w benchWay) float64 {
		broker, address := w.open(b)
		device, server := connectMQTT(b, address, broker)
		packet := benchPublish()
		go acknowledge(server, len(packet))
		answer := make([]byte, 4)
		trips := make([]time.Duration, 0, b.N)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			start := time.Now()
			if _, err := device.Write(packet); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(device, answer); err != nil {
				b.Fatal(err)
			}
			trips = append(trips, time.Since(start))
		}
		b.StopTimer()
		slices.Sort(trips)
		b.ReportMetric(float64(trips[len(trips)/2].Nanoseconds())/1000, "p50-µs")
		b.ReportMetric(float64(trips[len(trips)*99/100].Nanoseconds())/1000, "p99-µs")
		return float64(trips[len(trips)/2])
	}, true)
}

// BenchmarkProxyMessages publishes messages of QoS 1 on 200 connections at a time, each with up to 10 on their way; one op
// is one message that is acknowledged.
func BenchmarkProxyMessages(b *testing.B) {
	compare(b, func(b *testing.B, w benchWay) float64 {
		const connections, inFlight = 200, 10
		broker, address := w.open(b)
		packet := benchPublish()
		var devices []net.Conn
		for range connections {
			device, server := connectMQTT(b, address, broker)
			devices = append(devices, device)
			go acknowledge(server, len(packet))
		}
		b.ReportAllocs()
		b.ResetTimer()
		var working sync.WaitGroup
		for i, device := range devices {
			messages := b.N / connections
			if i < b.N%connections {
				messages++
			}
			working.Go(func() { publishAll(b, device, packet, messages, inFlight) })
		}
		working.Wait()
		b.StopTimer()
		rate := float64(b.N) / b.Elapsed().Seconds()
		b.ReportMetric(rate, "messages/s")
		return rate
	}, false)
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
	compare(b, func(b *testing.B, w benchWay) float64 {
		broker, address := w.open(b)
		go func() {
			for {
				conn, err := broker.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					packet := make([]byte, 64)
					if _, err := io.ReadFull(conn, packet[:len(connectPacket)]); err != nil {
						return
					}
					_, _ = conn.Write(connackPacket)
					_, _ = conn.Read(packet)
				}()
			}
		}()
		answer := make([]byte, len(connackPacket))
		b.ResetTimer()
		for range b.N {
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
		b.StopTimer()
		rate := float64(b.N) / b.Elapsed().Seconds()
		b.ReportMetric(rate, "connections/s")
		return rate
	}, false)
}

// BenchmarkProxyIdle measures what a connection costs on which nothing happens, beyond what its two ends in the same
// process cost.
func BenchmarkProxyIdle(b *testing.B) {
	const connections = 10_000
	var direct float64
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			for range b.N {
				broker, address := w.open(b)
				before := memoryInUse()
				for range connections / 4 { // the system allows about that many open files for four ends each
					connectMQTT(b, address, broker)
				}
				perConnection := float64(memoryInUse()-before) / (connections / 4)
				if w.options == nil {
					direct = perConnection
				}
				b.ReportMetric(perConnection-direct, "B/connection")
			}
		})
	}
}

// memoryInUse is the memory of heap and stacks.
func memoryInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
