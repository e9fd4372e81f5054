package faults

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"mqtthil/harness/timeline"
)

// BenchmarkBulk sends PUBLISH packets over loopback, straight to their receiver and through the proxy. The proxy's
// record is sealed, so that memory does not grow with the number of packets; decoding and checksums are included.
func BenchmarkBulk(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"100B", 100}, {"10KB", 10_000}, {"1MB", 1_000_000}} {
		header := "\x00\x01t"
		remaining := len(header) + size.bytes
		length := []byte{0x30, byte(remaining)&0x7f | 0x80, byte(remaining>>7)&0x7f | 0x80, byte(remaining >> 14)}
		packet := append(length, header+strings.Repeat("x", size.bytes)...)

		b.Run(size.name+"/direct", func(b *testing.B) {
			l := listenOnLoopback(b)
			sendBulk(b, packet, l, l.Addr().String())
		})
		b.Run(size.name+"/proxy", func(b *testing.B) {
			broker, front := listenOnLoopback(b), listenOnLoopback(b)
			rec := timeline.NewRecorder(nil)
			rec.Seal()
			var dialer net.Dialer
			proxy := New(Options{Record: rec, Dial: func(ctx context.Context) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", broker.Addr().String())
			}})
			var serving sync.WaitGroup
			serving.Go(func() {
				if err := proxy.Serve(front); err != nil {
					b.Errorf("Serve: %v", err)
				}
			})
			defer serving.Wait()
			defer proxy.Close()
			sendBulk(b, packet, broker, front.Addr().String())
		})
	}
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

// sendBulk sends b.N packets to the address, until all of them have come out at the listener.
func sendBulk(b *testing.B, packet []byte, l net.Listener, address string) {
	b.Helper()
	sender, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer sender.Close()
	receiver, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer receiver.Close()
	if _, err := sender.Write(connectPacket); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(receiver, make([]byte, len(connectPacket))); err != nil {
		b.Fatal(err)
	}

	b.SetBytes(int64(len(packet)))
	b.ReportAllocs()
	b.ResetTimer()
	sending := make(chan error, 1)
	go func() {
		for range b.N {
			if _, err := sender.Write(packet); err != nil {
				sending <- err
				return
			}
		}
		sending <- nil
	}()
	if _, err := io.CopyN(io.Discard, receiver, int64(b.N)*int64(len(packet))); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if err := <-sending; err != nil {
		b.Fatal(err)
	}
}
