package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mqtthil/devices/esptls/esptlstest"
	"mqtthil/devices/mosquittotest"
	"mqtthil/harness"
	"mqtthil/harness/timeline"
)

// write writes a file of a test's own.
func write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// pool is what a device that is flashed with a proxy's certificate trusts.
func pool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %s", path)
	}
	return pool
}

// dialTLS is dial with a handshake.
func (r *running) dialTLS(address string, config *tls.Config) *peer {
	r.t.Helper()
	conn := tls.Client(r.dial(address), config)
	return r.peer(conn, conn.Handshake())
}

// TestProxyTLS: an expired certificate turns the first connection away, and the second one passes. The packets are seen,
// and rules act on them.
func TestProxyTLS(t *testing.T) {
	t.Parallel()
	rules := write(t, "rules.yaml", lostPuback+`transport:
  - {expired-certificate: , times: 1}
  - {no-close-notify: , nth: 9}
`)
	record := filepath.Join(t.TempDir(), "field")
	r := startProxy(t, "--listen", "0", "--upstream", startBroker(t), "--transport", "tls", "--rules", rules,
		"--record", record, "--print")
	address := r.find(`^proxy mqtt at (\S+),`)[1]
	r.find(`^  transport tls, certificate for 127\.0\.0\.1$`)
	r.find(`^  transport fault 1: expired certificate, once$`)
	trusted := pool(t, r.find(`^  authority to trust: (` + record + `/tls/ca\.pem)$`)[1])

	config := &tls.Config{RootCAs: trusted, ServerName: "127.0.0.1"}
	var invalid x509.CertificateInvalidError
	err := tls.Client(r.dial(address), config).Handshake()
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("the first handshake: %v, want an expired certificate", err)
	}
	r.await(`^\S+ mqtt +#1 +expired certificate, once$`)
	r.awaitError(`^mqtthil: proxy mqtt, connection 1: accepting: TLS handshake with the device at .*bad certificate$`)
	r.dialTLS(address, config).session()
	r.await(`#2 → CONNECT "dut"`)
	r.end(harness.ExitPass)
	r.find(`^  rule 1 matched 1, fired 1: on every PUBACK to the device: drop$`)
	r.find(`^  transport fault 1 fired 1: expired certificate, once$`)
	r.find(`^  transport fault 2 fired 0: no close_notify, on the 9th connection$`)
	r.find(`^  transport faults that never fired: 2$`)

	f, err := os.Open(filepath.Join(record, "scenarios", "001-mqtt.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, err := timeline.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == timeline.KindFault && e.Conn == 1 && e.Fault.Text == "expired certificate, once" {
			return
		}
	}
	t.Error("the record does not say that the fault has struck")
}

// TestProxyMutualTLS: a device is to have the certificate that the proxy has written.
func TestProxyMutualTLS(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := startProxy(t, "--listen", "0", "--upstream", "mqtt://"+startBroker(t), "--transport", "mutual-tls", "--ca-out", folder,
		"--name", "bench.local", "--name", "192.0.2.1")
	address := r.find(`^proxy mqtt at (\S+),`)[1]
	r.find(`^  transport mutual-tls, certificate for bench\.local, 192\.0\.2\.1$`)
	files := r.find(`^  certificate and key of the device: (\S+), (\S+)$`)
	own, err := tls.LoadX509KeyPair(files[1], files[2])
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: pool(t, filepath.Join(folder, "ca.pem")), ServerName: "bench.local"}
	stranger := r.dialTLS(address, config) // in TLS 1.3 the client hears of it after the handshake
	if _, err := stranger.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("without a certificate: %v", err)
	}
	config.ServerName, config.Certificates = "192.0.2.1", []tls.Certificate{own}
	d := r.dialTLS(address, config)
	d.exchange(connect, connack)
	d.exchange(plain, puback)
	r.end(harness.ExitPass)
}

