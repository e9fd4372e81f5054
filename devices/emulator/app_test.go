package emulator

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/esptls/esptlstest"
)

func TestFirmware(t *testing.T) {
	t.Parallel()
	_, files := certified(t)
	ca := Firmware{CA: files.CA}
	noKey := files
	noKey.Key = nil
	for _, c := range []struct {
		app      string
		firmware Firmware
		want     string // in the error; empty: none
	}{
		{"", Firmware{}, ""},
		{"conformance", Firmware{}, ""},
		{"blinky", Firmware{}, `unknown application "blinky"; it is one of conformance, stub, tcp, ssl, ssl_ds,`},
		{"tcp", Firmware{}, ""},
		{"ssl", Firmware{}, "application ssl has no CA"},
		{"ssl", ca, ""},
		{"ssl_ds", ca, "application ssl_ds has no certificate"},
		{"ssl_ds", noKey, "application ssl_ds has no key; it needs CA, certificate, key"},
		{"ssl_ds", files, ""},
		{"ssl_ds", Firmware{CA: files.CA, Certificate: files.Certificate, Key: files.Key},
			"key of the digital signature peripheral: it is encrypted"},
		{"ssl_mutual_auth", files, ""},
		{"ssl_psk", Firmware{}, "application ssl_psk has no pre-shared key"},
		{"wss", Firmware{}, "application wss has no CA"},
		{"mqtt5", Firmware{}, ""},
	} {
		c.firmware.App = c.app
		err := c.firmware.Validate()
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrFirmware) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.app, err, c.want)
		}
		if c.want == "" {
			continue
		}
		if err := New(broken{}, Options{Firmware: c.firmware}).Run(); !errors.Is(err, ErrFirmware) {
			t.Errorf("%s: Run gives %v", c.app, err)
		}
	}
	for _, a := range Apps() {
		if a.Name == "" || a.About == "" || (a.URI == "") != (a.Name == "conformance" || a.Name == "stub") {
			t.Errorf("an application without name, words or broker: %+v", a)
		}
	}
}

func TestExampleBoots(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Firmware: Firmware{App: "ws", URI: "ws://broker:1883/mqtt"}})
		before := b.expect("I (0) mqttws_example: [APP] Startup..\r\n")
		if want := "Project name:     mqtt_websocket\r\n"; !strings.Contains(before, want) {
			t.Errorf("no %q in %q", want, before)
		}
		b.expect("I (0) mqttws_example: [APP] Free memory: ")
		b.expect("I (0) mqttws_example: [APP] IDF version: v")
		b.expect("I (0) mqttws_example: Other event id:7\r\n")
		b.types("help\n") // to a board that reads no console
		time.Sleep(time.Minute)
		b.PowerOff()
		b.PowerOn()
		if got := b.expect("Startup.."); strings.Contains(got, "Unrecognized") {
			t.Errorf("an example answers on its console: %q", got)
		}
	})
}

// TestExampleFails has no broker for the examples. What they log of the same error differs.
func TestExampleFails(t *testing.T) {
	t.Parallel()
	ca := esptlstest.PEM(esptlstest.NewAuthority(t, "bench CA").Certificate)
	full := []string{
		"MQTT_EVENT_ERROR\r\n", "Last error reported from esp-tls: 0x8004\r\n",
		"Last error captured as transport's socket errno: 0x6f\r\n", "Last errno string (Connection refused)\r\n",
		"MQTT_EVENT_DISCONNECTED\r\n",
	}
	for _, c := range []struct {
		app, scheme string
		want        []string
		never       string
		again       bool // it tries once more
	}{
		{"tcp", "mqtt", full, "tls stack", true},
		{"ws", "ws", full, "tls stack", true},
		{"ssl", "mqtts", []string{"Last error code reported from esp-tls: 0x8004\r\n", "Last tls stack error number: 0x0\r\n",
			"Last captured errno : 111 (Connection refused)\r\n", "MQTT_EVENT_DISCONNECTED\r\n"}, "Connection refused error", true},
		{"wss", "wss", []string{"MQTT_EVENT_ERROR\r\n", "MQTT_EVENT_DISCONNECTED\r\n"}, "Last err", true},
		{"mqtt5", "mqtt", append([]string{"MQTT5 return code is 0\r\n"}, full[1:]...), "tls stack", false},
	} {
		t.Run(c.app, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				firmware := Firmware{App: c.app, URI: c.scheme + "://broker:1884"}
				if c.scheme == "mqtts" || c.scheme == "wss" {
					firmware.CA = ca
				}
				b := run(t, Options{Firmware: firmware})
				b.expect("Other event id:7\r\n")
				said := ""
				for _, line := range c.want {
					said += b.expect(line)
				}
				if strings.Contains(said, c.never) {
					t.Errorf("it logs %q: %q", c.never, said)
				}
				if c.again {
					b.expect("Other event id:7\r\n")
					return
				}
				time.Sleep(time.Hour)
				b.PowerOff()
				if b.PowerOn(); strings.Contains(b.expect("Startup.."), "Other event") {
					t.Error("it tries once more")
				}
			})
		})
	}
}

