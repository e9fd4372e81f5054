package names_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"mqtthil/faults/names"
	"mqtthil/harness/simnet"
	"mqtthil/harness/timeline"
)

const broker = "broker.bench"

// struck are the faults of a record, in order.
func struck(rec *timeline.Recorder) (actions []string) {
	for _, e := range rec.Events() {
		actions = append(actions, e.Fault.Text+" | "+e.Fault.Action)
	}
	return actions
}

func TestDial(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault   names.Fault
		text    string
		timeout time.Duration // of the device; 0: none
		took    time.Duration
		want    func(error, *net.DNSError) bool
	}{
		{names.DoesNotExist(broker), "broker.bench: does not exist", 0, 0,
			func(_ error, dns *net.DNSError) bool { return dns != nil && dns.IsNotFound && dns.Name == broker }},
		{names.ServerFails(broker), "broker.bench: server failure", 0, 0,
			func(_ error, dns *net.DNSError) bool { return dns != nil && dns.IsTemporary && !dns.IsNotFound }},
		{names.NoAnswer(broker), "broker.bench: no answer", 0, 10 * time.Second,
			func(_ error, dns *net.DNSError) bool { return dns != nil && dns.IsTimeout }},
		{names.NoAnswer(broker), "broker.bench: no answer", 3 * time.Second, 3 * time.Second,
			func(err error, dns *net.DNSError) bool {
				return dns != nil && dns.IsTimeout && errors.Is(err, context.DeadlineExceeded)
			}},
		{names.Late(broker, 7*time.Second), "broker.bench: resolves 7s late", 0, 7 * time.Second,
			func(err error, _ *net.DNSError) bool { return err == nil }},
		{names.Late(broker, 7*time.Second), "broker.bench: resolves 7s late", time.Second, time.Second,
			func(_ error, dns *net.DNSError) bool { return dns != nil && dns.IsTimeout }},
		{names.Elsewhere(broker, "10.0.0.66"), "broker.bench: resolves to 10.0.0.66", 0, 0,
			func(err error, _ *net.DNSError) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		{names.Elsewhere(broker, "10.0.0.1:1"), "broker.bench: resolves to 10.0.0.1:1", 0, 0,
			func(err error, _ *net.DNSError) bool { return errors.Is(err, syscall.ECONNREFUSED) }},
		{names.DoesNotExist(""), "every name: does not exist", 0, 0,
			func(_ error, dns *net.DNSError) bool { return dns != nil && dns.IsNotFound }},
	} {
		t.Run(fmt.Sprintf("%s, timeout %s", c.text, c.timeout), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				network := simnet.New()
				listener, err := network.Listen("10.0.0.1:1883")
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				rec := timeline.NewRecorder(nil)
				table := names.New(rec)
				table.Set("Broker.Bench.", "10.0.0.1")
				dial := table.Dial(network.DialContext)
				armed := table.Add(c.fault.From(2).Times(1))
				for lookup := 1; lookup <= 3; lookup++ {
					ctx := t.Context()
					if c.timeout > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, c.timeout)
						defer cancel()
					}
					begin := time.Now()
					conn, err := dial(ctx, "tcp", "BROKER.bench:1883")
					took := time.Since(begin)
					if err == nil {
						_ = conn.Close()
					}
					if lookup != 2 {
						if err != nil || took != 0 {
							t.Errorf("lookup %d, which is sound: after %s: %v", lookup, took, err)
						}
						continue
					}
					var dnsError *net.DNSError
					errors.As(err, &dnsError)
					if !c.want(err, dnsError) || took != c.took {
						t.Errorf("after %s: %v", took, err)
					}
				}
				text := c.text + ", from the 2nd lookup on, once"
				_, action, _ := strings.Cut(c.text, ": ")
				if got := struck(rec); armed.Fired() != 1 || !slices.Equal(got, []string{text + " | " + action + ": " + broker}) {
					t.Errorf("fired %d times, record %q", armed.Fired(), got)
				}
			})
		})
	}
}

// TestDialWithoutFault has names that the table does not have, does have, and has without an address.
func TestDialWithoutFault(t *testing.T) {
	t.Parallel()
	network := simnet.New()
	listener, err := network.Listen("10.0.0.1:1883")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	table := names.New(nil)
	table.Set("second", "10.0.0.2", "10.0.0.1")
	table.Set("empty")
	removed := table.Add(names.DoesNotExist("second"))
	removed.Remove()
	other := table.Add(names.DoesNotExist("another"))
	for address, works := range map[string]bool{
		"10.0.0.1:1883": true, "second:1883": true, "second:1": false, "empty:1883": false, "nobody:1883": false, "nonsense": false,
	} {
		conn, err := table.Dial(network.DialContext)(t.Context(), "tcp", address)
		if (err == nil) != works {
			t.Errorf("%s: %v", address, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	if removed.Fired() != 0 || other.Fired() != 0 {
		t.Errorf("faults of nothing struck %d and %d times", removed.Fired(), other.Fired())
	}
}

// TestPatience has a resolver of another patience, and a fault of one lookup alone.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := simnet.New()
		table := names.New(nil)
		table.Set(broker, "10.0.0.1")
		table.SetPatience(14 * time.Second)
		armed := table.Add(names.NoAnswer(broker).Nth(2))
		for lookup, want := range []time.Duration{0, 14 * time.Second, 0} {
			begin := time.Now()
			_, _ = table.Dial(network.DialContext)(t.Context(), "tcp", broker+":1883")
			if took := time.Since(begin); took != want {
				t.Errorf("lookup %d took %s, want %s", lookup+1, took, want)
			}
		}
		if got := armed.String(); got != "broker.bench: no answer, on the 2nd lookup" || armed.Fired() != 1 {
			t.Errorf("%q fired %d times", got, armed.Fired())
		}
	})
}

