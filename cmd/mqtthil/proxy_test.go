package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mqtthil/broker"
	"mqtthil/devices/mosquittotest"
	"mqtthil/harness"
	"mqtthil/harness/timeline"
)

func TestProxyCommandLines(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() }) // when the subtests have ended, too
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules := file("rules.yaml", "rules:\n  - on: {to: device, type: PUBACK}\n    do: [dorp]\n")
	armed := file("armed.yaml", "rules:\n  - on: {to: device}\n    do: [drop]\n")
	config := file("config.json", `[{"name": "one", "listen": "127.0.0.1:0"}]`)
	busy := file("busy.json", `[{"name": "one", "listen": "`+taken.Addr().String()+`", "upstream": "x:1"}]`)
	same := file("same.json", `[{"name": "mqtt", "listen": "127.0.0.1:0", "upstream": "x:1"}]`)
	damaged := file("damaged.jsonl", "{\"seq\":0}\nno record\n{\"seq\":2}\n")
	idle := file("idle.jsonl", "{\"seq\":0,\"at\":1,\"kind\":\"step\"}\n")
	file("run.json", "{}")
	named := file("named.yaml", "names: {hosts: {broker.bench: 127.0.0.1}}\n")
	pinging := file("pinging.yaml", "transport: ping\n")
	for _, test := range []struct {
		line   string
		code   int
		stderr string // regular expression, behind "mqtthil: "
	}{
		{"", 2, `usage: what is to be relayed\? name a broker by --upstream HOST:PORT, or have proxies made .*`},
		{"--listen 1884", 2, `usage: --listen: relay to where\? name the broker by --upstream HOST:PORT`},
		{"--upstream broker", 2, `usage: --upstream "broker": it is HOST:PORT, such as broker.example:1883, or SCHEME://.*`},
		{"--upstream :1883", 2, `usage: --upstream ":1883": it is HOST:PORT.*`},
		{"--upstream x:1 --listen a:b:c", 2, `usage: --listen: "a:b:c" is no address such as .*`},
		{"--upstream 127.0.0.1:1883 --listen :1883", 2, `usage: --upstream 127.0.0.1:1883 is the proxy itself; name another port by --listen`},
		{"--toxiproxy-api 0 --rules x", 2, `usage: --rules and --replay are for the proxy of --upstream; .*`},
		{"--upstream x:1 --unread --print", 2, `usage: --unread looks for no packets, .*`},
		{"--upstream x:1 --summary", 2, `usage: --summary is about the record: name its folder by --record`},
		{"--upstream x:1 --summary --print --record x", 2, `usage: --summary leaves out the packets that --print is to show`},
		{"--upstream x:1 --rules /no/such", 2, `usage: --rules: open /no/such: no such file or directory`},
		{"--upstream x:1 --rules " + rules, 2, `(?s)usage: --rules ` + rules + `: \[3:\d+\] .*unknown action "dorp"; there are .*drop.*`},
		{"--upstream x:1 --unread --rules " + armed, 2, `usage: --unread looks for no packets, so that the rules of .* would never match`},
		{"--upstream x:1 --replay /no/such", 2, `usage: --replay: open /no/such: no such file or directory`},
		{"--upstream x:1 --replay " + damaged, 2, `usage: --replay .*: line 2: invalid character .*; it is a record such as .*`},
		{"--upstream x:1 --replay " + idle, 2, `usage: --replay .*: nothing was done to any packet there, so that there is nothing to do again`},
		{"--upstream x:1 --record " + folder, 2, `usage: --record .*: there is a record already; name another folder`},
		{"--upstream x:1 --record /proc/no/such", 2, `usage: --record: mkdir /proc/no: .*; name another folder`},
		{"--config /no/such", 2, `usage: --config: open /no/such: no such file or directory`},
		{"--config " + config, 2, `usage: --config .*: missing required field: upstream at proxy 1`},
		{"--config " + busy, 3, `infrastructure: --config .*: proxy one: listen tcp .*: address already in use; name another address, .*`},
		{"--listen 0 --upstream x:1 --config " + same, 2, `usage: proxy already exists`},
		{"--upstream x:1 --listen " + taken.Addr().String(), 3, `infrastructure: proxy mqtt: listen tcp .*: address already in use; name another address, .*`},
		{"--upstream x:1 --transport quic", 2, `usage: --transport: unknown transport "quic"; it is one of tcp, tls, mutual-tls, psk, ws, wss`},
		{"--toxiproxy-api 0 --transport ws", 2, `usage: --transport and --dns belong to the proxy of --upstream; name its broker`},
		{"--upstream x:1 --transport tls", 2, `usage: --transport tls has an authority of its own, .*: name a folder for its certificate by --ca-out`},
		{"--upstream x:1 --transport tls --ca-out x --listen 0.0.0.0:0", 2, `usage: --transport tls: no certificate can be for 0\.0\.0\.0; name .* by --name`},
		{"--upstream x:1 --transport tls --ca-out /proc/no/such", 2, `usage: folder for the bench's certificate: .*; name another folder by --ca-out`},
		{"--upstream x:1 --transport tls --ca-out x --name=", 2, `usage: --name is empty: .*`},
		{"--upstream x:1 --transport ws --name x", 2, `usage: --name and --ca-out are for a certificate, which transport ws has none of; .*`},
		{"--upstream x:1 --psk a:b", 2, `usage: --psk is the key of transport psk; add --transport psk`},
		{"--upstream x:1 --transport psk", 2, `usage: --transport psk needs a key: --psk IDENTITY:KEY, .*`},
		{"--upstream x:1 --transport psk --psk a:xyz", 2, `usage: --psk: the key is not in hexadecimal digits: .*`},
		{"--upstream x:1 --transport psk --psk a:00", 2, `usage: --psk: pre-shared key of 1 bytes: stunnel takes none shorter than 16`},
		{"--upstream x:1 --rules " + pinging, 2, `usage: there are faults of a transport, and none is taken off: add --transport tls, mutual-tls, ws, wss`},
		{"--upstream x:1 --transport tls --ca-out x --rules " + pinging, 2, `usage: --transport tls: fault "PING before each frame" can never strike: it is one of WebSocket, which is off here; .*`},
		{"--upstream x:1 --rules " + named, 2, `usage: --rules .*: nobody is told of its names; serve them by --dns \[HOST:\]PORT`},
		{"--upstream x:1 --dns 0", 2, `usage: --dns serves the names of a rule file: name it by --rules, .*`},
		{"--upstream x:1 --transport ws --dns 0 --rules " + pinging, 2, `usage: --dns: there are no names in .*`},
		{"--upstream x:1 --dns a:b:c --rules " + named, 2, `usage: --dns: "a:b:c" is no address such as .*`},
		{"--upstream x:1 --listen 0 --rules " + named + " --dns " + taken.Addr().String(), 3, `infrastructure: DNS server: listen tcp .*: address already in use; name another address by --dns`},
		{"--upstream http://x:1", 2, `usage: --upstream "http://x:1": unknown scheme http; it is HOST:PORT, .*`},
		{"--upstream mqtts://", 2, `usage: --upstream "mqtts://": it is HOST:PORT, .*`},
		{"--upstream mqtts://x:y", 2, `usage: --upstream: parse .*: invalid port .*; it is HOST:PORT, .*`},
		{"--upstream mqtts://x/mqtt", 2, `usage: --upstream "mqtts://x/mqtt": a path is for ws and wss; leave it out`},
		{"--upstream mqtts://me:secret@x", 2, `usage: --upstream "mqtts://me:xxxxx@x": user, query and fragment have no meaning here; .*`},
		{"--upstream x:1 --upstream-insecure", 2, `usage: --upstream-ca, .* are for TLS with the broker; have --upstream begin with mqtts:// or wss://`},
		{"--toxiproxy-api 0 --upstream-ca x", 2, `usage: --upstream-ca, .* are for TLS with the broker; .*`},
		{"--upstream mqtts://x --upstream-insecure --upstream-name y", 2, `usage: --upstream-insecure takes any certificate, .*`},
		{"--upstream mqtts://x --upstream-cert y", 2, `usage: --upstream-cert and --upstream-key go together`},
		{"--upstream mqtts://x --upstream-ca /no/such", 2, `usage: --upstream-ca: open /no/such: no such file or directory`},
		{"--upstream mqtts://x --upstream-ca " + rules, 2, `usage: --upstream-ca .*: there is no certificate in it; it is a file in PEM`},
		{"--upstream mqtts://x --upstream-cert " + rules + " --upstream-key " + rules, 2, `usage: --upstream-cert and --upstream-key: tls: .*`},
		{"--toxiproxy-api " + taken.Addr().String(), 3, `infrastructure: the API: listen tcp .*: address already in use; name another address by --toxiproxy-api`},
	} {
		t.Run(test.line, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := result(t, program(t, append([]string{"proxy"}, strings.Fields(test.line)...)...))
			if code != test.code || !regexp.MustCompile(`^mqtthil: `+test.stderr+`\n$`).MatchString(stderr) {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
		})
	}
}