// TestDefaultPorts has brokers whose URI names no port.
func TestDefaultPorts(t *testing.T) {
	t.Parallel()
	ca := esptlstest.PEM(esptlstest.NewAuthority(t, "bench CA").Certificate)
	for _, c := range []struct {
		app, uri string
		change   func(*espmqtt.Kconfig)
		want     string
	}{
		{"tcp", "mqtt://broker", nil, "broker:1883"},
		{"ssl", "mqtts://broker", nil, "broker:8883"},
		{"ws", "ws://broker/mqtt", nil, "broker:80"},
		{"wss", "wss://broker/mqtt", nil, "broker:443"},
		{"tcp", "mqtt://broker", func(k *espmqtt.Kconfig) { k.TCPDefaultPort = 1 }, "broker:1"},
		{"ssl", "mqtts://broker", func(k *espmqtt.Kconfig) { k.SSLDefaultPort = 2 }, "broker:2"},
		{"ws", "ws://broker/mqtt", func(k *espmqtt.Kconfig) { k.WSDefaultPort = 3 }, "broker:3"},
		{"wss", "wss://broker/mqtt", func(k *espmqtt.Kconfig) { k.WSSDefaultPort = 4 }, "broker:4"},
	} {
		t.Run(c.want, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				options := Options{Firmware: Firmware{App: c.app, URI: c.uri}}
				if c.app == "ssl" || c.app == "wss" {
					options.CA = ca
				}
				kconfig := options.DefaultKconfig()
				if c.change != nil {
					c.change(&kconfig)
				}
				options.Kconfig = &kconfig
				dialled := make(chan string, 1)
				options.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
					dialled <- address
					return nil, syscall.ECONNREFUSED
				}
				run(t, options)
				if got := <-dialled; got != c.want {
					t.Errorf("it goes to %s, not to %s", got, c.want)
				}
			})
		})
	}
}

// TestBuildWithoutTransport has clients whose transport was left out of the build.
func TestBuildWithoutTransport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		uri    string
		change func(*espmqtt.Kconfig)
		want   string
	}{
		{"mqtts://broker", func(k *espmqtt.Kconfig) { k.TransportSSL = false }, "Not support this mqtt scheme mqtts\r\n"},
		{"ws://broker", func(k *espmqtt.Kconfig) { k.TransportWebSocket = false }, "Please enable MQTT_ENABLE_WS to use ws\r\n"},
		{"wss://broker", func(k *espmqtt.Kconfig) { k.TransportSSL = false }, "Not support this mqtt scheme wss\r\n"},
		{"wss://broker", func(k *espmqtt.Kconfig) { k.TransportWebSocket = false }, "Not support this mqtt scheme wss\r\n"},
		{"http://broker", func(*espmqtt.Kconfig) {}, "Not support this mqtt scheme http\r\n"},
	} {
		t.Run(c.uri, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				options := Options{Firmware: Firmware{App: "tcp", URI: c.uri}}
				kconfig := options.DefaultKconfig()
				c.change(&kconfig)
				options.Kconfig = &kconfig
				b := run(t, options)
				b.expect(c.want)
				b.expect("Failed to create transport list\r\n")
			})
		})
	}
}

// TestExampleWithoutClient has a broker's address that the client does not take. The example does not notice.
func TestExampleWithoutClient(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Firmware: Firmware{App: "tcp", URI: "no address"}})
		b.expect("Startup..")
		time.Sleep(time.Minute)
		b.PowerOff()
		b.PowerOn()
		if got := b.expect("Startup.."); strings.Contains(got, "Other event") {
			t.Errorf("it has a client: %q", got)
		}
	})
}

func TestExampleLosesPowerAnyTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Firmware: Firmware{App: "tcp", URI: "mqtt://broker:1883"}})
		for _, after := range []time.Duration{0, 1, time.Millisecond, time.Second, 10 * time.Second, 11 * time.Second} {
			conn, err := b.broker.Accept()
			if err != nil {
				t.Fatal(err)
			}
			b.receives(conn)
			time.Sleep(after)
			if after%2 == 0 {
				b.sends(conn, 0x20, 2, 0, 0)
			}
			b.PowerOff()
			_ = conn.Close()
			b.PowerOn()
		}
	})
}

