package toxiproxy

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"mqtthil/faults"
	"mqtthil/faults/transport"
	"mqtthil/harness/timeline"
)

// TestTransportFaults: faults of a transport come, strike, and go over the API.
func TestTransportFaults(t *testing.T) {
	t.Parallel()
	record := timeline.NewRecorder(nil)
	inBubble(t, Options{Record: func(_, _, _ string) (faults.Record, func(), error) { return record, func() {}, nil }},
		func(t *testing.T, s *setup) {
			p, err := s.server.Create(Spec{
				Name: "p", Upstream: "behind:1",
				Front: func(record faults.Record) (*transport.Front, error) {
					return transport.NewFront(transport.Options{WebSocket: true, Record: record})
				},
				Dial: func(ctx context.Context, address string) (net.Conn, error) {
					if address != "behind:1" {
						t.Errorf("%s is dialed", address)
					}
					return s.dial(ctx, s.upstream.Addr().String())
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			s.ask(http.StatusCreated, "POST", "/proxies/p/transport-faults", `{"status": 403, "times": 1}`, nil)
			s.ask(http.StatusCreated, "POST", "/proxies/p/transport-faults", `"ping"`, nil)
			for _, test := range []struct {
				body   string
				status int
				says   string
			}{
				{`"expired-certificate"`, 409, "it is one of TLS, which is off here"},
				{`{"status": 42}`, 400, "status 42: one of HTTP has three digits"},
				{`status: 403`, 400, "invalid character"},
			} {
				var e Error
				s.ask(test.status, "POST", "/proxies/p/transport-faults", test.body, &e)
				if !strings.Contains(e.Message, test.says) || strings.Contains(e.Message, "\n") {
					t.Errorf("%s is answered by %q", test.body, e.Message)
				}
			}
			s.ask(http.StatusNoContent, "DELETE", "/proxies/p/transport-faults/2", "", nil)
			s.ask(http.StatusNotFound, "DELETE", "/proxies/p/transport-faults/2", "", nil)

			device := transport.Back{WebSocket: true, Dial: func(ctx context.Context) (net.Conn, error) {
				return s.dial(ctx, p.Listen())
			}}
			if conn, err := device.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("%v, %v in spite of the fault", conn, err)
			}
			conn, err := device.Connect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			upstream, err := s.upstream.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer upstream.Close()
			_, _ = conn.Write([]byte(connectPacket))
			got := make([]byte, len(connectPacket))
			if n, err := upstream.Read(got); err != nil || string(got[:n]) != connectPacket {
				t.Errorf("%q has arrived, %v", got[:n], err)
			}
			var all []transportFaultView
			s.ask(http.StatusOK, "GET", "/proxies/p/transport-faults", "", &all)
			if len(all) != 1 || all[0] != (transportFaultView{1, "HTTP status 403, once", 1}) {
				t.Errorf("%+v", all)
			}
			struck := 0
			for _, e := range record.Events() {
				if e.Kind == timeline.KindFault && e.Conn == 1 && e.Fault.Text == "HTTP status 403, once" {
					struck++
				}
			}
			if struck != 1 {
				t.Errorf("the record says %d times that the fault has struck", struck)
			}
			s.ask(http.StatusNoContent, "POST", "/reset", "", nil)
			if left := p.Front().Faults(); len(left) > 0 {
				t.Errorf("%v is left after a reset", left)
			}
		})
}
