package simnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnknownHost(t *testing.T) {
	t.Parallel()
	n := New()
	_, err := n.DialContext(t.Context(), "tcp", "broker:1883")
	var notFound *net.DNSError
	if !errors.As(err, &notFound) || !notFound.IsNotFound || notFound.Name != "broker" {
		t.Fatalf("host that never was: %v, want a *net.DNSError that says so", err)
	}
	_, err = n.DialContext(t.Context(), "tcp", "192.0.2.1:1883") // needs no name server
	mustBe(t, err, "dial", syscall.ECONNREFUSED)

	l, err := n.Listen("broker:1883")
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.DialContext(t.Context(), "tcp", "broker:8883")
	mustBe(t, err, "dial", syscall.ECONNREFUSED)
	mustClose(t, l)
	_, err = n.DialContext(t.Context(), "tcp", "broker:1883")
	mustBe(t, err, "dial", syscall.ECONNREFUSED)
}

func TestListenNeedsAHost(t *testing.T) {
	t.Parallel()
	var malformed *net.AddrError
	if _, err := New().Listen(":1883"); !errors.As(err, &malformed) {
		t.Fatalf("error %v, want a *net.AddrError", err)
	}
}

func TestNetworksAreApart(t *testing.T) {
	t.Parallel()
	one, other := New(), New()
	for _, n := range []*Network{one, other} {
		l, err := n.Listen("broker:1883")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	n := New()
	const ports = lastPort - firstPort + 1
	first, err := n.Listen("broker:0")
	if err != nil {
		t.Fatal(err)
	}
	for range ports - 1 {
		if _, err := n.Listen("broker:0"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = n.Listen("broker:0")
	mustBe(t, err, "listen", syscall.EADDRNOTAVAIL)

	// Each dialer keeps its port while it is open, however many come and go beside it.
	dial := func() (net.Conn, error) { return n.DialContext(t.Context(), "tcp", first.Addr().String()) }
	kept, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	for range ports + 1 {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		if c.LocalAddr() == kept.LocalAddr() {
			t.Fatalf("port of %v given twice", c.LocalAddr())
		}
		mustClose(t, c)
		for range 2 { // one for kept, in the first round
			select {
			case <-first.(*listener).queue:
			default:
			}
		}
	}

	// A port that was given back is there to be taken again.
	address := first.Addr().String()
	mustClose(t, first)
	again, err := n.Listen("broker:0")
	if err != nil || again.Addr().String() != address {
		t.Fatalf("listening on %v, %v, want %s, the only one free", again.Addr(), err, address)
	}
}

// full returns a network with a listener whose queue is full.
func full(t *testing.T) (*Network, net.Listener) {
	n := New()
	l, err := n.Listen("broker:1883")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for range backlog {
		if _, err := n.DialContext(t.Context(), "tcp", "broker:1883"); err != nil {
			t.Fatal(err)
		}
	}
	return n, l
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	events := []struct {
		name   string
		happen func(l net.Listener)
		want   error
		after  time.Duration
	}{
		{"nothing happens", func(net.Listener) {}, context.DeadlineExceeded, time.Hour},
		{"somebody accepts", func(l net.Listener) { l.Accept() }, nil, time.Minute},
		{"the listener is closed", func(l net.Listener) { l.Close() }, syscall.ECONNREFUSED, time.Minute},
	}
	for _, event := range events {
		t.Run(event.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n, l := full(t)
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				time.AfterFunc(time.Minute, func() { event.happen(l) })
				began := time.Now()
				_, err := n.DialContext(ctx, "tcp", "broker:1883")
				if took := time.Since(began); took != event.after {
					t.Errorf("the dialer waited %v, want %v", took, event.after)
				}
				if event.want == nil && err == nil {
					return
				}
				mustBe(t, err, "dial", event.want)
				var timeout net.Error
				if !errors.As(err, &timeout) || timeout.Timeout() != (event.want == context.DeadlineExceeded) {
					t.Errorf("error %v is wrong about being a timeout", err)
				}
				if in := len(n.bound) - 1; event.want == context.DeadlineExceeded && in != backlog {
					t.Errorf("%d dialers' ports in use, want %d: the last one got no connection", in, backlog)
				}
			})
		})
	}
}

// TestCloseMeanwhile closes a listener at the worst moments of a dialer and of Accept: no connection may be left in the
// queue, or handed out, without anybody to serve it.
func TestCloseMeanwhile(t *testing.T) {
	t.Parallel()
	for range 100 { // what comes first is for a select to choose, at random
		l := &listener{queue: make(chan *Conn, backlog), closed: make(chan struct{})}
		close(l.closed)
		dialed, accepted := newPair("dialer:1", "broker:1", nil)
		if err := l.enqueue(t.Context(), accepted); err != nil {
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatal(err)
			}
			refuse(accepted)
		}
		readFails(t, ready(t, dialed), syscall.ECONNRESET)

		dialed, accepted = newPair("dialer:1", "broker:1", nil)
		l.queue <- accepted
		_, err := l.Accept()
		mustBe(t, err, "accept", net.ErrClosed)
		l.resetQueued()
		readFails(t, ready(t, dialed), syscall.ECONNRESET)
	}
}

