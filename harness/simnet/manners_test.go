package simnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestManners plays every manner of TCP that simnet has on TCP itself too, with the same expectations.
func TestManners(t *testing.T) {
	t.Parallel()
	manners := []struct {
		name string
		play func(t *testing.T, client, server stream)
	}{
		{"bytes arrive in order, in both directions", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "up")
			mustWrite(t, client, "ward")
			mustRead(t, server, "upward")
			mustWrite(t, server, "down")
			mustRead(t, client, "down")
		}},
		{"Read returns what is there", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "abcdef")
			mustRead(t, server, "ab")
			p := make([]byte, 100)
			if n, err := server.Read(p); string(p[:n]) != "cdef" || err != nil {
				t.Fatalf("Read: %q, %v", p[:n], err)
			}
		}},
		{"Read of nothing returns at once", func(t *testing.T, client, server stream) {
			if n, err := server.Read(nil); n != 0 || err != nil {
				t.Fatalf("Read(nil) = %d, %v", n, err)
			}
		}},
		{"Write of nothing returns at once", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "")
			mustClose(t, server)
			readFails(t, client, io.EOF)
			mustWrite(t, client, "") // sends nothing that the peer could answer with RST
			mustWrite(t, client, "")
		}},
		{"each end knows both addresses", func(t *testing.T, client, server stream) {
			for range 2 {
				if client.LocalAddr().String() != server.RemoteAddr().String() ||
					client.RemoteAddr().String() != server.LocalAddr().String() ||
					client.LocalAddr().Network() != "tcp" || server.LocalAddr().Network() != "tcp" {
					t.Fatalf("client %v to %v, server %v to %v",
						client.LocalAddr(), client.RemoteAddr(), server.LocalAddr(), server.RemoteAddr())
				}
				mustCloseBoth(t, client, server) // they still know them after that
			}
		}},

		{"FIN: what is left, then EOF for good", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "rest")
			mustClose(t, client)
			mustRead(t, server, "rest")
			readFails(t, server, io.EOF)
			readFails(t, server, io.EOF)
		}},
		{"FIN wakes a Read", func(t *testing.T, client, server stream) {
			later(t, func() { client.Close() })
			readFails(t, server, io.EOF)
		}},
		{"half-close: the other direction goes on", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "question")
			mustCloseWrite(t, client)
			writeFails(t, client, syscall.EPIPE)
			mustRead(t, server, "question")
			readFails(t, server, io.EOF)
			mustWrite(t, server, "answer")
			mustRead(t, client, "answer")
			mustCloseWrite(t, client) // again: does no harm
			mustClose(t, server)
			readFails(t, client, io.EOF)
		}},
		{"half-close from both sides: the connection is over", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "last")
			mustCloseWrite(t, client)
			mustRead(t, server, "last")
			readFails(t, server, io.EOF)
			mustCloseWrite(t, server)
			readFails(t, client, io.EOF)
			mustBe(t, client.CloseWrite(), "close", syscall.ENOTCONN)
			writeFails(t, client, syscall.EPIPE)
			mustReset(t, server) // sends nothing any more
			readFails(t, client, io.EOF)
			writeFails(t, client, syscall.EPIPE)
		}},
		{"half-close wakes a Write of the same end", func(t *testing.T, client, server stream) {
			later(t, func() { client.CloseWrite() })
			_, err := client.Write(moreThanFits)
			mustBe(t, err, "write", syscall.EPIPE)
		}},

		{"linger 0: RST after what had arrived, told to the reader", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "rest")
			mustReset(t, client)
			mustRead(t, server, "rest")
			readFails(t, server, syscall.ECONNRESET)
			readFails(t, server, io.EOF)
			writeFails(t, server, syscall.EPIPE)
			mustBe(t, server.CloseWrite(), "close", syscall.ENOTCONN)
		}},
		{"linger 0: RST told to the writer", func(t *testing.T, client, server stream) {
			mustReset(t, client)
			writeFails(t, server, syscall.ECONNRESET)
			writeFails(t, server, syscall.EPIPE)
			readFails(t, server, io.EOF)
		}},
		{"linger 0 wakes a Read", func(t *testing.T, client, server stream) {
			later(t, func() { client.SetLinger(0); client.Close() })
			readFails(t, server, syscall.ECONNRESET)
		}},
		{"linger 0 wakes a Write", func(t *testing.T, client, server stream) {
			later(t, func() { client.SetLinger(0); client.Close() })
			_, err := server.Write(moreThanFits)
			mustBe(t, err, "write", syscall.ECONNRESET)
			writeFails(t, server, syscall.EPIPE)
		}},
		{"linger 0 taken back: FIN", func(t *testing.T, client, server stream) {
			if err := errors.Join(client.SetLinger(0), client.SetLinger(-1)); err != nil {
				t.Fatal(err)
			}
			mustClose(t, client)
			readFails(t, server, io.EOF)
		}},
		{"linger 0 after the peer's FIN: RST", func(t *testing.T, client, server stream) {
			mustCloseWrite(t, server)
			readFails(t, client, io.EOF)
			mustReset(t, client)
			readFails(t, server, syscall.ECONNRESET)
		}},
		{"FIN, then RST: reading ends well, writing with a broken pipe", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "rest")
			mustCloseWrite(t, client)
			mustReset(t, client)
			mustRead(t, server, "rest")
			readFails(t, server, io.EOF)
			writeFails(t, server, syscall.EPIPE)
			writeFails(t, server, syscall.EPIPE)
			readFails(t, server, io.EOF)
		}},

		{"Close with bytes unread: RST", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "unheard")
			mustRead(t, server, "un")
			mustClose(t, server)
			readFails(t, client, syscall.ECONNRESET)
			readFails(t, client, io.EOF)
			writeFails(t, client, syscall.EPIPE)
		}},
		{"Close with bytes unread wakes a Write", func(t *testing.T, client, server stream) {
			mustWrite(t, client, "unheard")
			mustRead(t, server, "un")
			later(t, func() { server.Close() })
			_, err := client.Write(moreThanFits)
			mustBe(t, err, "write", syscall.ECONNRESET)
			readFails(t, client, io.EOF)
		}},
		{"Write to a peer that has closed: RST comes back", func(t *testing.T, client, server stream) {
			mustWrite(t, server, "rest")
			mustClose(t, server)
			mustWrite(t, client, "lost")
			writeFails(t, client, syscall.EPIPE)
			mustRead(t, client, "rest")
			readFails(t, client, io.EOF)
			mustBe(t, client.CloseWrite(), "close", syscall.ENOTCONN)
			mustClose(t, client)
		}},

		{"everything on a closed end", func(t *testing.T, client, server stream) {
			mustWrite(t, server, "unread")
			mustClose(t, client)
			readFails(t, client, net.ErrClosed)
			writeFails(t, client, net.ErrClosed)
			_, err := client.Read(nil)
			mustBe(t, err, "read", net.ErrClosed)
			mustBe(t, client.Close(), "close", net.ErrClosed)
			mustBe(t, client.CloseWrite(), "close", net.ErrClosed)
			mustBe(t, client.SetLinger(0), "set", net.ErrClosed)
			mustBe(t, client.SetDeadline(time.Time{}), "set", net.ErrClosed)
			mustBe(t, client.SetReadDeadline(time.Time{}), "set", net.ErrClosed)
			mustBe(t, client.SetWriteDeadline(time.Time{}), "set", net.ErrClosed)
		}},
		{"Close wakes a Read of the same end", func(t *testing.T, client, server stream) {
			later(t, func() { client.Close() })
			readFails(t, client, net.ErrClosed)
		}},
		{"Close wakes a Write of the same end", func(t *testing.T, client, server stream) {
			later(t, func() { client.Close() })
			_, err := client.Write(moreThanFits)
			mustBe(t, err, "write", net.ErrClosed)
		}},

		{"read deadline", func(t *testing.T, client, server stream) {
			began := time.Now()
			client.SetReadDeadline(began.Add(20 * time.Millisecond))
			readFails(t, client, os.ErrDeadlineExceeded)
			readFails(t, client, os.ErrDeadlineExceeded)
			if took := time.Since(began); took < 20*time.Millisecond {
				t.Fatalf("the deadline passed after %v", took)
			}
			mustWrite(t, client, "unhindered")
			mustRead(t, server, "unhindered")

			mustWrite(t, server, "late")
			readFails(t, client, os.ErrDeadlineExceeded)
			client.SetReadDeadline(time.Time{})
			mustRead(t, client, "late")
		}},
		{"timeouts say that they are", func(t *testing.T, client, server stream) {
			client.SetDeadline(time.Unix(1, 0))
			_, err := client.Read(make([]byte, 1))
			_, err2 := client.Write(nil)
			for _, err := range []error{err, err2} {
				if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
					t.Fatalf("error %v of type %T, want a net.Error with Timeout() true", err, err)
				}
			}
		}},
		{"a deadline that is set takes effect on a Read that waits", func(t *testing.T, client, server stream) {
			later(t, func() { client.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) })
			readFails(t, client, os.ErrDeadlineExceeded)
		}},
		{"a deadline that is moved lets a Read wait longer", func(t *testing.T, client, server stream) {
			client.SetReadDeadline(time.Now().Add(10 * time.Second))
			later(t, func() { client.SetReadDeadline(time.Time{}); io.WriteString(server, "come") })
			mustRead(t, client, "come")
		}},
		{"write deadline and backpressure", func(t *testing.T, client, server stream) {
			client.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			n, err := client.Write(moreThanFits)
			mustBe(t, err, "write", os.ErrDeadlineExceeded)
			if n == 0 || n == len(moreThanFits) {
				t.Fatalf("Write took %d bytes of %d, want a part", n, len(moreThanFits))
			}
			writeFails(t, client, os.ErrDeadlineExceeded)

			client.SetWriteDeadline(time.Now().Add(patience))
			rest := make(chan error, 1)
			go func() {
				_, err := client.Write(moreThanFits[n:])
				client.CloseWrite()
				rest <- err
			}()
			got, err := io.ReadAll(server)
			if len(got) != len(moreThanFits) || err != nil {
				t.Fatalf("read %d bytes and error %v, want %d", len(got), err, len(moreThanFits))
			}
			if err := <-rest; err != nil {
				t.Fatal(err)
			}
		}},
		{"a deadline that is set takes effect on a Write that waits", func(t *testing.T, client, server stream) {
			later(t, func() { client.SetWriteDeadline(time.Now()) })
			_, err := client.Write(moreThanFits)
			mustBe(t, err, "write", os.ErrDeadlineExceeded)
			client.SetReadDeadline(time.Now().Add(patience))
			mustWrite(t, server, "unhindered")
			mustRead(t, client, "unhindered")
		}},
		{"the bytes of two Writes do not mix", func(t *testing.T, client, server stream) {
			const writers, size = 8, 300_000
			for i := range writers {
				go io.WriteString(client, strings.Repeat(string(rune('a'+i)), size))
			}
			begin := make(chan struct{})
			later(t, func() { close(begin) })
			<-begin
			got := make([]byte, writers*size)
			if _, err := io.ReadFull(server, got); err != nil {
				t.Fatal(err)
			}
			for part := range slices.Chunk(got, size) {
				if bytes.Count(part, part[:1]) != size {
					t.Fatal("bytes of one Write came between those of another")
				}
			}
		}},
	}
	for _, manner := range manners {
		t.Run(manner.name, func(t *testing.T) {
			t.Parallel()
			inEachWorld(t, func(t *testing.T, w *world) {
				client, server := w.pair(t)
				manner.play(t, client, server)
				// Also keeps both ends alive to here: the garbage collector closes a TCP socket that nobody uses.
				client.Close()
				server.Close()
			})
		})
	}
}

