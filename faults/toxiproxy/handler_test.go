package toxiproxy

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/faults"
	"mqtthil/harness/timeline"
)

func TestErrors(t *testing.T) {
	t.Parallel()
	s := onLoopback(t, Options{})
	taken := s.create("")
	s.ask(http.StatusOK, "POST", "/proxies/p/toxics", `{"type": "latency"}`, nil)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string // regular expression
	}{
		{"GET", "/", "", 404, `there is nothing at this path`},
		{"GET", "/proxies/", "", 404, `there is nothing at this path`},
		{"GET", "/nowhere", "", 404, `there is nothing at this path`},
		{"PUT", "/proxies", "", 405, `PUT is not allowed here; GET, HEAD, POST`},
		{"POST", "/proxies", "", 400, `bad request body: EOF`},
		{"POST", "/proxies", "{", 400, `bad request body: unexpected EOF`},
		{"POST", "/proxies", "{}", 400, `missing required field: name`},
		{"POST", "/proxies", `{"name": "q"}`, 400, `missing required field: upstream`},
		{"POST", "/proxies", `{"name": "p", "upstream": "x:1"}`, 409, `proxy already exists`},
		{"POST", "/proxies", `{"name": 1}`, 400, `bad request body: json: cannot unmarshal number.*name of type string`},
		{"POST", "/proxies", `{"name": "q", "upstream": "x:1", "listen": "` + taken + `"}`, 500,
			`proxy q: listen tcp .*address already in use; name another address, or end what listens there`},
		{"POST", "/proxies", `{"name": "q", "upstream": "x:1", "listen": "a:b:c"}`, 500, `"a:b:c" is no address such as 127.0.0.1:1883`},
		{"POST", "/proxies", `{"name": "q", "upstream": "x:1", "toxics": [{"type": "tired"}]}`, 400, `toxic 1: invalid toxic type`},
		{"POST", "/proxies", `{"name": "q", "upstream": "x:1", "toxics": [{"type": "noop"}, {"type": "noop"}]}`, 409, `toxic already exists`},
		{"POST", "/proxies", `{"name": "q", "upstream": "x:1", "rules": [{"on": {"to": "device"}, "do": ["dorp"]}]}`, 400,
			`rule 1: .*unknown action "dorp"; there are .*drop`},
		{"POST", "/proxies", `{"name": "q", "upstream": "x:1", "conditions": [{"weather": "bad"}]}`, 400,
			`condition 1: .*unknown condition "weather"; there are .*latency`},
		{"POST", "/populate", `{}`, 400, `bad request body: json: cannot unmarshal object`},
		{"POST", "/populate", `[{"name": "q", "upstream": "x:1"}, {"upstream": "x:1"}]`, 400, `missing required field: name at proxy 2`},
		{"POST", "/populate", `[{"name": "q"}]`, 400, `missing required field: upstream at proxy 1`},
		{"GET", "/proxies/q", "", 404, `proxy not found`},
		{"PATCH", "/proxies/q", "{}", 404, `proxy not found`},
		{"PATCH", "/proxies/p", "x", 400, `bad request body: invalid character`},
		{"DELETE", "/proxies/q", "", 404, `proxy not found`},
		{"GET", "/proxies/q/toxics", "", 404, `proxy not found`},
		{"POST", "/proxies/q/toxics", "", 404, `proxy not found`},
		{"POST", "/proxies/p/toxics", "", 400, `bad request body: EOF`},
		{"POST", "/proxies/p/toxics", `{"type": "tired"}`, 400, `invalid toxic type`},
		{"POST", "/proxies/p/toxics", `{"type": "noop", "stream": "sideways"}`, 400, `stream was invalid, can be either upstream or downstream`},
		{"POST", "/proxies/p/toxics", `{"type": "latency"}`, 409, `toxic already exists`},
		{"POST", "/proxies/p/toxics", `{"type": "limit_data", "attributes": {"bytes": "x"}}`, 400, `bad request body: json: cannot unmarshal string`},
		{"POST", "/proxies/p/toxics", `{"type": "slicer"}`, 400, `bad request body: slicer needs an average_size`},
		{"GET", "/proxies/p/toxics/t", "", 404, `toxic not found`},
		{"PATCH", "/proxies/p/toxics/t", "{}", 404, `toxic not found`},
		{"PATCH", "/proxies/p/toxics/latency_downstream", "", 400, `bad request body: EOF`},
		{"PATCH", "/proxies/p/toxics/latency_downstream", `{"attributes": {"latency": true}}`, 400, `bad request body: json: cannot unmarshal bool`},
		{"DELETE", "/proxies/p/toxics/t", "", 404, `toxic not found`},
		{"POST", "/proxies/p/rules", `{"on": {"to": "device"}}`, 400, `bad request body: .*do is missing`},
		{"POST", "/proxies/p/rules", "on: {to: device}\ndo: [drop]", 400, `bad request body: invalid character`},
		{"GET", "/proxies/p/rules/1", "", 404, `rule not found`},
		{"GET", "/proxies/p/rules/x", "", 404, `rule not found`},
		{"POST", "/proxies/p/conditions", `{"loss": 7}`, 400, `bad request body: .*loss 7 is not between 0 and 1`},
		{"DELETE", "/proxies/p/conditions/9", "", 404, `condition not found`},
		{"DELETE", "/proxies/p/conditions/1", "", 409, `condition 1 is the toxic latency_downstream; change it as that`},
		{"DELETE", "/proxies/p/connections?with=love", "", 400, `with: "love" is none of fin, rst, half-close and silence`},
		{"DELETE", "/proxies/p/connections/1", "", 404, `connection not found`},
		{"GET", "/proxies/p/transport-faults", "", 409, `the proxy takes no transport off`},
		{"POST", "/proxies/p/forge", `{"packet": "PINGRESP"}`, 400, `missing required field: to`},
		{"POST", "/proxies/p/forge", `{"to": "device", "packet": "PONG"}`, 400, `bad request body: packet "PONG" is neither a name nor bytes`},
		{"POST", "/proxies", `{"name": "` + strings.Repeat("x", maxBody) + `"}`, 413, `the request has more than 1048576 bytes`},
	} {
		var e Error
		s.ask(test.status, test.method, test.path, test.body, &e)
		if e.Status != test.status || !regexp.MustCompile(`^`+test.want).MatchString(e.Message) {
			t.Errorf("%s %s %.80s: %+v, want %s", test.method, test.path, test.body, e, test.want)
		}
	}
	if got := len(s.server.Proxies()); got != 1 {
		t.Errorf("%d proxies, after errors alone", got)
	}
}