// serve starts a server on loopback.
func serve(t *testing.T, table *names.Table) *names.Server {
	t.Helper()
	server, err := table.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// resolver is that of package net, which asks the server.
func resolver(server *names.Server, network string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, server.Addr())
	}}
}

func TestServer(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			table := names.New(nil)
			table.Set(broker, "192.168.1.10", "fd00::10", "not an address")
			server := serve(t, table)
			r := resolver(server, network)
			look := func() ([]string, *net.DNSError) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				addresses, err := r.LookupHost(ctx, broker+".")
				slices.Sort(addresses)
				var dnsError *net.DNSError
				errors.As(err, &dnsError)
				return addresses, dnsError
			}
			sound := func() {
				t.Helper()
				if got, err := look(); err != nil || !slices.Equal(got, []string{"192.168.1.10", "fd00::10"}) {
					t.Errorf("got %q, %v", got, err)
				}
			}
			sound()

			missing := table.Add(names.DoesNotExist(broker).Times(1))
			if _, err := look(); err == nil || !err.IsNotFound {
				t.Errorf("a name that does not exist: %v", err)
			}
			sound()
			failing := table.Add(names.ServerFails(broker))
			if _, err := look(); err == nil || err.IsNotFound || !err.IsTemporary {
				t.Errorf("a server that fails: %v", err)
			}
			if failing.Fired() == 0 || missing.Fired() != 1 {
				t.Errorf("fired %d and %d times", failing.Fired(), missing.Fired())
			}
			failing.Remove()
			sound()
			elsewhere := table.Add(names.Elsewhere(broker, "127.0.0.66:1").Times(1))
			if got, err := look(); err != nil || !slices.Equal(got, []string{"127.0.0.66"}) {
				t.Errorf("elsewhere: %q, %v", got, err)
			}
			if elsewhere.Fired() != 1 {
				t.Errorf("fired %d times", elsewhere.Fired())
			}
			late := table.Add(names.Late(broker, 100*time.Millisecond).Times(1))
			begin := time.Now()
			sound()
			if took := time.Since(begin); took < 100*time.Millisecond || late.Fired() != 1 {
				t.Errorf("late by %s, fired %d times", took, late.Fired())
			}
			sound()
			if _, err := r.LookupHost(t.Context(), "nobody.bench."); err == nil {
				t.Error("a name that is not in the table resolves")
			}
		})
	}
}

// TestServerThatDoesNotAnswer asks question by question, on one connection.
func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	rec := timeline.NewRecorder(nil)
	table := names.New(rec)
	table.Set(broker, "192.168.1.10")
	server := serve(t, table)
	for _, network := range []string{"udp", "tcp"} {
		armed := table.Add(names.NoAnswer(broker).Times(1))
		conn, err := dns.Dial(network, server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// The first question has no answer: what comes is the answer to the second.
		ids := [2]uint16{}
		for i := range ids {
			question := new(dns.Msg).SetQuestion(broker+".", dns.TypeA)
			ids[i] = question.Id
			struck := rec.Changed()
			if err := conn.WriteMsg(question); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				<-struck // UDP keeps no order
			}
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		answer, err := conn.ReadMsg()
		if err != nil || answer.Id != ids[1] || len(answer.Answer) != 1 || armed.Fired() != 1 {
			t.Errorf("%s: got %v, %v; fired %d times", network, answer, err, armed.Fired())
		}
		armed.Remove()
	}
}

func TestServerAnswersOtherQuestions(t *testing.T) {
	t.Parallel()
	table := names.New(nil)
	table.Set(broker, "192.168.1.10")
	for i := range 100 {
		table.Set("many", append(many(i), "10.1.1.1")...)
	}
	server := serve(t, table)
	ask := func(change func(*dns.Msg)) *dns.Msg {
		t.Helper()
		question := new(dns.Msg).SetQuestion(broker+".", dns.TypeA)
		change(question)
		client := dns.Client{Timeout: time.Minute}
		answer, _, err := client.Exchange(question, server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if got := ask(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }); got.Rcode != dns.RcodeSuccess || len(got.Answer) != 0 {
		t.Errorf("a kind of address that the name has not: %v", got)
	}
	if got := ask(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }); got.Rcode == dns.RcodeSuccess {
		t.Errorf("an update: %v", got)
	}
	got := ask(func(m *dns.Msg) { m.Question[0].Name = "many." })
	if !got.Truncated {
		t.Errorf("more than fits: %d addresses, %d bytes", len(got.Answer), got.Len())
	}
	if got := ask(func(m *dns.Msg) { m.Question[0].Name = "BROKER.bench." }); len(got.Answer) != 1 ||
		got.Answer[0].Header().Ttl != 0 {
		t.Errorf("in capitals: %v", got)
	}
}

func many(n int) (addresses []string) {
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("10.0.0.%d", i+1))
	}
	return addresses
}

func TestServeFails(t *testing.T) {
	t.Parallel()
	table := names.New(nil)
	server := serve(t, table)
	for _, address := range []string{server.Addr(), "nonsense"} {
		if second, err := table.Serve(address); err == nil {
			_ = second.Close()
			t.Errorf("a second server on %s", address)
		}
	}
}
