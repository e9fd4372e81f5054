package toxiproxy

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// effect is a toxic, and what becomes of 20 000 bytes and FIN.
type effect struct {
	kind, attributes string
	want             arrival
}

// sliced is in place of reads where there are ten or more, each a millisecond behind the one before it.
const sliced = -1

const ms = time.Millisecond

// without is what arrives where nothing acts.
var without = arrival{bytes: 20000, ending: "fin"}

var effects = []effect{
	{"latency", `{"latency": 1500}`, arrival{bytes: 20000, last: 1500 * ms, end: 1500 * ms, ending: "fin"}},
	{"bandwidth", `{"rate": 10}`, arrival{bytes: 20000, last: 2000 * ms, end: 2000 * ms, ending: "fin"}},
	{"slow_close", `{"delay": 500}`, arrival{bytes: 20000, end: 500 * ms, ending: "fin"}},
	{"timeout", `{"timeout": 0}`, arrival{ending: "fin"}},
	{"reset_peer", `{"timeout": 300}`, arrival{end: 300 * ms, ending: "rst"}},
	{"reset_peer", `{}`, arrival{ending: "rst"}},
	{"slicer", `{"average_size": 2000, "delay": 1000}`, arrival{bytes: 20000, reads: sliced, ending: "fin"}},
	{"limit_data", `{"bytes": 300}`, arrival{bytes: 300, ending: "fin"}},
	{"noop", `{}`, without},
}

// TestEffects: each toxic does what it is for, to the millisecond, in the direction that it is for.
func TestEffects(t *testing.T) {
	t.Parallel()
	for _, e := range effects {
		for _, stream := range []string{"upstream", "downstream"} {
			t.Run(fmt.Sprintf("%s %s %s", e.kind, e.attributes, stream), func(t *testing.T) {
				t.Parallel()
				inBubble(t, Options{}, func(t *testing.T, s *setup) {
					address := s.create("")
					run := func(stream string) arrival {
						client, upstream := s.connect(address)
						if stream == "upstream" {
							client, upstream = upstream, client
						}
						go sendAndFinish(upstream, 20000)
						a := receive(client)
						client.Close()
						return a
					}
					check := func(what, stream string, want arrival) {
						t.Helper()
						got := run(stream)
						apart := time.Duration(got.reads-1) * ms
						if want.reads == sliced && got.reads >= 10 && got.last == apart && got.end == apart {
							got.reads, got.last, got.end = sliced, 0, 0
						} else if want.reads == 0 {
							got.reads = 0
						}
						if got != want {
							t.Errorf("%s: %+v, want %+v", what, got, want)
						}
					}
					check("before", stream, without)
					s.ask(http.StatusOK, "POST", "/proxies/p/toxics",
						fmt.Sprintf(`{"name": "t", "type": %q, "stream": %q, "attributes": %s}`, e.kind, stream, e.attributes), nil)
					check("with it", stream, e.want)
					if other := map[string]string{"upstream": "downstream", "downstream": "upstream"}[stream]; e.kind != "reset_peer" {
						check("the other way", other, without)
					}
					s.ask(http.StatusOK, "PATCH", "/proxies/p/toxics/t", `{"toxicity": 0}`, nil)
					check("for nobody", stream, without)
					s.ask(http.StatusOK, "PATCH", "/proxies/p/toxics/t", `{"toxicity": 1}`, nil)
					check("for everybody", stream, e.want)
					s.ask(http.StatusNoContent, "DELETE", "/proxies/p/toxics/t", "", nil)
					check("after it", stream, without)
				})
			})
		}
	}
}

