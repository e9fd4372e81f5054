package transport_test

import (
	"io"
	"testing"
)

// BenchmarkRoundTrip is a small packet there and back over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			device, bench := newLoopback(b).connect(b, newFront(b, w.front), w.back)
			go func() { _, _ = io.Copy(bench, bench) }()
			p := make([]byte, 64)
			for b.Loop() {
				if _, err := device.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(device, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBulk is packets of 16 KiB one way over loopback.
func BenchmarkBulk(b *testing.B) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			device, bench := newLoopback(b).connect(b, newFront(b, w.front), w.back)
			go func() { _, _ = io.Copy(io.Discard, bench) }()
			p := make([]byte, 16<<10)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, err := device.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandshake is a new connection.
func BenchmarkHandshake(b *testing.B) {
	for _, w := range ways() {
		b.Run(w.name, func(b *testing.B) {
			n, front := newLoopback(b), newFront(b, w.front)
			for b.Loop() {
				device, bench := n.connect(b, front, w.back)
				_, _ = device.Close(), bench.Close()
			}
		})
	}
}