// TestProxyBeforeESP has the emulated ESP32 run ESP-IDF's examples against each transport.
func TestProxyBeforeESP(t *testing.T) {
	t.Parallel()
	const key = "000102030405060708090a0b0c0d0e0f"
	for _, test := range []struct {
		transport, app, scheme string
		flags                  []string // of the board; the files are those of --ca-out
	}{
		{"tls", "ssl", "mqtts", []string{"--ca", "ca.pem"}},
		{"mutual-tls", "ssl_mutual_auth", "mqtts", []string{"--ca", "ca.pem", "--cert", "client.pem", "--key", "client-key.pem"}},
		{"psk", "ssl_psk", "mqtts", []string{"--psk-hint", "bench", "--psk-key", key}},
		{"ws", "ws", "ws", nil},
		{"wss", "wss", "wss", []string{"--ca", "ca.pem"}},
	} {
		t.Run(test.transport, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			flags := []string{"--listen", "127.0.0.1:0", "--upstream", startBroker(t), "--transport", test.transport, "--print"}
			switch test.transport {
			case "psk":
				mosquittotest.Lookup(t, "stunnel", "stunnel4")
				flags = append(flags, "--psk", "bench:"+key)
			case "tls", "mutual-tls", "wss":
				flags = append(flags, "--ca-out", folder, "--name", "localhost")
			}
			r := startProxy(t, flags...)
			address := r.find(`^proxy mqtt at (\S+),`)[1]
			if test.transport == "psk" {
				address = r.find(`^  transport psk, by stunnel: devices connect to (\S+), with the key of bench$`)[1]
			}
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			board := program(t, append([]string{"emulate", "--stdio", "--app", test.app,
				"--uri", test.scheme + "://localhost:" + port + "/mqtt"}, test.flags...)...)
			board.Dir = folder
			console, printed := startPiped(t, board)
			connected := false
			var said strings.Builder
			for lines := bufio.NewScanner(printed); lines.Scan(); {
				said.WriteString(lines.Text() + "\n")
				if strings.Contains(lines.Text(), "MQTT_EVENT_SUBSCRIBED") {
					connected = true
					_ = console.Close()
				}
				if strings.Contains(lines.Text(), "MQTT_EVENT_DISCONNECTED") {
					_ = console.Close()
				}
			}
			_ = board.Wait()
			if !connected {
				t.Errorf("the board says\n%s\nthe proxy\n%s", &said, r.stderr)
			}
			r.await(`#1 → SUBSCRIBE `)
			r.end(harness.ExitPass)
		})
	}
}