// client is a client of a test's board, with what has happened to it.
type client struct {
	*espmqtt.Client
	events chan espmqtt.EventID
	hold   chan struct{} // its handler waits until this is closed, where it is not nil
}

// newClient makes a client beside that of the application, and starts it.
func (b *bench) newClient(id string, hold chan struct{}) *client {
	b.t.Helper()
	b.mu.Lock()
	p := b.power
	b.mu.Unlock()
	var config espmqtt.Config
	config.Broker.Address.URI = text("mqtt://broker:1883")
	config.Credentials.ClientID = &id
	config.Session.KeepAlive = 100
	c := &client{events: make(chan espmqtt.EventID, 100), hold: hold}
	var err error
	if c.Client, err = p.newClient(config, func(e espmqtt.Event) {
		c.events <- e.ID
		if c.hold != nil && e.ID == espmqtt.EventConnected {
			<-c.hold
		}
	}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(c.PowerOff)
	if err := c.Start(); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// happened gives the events since it was last called.
func (c *client) happened() (events []espmqtt.EventID) {
	for len(c.events) > 0 {
		events = append(events, <-c.events)
	}
	return events
}

// TestSeveralClients has three clients on one board. What happens to one, its loss of the connection and its handler
// that takes its time, the others do not notice.
func TestSeveralClients(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		var conns [3]clientConn
		hold := make(chan struct{})
		var clients [3]*client
		for i, id := range []string{"dut-lost", "dut-slow", "dut-good"} {
			var wait chan struct{}
			if id == "dut-slow" {
				wait = hold
			}
			clients[i] = b.newClient(id, wait)
			conn, err := b.broker.Accept()
			if err != nil {
				t.Fatal(err)
			}
			conns[i] = clientConn{b, conn}
			conns[i].connect(id)
		}
		time.Sleep(time.Second)
		for i, c := range clients {
			if got := c.happened(); !slices.Equal(got, []espmqtt.EventID{espmqtt.EventBeforeConnect, espmqtt.EventConnected}) {
				t.Errorf("client %d: %v", i, got)
			}
		}

		_ = conns[0].Close()
		lost, good := clients[0], clients[2]
		id := good.Publish("bench/up", []byte("x"), 1, false)
		if p := b.receives(conns[2]); p[0] != 0x32 {
			t.Errorf("instead of PUBLISH % x", p)
		}
		b.sends(conns[2], 0x40, 2, byte(id>>8), byte(id))
		time.Sleep(time.Second)
		if got := good.happened(); !slices.Equal(got, []espmqtt.EventID{espmqtt.EventPublished}) {
			t.Errorf("the good client: %v", got)
		}
		if got := lost.happened(); !slices.Equal(got, []espmqtt.EventID{espmqtt.EventError, espmqtt.EventDisconnected}) {
			t.Errorf("the client without a connection: %v", got)
		}
		if got := clients[1].happened(); got != nil {
			t.Errorf("the client in its handler: %v", got)
		}

		again, err := b.broker.Accept()
		if err != nil {
			t.Fatal(err)
		}
		clientConn{b, again}.connect("dut-lost")
		close(hold)
		time.Sleep(55 * time.Second) // longer than half the keep alive: who has a task that runs sends PINGREQ
		for i, conn := range []clientConn{conns[1], conns[2], {b, again}} {
			if p := b.receives(conn); i < 2 && p[0] != 0xc0 {
				t.Errorf("connection %d: instead of PINGREQ % x", i, p)
			}
		}
		if err := good.Stop(); err != nil {
			t.Error(err)
		}
		if lost.State() != espmqtt.Connected || clients[1].State() != espmqtt.Connected {
			t.Errorf("after another client's stop: %v and %v", lost.State(), clients[1].State())
		}
	})
}

// clientConn is the broker's side of a client's connection.
type clientConn struct {
	b *bench
	net.Conn
}

// connect takes the CONNECT of a client and answers it.
func (c clientConn) connect(id string) {
	c.b.t.Helper()
	if p := c.b.receives(c.Conn); p[0] != 0x10 || !strings.HasSuffix(string(p), id) {
		c.b.t.Fatalf("instead of the CONNECT of %s: %q", id, p)
	}
	c.b.t.Cleanup(func() { _ = c.Close() })
	c.b.sends(c.Conn, 0x20, 2, 0, 0)
}
