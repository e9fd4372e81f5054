package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/faults/authority"
	"mqtthil/faults/transport"
	"mqtthil/harness/simnet"
	"mqtthil/harness/timeline"
)

// host is the name that the bench has in tests, on both networks: everything dials what it is given.
const host = "bench.local"

// ca is the authority of all tests. It is made once, since nothing of it changes.
var ca = sync.OnceValue(func() *authority.Authority { return mustAuthority(authority.Options{}) })

func mustAuthority(options authority.Options) *authority.Authority {
	a, err := authority.New(options)
	if err != nil {
		panic(err)
	}
	return a
}

func mustClient(a *authority.Authority) tls.Certificate {
	certificate, err := a.Client("device")
	if err != nil {
		panic(err)
	}
	return certificate
}

// way is a transport, with the options of both its ends.
type way struct {
	name  string
	front transport.Options
	back  transport.Back
}

// ways are all transports. Each has a certificate of its own for the client, where it needs one.
func ways() []way {
	server := transport.Options{Authority: ca(), Names: []string{host}}
	client := &tls.Config{RootCAs: ca().Pool(), ServerName: host}
	proving := client.Clone()
	proving.Certificates = []tls.Certificate{mustClient(ca())}
	all := []way{
		{name: "tcp"},
		{name: "tls", front: server, back: transport.Back{TLS: client}},
		{name: "mutual tls", front: server, back: transport.Back{TLS: proving}},
		{name: "ws"},
		{name: "wss", front: server, back: transport.Back{TLS: client}},
		{name: "wss, mutual tls", front: server, back: transport.Back{TLS: proving}},
	}
	for i := range all {
		all[i].front.ClientCertificate = strings.Contains(all[i].name, "mutual")
		all[i].front.WebSocket = strings.HasPrefix(all[i].name, "ws")
		all[i].front.Path = "/mqtt"
		all[i].back.WebSocket = all[i].front.WebSocket
	}
	return all
}

// onNetworks runs a test over the network in memory, in virtual time, and over loopback.
func onNetworks(t *testing.T, test func(t *testing.T, n network)) {
	t.Run("virtual", func(t *testing.T) {
		t.Parallel()
		_ = ca() // made outside of the bubble
		synctest.Test(t, func(t *testing.T) { test(t, newMemory(t)) })
	})
	t.Run("loopback", func(t *testing.T) {
		t.Parallel()
		test(t, newLoopback(t))
	})
}

// network is a listener and the way to it.
type network struct {
	net.Listener
	dial  func(ctx context.Context) (net.Conn, error)
	other func(testing.TB) network // of the same kind
}

func newMemory(t testing.TB) network {
	t.Helper()
	memory := simnet.New()
	listener, err := memory.Listen(host + ":8883")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return network{listener, func(ctx context.Context) (net.Conn, error) {
		return memory.DialContext(ctx, "tcp", host+":8883")
	}, newMemory}
}

func newLoopback(t testing.TB) network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return network{listener, func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "tcp", listener.Addr().String())
	}, newLoopback}
}

// result is what came of the handshakes of one side.
type result struct {
	stream transport.Stream
	err    error
}

// accept takes the next connection, on a goroutine of its own, as the proxy does.
func (n network) accept(t testing.TB, front *transport.Front) <-chan result {
	t.Helper()
	results := make(chan result, 1)
	go func() {
		conn, err := n.Accept()
		if err != nil {
			results <- result{nil, err}
			return
		}
		accepted, err := front.Accept(transport.WithConnection(context.Background(), 7), conn)
		if err != nil {
			results <- result{nil, err}
			return
		}
		results <- result{accepted.(transport.Stream), nil}
	}()
	return results
}

func newFront(t testing.TB, options transport.Options) *transport.Front {
	t.Helper()
	front, err := transport.NewFront(options)
	if err != nil {
		t.Fatal(err)
	}
	return front
}

func add(t testing.TB, front *transport.Front, fault transport.Fault) *transport.Armed {
	t.Helper()
	armed, err := front.Add(fault)
	if err != nil {
		t.Fatal(err)
	}
	return armed
}

// connect makes the two ends of a connection. The device is a Back, which stands for a client without faults.
func (n network) connect(t testing.TB, front *transport.Front, back transport.Back) (device, bench transport.Stream) {
	t.Helper()
	accepted := n.accept(t, front)
	back.Dial = n.dial
	conn, err := back.Connect(t.Context())
	if err != nil {
		t.Fatalf("device: %v", err)
	}
	at := <-accepted
	if at.err != nil {
		t.Fatalf("bench: %v", at.err)
	}
	device, bench = conn.(transport.Stream), at.stream
	t.Cleanup(func() { _, _ = device.Close(), bench.Close() })
	return device, bench
}

// read reads n bytes, or fewer where the stream ends.
func read(t testing.TB, conn net.Conn, n int) []byte {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	p := make([]byte, n)
	got, err := io.ReadFull(conn, p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after %d bytes: %v", got, err)
	}
	return p[:got]
}

func write(t testing.TB, conn net.Conn, p []byte) {
	t.Helper()
	if n, err := conn.Write(p); n != len(p) || err != nil {
		t.Errorf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

// expect reads what is to come.
func expect(t testing.TB, conn net.Conn, want string) {
	t.Helper()
	if got := read(t, conn, len(want)); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// tap notes what is written to and read from a connection.
type tap struct {
	transport.Stream
	mu      sync.Mutex
	written [][]byte
	got     bytes.Buffer
}

func (c *tap) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.written = append(c.written, bytes.Clone(p))
	c.mu.Unlock()
	return c.Stream.Write(p)
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	c.mu.Lock()
	c.got.Write(p[:n])
	c.mu.Unlock()
	return n, err
}

func (c *tap) writes() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.written)
}

func (c *tap) received() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.got.Bytes())
}

// struck are the faults of a record, in order.
func struck(rec *timeline.Recorder) (texts []string) {
	for _, e := range rec.Events() {
		if e.Kind == timeline.KindFault && e.Conn == 7 {
			texts = append(texts, e.Fault.Text)
		}
	}
	return texts
}