// running is a proxy as a process.
type running struct {
	t       *testing.T
	command *exec.Cmd
	said    chan string // lines of standard output
	stderr  *lockedBuffer
	all     []string // lines that were read
	peers   []*peer  // that end their connections before the proxy ends, which would wait for them
}

// lockedBuffer is a buffer that a process writes while a test reads.
type lockedBuffer struct {
	mu      sync.Mutex
	buffer  bytes.Buffer
	changed chan struct{}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// startProxy starts a proxy and waits until it says that it runs.
func startProxy(t *testing.T, arguments ...string) *running {
	t.Helper()
	command := program(t, append([]string{"proxy"}, arguments...)...)
	return startCommand(t, command)
}

func startCommand(t *testing.T, command *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, command: command, said: make(chan string, 1000), stderr: &lockedBuffer{changed: make(chan struct{}, 1)}}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = r.stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	go func() {
		defer close(r.said)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			r.said <- lines.Text()
		}
	}()
	r.await(`^Ctrl-C ends it$`)
	return r
}

// await waits for a line and returns what its groups matched.
func (r *running) await(expression string) []string {
	r.t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		select {
		case line, more := <-r.said:
			if !more {
				r.t.Fatalf("no %s; it said\n%s\n%s", expression, strings.Join(r.all, "\n"), r.stderr)
			}
			r.all = append(r.all, line)
			if found := regexp.MustCompile(expression).FindStringSubmatch(line); found != nil {
				return found
			}
		case <-late.C:
			r.t.Fatalf("no %s in time; it said\n%s\n%s", expression, strings.Join(r.all, "\n"), r.stderr)
		}
	}
}