// moreThanFits is more than the buffers of a connection hold, the sender's and the receiver's together.
var moreThanFits = make([]byte, 4<<20)

func mustCloseBoth(t *testing.T, client, server stream) {
	t.Helper()
	for _, c := range []stream{client, server} {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Fatal(err)
		}
	}
}

// TestListening is the part of TestManners in which connections begin.
func TestListening(t *testing.T) {
	t.Parallel()
	manners := []struct {
		name string
		play func(t *testing.T, w *world, l net.Listener)
	}{
		{"the address has the host that was asked for and a port", func(t *testing.T, w *world, l net.Listener) {
			host, port, err := net.SplitHostPort(l.Addr().String())
			if host != w.host || port == "0" || err != nil || l.Addr().Network() != "tcp" {
				t.Fatalf("address %v, %v", l.Addr(), err)
			}
		}},
		{"an address is taken once", func(t *testing.T, w *world, l net.Listener) {
			_, err := w.listen(l.Addr().String())
			mustBe(t, err, "listen", syscall.EADDRINUSE)
		}},
		{"nobody listening: refused", func(t *testing.T, w *world, l net.Listener) {
			client := w.connect(t, l) // its port is in use, so nobody else can begin to listen there
			_, err := w.dial(t.Context(), "tcp", client.LocalAddr().String())
			mustBe(t, err, "dial", syscall.ECONNREFUSED)
		}},
		{"the connection stands before it is accepted", func(t *testing.T, w *world, l net.Listener) {
			client := w.connect(t, l)
			mustWrite(t, client, "early")
			mustCloseWrite(t, client)
			server := w.accept(t, l)
			mustRead(t, server, "early")
			readFails(t, server, io.EOF)
			mustWrite(t, server, "answer")
			mustRead(t, client, "answer")
		}},
		{"first come, first accepted", func(t *testing.T, w *world, l net.Listener) {
			for _, name := range []string{"one", "two", "three"} {
				mustWrite(t, w.connect(t, l), name)
			}
			for _, name := range []string{"one", "two", "three"} {
				mustRead(t, w.accept(t, l), name)
			}
		}},
		{"a dialer that gave up before it was accepted", func(t *testing.T, w *world, l net.Listener) {
			client := w.connect(t, l)
			mustWrite(t, client, "early")
			mustReset(t, client)
			server := w.accept(t, l)
			mustRead(t, server, "early")
			readFails(t, server, syscall.ECONNRESET)
		}},
		{"Accept waits for a dialer", func(t *testing.T, w *world, l net.Listener) {
			later(t, func() {
				c, err := w.dial(context.Background(), "tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(c, "here")
				c.Close()
			})
			mustRead(t, w.accept(t, l), "here")
		}},
		{"Close resets what was not accepted and leaves what was", func(t *testing.T, w *world, l net.Listener) {
			early := w.connect(t, l)
			server := w.accept(t, l)
			queued, silent := w.connect(t, l), w.connect(t, l)
			mustWrite(t, queued, "unheard")
			mustClose(t, l)
			readFails(t, queued, syscall.ECONNRESET)
			readFails(t, silent, syscall.ECONNRESET)
			mustWrite(t, early, "heard")
			mustRead(t, server, "heard")
		}},
		{"Close wakes Accept", func(t *testing.T, w *world, l net.Listener) {
			later(t, func() { l.Close() })
			_, err := l.Accept()
			mustBe(t, err, "accept", net.ErrClosed)
		}},
		{"a closed listener", func(t *testing.T, w *world, l net.Listener) {
			w.connect(t, l)
			mustClose(t, l)
			_, err := l.Accept()
			mustBe(t, err, "accept", net.ErrClosed)
			mustBe(t, l.Close(), "close", net.ErrClosed)
		}},
		{"dialing with a context that is done", func(t *testing.T, w *world, l net.Listener) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := w.dial(ctx, "tcp", l.Addr().String())
			mustBe(t, err, "dial", context.Canceled)
		}},
		{"addresses that are none", func(t *testing.T, w *world, l net.Listener) {
			for _, address := range []string{w.host, w.host + ":65536", w.host + ":-1", "a:b:1"} {
				var malformed *net.AddrError
				if _, err := w.dial(t.Context(), "tcp", address); !errors.As(err, &malformed) {
					t.Errorf("dialing %q: %v, want a *net.AddrError", address, err)
				}
				if _, err := w.listen(address); !errors.As(err, &malformed) {
					t.Errorf("listening on %q: %v, want a *net.AddrError", address, err)
				}
			}
		}},
		{"networks that are none", func(t *testing.T, w *world, l net.Listener) {
			_, err := w.dial(t.Context(), "carrier-pigeon", l.Addr().String())
			var unknown net.UnknownNetworkError
			if !errors.As(err, &unknown) {
				t.Fatalf("error %v, want a net.UnknownNetworkError", err)
			}
		}},
	}
	for _, manner := range manners {
		t.Run(manner.name, func(t *testing.T) {
			t.Parallel()
			inEachWorld(t, func(t *testing.T, w *world) { manner.play(t, w, w.serve(t)) })
		})
	}
}

func (w *world) accept(t *testing.T, l net.Listener) stream {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return ready(t, c)
}
