package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices/mosquittotest"
	"mqtthil/faults/authority"
	"mqtthil/faults/transport"
	"mqtthil/harness/timeline"
)

// attempt is what a client of crypto/tls met.
type attempt struct {
	err  error // of the handshake, or of reading after it
	took time.Duration
	conn *tls.Conn
	tap  *tap
}

// tryTLS connects by crypto/tls, and where that works exchanges a few bytes.
func (n network) tryTLS(t *testing.T, front *transport.Front, config *tls.Config) attempt {
	t.Helper()
	begin := time.Now()
	accepted := n.accept(t, front)
	below, err := n.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := attempt{tap: &tap{Stream: below.(transport.Stream)}}
	a.conn = tls.Client(a.tap, config)
	defer a.conn.Close()
	_ = a.conn.SetDeadline(time.Now().Add(time.Minute))
	a.err = a.conn.Handshake()
	a.took = time.Since(begin)
	if a.err != nil {
		_ = below.Close()
		if at := <-accepted; at.err == nil {
			t.Error("the bench has a connection, the client has none")
			_ = at.stream.Close()
		}
		return a
	}
	const long = 1500
	ended := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, a.conn, long)
		if err != nil {
			_ = below.Close()
		}
		ended <- err
	}()
	at := <-accepted
	if at.err != nil {
		if a.err = <-ended; a.err == nil {
			t.Errorf("the client has a connection, the bench has none: %v", at.err)
		}
		return a
	}
	defer at.stream.Close()
	write(t, a.conn, []byte("ping"))
	expect(t, at.stream, "ping")
	write(t, at.stream, bytes.Repeat([]byte{'x'}, long))
	if err := <-ended; err != nil {
		t.Errorf("the client reads: %v", err)
	}
	return a
}