// said is what a line among those that were read holds.
func (r *running) find(expression string) []string {
	r.t.Helper()
	found := regexp.MustCompile(`(?m)` + expression).FindStringSubmatch(strings.Join(r.all, "\n"))
	if found == nil {
		r.t.Fatalf("no %s; it said\n%s\n%s", expression, strings.Join(r.all, "\n"), r.stderr)
	}
	return found
}

// awaitError waits for a line on standard error.
func (r *running) awaitError(expression string) {
	r.t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for !regexp.MustCompile(`(?m)` + expression).MatchString(r.stderr.String()) {
		select {
		case <-r.stderr.changed:
		case <-late.C:
			r.t.Fatalf("no %s in time:\n%s", expression, r.stderr)
		}
	}
}

// end ends the proxy as Ctrl-C does, and reads what it still says.
func (r *running) end(wantCode int) {
	r.t.Helper()
	for _, p := range r.peers {
		p.Close()
	}
	if err := r.command.Process.Signal(os.Interrupt); err != nil {
		r.t.Fatal(err)
	}
	for line := range r.said {
		r.all = append(r.all, line)
	}
	_ = r.command.Wait()
	if code := r.command.ProcessState.ExitCode(); code != wantCode {
		r.t.Errorf("exit code %d, want %d\n%s\n%s", code, wantCode, strings.Join(r.all, "\n"), r.stderr)
	}
}

// peer is a client or a broker that the test plays.
type peer struct {
	t *testing.T
	net.Conn
}

// dial is a client that connects to the proxy.
func (r *running) dial(address string) *peer {
	r.t.Helper()
	conn, err := net.Dial("tcp", address)
	return r.peer(conn, err)
}

// turnedAway is a client whose connection ends without a byte, be it before the client knows that it stands.
func (r *running) turnedAway(address string) {
	r.t.Helper()
	conn, err := net.Dial("tcp", address)
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if n, _ := io.Copy(io.Discard, r.peer(conn, err)); n > 0 {
		r.t.Errorf("%d bytes have come", n)
	}
}

// accept is a broker that the proxy connects to.
func (r *running) accept(l net.Listener) *peer {
	r.t.Helper()
	conn, err := l.Accept()
	return r.peer(conn, err)
}