// TestBrowsers: a page in a browser has nothing to ask for.
func TestBrowsers(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("POST", "/reset", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
	w := httptest.NewRecorder()
	onLoopback(t, Options{}).server.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
}

// TestLoopback: nobody listens to the network who was not asked to, and who was asked to says so.
func TestLoopback(t *testing.T) {
	t.Parallel()
	var notices []string
	s := onLoopback(t, Options{Notice: func(text string) { notices = append(notices, text) }})
	for i, listen := range []string{"", ":0", "0", "localhost:0", "0.0.0.0:0"} {
		var p proxyView
		name := string(rune('a' + i))
		s.ask(http.StatusCreated, "POST", "/proxies", `{"name": "`+name+`", "upstream": "x:1", "listen": "`+listen+`"}`, &p)
		if open := listen == "0.0.0.0:0"; strings.HasPrefix(p.Listen, "127.0.0.1:") == open {
			t.Errorf("%q: it listens on %s", listen, p.Listen)
		}
	}
	if len(notices) != 1 || !strings.HasPrefix(notices[0], "proxy e listens on ") || !strings.Contains(notices[0], "everybody who reaches this machine") {
		t.Errorf("%q", notices)
	}
}

// connectPacket is a CONNECT, and pingresp a PINGRESP.
const (
	connectPacket = "\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03dut"
	connackPacket = "\x20\x02\x00\x00"
	pingresp      = "\xd0\x00"
)

// TestRules: rules come, act, hold, release and go over the API.
func TestRules(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		address := s.create(`, "rules": [{"on": {"to": "device", "type": "PINGRESP"}, "do": ["drop"], "times": 1}]`)
		client, upstream := s.connect(address)
		_, _ = client.Write([]byte(connectPacket))
		synctest.Wait()
		_, _ = upstream.Write([]byte(connackPacket + pingresp + pingresp))
		synctest.Wait()
		type rule struct {
			Number, Matched, Fired, Held int
			Text                         string
			Rule                         struct{ Do []string }
		}
		var one rule
		s.ask(http.StatusOK, "GET", "/proxies/p/rules/1", "", &one)
		if one.Matched != 2 || one.Fired != 1 || one.Text != "on 1st PINGRESP to the device: drop" {
			t.Errorf("%+v", one)
		}
		s.ask(http.StatusCreated, "POST", "/proxies/p/rules", `{"on": {"to": "device", "type": "PINGRESP"}, "do": ["hold"]}`, nil)
		_, _ = upstream.Write([]byte(strings.Repeat(pingresp, 5)))
		synctest.Wait()
		var released map[string]int
		s.ask(http.StatusOK, "POST", "/proxies/p/rules/2/release?count=2", "", &released)
		var all []rule
		s.ask(http.StatusOK, "GET", "/proxies/p/rules", "", &all)
		if released["released"] != 2 || len(all) != 2 || all[1].Held != 3 || all[1].Number != 2 || all[1].Rule.Do[0] != "hold" {
			t.Errorf("%v are released, and the rules are %+v", released, all)
		}
		s.ask(http.StatusBadRequest, "POST", "/proxies/p/rules/2/release?count=2&order=newest", "", nil)
		s.ask(http.StatusOK, "POST", "/proxies/p/rules/2/release?order=newest", "", nil)
		_, _ = upstream.Write([]byte(pingresp))
		synctest.Wait()
		s.ask(http.StatusNoContent, "DELETE", "/proxies/p/rules/2", "", nil) // what it holds goes on
		var forged map[string]int
		s.ask(http.StatusOK, "POST", "/proxies/p/forge", `{"to": "device", "packet": "PUBACK 7"}`, &forged)
		if forged["connections"] != 1 {
			t.Errorf("%v", forged)
		}
		synctest.Wait()
		upstream.Close()
		want := len(connackPacket) + len(pingresp)*(1+5+1) + 4
		if got := receive(client); got.bytes != want {
			t.Errorf("%d bytes have arrived, want %d", got.bytes, want)
		}
	})
}

