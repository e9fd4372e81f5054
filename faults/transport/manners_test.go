package transport_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"mqtthil/faults/transport"
)

// TestBytes sends more than buffers hold both ways at once, in pieces of all sizes, and compares.
func TestBytes(t *testing.T) {
	t.Parallel()
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			onNetworks(t, func(t *testing.T, n network) {
				device, bench := n.connect(t, newFront(t, w.front), w.back)
				var both sync.WaitGroup
				for i, way := range [][2]transport.Stream{{device, bench}, {bench, device}} {
					source := rand.New(rand.NewPCG(1, uint64(i)))
					sent := make([]byte, 600_000)
					for i := range sent {
						sent[i] = byte(source.Uint32())
					}
					both.Go(func() {
						for rest := sent; len(rest) > 0; {
							size := min(len(rest), 1<<source.IntN(18))
							write(t, way[0], rest[:size])
							rest = rest[size:]
						}
						if err := way[0].CloseWrite(); err != nil {
							t.Error(err)
						}
					})
					both.Go(func() {
						if got, err := io.ReadAll(way[1]); err != nil || !bytes.Equal(got, sent) {
							t.Errorf("%d bytes of %d arrived, or others: %v", len(got), len(sent), err)
						}
					})
				}
				both.Wait()
			})
		})
	}
}

// TestEndings ends connections in TCP's ways, from either side, and looks at the other.
func TestEndings(t *testing.T) {
	t.Parallel()
	for _, w := range ways() {
		for _, side := range []string{"device", "bench"} {
			t.Run(w.name+", by the "+side, func(t *testing.T) {
				t.Parallel()
				onNetworks(t, func(t *testing.T, n network) {
					front := newFront(t, w.front)
					connect := func() (one, other transport.Stream) {
						device, bench := n.connect(t, front, w.back)
						if side == "device" {
							return device, bench
						}
						return bench, device
					}

					one, other := connect() // half-close: the other still sends
					write(t, one, []byte("last"))
					if err := one.CloseWrite(); err != nil {
						t.Error(err)
					}
					expect(t, other, "last")
					if n, err := other.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("after FIN: %d bytes, %v", n, err)
					}
					if _, err := one.Write([]byte("more")); !errors.Is(err, syscall.EPIPE) {
						t.Errorf("writing after CloseWrite: %v", err)
					}
					write(t, other, []byte("answer"))
					expect(t, one, "answer")
					if err := other.CloseWrite(); err != nil {
						t.Error(err)
					}
					if n, err := one.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("after FIN of the other: %d bytes, %v", n, err)
					}

					one, other = connect() // Close
					write(t, one, []byte("last"))
					if err := one.Close(); err != nil {
						t.Error(err)
					}
					expect(t, other, "last")
					if n, err := other.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("after Close: %d bytes, %v", n, err)
					}
					if _, err := one.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
						t.Errorf("reading after Close: %v", err)
					}

					one, other = connect() // RST
					if err := one.SetLinger(0); err != nil {
						t.Error(err)
					}
					if err := one.Close(); err != nil {
						t.Error(err)
					}
					_ = other.SetReadDeadline(time.Now().Add(30 * time.Second))
					if _, err := other.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("after RST: %v", err)
					}
				})
			})
		}
	}
}

// TestReadGivesWhatIsThere sends a frame and a record of which parts come late. What has come must not wait for the rest.
func TestReadGivesWhatIsThere(t *testing.T) {
	t.Parallel()
	onNetworks(t, func(t *testing.T, n network) {
		accepted := n.accept(t, newFront(t, transport.Options{WebSocket: true}))
		device := rawUpgrade(t, n)
		bench := (<-accepted).stream
		defer bench.Close()
		header := []byte{0x82, 0x80 | 6, 1, 2, 3, 4}
		masked := []byte{'a' ^ 1, 'b' ^ 2, 'c' ^ 3, 'd' ^ 4, 'e' ^ 1, 'f' ^ 2}
		for _, b := range header {
			write(t, device, []byte{b})
		}
		for i, want := range "abcdef" {
			write(t, device, masked[i:i+1])
			expect(t, bench, string(want))
		}
		_ = bench.SetReadDeadline(time.Unix(1, 0)) // and a deadline loses nothing, in a header either
		write(t, device, header[:3])
		if _, err := bench.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("got %v", err)
		}
		_ = bench.SetReadDeadline(time.Time{})
		write(t, device, header[3:])
		write(t, device, masked)
		expect(t, bench, "abcdef")
	})
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestCloseEndsAWrite has a Write wait for room.
func TestCloseEndsAWrite(t *testing.T) {
	t.Parallel()
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			onNetworks(t, func(t *testing.T, n network) {
				device, bench := n.connect(t, newFront(t, w.front), w.back)
				defer device.Close()
				ended, begun := make(chan error, 1), make(chan struct{})
				go func() {
					var err error
					for i := 0; err == nil; i++ {
						if i == 1 {
							close(begun)
						}
						_, err = bench.Write(make([]byte, 1<<20))
					}
					ended <- err
				}()
				go func() { _, _ = io.CopyN(io.Discard, device, 1<<20+1<<10) }()
				<-begun
				if err := bench.Close(); err != nil {
					t.Error(err)
				}
				if err := <-ended; err == nil {
					t.Error("the Write ended well")
				}
			})
		})
	}
}