// TestIdleConnections: a toxic befalls connections that were there before it and over which nothing goes.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	for toxic, want := range map[string]arrival{
		`{"type": "reset_peer", "attributes": {"timeout": 2000}}`: {end: 2 * time.Second, ending: "rst"},
		`{"type": "reset_peer"}`:                                  {ending: "rst"},
		`{"type": "timeout", "attributes": {"timeout": 700}}`:     {end: 700 * ms, ending: "fin"},
	} {
		t.Run(toxic, func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(t *testing.T, s *setup) {
				client, upstream := s.connect(s.create(""))
				s.ask(http.StatusOK, "POST", "/proxies/p/toxics", toxic, nil)
				there := make(chan arrival)
				go func() { there <- receive(upstream) }()
				if got := receive(client); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
				if got := <-there; got != want {
					t.Errorf("at the upstream %+v, want %+v", got, want)
				}
			})
		})
	}
}

// TestTimeoutWhileSending: the time counts from when the toxic is there, and not from the last byte.
func TestTimeoutWhileSending(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		client, upstream := s.connect(s.create(""))
		s.ask(http.StatusOK, "POST", "/proxies/p/toxics", `{"type": "timeout", "attributes": {"timeout": 1000}}`, nil)
		var sending sync.WaitGroup
		defer sending.Wait()
		sending.Go(func() {
			for {
				if _, err := upstream.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(100 * ms)
			}
		})
		defer upstream.Close()
		if got, want := receive(client), (arrival{end: time.Second, ending: "fin"}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestRemovingATimeout ends the connections that it has befallen, and no others.
func TestRemovingATimeout(t *testing.T) {
	t.Parallel()
	for _, way := range [][2]string{{"DELETE", "/proxies/p/toxics/timeout_downstream"}, {"POST", "/reset"}} {
		t.Run(way[0], func(t *testing.T) {
			t.Parallel()
			inBubble(t, Options{}, func(t *testing.T, s *setup) {
				address := s.create(`, "toxics": [{"type": "timeout"}]`)
				client, upstream := s.connect(address)
				_, _ = upstream.Write([]byte("lost"))
				time.Sleep(time.Hour / 2)
				s.ask(http.StatusNoContent, way[0], way[1], "", nil)
				if got := receive(client); got.bytes != 0 || got.ending != "fin" {
					t.Errorf("%+v", got)
				}
				client, upstream = s.connect(address)
				s.ask(http.StatusOK, "POST", "/proxies/p/toxics", `{"type": "timeout", "toxicity": 0}`, nil)
				s.ask(http.StatusNoContent, way[0], way[1], "", nil)
				sendAndFinish(upstream, 5)
				if got := receive(client); got.bytes != 5 {
					t.Errorf("another connection: %+v", got)
				}
			})
		})
	}
}

// TestBandwidthZero: nothing gets through, and nothing is lost.
func TestBandwidthZero(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		client, upstream := s.connect(s.create(""))
		s.ask(http.StatusOK, "POST", "/proxies/p/toxics", `{"type": "bandwidth"}`, nil)
		go sendAndFinish(upstream, 1000)
		go func() {
			time.Sleep(time.Minute)
			s.ask(http.StatusOK, "POST", "/proxies/p/toxics/bandwidth_downstream", `{"attributes": {"rate": 1}}`, nil)
		}()
		got := receive(client)
		if got.bytes != 1000 || got.ending != "fin" || got.last < time.Minute {
			t.Errorf("%+v", got)
		}
	})
}

// TestLimitThatShrinks: what has passed counts, whatever the limit was then.
func TestLimitThatShrinks(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		client, upstream := s.connect(s.create(`, "toxics": [{"type": "limit_data", "attributes": {"bytes": 1000}}]`))
		got := make(chan arrival)
		go func() { got <- receive(client) }()
		_, _ = upstream.Write(make([]byte, 400))
		synctest.Wait()
		s.ask(http.StatusOK, "PATCH", "/proxies/p/toxics/limit_data_downstream", `{"attributes": {"bytes": 600}}`, nil)
		_, _ = upstream.Write(make([]byte, 400))
		if a := <-got; a.bytes != 600 || a.ending != "fin" {
			t.Errorf("%+v", a)
		}
	})
}