// TestConditions: conditions come, are replaced and go over the API, in line with toxics.
func TestConditions(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		address := s.create(`, "conditions": [{"latency": "1s"}], "toxics": [{"type": "latency", "attributes": {"latency": 500}}]`)
		lasts := func() time.Duration {
			client, upstream := s.connect(address)
			sendAndFinish(upstream, 1)
			defer client.Close()
			return receive(client).last
		}
		if got := lasts(); got != 1500*ms {
			t.Errorf("%s", got)
		}
		s.ask(http.StatusOK, "PATCH", "/proxies/p/conditions/1", `{"condition": {"latency": "2s"}, "to": "device"}`, nil)
		if got := lasts(); got != 2500*ms {
			t.Errorf("%s", got)
		}
		s.ask(http.StatusCreated, "POST", "/proxies/p/conditions", `{"slow-accept": "3s"}`, nil)
		var list []struct {
			Number int
			Toxic  string
			Met    int
			Text   string
		}
		s.ask(http.StatusOK, "GET", "/proxies/p/conditions", "", &list)
		if len(list) != 3 || list[0].Text != "latency 2s to the device" || list[1].Toxic != "latency_downstream" || list[1].Met != 2 {
			t.Errorf("%+v", list)
		}
		s.ask(http.StatusNoContent, "DELETE", "/proxies/p/conditions/1", "", nil)
		s.ask(http.StatusNoContent, "DELETE", "/proxies/p/conditions/3", "", nil)
		s.ask(http.StatusNotFound, "GET", "/proxies/p/conditions/1", "", nil)
		s.ask(http.StatusOK, "GET", "/proxies/p/conditions/2", "", nil)
		if got := lasts(); got != 500*ms {
			t.Errorf("%s", got)
		}
	})
}

// TestConnections: connections are listed, and end as they are told to.
func TestConnections(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		address := s.create("")
		first, _ := s.connect(address)
		second, _ := s.connect(address)
		third, _ := s.connect(address)
		_, _ = first.Write([]byte(connectPacket))
		synctest.Wait()
		var list []struct {
			Number  int
			Client  string
			Traffic struct {
				FromDevice struct{ Packets map[string]int } `json:"from_device"`
			}
		}
		s.ask(http.StatusOK, "GET", "/proxies/p/connections", "", &list)
		if len(list) != 3 || list[0].Client != "dut" || list[0].Traffic.FromDevice.Packets["CONNECT"] != 1 || list[2].Number != 3 {
			t.Errorf("%+v", list)
		}
		s.ask(http.StatusNoContent, "DELETE", "/proxies/p/connections/2", "", nil)
		if got := receive(second); got.ending != "rst" {
			t.Errorf("%+v", got)
		}
		s.ask(http.StatusNoContent, "DELETE", "/proxies/p/connections/1?with=fin", "", nil)
		if got := receive(first); got.ending != "fin" {
			t.Errorf("%+v", got)
		}
		first.Close()
		s.ask(http.StatusNoContent, "DELETE", "/proxies/p/connections?with=rst", "", nil)
		if got := receive(third); got.ending != "rst" {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		s.ask(http.StatusOK, "GET", "/proxies/p/connections", "", &list)
		if len(list) != 0 {
			t.Errorf("%+v", list)
		}
	})
}

// TestArmedBeforeItListens: the first byte of the first connection meets what the proxy was made with.
func TestArmedBeforeItListens(t *testing.T) {
	t.Parallel()
	inBubble(t, Options{}, func(t *testing.T, s *setup) {
		address := s.create(`, "conditions": ["refuse"]`)
		if conn, err := s.dial(t.Context(), address); err == nil {
			conn.Close()
			t.Error("a connection is accepted")
		}
		s.ask(http.StatusNoContent, "POST", "/reset", "", nil)
		synctest.Wait()
		s.connect(address)
	})
}