func (r *running) peer(conn net.Conn, err error) *peer {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	p := &peer{r.t, conn}
	r.peers = append(r.peers, p)
	return p
}

// exchange sends bytes, and reads those that it wants.
func (d *peer) exchange(send, want string) {
	d.t.Helper()
	if _, err := io.WriteString(d, send); err != nil {
		d.t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(d, got); err != nil || string(got) != want {
		d.t.Fatalf("%q is answered by %q, %v, want %q", send, got[:n], err, want)
	}
}

const (
	plain    = "\x32\x0c\x00\x04t/up\x00\x01hell"
	connect  = "\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03dut"
	connack  = "\x20\x02\x00\x00"
	publish  = "\x32\x0c\x00\x04\x1b[2J\x00\x01hell"
	puback   = "\x40\x02\x00\x01"
	pingreq  = "\xc0\x00"
	pingresp = "\xd0\x00"
)

// session is a client that publishes, whose PUBACK is lost, and that asks for an answer after that.
func (d *peer) session() {
	d.t.Helper()
	d.exchange(connect, connack)
	d.exchange(publish+pingreq, pingresp)
}

// startBroker is a broker for a proxy to relay to.
func startBroker(t *testing.T) (address string) {
	t.Helper()
	b, err := broker.New(timeline.NewRecorder(nil), broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

const lostPuback = `
seed: 7
rules:
  - on: {to: device, type: PUBACK}
    do: [drop]
  - on: {to: device, type: AUTH}
    do: [drop]
link:
  - latency: 1ms
`

// TestProxy has a client connect to a broker through the proxy, which loses the PUBACK as its rules say, shows and records
// what passes, and does it once more from its record.
func TestProxy(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	rules, record := filepath.Join(folder, "rules.yaml"), filepath.Join(folder, "field")
	if err := os.WriteFile(rules, []byte(lostPuback), 0o644); err != nil {
		t.Fatal(err)
	}
	upstream := startBroker(t)
	r := startProxy(t, "--listen", "127.0.0.1:0", "--upstream", upstream, "--rules", rules, "--record", record, "--print")
	address := r.find(`^proxy mqtt at (127\.0\.0\.1:\d+), to ` + upstream + `$`)[1]
	r.find(`^seed 7$`)
	r.find(`^  link: latency 1ms$`)
	r.find(`^  rule 2: on every AUTH to the device: drop$`)
	r.dial(address).session()
	at := `^\d\d:\d\d:\d\d\.\d{6} mqtt +#1 `
	r.await(at + `→ connected$`)
	r.await(at + `→ CONNECT "dut" keep alive 60 s clean$`)
	r.await(at + `← CONNACK code 0$`)
	r.await(at + `→ PUBLISH id 1 QoS 1 \x{FFFD}\[2J \(4 bytes\)$`)
	r.await(at + `← PUBACK id 1$`)
	r.await(at + `←    rule 1: drop$`)
	r.end(harness.ExitPass)
	r.find(`^proxy mqtt: 1 connection$`)
	r.find(`^  from the device: 3 packets, 33 bytes in, 33 bytes out$`)
	r.find(`^  to the device: 3 packets, 10 bytes in, 6 bytes out$`)
	r.find(`^  rule 1 matched 1, fired 1: on every PUBACK to the device: drop$`)
	r.find(`^  rules that never fired: 2$`)
	r.find(`^record  ` + record)

	if code, stdout, stderr := result(t, program(t, "report", record)); code != 0 {
		t.Fatalf("report: exit code %d\n%s%s", code, stdout, stderr)
	}
	page, err := os.ReadFile(filepath.Join(record, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"proxy mqtt", "PUBACK", "on every PUBACK to the device: drop", "1 record of traffic, not judged"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the report does not say %q", want)
		}
	}

	again := startProxy(t, "--listen", "127.0.0.1:0", "--upstream", upstream,
		"--replay", filepath.Join(record, "scenarios", "001-mqtt.jsonl"))
	again.dial(again.find(`^proxy mqtt at (\S+),`)[1]).session()
	again.end(harness.ExitPass)
	again.find(`^  rule 1 matched 3, fired 1: on 2nd packet to the device on connection 1: drop$`)
}

// TestProxyBeforeMosquitto does the same with a broker that others have written, and without a record.
func TestProxyBeforeMosquitto(t *testing.T) {
	t.Parallel()
	port := mosquittotest.Start(t)
	rules := filepath.Join(t.TempDir(), "rules.json")
	text := `{"rules": [{"on": {"to": "device", "type": ["PUBACK"], "client": "d?t"}, "do": ["drop"], "times": 1}]}`
	if err := os.WriteFile(rules, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	upstream := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String()
	r := startProxy(t, "--listen", "0", "--upstream", upstream, "--rules", rules, "--seed", "3")
	d := r.dial(r.find(`^proxy mqtt at (\S+),`)[1])
	d.exchange(connect, connack)
	d.exchange(plain+pingreq, pingresp)
	d.exchange(plain, puback)
	r.end(harness.ExitPass)
	r.find(`^seed 3$`)
	r.find(`^  rule 1 matched 2, fired 1: on 1st PUBACK to the device of client d\?t: drop$`)
	if text := r.stderr.String(); text != "" {
		t.Errorf("it has said %q", text)
	}
}

// TestProxySaysWhatIsWrong: a stream that is no MQTT and an upstream that is away are told, and end nothing else.
func TestProxySaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	r := startProxy(t, "--listen", "0.0.0.0:0", "--upstream", upstream.Addr().String())
	_, port, err := net.SplitHostPort(r.find(`^proxy mqtt at (\S+),`)[1])
	if err != nil {
		t.Fatal(err)
	}
	r.awaitError(`^mqtthil: proxy mqtt listens on \S+:` + port + `, where everybody who reaches this machine can use it$`)
	d := r.dial("127.0.0.1:" + port)
	_, _ = io.WriteString(d, "GET / HTTP/1.1\r\n\r\n")
	web := r.accept(upstream)
	web.exchange("", "GET / HTTP/1.1\r\n\r\n")
	web.exchange("HTTP/1.1 204 No Content\r\n\r\n", "")
	d.exchange("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n")
	r.awaitError(`^mqtthil: proxy mqtt, connection 1: not MQTT: first byte 47 does not begin a CONNECT; it is relayed as it is$`)
	_ = upstream.Close()
	r.turnedAway("127.0.0.1:" + port)
	r.awaitError(`^mqtthil: proxy mqtt, connection 2: reaching the broker: dial tcp .*: connection refused; is there a broker at ` +
		upstream.Addr().String() + `\?$`)
	web.exchange("x", "GET / HTTP/1.1\r\n\r\n") // the first connection goes on
	r.end(harness.ExitPass)
	r.find(`^proxy mqtt: 1 connection, 1 more that did not get to ` + upstream.Addr().String() + `$`)
	if n := strings.Count(r.stderr.String(), "connection 1:"); n != 1 {
		t.Errorf("it is said %d times that connection 1 is no MQTT", n)
	}
}

// TestProxyUnread relays what is no MQTT.
func TestProxyUnread(t *testing.T) {
	t.Parallel()
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	r := startProxy(t, "--listen", "0", "--upstream", upstream.Addr().String(), "--unread")
	d := r.dial(r.find(`^proxy mqtt at (\S+),`)[1])
	_, _ = io.WriteString(d, "SSH-2.0-x\r\n")
	r.accept(upstream).exchange("SSH-2.0-y\r\n", "SSH-2.0-x\r\n")
	d.exchange("", "SSH-2.0-y\r\n")
	r.end(harness.ExitPass)
	r.find(`^  from the device: 0 packets, 11 bytes in, 11 bytes out$`)
}

// TestProxyAPI makes proxies by a file and over the API.
func TestProxyAPI(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	config, record := filepath.Join(folder, "config.json"), filepath.Join(folder, "field")
	upstream := startBroker(t)
	text := `[{"name": "a/b", "upstream": "` + upstream + `", "toxics": [{"type": "latency", "attributes": {"latency": 1}}],
		"rules": [{"on": {"to": "device", "type": "PUBACK"}, "do": ["drop"]}]}]`
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := startProxy(t, "--config", config, "--toxiproxy-api", "0", "--record", record, "--summary")
	api := r.find(`^API at (http://127\.0\.0\.1:\d+)$`)[1]
	r.dial(r.find(`^proxy a/b at (\S+), to `)[1]).session()
	answer, err := http.Post(api+"/proxies", "application/json", strings.NewReader(`{"name": "later", "upstream": "`+upstream+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var later struct{ Listen string }
	if err := json.NewDecoder(answer.Body).Decode(&later); err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatalf("status %d, %v", answer.StatusCode, err)
	}
	d := r.dial(later.Listen)
	d.exchange(connect, connack)
	d.exchange(publish, puback)
	r.end(harness.ExitPass)
	r.find(`^proxy later: 1 connection$`)
	r.find(`^  rule 1 matched 1, fired 1: on every PUBACK to the device: drop$`)
	for _, name := range []string{"001-a-b.jsonl", "002-later.jsonl"} {
		f, err := os.Open(filepath.Join(record, "scenarios", name))
		if err != nil {
			t.Fatal(err)
		}
		events, err := timeline.Read(f)
		f.Close()
		if err != nil || events[0].Kind != timeline.KindScenario || events[len(events)-1].Verdict == nil {
			t.Errorf("%s: %v, %+v", name, err, events)
		}
		for _, e := range events {
			if e.Kind == timeline.KindPacket {
				t.Errorf("%s has packets, in spite of --summary", name)
				break
			}
		}
	}
}

// TestProxyDiskFull: a record that cannot be written on stops no traffic, is told at once, and makes the exit code.
func TestProxyDiskFull(t *testing.T) {
	t.Parallel()
	record := filepath.Join(t.TempDir(), "field")
	command := program(t, "proxy", "--listen", "0", "--upstream", startBroker(t), "--record", record)
	// The shell's limit of a file's size stands for a disk that is full.
	limited := exec.Command("/bin/sh", append([]string{"-c", `ulimit -f 8 && exec "$@"`, "sh", command.Path}, command.Args[1:]...)...)
	limited.Env, limited.Dir = command.Env, command.Dir
	r := startCommand(t, limited)
	d := r.dial(r.find(`^proxy mqtt at (\S+),`)[1])
	d.exchange(connect, connack)
	for range 100 {
		d.exchange(publish, puback)
	}
	r.awaitError(`^mqtthil: the record ends here, but relaying goes on: write .*001-mqtt.jsonl: file too large; make room, .*$`)
	d.exchange(publish, puback)
	r.end(harness.ExitInfrastructure)
	r.awaitError(`^mqtthil: infrastructure: the record of proxy mqtt is not whole: .*file too large$`)
}

// TestProxyOutputHasGone: as with mqtthil proxy --print | head, which must not end what goes through the proxy.
func TestProxyOutputHasGone(t *testing.T) {
	t.Parallel()
	upstream := startBroker(t)
	command := program(t, "proxy", "--listen", "0", "--upstream", upstream, "--print")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout = writer
	stderr := &lockedBuffer{changed: make(chan struct{}, 1)}
	command.Stderr = stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	r := &running{t: t, command: command, stderr: stderr}
	var address string
	for lines := bufio.NewScanner(reader); address == "" && lines.Scan(); {
		if found := regexp.MustCompile(`^proxy mqtt at (\S+),`).FindStringSubmatch(lines.Text()); found != nil {
			address = found[1]
		}
	}
	_ = reader.Close()
	d := r.dial(address)
	d.exchange(connect, connack)
	d.exchange(publish, puback)
	r.awaitError(`^mqtthil: standard output has gone \(.*broken pipe\); relaying goes on$`)
	d.exchange(publish, puback)
	d.Close()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var failed *exec.ExitError
	if err := command.Wait(); errors.As(err, &failed) {
		t.Errorf("%v\n%s", err, stderr)
	}
}

// TestLinesTooFast: a terminal that stands still holds nothing up, and says later what it has missed.
func TestLinesTooFast(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	spool := timeline.NewSpool(writer, func(err error) { t.Error(err) })
	out := &lines{spool: spool}
	for range 100 {
		out.printf("%s\n", strings.Repeat("x", 100<<10))
	}
	shown := make(chan string)
	go func() {
		text, _ := io.ReadAll(reader)
		shown <- string(text)
	}()
	if err := spool.Flush(); err != nil {
		t.Fatal(err)
	}
	out.printf("the end\n")
	_ = spool.Close()
	_ = writer.Close()
	text := <-shown
	found := regexp.MustCompile(`\n… (\d+) lines are missing here, .*\nthe end\n$`).FindStringSubmatch(text)
	if found == nil {
		t.Fatal("nothing is said to be missing")
	}
	if want := fmt.Sprint(100 - strings.Count(text, "x\n")); found[1] != want {
		t.Errorf("%s are said to be missing, want %s", found[1], want)
	}
}
