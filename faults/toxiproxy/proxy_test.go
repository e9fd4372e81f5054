package toxiproxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// TestPortLost: a proxy whose address somebody else took while it refused connections is not enabled, and says so; it is
// again as soon as it can.
func TestPortLost(t *testing.T) {
	t.Parallel()
	for _, enable := range [][3]string{{"POST", "/reset", ""}, {"PATCH", "/proxies/p", `{"enabled": true}`}} {
		inBubble(t, Options{}, func(t *testing.T, s *setup) {
			address := s.create("")
			s.ask(http.StatusCreated, "POST", "/proxies/p/conditions", `"refuse"`, nil)
			synctest.Wait()
			other, err := s.server.options.Listen(address)
			if err != nil {
				t.Fatal(err)
			}
			s.ask(http.StatusNoContent, "DELETE", "/proxies/p/conditions/1", "", nil)
			synctest.Wait()
			var p proxyView
			if s.ask(http.StatusOK, "GET", "/proxies/p", "", &p); p.Enabled {
				t.Error("the proxy is enabled, and does not listen")
			}
			s.ask(http.StatusInternalServerError, enable[0], enable[1], enable[2], nil)
			other.Close()
			status := http.StatusOK
			if enable[1] == "/reset" {
				status = http.StatusNoContent
			}
			s.ask(status, enable[0], enable[1], enable[2], nil)
			if s.ask(http.StatusOK, "GET", "/proxies/p", "", &p); !p.Enabled || p.Listen != address {
				t.Errorf("%+v, want it enabled on %s", p, address)
			}
			s.connect(address)
			s.ask(http.StatusOK, "PATCH", "/proxies/p", `{"enabled": false}`, nil)
			if conn, err := s.dial(t.Context(), address); err == nil {
				conn.Close()
				t.Error("it listens when it is disabled")
			}
		})
	}
}

// TestChangesAtOnce: two requests that change different things at once both have their way.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	s := onLoopback(t, Options{})
	s.create(`, "enabled": false`)
	for n := 1; n <= 500; n++ {
		var both sync.WaitGroup
		begin := make(chan struct{})
		for _, body := range []string{fmt.Sprintf(`{"listen": "127.0.0.1:%d"}`, n), fmt.Sprintf(`{"upstream": "x:%d"}`, n)} {
			both.Go(func() {
				<-begin
				s.server.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("PATCH", "/proxies/p", strings.NewReader(body)))
			})
		}
		close(begin)
		both.Wait()
		p, err := s.server.Proxy("p")
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Listen() + " " + p.Upstream(); got != fmt.Sprintf("127.0.0.1:%d x:%d", n, n) {
			t.Fatalf("after change %d: %s", n, got)
		}
	}
}