// TestProxyToMosquitto reaches a broker by TLS that others have written.
func TestProxyToMosquitto(t *testing.T) {
	t.Parallel()
	ca := esptlstest.NewAuthority(t, "somebody's CA")
	port := mosquittotest.Start(t, mosquittotest.TLS(t, ca, ca.Server(esptlstest.Named("broker.example"))),
		mosquittotest.RequireCertificate)
	upstream := "mqtts://" + (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String()
	trusted := write(t, "ca.pem", string(esptlstest.PEM(ca.Certificate)))
	own := ca.Server(esptlstest.Device())
	cert := write(t, "cert.pem", string(esptlstest.PEM(own.Leaf)))
	key := write(t, "key.pem", string(esptlstest.KeyPEM(t, own.PrivateKey)))
	proving := []string{"--upstream-cert", cert, "--upstream-key", key}

	for i, test := range []struct {
		name  string
		flags []string
		says  string // where it does not connect
	}{
		{"as it has to be", append([]string{"--upstream-ca", trusted, "--upstream-name", "broker.example"}, proving...), ""},
		{"insecure", append([]string{"--upstream-insecure"}, proving...), ""},
		{"another name", append([]string{"--upstream-ca", trusted}, proving...), `x509: .*127\.0\.0\.1.*--upstream-name$`},
		{"unknown authority", append([]string{"--upstream-name", "broker.example"}, proving...),
			`x509: certificate signed by unknown authority; name the broker's authority by --upstream-ca, .*$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := startProxy(t, append([]string{"--listen", "0", "--upstream", upstream}, test.flags...)...)
			address := r.find(`^proxy mqtt at (\S+),`)[1]
			if test.says == "" {
				d := r.dial(address)
				// A client of its own, or else the broker would close the connection of the other test.
				d.exchange(strings.Replace(connect, "dut", fmt.Sprint("du", i), 1), connack)
				d.exchange(plain, puback)
			} else {
				r.turnedAway(address)
				r.awaitError(`^mqtthil: proxy mqtt, connection 1: reaching the broker: TLS handshake with the broker at .*: ` + test.says)
			}
			r.end(harness.ExitPass)
		})
	}
}

// TestProxyBehindProxy reaches a proxy through a proxy, by WebSocket over TLS, and arms a fault between them over the API.
func TestProxyBehindProxy(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	behind := startProxy(t, "--listen", "0", "--upstream", startBroker(t), "--transport", "wss", "--ca-out", folder,
		"--toxiproxy-api", "0", "--rules", write(t, "rules.yaml", "transport: {fragments: 1}\n"))
	api := behind.find(`^API at (\S+)$`)[1]
	r := startProxy(t, "--listen", "0", "--upstream", "wss://"+behind.find(`^proxy mqtt at (\S+),`)[1]+"/mqtt",
		"--upstream-ca", filepath.Join(folder, "ca.pem"))
	address := r.find(`^proxy mqtt at (\S+),`)[1]
	d := r.dial(address)
	d.exchange(connect, connack)
	d.exchange(plain, puback)
	answer, err := http.Post(api+"/proxies/mqtt/transport-faults", "application/json", strings.NewReader(`{"status": 503, "times": 1}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Errorf("status %d", answer.StatusCode)
	}
	r.turnedAway(address)
	r.awaitError(`^mqtthil: proxy mqtt, connection 2: reaching the broker: WebSocket handshake with the broker at .*503.*$`)
	r.dial(address).exchange(connect, connack)
	r.end(harness.ExitPass)
	behind.end(harness.ExitPass)
	behind.find(`^  transport fault 1 fired 2: messages in fragments of no more than 1 bytes$`)
	behind.find(`^  transport fault 2 fired 1: HTTP status 503, once$`)
}

// TestProxyDNS asks for names by a resolver of its own.
func TestProxyDNS(t *testing.T) {
	t.Parallel()
	rules := write(t, "rules.yaml", `names:
  hosts: {broker.bench: 192.0.2.7}
  faults:
    - {does-not-exist: broker.bench, times: 1}
    - {server-fails: other.bench, times: 1}
`)
	r := startProxy(t, "--listen", "0", "--upstream", startBroker(t), "--dns", "0", "--rules", rules, "--print")
	server := r.find(`^DNS at (127\.0\.0\.1:\d+), on UDP and TCP$`)[1]
	r.find(`^  name broker\.bench: 192\.0\.2\.7$`)
	r.find(`^  name fault 1: broker\.bench: does not exist, once$`)
	for _, network := range []string{"udp", "tcp"} {
		resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, server)
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if network == "udp" {
			var failed *net.DNSError
			if _, err := resolver.LookupNetIP(ctx, "ip4", "broker.bench."); !errors.As(err, &failed) || !failed.IsNotFound {
				t.Errorf("the first lookup: %v", err)
			}
			r.await(`mqtt +broker\.bench: does not exist, once: does not exist: broker\.bench$`)
		}
		found, err := resolver.LookupNetIP(ctx, "ip4", "broker.bench.")
		if err != nil || len(found) != 1 || found[0].String() != "192.0.2.7" {
			t.Errorf("over %s: %v, %v", network, found, err)
		}
	}
	r.end(harness.ExitPass)
	r.find(`^  name fault 1 fired 1: broker\.bench: does not exist, once$`)
	r.find(`^  name faults that never fired: 2$`)
}