// TestOrder: toxics of a stream act one behind the other, in the order in which they were added.
func TestOrder(t *testing.T) {
	t.Parallel()
	first := `{"type": "slow_close", "attributes": {"delay": 1000}}`
	second := `{"type": "latency", "attributes": {"latency": 2000}}`
	third := `{"type": "limit_data", "attributes": {"bytes": 10}}`
	fourth := `{"type": "bandwidth", "attributes": {"rate": 1}}`
	for toxics, want := range map[string]arrival{
		first + "," + second: {bytes: 20000, last: 2 * time.Second, end: 3 * time.Second, ending: "fin"},
		third + "," + second: {bytes: 10, last: 2 * time.Second, end: 2 * time.Second, ending: "fin"},
		third + "," + fourth: {bytes: 10, last: 10 * ms, end: 10 * ms, ending: "fin"},
	} {
		inBubble(t, Options{}, func(t *testing.T, s *setup) {
			client, upstream := s.connect(s.create(`, "toxics": [` + toxics + `]`))
			go sendAndFinish(upstream, 20000)
			got := receive(client)
			if got.reads = 0; got != want {
				t.Errorf("%s: %+v, want %+v", toxics, got, want)
			}
		})
	}
}

// TestToxicity: chance decides for each connection, and the seed for chance.
func TestToxicity(t *testing.T) {
	t.Parallel()
	befallen := func(t *testing.T, seed uint64) (pattern string) {
		inBubble(t, Options{Seed: seed}, func(t *testing.T, s *setup) {
			address := s.create(`, "toxics": [{"type": "limit_data", "toxicity": 0.3, "attributes": {"bytes": 1}}]`)
			for range 100 {
				client, upstream := s.connect(address)
				go sendAndFinish(upstream, 2)
				pattern += fmt.Sprint(receive(client).bytes)
				client.Close()
			}
		})
		return pattern
	}
	one, again, other := befallen(t, 1), befallen(t, 1), befallen(t, 2)
	if one != again {
		t.Errorf("the same seed decides\n%s and\n%s", one, again)
	}
	if one == other {
		t.Error("another seed decides the same")
	}
	var n int
	for _, c := range one {
		if c == '1' {
			n++
		}
	}
	if n < 15 || n > 45 {
		t.Errorf("it befalls %d of 100 connections", n)
	}
}

// TestJitter: the seed decides how far a latency varies.
func TestJitter(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{Seed: 1}, func(t *testing.T, s *setup) {
		address := s.create(`, "toxics": [{"type": "latency", "attributes": {"latency": 1000, "jitter": 400}}]`)
		seen := map[time.Duration]bool{}
		for range 20 {
			client, upstream := s.connect(address)
			go sendAndFinish(upstream, 1)
			a := receive(client)
			if a.last < 600*ms || a.last > 1400*ms {
				t.Errorf("%s is not 1 s, more or less 400 ms", a.last)
			}
			seen[a.last] = true
			client.Close()
		}
		if len(seen) < 10 {
			t.Errorf("only %d latencies", len(seen))
		}
	})
}

// TestToggling: disabling ends the listener and the connections, enabling brings the same address back.
func TestToggling(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		address := s.create(`, "toxics": [{"type": "limit_data", "attributes": {"bytes": 3}}]`)
		client, upstream := s.connect(address)
		var p proxyView
		s.ask(http.StatusOK, "PATCH", "/proxies/p", `{"enabled": false}`, &p)
		if p.Enabled || p.Listen != address || len(p.Toxics) != 1 {
			t.Errorf("%+v", p)
		}
		for _, conn := range []net.Conn{client, upstream} {
			if got := receive(conn); got.ending != "fin" {
				t.Errorf("%+v", got)
			}
			conn.Close()
		}
		if conn, err := s.dial(t.Context(), address); err == nil {
			conn.Close()
			t.Error("it still listens")
		}
		s.ask(http.StatusOK, "POST", "/proxies/p", `{"enabled": true}`, &p)
		if !p.Enabled || p.Listen != address {
			t.Errorf("%+v", p)
		}
		client, upstream = s.connect(address)
		go sendAndFinish(upstream, 10)
		if got := receive(client); got.bytes != 3 {
			t.Errorf("the toxic is gone: %+v", got)
		}
	})
}
