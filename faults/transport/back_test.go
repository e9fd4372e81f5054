package transport_test

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/faults/transport"
)

// TestBackRefuses has brokers that a client must not take. A Front with a fault stands for them.
func TestBackRefuses(t *testing.T) {
	t.Parallel()
	says := func(text string) func(error) bool {
		return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
	}
	trusting := &tls.Config{RootCAs: ca().Pool(), ServerName: host}
	for _, c := range []struct {
		fault transport.Fault
		back  transport.Back
		want  func(error) bool
	}{
		{transport.UnknownCA(), transport.Back{TLS: trusting}, is[x509.UnknownAuthorityError]},
		{transport.AlertInsteadOfHello(transport.HandshakeFailure), transport.Back{TLS: trusting}, says("handshake failure")},
		{transport.Stall(transport.AfterByte(0), 0), transport.Back{TLS: trusting, Timeout: 7 * time.Second},
			says("no handshake in time: 7s")},
		{transport.Status(404), transport.Back{WebSocket: true}, says("status 404: is /mqtt the path of its WebSocket?")},
		{transport.WrongAccept(), transport.Back{WebSocket: true}, says("Sec-WebSocket-Accept")},
		{transport.NoSubprotocol(), transport.Back{WebSocket: true}, says("does not agree to the subprotocol mqtt")},
		{transport.Subprotocol("chat"), transport.Back{WebSocket: true}, says("protocol")},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newMemory(t)
				options := transport.Options{WebSocket: c.back.WebSocket}
				if c.back.TLS != nil {
					options.Authority, options.Names = ca(), []string{host}
				}
				front := newFront(t, options)
				add(t, front, c.fault.Times(1))
				c.back.Dial = n.dial
				accepted := n.accept(t, front)
				if conn, err := c.back.Connect(t.Context()); !c.want(err) {
					t.Errorf("got %v, %v", conn, err)
				}
				if at := <-accepted; at.err == nil {
					_ = at.stream.Close()
				}
				n.connect(t, front, c.back) // without the fault
			})
		})
	}
}

func TestBackNeedsAName(t *testing.T) {
	t.Parallel()
	n := newLoopback(t)
	if _, err := (transport.Back{Dial: n.dial, TLS: &tls.Config{}}).Connect(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "ServerName") {
		t.Errorf("got %v", err)
	}
}

// TestFaultThatIsNotMet has connections that end before a fault can do anything: they do not count.
func TestFaultThatIsNotMet(t *testing.T) {
	t.Parallel()
	_ = ca()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}})
		armed := add(t, front, transport.UnknownCA().Times(1))
		far := add(t, front, transport.Stall(transport.AfterByte(1<<20), 0))
		accepted := n.accept(t, front)
		conn, err := n.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close() // as a port scanner does
		if at := <-accepted; at.err == nil || armed.Fired() != 0 {
			t.Errorf("got %v, fired %d times", at.err, armed.Fired())
		}
		config := &tls.Config{RootCAs: ca().Pool(), ServerName: host}
		if a := n.tryTLS(t, front, config); a.err == nil || armed.Fired() != 1 {
			t.Errorf("got %v, fired %d times", a.err, armed.Fired())
		}
		if a := n.tryTLS(t, front, config); a.err != nil || armed.Fired() != 1 || far.Fired() != 0 {
			t.Errorf("got %v, fired %d and %d times", a.err, armed.Fired(), far.Fired())
		}
	})
}