func TestTLSFaults(t *testing.T) {
	t.Parallel()
	expired := func(err error) bool {
		var invalid x509.CertificateInvalidError
		return errors.As(err, &invalid) && invalid.Reason == x509.Expired
	}
	says := func(text string) func(error) bool {
		return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
	}
	works := func(err error) bool { return err == nil }

	for _, c := range []struct {
		fault    transport.Fault
		text     string
		want     func(error) bool
		versions []uint16 // nil: TLS 1.2 and TLS 1.3
		old      bool     // the client takes old versions, too
		took     time.Duration
		look     func(t *testing.T, a attempt)
	}{
		{fault: transport.WrongName(), text: "certificate for another name",
			want: is[x509.HostnameError]},
		{fault: transport.UnknownCA(), text: "certificate of an unknown CA",
			want: is[x509.UnknownAuthorityError]},
		{fault: transport.ExpiredCertificate(), text: "expired certificate", want: expired},
		{fault: transport.CertificateNotYetValid(), text: "certificate that is not yet valid", want: expired},
		{fault: transport.LargeChain(40_000), text: "certificate chain of 40000 bytes", want: works,
			look: func(t *testing.T, a attempt) {
				sum := 0
				for _, certificate := range a.conn.ConnectionState().PeerCertificates {
					sum += len(certificate.Raw)
				}
				if sum < 40_000 {
					t.Errorf("the chain has %d bytes", sum)
				}
			}},
		{fault: transport.OldVersion(tls.VersionTLS11), text: "nothing newer than TLS 1.1", want: says("protocol version")},
		{fault: transport.OldVersion(tls.VersionTLS11), text: "nothing newer than TLS 1.1", want: works, old: true,
			look: isVersion(tls.VersionTLS11)},
		{fault: transport.OldVersion(tls.VersionTLS10), text: "nothing newer than TLS 1.0", want: works, old: true,
			look: isVersion(tls.VersionTLS10)},
		{fault: transport.OldVersion(tls.VersionTLS12), text: "nothing newer than TLS 1.2", want: works,
			look: isVersion(tls.VersionTLS12)},
		{fault: transport.CertificateRequired(), text: "client certificate required",
			want: func(err error) bool {
				return says("certificate required")(err) || says("bad certificate")(err) || says("handshake failure")(err)
			}},
		{fault: transport.CertificateRequested(), text: "client certificate requested", want: works},
		{fault: transport.AlertInsteadOfHello(transport.AccessDenied),
			text: "alert 49 (access denied) instead of ServerHello", want: says("remote error: tls: access denied")},
		{fault: transport.AlertInsteadOfHello(transport.InternalError),
			text: "alert 80 (internal error) instead of ServerHello", want: says("remote error: tls: internal error")},
		{fault: transport.AlertAfterHandshake(transport.AccessDenied),
			text: "alert 49 (access denied) after the handshake", want: says("remote error: tls: access denied"),
			look: isVersion(tls.VersionTLS12)},
		{fault: transport.AlertAfterHandshake(transport.CloseNotify),
			text: "alert 0 (close notify) after the handshake", want: says("EOF")},
		{fault: transport.Stall(transport.Before(transport.ServerHello), 20*time.Second),
			text: "stall before ServerHello for 20s", want: works, took: 20 * time.Second},
		{fault: transport.Stall(transport.AfterByte(10), 40*time.Second), text: "stall after byte 10 for 40s",
			want: works, took: 40 * time.Second},
		{fault: transport.Stall(transport.Before(transport.Certificate), time.Second),
			text: "stall before Certificate for 1s", want: works, took: time.Second, look: isVersion(tls.VersionTLS12)},
		{fault: transport.Stall(transport.Before(transport.Finished), time.Second),
			text: "stall before Finished for 1s", want: works, took: time.Second, look: isVersion(tls.VersionTLS12)},
		{fault: transport.Stall(transport.AfterByte(0), 0), text: "stall after byte 0 for good",
			want: isTimeout, took: time.Minute,
			look: func(t *testing.T, a attempt) {
				if got := a.tap.received(); len(got) != 0 {
					t.Errorf("%d bytes came before byte 0", len(got))
				}
			}},
		{fault: transport.Stall(transport.AfterByte(100), 0), text: "stall after byte 100 for good",
			want: isTimeout, took: time.Minute,
			look: func(t *testing.T, a attempt) {
				if got := a.tap.received(); len(got) != 100 {
					t.Errorf("%d bytes came, want 100", len(got))
				}
			}},
		{fault: transport.Stall(transport.Before(transport.ServerHelloDone), 0),
			text: "stall before ServerHelloDone for good", want: isTimeout, took: time.Minute,
			look: func(t *testing.T, a attempt) {
				var messages []byte
				for _, record := range records(t, a.tap.received()) {
					messages = append(messages, record[5])
				}
				if want := []byte{2, 11, 12}; !bytes.Equal(messages, want) {
					t.Errorf("messages %d came, want %d", messages, want)
				}
			}},
		{fault: transport.SplitRecords(10), text: "TLS records of no more than 10 bytes", want: works,
			versions: []uint16{tls.VersionTLS12}, look: func(t *testing.T, a attempt) {
				small := 0
				for _, record := range records(t, a.tap.received()) {
					if record[0] != 20 && len(record) > 5+40 { // encrypted: nonce and tag are in it, too
						t.Errorf("a record of %d bytes", len(record))
					}
					if record[0] == 22 && len(record) == 15 {
						small++
					}
				}
				if small < 30 {
					t.Errorf("the handshake came in %d small records", small)
				}
			}},
		{fault: transport.SplitRecords(1), text: "TLS records of no more than 1 bytes", want: works,
			versions: []uint16{tls.VersionTLS13}},
		{fault: transport.SplitSegments(3), text: "TCP segments of no more than 3 bytes", want: works},
	} {
		if c.versions == nil {
			c.versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}
		}
		for _, version := range c.versions {
			name := fmt.Sprintf("%s, %s", c.text, tls.VersionName(version))
			if c.old {
				name += ", old client"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				_ = ca()
				synctest.Test(t, func(t *testing.T) {
					if got := c.fault.String(); got != c.text {
						t.Errorf("text %q, want %q", got, c.text)
					}
					rec := timeline.NewRecorder(nil)
					front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}, Record: rec})
					client := &tls.Config{RootCAs: ca().Pool(), ServerName: host, MaxVersion: version}
					if c.old {
						client.MinVersion = tls.VersionTLS10
					}
					n := newMemory(t)
					if a := n.tryTLS(t, front, client); a.err != nil || a.took != 0 {
						t.Fatalf("without the fault: after %s: %v", a.took, a.err)
					}
					armed := add(t, front, c.fault.Nth(2).Times(1))
					for connection := 1; connection <= 3; connection++ {
						a := n.tryTLS(t, front, client)
						if connection != 2 {
							if a.err != nil || a.took != 0 || a.conn.ConnectionState().Version != version {
								t.Errorf("connection %d, which is sound: after %s: %v", connection, a.took, a.err)
							}
							continue
						}
						if !c.want(a.err) {
							t.Errorf("with the fault: %v", a.err)
						}
						if a.took != c.took {
							t.Errorf("with the fault: it took %s, want %s", a.took, c.took)
						}
						if c.look != nil {
							c.look(t, a)
						}
					}
					want := c.text + ", on the 2nd connection, once"
					if got := struck(rec); armed.Fired() != 1 || len(got) != 1 || got[0] != want {
						t.Errorf("fired %d times, the record has %q, want %q", armed.Fired(), got, want)
					}
				})
			})
		}
	}
}

