package faults

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/simnet"
	"mqtthil/harness/timeline"
)

// unhex reads bytes as the tables write them.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return b
}

// Packets that many tests send.
var (
	connectPacket = []byte("\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03dut")
	connackPacket = []byte("\x20\x02\x00\x00")
)

// publishPacket is a PUBLISH to topic t with QoS 1 and a payload.
func publishPacket(id byte, payload string) []byte {
	return append([]byte{0x32, byte(5 + len(payload)), 0, 1, 't', 0, id}, payload...)
}

// network is what the proxy and its peers talk over.
type network struct {
	listen   func() (net.Listener, error)
	listenAt func(address string) (net.Listener, error)
	dial     func(ctx context.Context, address string) (net.Conn, error)
	virtual  bool // time is virtual, so that waiting for what must not come costs nothing
}

func loopback() network {
	var dialer net.Dialer
	return network{
		listen:   func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		listenAt: func(address string) (net.Listener, error) { return net.Listen("tcp", address) },
		dial: func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		},
	}
}

func simulated() network {
	n := simnet.New()
	return network{
		virtual:  true,
		listen:   func() (net.Listener, error) { return n.Listen("bench:0") },
		listenAt: func(address string) (net.Listener, error) { return n.Listen(address) },
		dial: func(ctx context.Context, address string) (net.Conn, error) {
			return n.DialContext(ctx, "tcp", address)
		},
	}
}

// onBoth runs a test over loopback TCP in real time, and over a simulated network in virtual time.
func onBoth(t *testing.T, test func(t *testing.T, n network)) {
	t.Helper()
	t.Run("loopback", func(t *testing.T) {
		t.Parallel()
		test(t, loopback())
	})
	t.Run("bubble", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { test(t, simulated()) })
	})
}

// inBubble runs a test in virtual time only, for what depends on the time.
func inBubble(t *testing.T, test func(t *testing.T, n network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, simulated()) })
}

// setup is a proxy between a device and a broker that the test plays itself.
type setup struct {
	t       testing.TB
	rec     *timeline.Recorder
	proxy   *Proxy
	network network
	address string // of the proxy
	broker  net.Listener
}

func newSetup(t testing.TB, n network) *setup {
	t.Helper()
	return newSetupWith(t, n, Options{})
}

func newSetupWith(t testing.TB, n network, options Options) *setup {
	t.Helper()
	s := &setup{t: t, rec: timeline.NewRecorder(nil), network: n}
	s.broker = s.listen()
	options.Record = s.rec
	options.Dial = func(ctx context.Context) (net.Conn, error) { return n.dial(ctx, s.broker.Addr().String()) }
	options.Listen = n.listenAt
	s.proxy = New(options)
	front := s.listen()
	s.address = front.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.proxy.Serve(front); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		s.proxy.Close()
		serving.Wait()
		s.broker.Close()
	})
	return s
}

func (s *setup) listen() net.Listener {
	s.t.Helper()
	l, err := s.network.listen()
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// connect returns the two outer ends of a connection through the proxy.
func (s *setup) connect() (device, broker *peer) {
	s.t.Helper()
	conn, err := s.network.dial(s.t.Context(), s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	device = newPeer(s.t, conn)
	conn, err = s.broker.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	return device, newPeer(s.t, conn)
}

// connectMQTT is connect with CONNECT and CONNACK exchanged.
func (s *setup) connectMQTT() (device, broker *peer) {
	s.t.Helper()
	device, broker = s.connect()
	device.write(connectPacket)
	broker.wantBytes(connectPacket)
	broker.write(connackPacket)
	device.wantBytes(connackPacket)
	return device, broker
}

// waitFor returns the record once it contains an event that fits.
func (s *setup) waitFor(what string, fits func(timeline.Event) bool) []timeline.Event {
	s.t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		changed := s.rec.Changed()
		if events := s.rec.Events(); slices.ContainsFunc(events, fits) {
			return events
		}
		select {
		case <-changed:
		case <-limit.C:
			s.t.Fatalf("no %s in the record:\n%s", what, s.record())
		}
	}
}

// waitForClose waits for the end of a side.
func (s *setup) waitForClose(at timeline.Point, how string) {
	s.t.Helper()
	s.waitFor(string(at)+" "+how, func(e timeline.Event) bool {
		return e.Kind == timeline.KindClose && e.Point == at && e.Text == how
	})
}

// record is the record in words, a line for each event.
func (s *setup) record() string {
	return strings.Join(s.lines(func(timeline.Event) bool { return true }), "\n")
}

// lines are the events that fit, in words.
func (s *setup) lines(fits func(timeline.Event) bool) []string {
	var lines []string
	for _, e := range s.rec.Events() {
		if !fits(e) {
			continue
		}
		words := []string{string(e.Kind), string(e.Point), e.Text}
		if e.Packet != nil {
			words = append(words, e.Packet.String())
		}
		if e.Fault != nil {
			words = append(words, e.Fault.Action)
		}
		words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

func ofKind(kind timeline.Kind) func(timeline.Event) bool {
	return func(e timeline.Event) bool { return e.Kind == kind }
}

// peer is the device or the broker of a test.
type peer struct {
	t testing.TB
	net.Conn
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, conn}
}

func (p *peer) write(parts ...[]byte) {
	p.t.Helper()
	if _, err := p.Write(slices.Concat(parts...)); err != nil {
		p.t.Fatalf("writing: %v", err)
	}
}

// wantBytes reads as many bytes as it wants.
func (p *peer) wantBytes(want ...[]byte) {
	p.t.Helper()
	got := make([]byte, len(slices.Concat(want...)))
	n, err := io.ReadFull(p, got)
	if err != nil || !slices.Equal(got, slices.Concat(want...)) {
		p.t.Fatalf("got % x (%v), want % x", got[:n], err, slices.Concat(want...))
	}
}

// wantRest reads to the end.
func (p *peer) wantRest(ending Ending, want ...[]byte) {
	p.t.Helper()
	got, err := io.ReadAll(p)
	if !slices.Equal(got, slices.Concat(want...)) {
		p.t.Errorf("got % x, want % x", got, slices.Concat(want...))
	}
	switch {
	case ending == FIN && err != nil, ending == RST && !errors.Is(err, syscall.ECONNRESET):
		p.t.Errorf("ended with %v, want %s", err, ending)
	}
}

func (p *peer) fin() {
	p.t.Helper()
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) rst() {
	p.t.Helper()
	if err := errors.Join(p.Conn.(interface{ SetLinger(int) error }).SetLinger(0), p.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// wantSilence checks that nothing comes for a minute, neither bytes nor an end.
func (p *peer) wantSilence() {
	p.t.Helper()
	if err := p.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		p.t.Fatal(err)
	}
	got := make([]byte, 1)
	if n, err := p.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Errorf("got % x and %v, want silence", got[:n], err)
	}
	if err := p.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		p.t.Fatal(err)
	}
}
