package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices/esptls"
	"mqtthil/devices/mosquittotest"
	"mqtthil/faults"
	"mqtthil/faults/authority"
	"mqtthil/faults/transport"
	"mqtthil/harness/timeline"
)

// behind makes a proxy with a transport in front of it and another one behind.
func behind(front *transport.Front, rec *timeline.Recorder, back transport.Back) *faults.Proxy {
	return faults.New(faults.Options{
		Record: rec,
		Dial:   back.Connect,
		Accept: func(ctx context.Context, number int, conn net.Conn) (net.Conn, error) {
			return front.Accept(transport.WithConnection(ctx, number), conn)
		},
	})
}

// TestPath has the emulated ESP32 reach a real broker through the proxy, with one transport in front of it and another
// one behind.
func TestPath(t *testing.T) {
	t.Parallel()
	client := mustClient(ca())
	certificate, err := ca().Server(host)
	if err != nil {
		t.Fatal(err)
	}
	key, err := authority.KeyPEM(certificate)
	if err != nil {
		t.Fatal(err)
	}
	own := mustAuthority(authority.Options{}) // which only writes the file
	folder := t.TempDir()
	if err := own.WriteFiles(folder, certificate); err != nil {
		t.Fatal(err)
	}
	secure := "cafile " + mosquittotest.File(t, "ca.pem", ca().PEM()) +
		"\ncertfile " + folder + "/" + authority.CertificateFile +
		"\nkeyfile " + mosquittotest.File(t, "key.pem", key)
	trusting := &tls.Config{RootCAs: ca().Pool(), ServerName: host}
	proving := trusting.Clone()
	proving.Certificates = []tls.Certificate{client}

	for _, device := range []string{"mqtt", "mqtts", "ws", "wss"} {
		for _, broker := range []struct {
			name     string
			settings []string
			back     transport.Back
		}{
			{"tcp", nil, transport.Back{}},
			{"tls", []string{secure}, transport.Back{TLS: trusting}},
			{"mutual tls", []string{secure, mosquittotest.RequireCertificate}, transport.Back{TLS: proving}},
			{"ws", []string{mosquittotest.WebSocket}, transport.Back{WebSocket: true}},
			{"wss, mutual tls", []string{mosquittotest.WebSocket, secure, mosquittotest.RequireCertificate},
				transport.Back{TLS: proving, WebSocket: true, Host: host, Path: "/mqtt"}},
		} {
			t.Run(device+" to "+broker.name, func(t *testing.T) {
				t.Parallel()
				port := mosquittotest.Start(t, broker.settings...)
				broker.back.Dial = func(ctx context.Context) (net.Conn, error) {
					var dialer net.Dialer
					return dialer.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
				}
				options := transport.Options{WebSocket: strings.HasPrefix(device, "ws")}
				if device == "mqtts" || device == "wss" {
					options.Authority, options.Names = ca(), []string{host}
				}
				rec := timeline.NewRecorder(nil)
				proxy := behind(newFront(t, options), rec, broker.back)
				defer proxy.Close()
				n := newLoopback(t)
				go func() { _ = proxy.Serve(n.Listener) }()

				e := n.esp(t, device+"://"+host+"/mqtt", esptls.Build{})
				if err := e.Start(); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = e.Destroy() }()
				e.await(t, "connected")
				e.Subscribe("bench/up", 1)
				e.await(t, "subscribed")
				payload := bytes.Repeat([]byte("bench "), 100)
				if id := e.Publish("bench/up", payload, 1, false); id < 0 {
					t.Errorf("publish: %d", id)
				}
				e.await(t, "data "+string(payload))
				if err := e.Stop(); err != nil {
					t.Error(err)
				}
				ended(t, rec)
			})
		}
	}
}

// TestPathInVirtualTime has each transport in front of the proxy with each one behind, and ends the connections in each
// way from each side.
func TestPathInVirtualTime(t *testing.T) {
	t.Parallel()
	for _, front := range ways() {
		for _, back := range ways() {
			t.Run(front.name+" to "+back.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					near, far := newMemory(t), newMemory(t)
					reach := front.back
					reach.Dial, back.back.Dial = near.dial, far.dial
					rec := timeline.NewRecorder(nil)
					proxy := behind(newFront(t, front.front), rec, back.back)
					defer proxy.Close()
					go func() { _ = proxy.Serve(near.Listener) }()
					broker := newFront(t, back.front)
					for _, ending := range []string{"fin", "rst"} {
						for _, byDevice := range []bool{true, false} {
							accepted := far.accept(t, broker)
							conn, err := reach.Connect(t.Context())
							if err != nil {
								t.Fatal(err)
							}
							at := <-accepted
							if at.err != nil {
								t.Fatal(at.err)
							}
							one, other := conn.(transport.Stream), at.stream
							connect := "\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03dut"
							write(t, one, []byte(connect))
							expect(t, other, connect)
							write(t, other, connack)
							expect(t, one, string(connack))
							if !byDevice {
								one, other = other, one
							}
							if ending == "rst" {
								_ = one.SetLinger(0)
								_ = one.Close()
								if _, err := other.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
									t.Errorf("after RST: %v", err)
								}
							} else {
								_ = one.CloseWrite()
								if _, err := other.Read(make([]byte, 1)); err != io.EOF {
									t.Errorf("after FIN: %v", err)
								}
								_ = other.Close()
								if _, err := one.Read(make([]byte, 1)); err != io.EOF {
									t.Errorf("after the other FIN: %v", err)
								}
							}
							_, _ = one.Close(), other.Close()
							synctest.Wait()
						}
					}
					for _, e := range rec.Events() {
						if e.Kind == timeline.KindClose && e.Text != "fin" && e.Text != "rst" {
							t.Errorf("an end other than TCP's: %s %s", e.Point, e.Text)
						}
					}
				})
			})
		}
	}
}