func isVersion(version uint16) func(t *testing.T, a attempt) {
	return func(t *testing.T, a attempt) {
		t.Helper()
		if got := a.conn.ConnectionState().Version; got != version {
			t.Errorf("version %s, want %s", tls.VersionName(got), tls.VersionName(version))
		}
	}
}

// is says whether an error is one of a type.
func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// records takes a stream of TLS apart.
func records(t *testing.T, stream []byte) (all [][]byte) {
	t.Helper()
	for len(stream) >= 5 {
		n := 5 + int(stream[3])<<8 + int(stream[4])
		if n > len(stream) {
			t.Fatalf("a record of %d bytes, of which %d came", n, len(stream))
		}
		all = append(all, stream[:n])
		stream = stream[n:]
	}
	return all
}

// TestCloseNotify looks at how TLS connections end: with close_notify, but for the fault that leaves it out.
func TestCloseNotify(t *testing.T) {
	t.Parallel()
	_ = ca()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}})
		armed := add(t, front, transport.NoCloseNotify().Nth(2))
		for connection := 1; connection <= 2; connection++ {
			accepted := n.accept(t, front)
			below, err := n.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			noted := &tap{Stream: below.(transport.Stream)}
			client := tls.Client(noted, &tls.Config{RootCAs: ca().Pool(), ServerName: host, MaxVersion: tls.VersionTLS12})
			if err := client.Handshake(); err != nil {
				t.Fatal(err)
			}
			at := <-accepted
			before := len(noted.received())
			_ = at.stream.Close()
			if _, err := client.Read(make([]byte, 1)); err == nil {
				t.Error("no end")
			}
			end := noted.received()[before:]
			if alert := len(end) > 0 && end[0] == 21; alert != (connection == 1) {
				t.Errorf("connection %d ends with % x", connection, end)
			}
			_ = client.Close()
		}
		if armed.Fired() != 1 {
			t.Errorf("fired %d times", armed.Fired())
		}
	})
}

// TestClientLeavesStall has the device give up while the bench lets it wait.
func TestClientLeavesStall(t *testing.T) {
	t.Parallel()
	for _, rude := range []bool{false, true} {
		_ = ca()
		synctest.Test(t, func(t *testing.T) {
			n := newMemory(t)
			front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}})
			add(t, front, transport.Stall(transport.Before(transport.ServerHello), 0))
			accepted := n.accept(t, front)
			below, err := n.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if rude {
				_ = below.(transport.Stream).SetLinger(0)
			}
			if err := tls.Client(below, &tls.Config{ServerName: host}).HandshakeContext(ctx); err == nil {
				t.Error("a handshake that stalls for good has come about")
			}
			at := <-accepted
			if took := time.Since(begin); took != 10*time.Second || at.err == nil ||
				!strings.Contains(at.err.Error(), "the device has left while the handshake was stalled") {
				t.Errorf("after %s: %v", took, at.err)
			}
		})
	}
}

// eager sends a record behind its first one, before it has an answer. TLS 1.3 has servers leave that one out of account.
type eager struct {
	net.Conn
	begun bool
}

func (c *eager) Write(p []byte) (int, error) {
	if !c.begun {
		c.begun = true
		p = append(bytes.Clone(p), 20, 3, 3, 0, 1, 1)
		n, err := c.Conn.Write(p)
		return n - 6, err
	}
	return c.Conn.Write(p)
}

// TestStallOfEagerClient has what comes during a stall read after it.
func TestStallOfEagerClient(t *testing.T) {
	t.Parallel()
	_ = ca()
	synctest.Test(t, func(t *testing.T) {
		n := newMemory(t)
		front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}})
		add(t, front, transport.Stall(transport.Before(transport.ServerHello), time.Second))
		accepted := n.accept(t, front)
		below, err := n.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		client := tls.Client(&eager{Conn: below}, &tls.Config{RootCAs: ca().Pool(), ServerName: host})
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		at := <-accepted
		write(t, client, []byte("ping"))
		expect(t, at.stream, "ping")
		_, _ = client.Close(), at.stream.Close()
	})
}

// TestMutualTLSRefuses has clients that cannot prove themselves.
func TestMutualTLSRefuses(t *testing.T) {
	t.Parallel()
	stranger := mustClient(mustAuthority(authority.Options{Name: "another CA"}))
	for name, certificates := range map[string][]tls.Certificate{"nothing": nil, "another authority's": {stranger}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_ = ca()
			synctest.Test(t, func(t *testing.T) {
				n := newMemory(t)
				front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}, ClientCertificate: true})
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					config := &tls.Config{RootCAs: ca().Pool(), ServerName: host, MaxVersion: version}
					config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
						if len(certificates) == 0 {
							return &tls.Certificate{}, nil
						}
						return &certificates[0], nil
					}
					if a := n.tryTLS(t, front, config); a.err == nil || !strings.Contains(a.err.Error(), "remote error") {
						t.Errorf("%s: got %v", tls.VersionName(version), a.err)
					}
				}
				add(t, front, transport.CertificateNotRequested())
				if a := n.tryTLS(t, front, &tls.Config{RootCAs: ca().Pool(), ServerName: host}); a.err != nil {
					t.Errorf("with nothing requested: %v", a.err)
				}
			})
		})
	}
}