// TestVirtualTime waits for an hour in every operation that can wait.
func TestVirtualTime(t *testing.T) {
	t.Parallel()
	waits := []struct {
		name string
		wait func(client, server stream, l net.Listener) error
		want error
	}{
		{"Read", func(client, _ stream, _ net.Listener) error {
			client.SetReadDeadline(time.Now().Add(time.Hour))
			_, err := client.Read(make([]byte, 1))
			return err
		}, os.ErrDeadlineExceeded},
		{"Write", func(client, _ stream, _ net.Listener) error {
			client.SetWriteDeadline(time.Now().Add(time.Hour))
			n, err := client.Write(make([]byte, 2*bufferSize))
			if n != bufferSize {
				return fmt.Errorf("wrote %d bytes, want %d: %w", n, bufferSize, err)
			}
			return err
		}, os.ErrDeadlineExceeded},
		{"Read and Write at once", func(client, _ stream, _ net.Listener) error {
			client.SetReadDeadline(time.Now().Add(2 * time.Hour)) // not this one's business
			client.SetWriteDeadline(time.Now().Add(time.Hour))
			go client.Read(make([]byte, 1))
			_, err := client.Write(make([]byte, 2*bufferSize))
			return err
		}, os.ErrDeadlineExceeded},
		{"two Reads", func(client, _ stream, _ net.Listener) error {
			client.SetReadDeadline(time.Now().Add(time.Hour))
			both := make(chan error)
			for range 2 {
				go func() {
					_, err := client.Read(make([]byte, 1))
					both <- err
				}()
			}
			return errors.Join(<-both, <-both)
		}, os.ErrDeadlineExceeded},
		{"two Reads, one of them in vain", func(client, server stream, _ net.Listener) error {
			client.SetReadDeadline(time.Now().Add(time.Hour))
			both := make(chan error)
			for range 2 {
				go func() {
					_, err := client.Read(make([]byte, 1))
					both <- err
				}()
			}
			server.Write([]byte("x"))
			if err := <-both; err != nil {
				return err
			}
			return <-both
		}, os.ErrDeadlineExceeded},
		{"Accept", func(_, _ stream, l net.Listener) error {
			time.AfterFunc(time.Hour, func() { l.Close() })
			_, err := l.Accept()
			return err
		}, net.ErrClosed},
	}
	for _, wait := range waits {
		t.Run(wait.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := simulated("bubble")
				l := w.serve(t)
				client := w.connect(t, l)
				server := w.accept(t, l)
				client.SetDeadline(time.Time{})
				began := time.Now()
				if err := wait.wait(client, server, l); !errors.Is(err, wait.want) {
					t.Errorf("error %v, want %v", err, wait.want)
				}
				if took := time.Since(began); took != time.Hour {
					t.Errorf("took %v, want an hour", took)
				}
			})
		})
	}
}

// TestNextWriter shows that a Write that waits for its turn gets it when the one before is done, not only when the
// peer reads again.
func TestNextWriter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := simulated("bubble").pair(t)
		written := make(chan error)
		for _, size := range []int{bufferSize + 1, 1, 1, 1} {
			go func() {
				_, err := client.Write(make([]byte, size))
				written <- err
			}()
			synctest.Wait()
		}
		mustRead(t, server, string(make([]byte, 100)))
		for range 4 {
			if err := <-written; err != nil {
				t.Error(err)
			}
		}
	})
}

// TestNoTimerIsLeft shows that a deadline costs a timer only while somebody waits for it.
func TestNoTimerIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, server := simulated("bubble").pair(t)
		reading := make(chan error)
		go func() {
			_, err := server.Read(make([]byte, 1))
			reading <- err
		}()
		synctest.Wait()
		timer := server.(*Conn).reads.timer
		if timer == nil {
			t.Fatal("no timer while a Read with a deadline waits")
		}
		mustWrite(t, client, "x")
		if err := <-reading; err != nil {
			t.Fatal(err)
		}
		if timer.Stop() {
			t.Error("the timer still runs after the Read")
		}
	})
}

// TestCloseUnderLoad closes everything while every operation is under way. The bubble fails the test where anybody
// is left waiting.
func TestCloseUnderLoad(t *testing.T) {
	t.Parallel()
	closings := []struct {
		name  string
		close func(c stream)
	}{
		{"FIN", func(c stream) { c.Close() }},
		{"RST", func(c stream) { c.SetLinger(0); c.Close() }},
		{"half-close", func(c stream) { c.CloseWrite(); c.Close() }},
		{"twice at once", func(c stream) { go c.Close(); c.Close() }},
	}
	for _, closing := range closings {
		t.Run(closing.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := New()
				l, err := n.Listen("broker:1883")
				if err != nil {
					t.Fatal(err)
				}
				chatter := func(c net.Conn, pause time.Duration) {
					for range 3 {
						go func() {
							for p := make([]byte, 100_000); ; {
								if _, err := c.Write(p); err != nil {
									return
								}
							}
						}()
						go func() {
							for p := make([]byte, 10_000); ; time.Sleep(pause) {
								if _, err := c.Read(p); err != nil {
									return
								}
							}
						}()
					}
				}
				for range 2 {
					go func() {
						for {
							c, err := l.Accept()
							if err != nil {
								return
							}
							chatter(c, time.Millisecond)
							time.AfterFunc(700*time.Millisecond, func() { closing.close(c.(stream)) })
						}
					}()
				}
				for i := range 20 {
					go func() {
						c, err := n.DialContext(t.Context(), "tcp", "broker:1883")
						if err != nil {
							return
						}
						c.SetDeadline(time.Now().Add(time.Minute))
						chatter(c, time.Duration(i)*time.Millisecond)
						time.AfterFunc(time.Duration(i)*100*time.Millisecond, func() { closing.close(c.(stream)) })
					}()
				}
				time.Sleep(3 * time.Second)
				mustClose(t, l)
				synctest.Wait()
				if len(n.bound) != 0 {
					t.Errorf("addresses still in use: %v", n.bound)
				}
			})
		})
	}
}
