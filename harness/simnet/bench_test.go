package simnet

import (
	"context"
	"io"
	"net"
	"testing"
)

// inBothWorlds measures on simnet and, for comparison, on TCP over the loopback interface.
func inBothWorlds(b *testing.B, measure func(b *testing.B, client, server net.Conn)) {
	for _, w := range []*world{simulated("simnet"), tcp()} {
		b.Run(w.name, func(b *testing.B) {
			l, err := w.listen(net.JoinHostPort(w.host, "0"))
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			client, err := w.dial(context.Background(), "tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer server.Close()
			b.ReportAllocs()
			measure(b, client, server)
		})
	}
}

// BenchmarkRoundTrip sends a small packet to and fro.
func BenchmarkRoundTrip(b *testing.B) {
	inBothWorlds(b, func(b *testing.B, client, server net.Conn) {
		go io.Copy(struct{ io.Writer }{server}, struct{ io.Reader }{server}) // as bytes, not by splice
		p := make([]byte, 64)
		for b.Loop() {
			if _, err := client.Write(p); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(client, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBulk sends large packets one way.
func BenchmarkBulk(b *testing.B) {
	inBothWorlds(b, func(b *testing.B, client, server net.Conn) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for p := make([]byte, 32<<10); ; {
				if _, err := server.Read(p); err != nil {
					return
				}
			}
		}()
		p := make([]byte, 32<<10)
		b.SetBytes(int64(len(p)))
		for b.Loop() {
			if _, err := client.Write(p); err != nil {
				b.Fatal(err)
			}
		}
		client.Close()
		<-done
	})
}

// BenchmarkConnect opens, uses and closes a connection.
func BenchmarkConnect(b *testing.B) {
	for _, w := range []*world{simulated("simnet"), tcp()} {
		b.Run(w.name, func(b *testing.B) {
			l, err := w.listen(net.JoinHostPort(w.host, "0"))
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			p := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				client, err := w.dial(context.Background(), "tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				server, err := l.Accept()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := client.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(server, p); err != nil {
					b.Fatal(err)
				}
				client.Close()
				server.Close()
			}
		})
	}
}