// TestALPN has a client that offers protocols: it gets its first choice.
func TestALPN(t *testing.T) {
	t.Parallel()
	_ = ca()
	synctest.Test(t, func(t *testing.T) {
		front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}})
		a := newMemory(t).tryTLS(t, front, &tls.Config{RootCAs: ca().Pool(), ServerName: host,
			NextProtos: []string{"x-amzn-mqtt-ca", "mqtt"}})
		if got := a.conn.ConnectionState().NegotiatedProtocol; a.err != nil || got != "x-amzn-mqtt-ca" {
			t.Errorf("protocol %q, %v", got, a.err)
		}
	})
}

// TestFaultsOfRSA has the other kind of keys.
func TestFaultsOfRSA(t *testing.T) {
	t.Parallel()
	rsa := mustAuthority(authority.Options{RSA: true})
	n := newLoopback(t)
	front := newFront(t, transport.Options{Authority: rsa, Names: []string{host}})
	config := &tls.Config{RootCAs: rsa.Pool(), ServerName: host}
	armed := add(t, front, transport.AlertAfterHandshake(transport.InternalError).Times(1))
	if a := n.tryTLS(t, front, config); a.err == nil || !strings.Contains(a.err.Error(), "internal error") {
		t.Errorf("with the fault: %v", a.err)
	}
	if a := n.tryTLS(t, front, config); a.err != nil || armed.Fired() != 1 {
		t.Errorf("without: %v", a.err)
	}
}

// TestOpenSSL shows faults to a client whose TLS is not Go's.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := mosquittotest.Lookup(t, "openssl", "openssl")
	file := mosquittotest.File(t, "ca.pem", ca().PEM())
	for _, c := range []struct {
		name  string
		fault *transport.Fault
		args  []string
		want  string // in what it prints; empty: it works
	}{
		{name: "sound"},
		{name: "sound, TLS 1.2", args: []string{"-tls1_2"}},
		{name: "unknown CA", fault: faultOf(transport.UnknownCA()), want: "verify error"},
		{name: "wrong name", fault: faultOf(transport.WrongName()), want: "hostname mismatch"},
		{name: "expired", fault: faultOf(transport.ExpiredCertificate()), want: "certificate has expired"},
		{name: "not yet valid", fault: faultOf(transport.CertificateNotYetValid()), want: "certificate is not yet valid"},
		{name: "large chain", fault: faultOf(transport.LargeChain(40_000))},
		{name: "alert", fault: faultOf(transport.AlertInsteadOfHello(transport.UnrecognizedName)), want: "SSL alert number 112"},
		{name: "alert after the handshake", fault: faultOf(transport.AlertAfterHandshake(transport.AccessDenied)),
			want: "SSL alert number 49"},
		{name: "old version", fault: faultOf(transport.OldVersion(tls.VersionTLS11)), args: []string{"-tls1_2"},
			want: "unsupported protocol"},
		{name: "old version, old client", fault: faultOf(transport.OldVersion(tls.VersionTLS11)),
			args: []string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}},
		{name: "split records", fault: faultOf(transport.SplitRecords(7)), args: []string{"-tls1_2"}},
		{name: "split segments", fault: faultOf(transport.SplitSegments(2))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newLoopback(t)
			front := newFront(t, transport.Options{Authority: ca(), Names: []string{host}})
			if c.fault != nil {
				add(t, front, *c.fault)
			}
			accepted := n.accept(t, front)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			client := exec.CommandContext(ctx, openssl, append([]string{"s_client", "-connect", n.Addr().String(),
				"-servername", host, "-verify_hostname", host, "-CAfile", file, "-verify_return_error", "-quiet"}, c.args...)...)
			input, err := client.StdinPipe() // which stays open until the server has ended the connection
			if err != nil {
				t.Fatal(err)
			}
			defer input.Close()
			go func() {
				at := <-accepted
				if at.err == nil {
					write(t, at.stream, []byte("welcome\n"))
					_ = at.stream.Close()
				}
			}()
			output, err := client.CombinedOutput()
			if c.want == "" {
				if err != nil || !strings.Contains(string(output), "welcome") {
					t.Errorf("openssl: %v: %s", err, output)
				}
			} else if !strings.Contains(string(output), c.want) || strings.Contains(string(output), "welcome") {
				t.Errorf("openssl says %s; want %q", output, c.want)
			}
		})
	}
}

func faultOf(f transport.Fault) *transport.Fault { return &f }