// TestMetrics: the counters say what went through.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := onLoopback(t, Options{})
	address := s.create(`, "rules": [{"on": {"to": "device", "type": "PINGRESP"}, "do": ["drop"], "times": 1}]`)
	client, upstream := s.connect(address)
	_, _ = client.Write([]byte(connectPacket))
	buffer := make([]byte, 100)
	if _, err := upstream.Read(buffer); err != nil {
		t.Fatal(err)
	}
	_, _ = upstream.Write([]byte(connackPacket + pingresp + pingresp))
	_ = upstream.(interface{ CloseWrite() error }).CloseWrite()
	receive(client)
	s.ask(http.StatusOK, "PATCH", "/proxies/p", `{"enabled": true}`, nil)
	var broken proxyView
	s.ask(http.StatusCreated, "POST", "/proxies", `{"name": "nowhere", "upstream": "127.0.0.1:1"}`, &broken)
	if conn, err := s.dial(t.Context(), broken.Listen); err == nil { // it may be reset at once
		if got := receive(conn); got.ending != "rst" {
			t.Errorf("%+v", got)
		}
		conn.Close()
	}
	r := httptest.NewRequest("GET", "/metrics", nil)
	w := httptest.NewRecorder()
	s.server.Handler().ServeHTTP(w, r)
	for _, want := range []string{
		`toxiproxy_proxy_received_bytes_total{direction="upstream",listener="` + address + `",proxy="p",upstream="` + s.upstream.Addr().String() + `"} 17`,
		`toxiproxy_proxy_sent_bytes_total{direction="upstream",listener="` + address + `",proxy="p",upstream="` + s.upstream.Addr().String() + `"} 17`,
		`toxiproxy_proxy_received_bytes_total{direction="downstream",listener="` + address + `",proxy="p",upstream="` + s.upstream.Addr().String() + `"} 8`,
		`toxiproxy_proxy_sent_bytes_total{direction="downstream",listener="` + address + `",proxy="p",upstream="` + s.upstream.Addr().String() + `"} 6`,
		`mqtthil_proxy_connections_total{proxy="p"} 1`,
		`mqtthil_proxy_connections_total{proxy="nowhere"} 0`,
		`mqtthil_proxy_failed_connections_total{proxy="nowhere"} 1`,
		`mqtthil_proxy_packets_total{direction="upstream",proxy="p",type="CONNECT"} 1`,
		`mqtthil_proxy_packets_total{direction="downstream",proxy="p",type="PINGRESP"} 2`,
		`mqtthil_rule_matched_total{proxy="p",rule="1"} 2`,
		`mqtthil_rule_fired_total{proxy="p",rule="1"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(w.Body.String(), "\n"+want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if t.Failed() {
		t.Log(w.Body)
	}
}

// TestRecords: a proxy has a record of its own, which ends with it.
func TestRecords(t *testing.T) {
	t.Parallel()
	record := timeline.NewRecorder(nil)
	ended := make(chan struct{})
	s := onLoopback(t, Options{Record: func(proxy, listen, upstream string) (faults.Record, func(), error) {
		if proxy == "secret" {
			return nil, nil, errors.New("no space left on device")
		}
		return record, func() { close(ended) }, nil
	}})
	s.create("")
	s.ask(http.StatusInternalServerError, "POST", "/proxies", `{"name": "secret", "upstream": "x:1"}`, nil)
	s.ask(http.StatusOK, "POST", "/proxies/p/toxics", `{"type": "latency"}`, nil)
	s.ask(http.StatusNoContent, "DELETE", "/proxies/p", "", nil)
	<-ended
	if events := record.Events(); len(events) != 1 || events[0].Fault.Text != "latency 0s to the device" {
		t.Errorf("%+v", events)
	}
}

// TestAtOnce has many do at once what does not go together.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	s := onLoopback(t, Options{})
	body := `{"name": "p", "upstream": "` + s.upstream.Addr().String() + `"}`
	h := s.server.Handler()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for _, step := range [][3]string{
				{"POST", "/proxies", body},
				{"POST", "/proxies/p/toxics", `{"type": "timeout"}`},
				{"PATCH", "/proxies/p", `{"enabled": false}`},
				{"POST", "/populate", "[" + body + "]"},
				{"PATCH", "/proxies/p/toxics/timeout_downstream", `{"attributes": {"timeout": 5}}`},
				{"POST", "/reset", ""},
				{"GET", "/metrics", ""},
				{"DELETE", "/proxies/p", ""},
			} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(step[0], step[1], strings.NewReader(step[2])))
				if w.Code >= 500 {
					t.Errorf("%v: status %d: %s", step, w.Code, w.Body)
				}
			}
		})
	}
	all.Wait()
}
