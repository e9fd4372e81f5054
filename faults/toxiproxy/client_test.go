package toxiproxy

import (
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	client "github.com/Shopify/toxiproxy/v2/client"
)

// serveAPI has a setup's server answer over TCP.
func (s *setup) serveAPI() (url string) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.server.Serve(l); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(func() {
		s.server.Close()
		serving.Wait()
	})
	return "http://" + l.Addr().String()
}

// TestClient drives all of it with Toxiproxy's own client, and looks at what becomes of real bytes.
func TestClient(t *testing.T) {
	t.Parallel()
	s := onLoopback(t, Options{})
	c := client.NewClient(s.serveAPI())
	p, err := c.CreateProxy("p", "127.0.0.1:0", s.upstream.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	run := func(stream string) arrival {
		t.Helper()
		near, far := s.connect(p.Listen)
		if stream == "upstream" {
			near, far = far, near
		}
		go sendAndFinish(far, 20000)
		a := receive(near)
		near.Close()
		return a
	}
	whole := func(a arrival) bool { return a.bytes == 20000 && a.ending == "fin" }
	for _, test := range []struct {
		kind       string
		attributes client.Attributes
		works      func(arrival) bool
	}{
		{"latency", client.Attributes{"latency": 300, "jitter": 0}, func(a arrival) bool { return whole(a) && a.last >= 300*ms }},
		{"bandwidth", client.Attributes{"rate": 100}, func(a arrival) bool { return whole(a) && a.last >= 190*ms }},
		{"slow_close", client.Attributes{"delay": 300}, func(a arrival) bool { return whole(a) && a.end >= 290*ms }},
		{"timeout", client.Attributes{"timeout": 300}, func(a arrival) bool { return a.bytes == 0 && a.ending == "fin" }},
		{"reset_peer", client.Attributes{"timeout": 200}, func(a arrival) bool { return a.bytes == 0 && a.ending == "rst" }},
		{"slicer", client.Attributes{"average_size": 1000, "size_variation": 100, "delay": 5000},
			func(a arrival) bool { return whole(a) && a.last >= 50*ms }},
		{"limit_data", client.Attributes{"bytes": 1234}, func(a arrival) bool { return a.bytes == 1234 && a.ending == "fin" }},
	} {
		for _, stream := range []string{"upstream", "downstream"} {
			if a := run(stream); !whole(a) {
				t.Errorf("before %s: %+v", test.kind, a)
			}
			toxic, err := p.AddToxic("", test.kind, stream, 1, test.attributes)
			if err != nil {
				t.Errorf("%s: %v", test.kind, err)
				continue
			}
			if toxic.Name != test.kind+"_"+stream || toxic.Type != test.kind || toxic.Stream != stream || toxic.Toxicity != 1 {
				t.Errorf("%+v", toxic)
			}
			if a := run(stream); !test.works(a) {
				t.Errorf("with %s %s: %+v", test.kind, stream, a)
			}
			if _, err := p.UpdateToxic(toxic.Name, 0, test.attributes); err != nil {
				t.Errorf("%s: %v", test.kind, err)
			}
			if a := run(stream); !whole(a) {
				t.Errorf("%s with a toxicity of 0: %+v", test.kind, a)
			}
			if err := p.RemoveToxic(toxic.Name); err != nil {
				t.Errorf("%s: %v", test.kind, err)
			}
		}
	}
	if _, err := p.AddToxic("slow", "latency", "", 0.5, client.Attributes{"latency": 3}); err != nil {
		t.Error(err)
	}
	toxics, err := p.Toxics()
	if err != nil || len(toxics) != 1 || toxics[0].Name != "slow" || toxics[0].Stream != "downstream" ||
		toxics[0].Toxicity != 0.5 || toxics[0].Attributes["latency"] != 3.0 || toxics[0].Attributes["jitter"] != 0.0 {
		t.Errorf("%+v, %v", toxics, err)
	}
	var known *client.ApiError
	if _, err := p.AddToxic("slow", "latency", "", 1, nil); !errors.As(err, &known) || known.Status != 409 || known.Message != "toxic already exists" {
		t.Errorf("a toxic that is there: %v", err)
	}
	if err := p.Disable(); err != nil || p.Enabled {
		t.Errorf("%+v, %v", p, err)
	}
	if conn, err := net.Dial("tcp", p.Listen); err == nil {
		conn.Close()
		t.Error("it listens, and is disabled")
	}
	if err := c.ResetState(); err != nil {
		t.Error(err)
	}
	all, err := c.Proxies()
	if err != nil || len(all) != 1 || !all["p"].Enabled || len(all["p"].ActiveToxics) != 0 {
		t.Errorf("%+v, %v", all["p"], err)
	}
	if a := run("downstream"); !whole(a) {
		t.Errorf("after reset: %+v", a)
	}
	if err := p.Delete(); err != nil {
		t.Error(err)
	}
	if _, err := c.Proxy("p"); !errors.As(err, &known) || known.Status != 404 || known.Message != "proxy not found" {
		t.Errorf("a proxy that is not there: %v", err)
	}
	if version, err := c.Version(); err != nil || !strings.Contains(string(version), `"version":"2.12.0"`) {
		t.Errorf("%s, %v", version, err)
	}
}

// TestClientPopulates: a proxy that is there with the same addresses stays, with its connections.
func TestClientPopulates(t *testing.T) {
	t.Parallel()
	s := onLoopback(t, Options{})
	c := client.NewClient(s.serveAPI())
	upstream := s.upstream.Addr().String()
	config := []client.Proxy{
		{Name: "one", Listen: "localhost:0", Upstream: upstream, Enabled: true},
		{Name: "two", Listen: "127.0.0.1:0", Upstream: upstream},
	}
	first, err := c.Populate(config)
	if err != nil || len(first) != 2 || !first[0].Enabled || first[1].Enabled {
		t.Fatalf("%+v, %v", first, err)
	}
	near, far := s.connect(first[0].Listen)
	second, err := c.Populate(config)
	if err != nil || second[0].Listen != first[0].Listen {
		t.Fatalf("%+v, %v", second[0], err)
	}
	config[0].Listen = first[0].Listen
	config[1].Upstream = "127.0.0.1:1"
	third, err := c.Populate(config)
	if err != nil || third[0].Listen != first[0].Listen || third[1].Upstream != "127.0.0.1:1" {
		t.Fatalf("%+v, %v", third[0], err)
	}
	go sendAndFinish(far, 10)
	if a := receive(near); a.bytes != 10 {
		t.Errorf("the connection has not outlived it: %+v", a)
	}
	config[0].Upstream = "127.0.0.1:1"
	if replaced, err := c.Populate(config); err != nil || replaced[0].Upstream != "127.0.0.1:1" {
		t.Errorf("%+v, %v", replaced, err)
	}
}

// TestCommandLine drives it with toxiproxy-cli, which is built from its module.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "toxiproxy-cli")
	if output, err := exec.Command("go", "build", "-o", program, "github.com/Shopify/toxiproxy/v2/cmd/cli").CombinedOutput(); err != nil {
		t.Fatalf("building toxiproxy-cli: %v\n%s", err, output)
	}
	s := onLoopback(t, Options{})
	url := s.serveAPI()
	run := func(wantFailure bool, arguments ...string) string {
		t.Helper()
		output, err := exec.Command(program, append([]string{"--host", url}, arguments...)...).CombinedOutput()
		if (err != nil) != wantFailure {
			t.Errorf("%q: %v\n%s", arguments, err, output)
		}
		return string(output)
	}
	want := func(text string, arguments ...string) {
		t.Helper()
		if got := run(false, arguments...); !strings.Contains(got, text) {
			t.Errorf("%q says %q, want %q", arguments, got, text)
		}
	}
	want("Created new proxy p", "create", "--listen", "127.0.0.1:0", "--upstream", s.upstream.Addr().String(), "p")
	p, err := s.server.Proxy("p")
	if err != nil {
		t.Fatal(err)
	}
	want("p\t"+p.Listen()+"\t"+s.upstream.Addr().String()+"\tenabled\t0\n", "list")
	attributes := map[string][]string{
		"latency":    {"latency=100", "jitter=5"},
		"bandwidth":  {"rate=7"},
		"slow_close": {"delay=100"},
		"timeout":    {"timeout=0"},
		"reset_peer": {"timeout=9000"},
		"slicer":     {"average_size=30", "delay=10", "size_variation=5"},
		"limit_data": {"bytes=99"},
	}
	for kind, given := range attributes {
		arguments := []string{"toxic", "add", "-t", kind, "-n", "my-" + kind, "--upstream"}
		for _, a := range given {
			arguments = append(arguments, "-a", a)
		}
		want("Added upstream "+kind+" toxic 'my-"+kind+"' on proxy 'p'", append(arguments, "p")...)
	}
	listed := run(false, "inspect", "p")
	for kind, given := range attributes {
		slices.Sort(given)
		line := "my-" + kind + "\ttype=" + kind + "\tstream=upstream\ttoxicity=1.00\tattributes=[\t" + strings.Join(given, "\t")
		if !strings.Contains(listed, line) {
			t.Errorf("inspect says\n%s\nwithout %q", listed, line)
		}
	}
	want("Updated toxic 'my-latency'", "toxic", "update", "-n", "my-latency", "-a", "latency=1", "--toxicity", "0.25", "p")
	want("my-latency\ttype=latency\tstream=upstream\ttoxicity=0.25\tattributes=[\tjitter=5\tlatency=1\t]", "inspect", "p")
	for kind := range attributes {
		want("Removed toxic 'my-"+kind+"'", "toxic", "remove", "-n", "my-"+kind, "p")
	}
	want("Proxy p is now disabled", "toggle", "p")
	want("\tdisabled\t0\n", "list")
	want("Proxy p is now enabled", "toggle", "p")
	near, far := s.connect(p.Listen())
	go sendAndFinish(far, 7)
	if a := receive(near); a.bytes != 7 {
		t.Errorf("%+v", a)
	}
	if got := run(true, "toxic", "remove", "-n", "my-latency", "p"); !strings.Contains(got, "HTTP 404: toxic not found") {
		t.Errorf("%q", got)
	}
	if got := run(true, "create", "--listen", "127.0.0.1:0", "--upstream", "x:1", "p"); !strings.Contains(got, "HTTP 409: proxy already exists") {
		t.Errorf("%q", got)
	}
	want("Deleted proxy p", "delete", "p")
	if got := run(true, "inspect", "p"); !strings.Contains(got, "HTTP 404: proxy not found") {
		t.Errorf("%q", got)
	}
}
