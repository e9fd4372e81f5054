package toxiproxy

import (
	"context"
	"encoding/json"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mqtthil/harness/simnet"
)

// FuzzAPI sends any requests to a server that has a proxy with a connection: it neither panics nor hangs, and every error
// is one in JSON.
func FuzzAPI(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/proxies", ""},
		{"POST", "/proxies", `{"name": "q", "upstream": "x:1", "listen": "127.0.0.1:0", "toxics": [{"type": "latency"}]}`},
		{"POST", "/populate", `[{"name": "p", "upstream": "x:1", "rules": [{"on": {"to": "device"}, "do": [{"delay": "2s"}]}]}]`},
		{"PATCH", "/proxies/p", `{"enabled": false, "listen": "127.0.0.1:7"}`},
		{"DELETE", "/proxies/p", ""},
		{"POST", "/proxies/p/toxics", `{"type": "slicer", "attributes": {"average_size": 9223372036854775807}}`},
		{"POST", "/proxies/p/toxics", `{"type": "bandwidth", "stream": "upstream", "attributes": {"rate": -1}}`},
		{"PATCH", "/proxies/p/toxics/t", `{"toxicity": 0.5, "attributes": {"latency": 5}}`},
		{"DELETE", "/proxies/p/toxics/t", ""},
		{"POST", "/proxies/p/rules", `{"on": {"to": "broker", "type": ["PUBLISH"], "topic": "a/#"}, "do": ["hold", {"cut": {"at": 3, "with": "rst"}}]}`},
		{"POST", "/proxies/p/rules/1/release?count=7&order=newest", ""},
		{"POST", "/proxies/p/conditions", `{"condition": {"bandwidth": {"rate": 100, "shared": true}}, "to": "device", "share": 0.5}`},
		{"PATCH", "/proxies/p/conditions/2", `{"loss": 0.5}`},
		{"DELETE", "/proxies/p/connections/1?with=fin", ""},
		{"POST", "/proxies/p/forge", `{"to": "device", "packet": "40 02 {id}"}`},
		{"POST", "/proxies/p/transport-faults", `{"status": 403, "times": 1}`},
		{"GET", "/metrics", ""},
		{"CONNECT", "//proxies/../%2f", "\x00"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		target, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") || strings.ContainsAny(method, " \t\r\n") || method == "" {
			t.Skip("no server gets to see such a request")
		}
		n := simnet.New()
		server := New(Options{
			Listen: n.Listen,
			Dial:   func(ctx context.Context, address string) (net.Conn, error) { return n.DialContext(ctx, "tcp", address) },
		})
		late := time.AfterFunc(30*time.Second, func() { panic("hangs") })
		defer late.Stop()
		defer server.Close()
		h := server.Handler()
		ask := func(method, path, body string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/", strings.NewReader(body))
			r.Method, r.URL = method, target
			if path != "" {
				r.URL, _ = url.Parse(path)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		upstream, err := n.Listen("127.0.0.1:5")
		if err != nil {
			t.Fatal(err)
		}
		defer upstream.Close()
		ask("POST", "/proxies", `{"name": "p", "listen": "127.0.0.1:4", "upstream": "127.0.0.1:5", "toxics": [{"name": "t", "type": "latency"}],
			"rules": [{"on": {"to": "device"}, "do": ["hold"]}], "conditions": [{"latency": "0s"}]}`)
		client, err := n.DialContext(t.Context(), "tcp", "127.0.0.1:4")
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		far, err := upstream.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		go sendAndFinish(client, 10)
		w := ask(method, "", body)
		var e Error
		if w.Code >= 400 && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Status != w.Code || e.Message == "") {
			t.Errorf("%s %s: status %d: %s", method, path, w.Code, w.Body)
		}
		if method != "DELETE" && path != "/populate" && ask("GET", "/proxies/p", "").Code != 200 {
			t.Errorf("%s %s has lost the proxy", method, path)
		}
	})
}