// await waits for an event.
func (e *esp) await(t *testing.T, want string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case event := <-e.events:
			if event == want {
				return
			}
			if strings.HasPrefix(event, "error") {
				t.Fatalf("%s instead of %.20s", event, want)
			}
		case <-late:
			t.Fatalf("no %.20s", want)
		}
	}
}

// ended waits until the record has the connection end on both sides, and looks that it does so in TCP's ways. In which of
// them is a matter of who closes first: a client that closes with bytes unread resets, whatever the bytes.
func ended(t *testing.T, rec *timeline.Recorder) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		changed := rec.Changed()
		var ends []string
		device, broker := false, false
		for _, event := range rec.Events() {
			if event.Kind != timeline.KindClose {
				continue
			}
			ends = append(ends, fmt.Sprintf("%s %s", event.Point, event.Text))
			if event.Text != "fin" && event.Text != "rst" {
				t.Errorf("an end other than TCP's: %q", ends)
			}
			atDevice := event.Point == timeline.LeftDevice || event.Point == timeline.ReachedDevice
			device, broker = device || atDevice, broker || !atDevice
		}
		if device && broker {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the connection ends with %q", ends)
		}
	}
}

// TestStunnel has the emulated ESP32 come by a pre-shared key.
func TestStunnel(t *testing.T) {
	t.Parallel()
	mosquittotest.Lookup(t, "stunnel", "stunnel4")
	n := newLoopback(t)
	secret := bytes.Repeat([]byte{0x5a}, 16)
	stunnel, err := transport.StartStunnel(t.Context(), "127.0.0.1:0", n.Addr().String(),
		transport.PSK{Identity: "device", Key: secret}, transport.PSK{Identity: "other", Key: bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	defer stunnel.Close()
	connect := func(psk esptls.PSK) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", stunnel.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return esptls.Connect(ctx, conn, host, esptls.Options{PSK: &psk})
	}
	for _, psk := range []esptls.PSK{{Hint: "device", Key: make([]byte, 16)}, {Hint: "nobody", Key: secret}} {
		if conn, err := connect(psk); err == nil {
			_ = conn.Close()
			t.Errorf("%q with the key %x passes", psk.Hint, psk.Key)
		}
	}
	front := newFront(t, transport.Options{})
	for _, byDevice := range []bool{true, false} {
		accepted := n.accept(t, front)
		device, err := connect(esptls.PSK{Hint: "device", Key: secret})
		if err != nil {
			t.Fatal(err)
		}
		defer device.Close()
		bench := (<-accepted).stream
		defer bench.Close()
		write(t, device, []byte("ping"))
		expect(t, bench, "ping")
		write(t, bench, []byte("pong"))
		expect(t, device, "pong")
		one, other := net.Conn(bench), device
		if byDevice {
			one, other = device, bench
		}
		write(t, one, []byte("last"))
		expect(t, other, "last")
		_ = one.Close()
		_ = other.SetReadDeadline(time.Now().Add(30 * time.Second))
		if got, err := other.Read(make([]byte, 1)); got != 0 || err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the end: %d bytes, %v", got, err)
		}
	}
	if err := stunnel.Close(); err != nil {
		t.Error(err)
	}
	var dialer net.Dialer
	if conn, err := dialer.DialContext(t.Context(), "tcp", stunnel.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("stunnel listens after its end")
	}
}

func TestStunnelFails(t *testing.T) {
	good := transport.PSK{Identity: "device", Key: make([]byte, 16)}
	taken := newLoopback(t).Addr().String()
	t.Run("settings", func(t *testing.T) {
		mosquittotest.Lookup(t, "stunnel", "stunnel4")
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		for _, c := range []struct {
			ctx           context.Context
			listen, proxy string
			keys          []transport.PSK
			want          string
		}{
			{t.Context(), "127.0.0.1:0", taken, nil, "give an identity"},
			{t.Context(), "127.0.0.1:0", taken, []transport.PSK{{Identity: "device", Key: make([]byte, 15)}}, "shorter than 16"},
			{t.Context(), "127.0.0.1:0", taken, []transport.PSK{{Identity: "de:vice", Key: make([]byte, 16)}}, "no colons"},
			{t.Context(), "127.0.0.1:0", taken, []transport.PSK{{Identity: "", Key: make([]byte, 16)}}, "no empty one"},
			{t.Context(), taken, taken, []transport.PSK{good}, "address already in use"},
			{t.Context(), "127.0.0.1:0", "nonsense", []transport.PSK{good}, "host:port"},
			{canceled, "127.0.0.1:0", taken, []transport.PSK{good}, "canceled"},
		} {
			stunnel, err := transport.StartStunnel(c.ctx, c.listen, c.proxy, c.keys...)
			if err == nil {
				_ = stunnel.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		}
	})
	t.Run("stunnel that ends", func(t *testing.T) {
		folder := t.TempDir()
		program := "#!/bin/sh\necho '[.] starting' >&2\necho '[!] no such service' >&2\nexit 1\n"
		if err := os.WriteFile(filepath.Join(folder, "stunnel"), []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", folder)
		_, err := transport.StartStunnel(t.Context(), "127.0.0.1:0", taken, good)
		if err == nil || !strings.Contains(err.Error(), "stunnel has ended at its start; it says: no such service") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no stunnel", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		if _, err := transport.StartStunnel(t.Context(), "127.0.0.1:0", taken, good); !errors.Is(err, transport.ErrNoStunnel) {
			t.Errorf("got %v", err)
		}
	})
}
