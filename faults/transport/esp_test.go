package transport_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/esptls"
	"mqtthil/faults/transport"
	"mqtthil/harness/timeline"
)

// esp is the emulated ESP32's client. Its events are written down as they come.
type esp struct {
	*espmqtt.Client
	events chan string
}

func (n network) esp(t *testing.T, uri string, build esptls.Build) *esp {
	t.Helper()
	e := &esp{events: make(chan string, 1000)}
	var config espmqtt.Config
	authority, id := string(ca().PEM()), "esp"
	config.Broker.Address.URI = &uri
	config.Credentials.ClientID = &id
	config.Network.ReconnectTimeout = 1000
	if strings.HasPrefix(uri, "wss") || strings.HasPrefix(uri, "mqtts") {
		config.Broker.Verification.Certificate = &authority
	}
	environment := espmqtt.Environment{
		Random:   rand.New(rand.NewPCG(1, 2)),
		TLSBuild: build,
		Dial:     func(ctx context.Context, _, _ string) (net.Conn, error) { return n.dial(ctx) },
	}
	var err error
	e.Client, err = espmqtt.New(config, espmqtt.DefaultKconfig(), environment, espmqtt.Behaviour{}, func(event espmqtt.Event) {
		switch event.ID {
		case espmqtt.EventConnected:
			e.events <- "connected"
		case espmqtt.EventSubscribed:
			e.events <- "subscribed"
		case espmqtt.EventData:
			e.events <- "data " + string(event.Data)
		case espmqtt.EventDisconnected:
			e.events <- "disconnected"
		case espmqtt.EventError:
			e.events <- fmt.Sprintf("error %#x %#x %#x", event.Error.TLSLastError, event.Error.TLSStackError,
				event.Error.CertificateFlags)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// MQTT as far as these tests need it.
var (
	connack = []byte{0x20, 2, 0, 0}
	message = append([]byte{0x30, 10, 0, 1, 'a'}, "message"...)
)

// TestESP shows each fault to the emulated ESP32: on the second of three connections, of which the others are sound. The
// client connects again by itself.
func TestESP(t *testing.T) {
	t.Parallel()
	const handshake = "error 0x801a "
	const works = "connected, data message, "
	const fails = "" // in a way that depends on the mask
	for _, c := range []struct {
		fault transport.Fault
		build esptls.Build
		want  string // its events; what is between the sound connections
	}{
		{fault: transport.WrongName(), want: handshake + "0x2700 0x4"},
		{fault: transport.UnknownCA(), want: handshake + "0x2700 0x8"},
		{fault: transport.ExpiredCertificate(), want: works}, // it has no date (ESP-IDF's default)
		{fault: transport.ExpiredCertificate(), build: esptls.Build{CertificateDates: true}, want: handshake + "0x2700 0x1"},
		{fault: transport.CertificateNotYetValid(), build: esptls.Build{CertificateDates: true}, want: handshake + "0x2700 0x200"},
		{fault: transport.OldVersion(tls.VersionTLS11), want: handshake},
		{fault: transport.OldVersion(tls.VersionTLS12), build: esptls.Build{TLS13: true}, want: works},
		{fault: transport.LargeChain(20_000), want: works},
		{fault: transport.CertificateRequired(), want: handshake},
		{fault: transport.CertificateRequested(), want: works},
		{fault: transport.AlertInsteadOfHello(transport.AccessDenied), want: handshake + "0x7780 0x0"},
		{fault: transport.AlertAfterHandshake(transport.AccessDenied), want: "error 0x801d 0x7780 0x0"},
		{fault: transport.Stall(transport.Before(transport.ServerHello), 5*time.Second), want: works},
		{fault: transport.Stall(transport.Before(transport.ServerHello), 0), want: "error 0x8006 "},
		{fault: transport.Stall(transport.AfterByte(500), 0), want: "error 0x8006 "},
		{fault: transport.Stall(transport.Before(transport.Finished), time.Minute), want: "error 0x8006 "},
		{fault: transport.SplitRecords(5), want: works},
		{fault: transport.SplitSegments(1), want: works},

		{fault: transport.WrongAccept(), want: "error 0x0 0x0 0x0"},        // ESP-WS-02
		{fault: transport.NoAccept(), want: "error 0x0 0x0 0x0"},           // ESP-WS-02
		{fault: transport.NoSubprotocol(), want: works},                    // ESP-WS-02
		{fault: transport.Subprotocol("chat"), want: works},                // ESP-WS-02
		{fault: transport.Status(403), want: "error 0x0 0x0 0x0"},          // ESP-WS-02
		{fault: transport.Redirect("ws://elsewhere/mqtt"), want: "error "}, // ESP-WS-03
		{fault: transport.Fragments(3), want: works},                       // ESP-WS-05
		{fault: transport.SplitFrames(3), want: works},                     // ESP-WS-05
		{fault: transport.TextFrames(), want: works},                       // ESP-WS-05
		{fault: transport.MaskedFrames(), want: fails},                     // ESP-WS-05
		{fault: transport.GatherFrames(2, time.Second), want: works},       // ESP-WS-05
		{fault: transport.WrongMask(), want: fails},                        // ESP-WS-05
		{fault: transport.FragmentsWithPing(2), want: "disconnected"},      // ESP-WS-07
		{fault: transport.Ping(), want: works},                             // ESP-WS-06
		// ESP-WS-08: a header in pieces breaks the connection, unless they are together again before the board looks.
		{fault: transport.SlowHeaders(), want: "connected"},
		{fault: transport.CloseFrame(1012, 0), want: "error 0x8008 0x0 0x0"},         // ESP-WS-09
		{fault: transport.CloseFrame(1001, 1), want: "connected, error 0x0 0x0 0x0"}, // ESP-WS-09
	} {
		schemes := []string{"ws", "wss"}
		options := transport.Options{WebSocket: true}
		if _, err := newFront(t, options).Add(c.fault); err != nil {
			schemes = []string{"mqtts", "wss"}
		}
		for _, scheme := range schemes {
			t.Run(fmt.Sprintf("%s, %s, %s", c.fault, scheme, c.want), func(t *testing.T) {
				t.Parallel()
				_ = ca()
				synctest.Test(t, func(t *testing.T) {
					rec := timeline.NewRecorder(nil)
					options := transport.Options{WebSocket: strings.HasPrefix(scheme, "ws"), Record: rec}
					if scheme != "ws" {
						options.Authority, options.Names = ca(), []string{host}
					}
					front := newFront(t, options)
					armed := add(t, front, c.fault.Nth(2))
					n := newMemory(t)
					e := n.esp(t, scheme+"://"+host+":8883/mqtt", c.build)
					if err := e.Start(); err != nil {
						t.Fatal(err)
					}
					defer func() { _ = e.Destroy() }()
					for connection := 1; connection <= 3; connection++ {
						conn, err := n.Accept()
						if err != nil {
							t.Fatal(err)
						}
						if stream, err := front.Accept(transport.WithConnection(t.Context(), 7), conn); err == nil {
							serve(stream)
						}
						got := e.said(t)
						switch {
						case connection != 2 && !strings.HasPrefix(got, works):
							t.Errorf("connection %d, which is sound: %q, want %q", connection, got, works)
						case connection == 2 && c.want == fails && strings.HasPrefix(got, works),
							connection == 2 && !strings.HasPrefix(got, c.want):
							t.Errorf("with the fault: %q, want %q", got, c.want)
						}
					}
					if len(struck(rec)) != 1 || armed.Fired() != 1 {
						t.Errorf("fired %d times, record %q", armed.Fired(), struck(rec))
					}
				})
			})
		}
	}
}

// serve is a broker that accepts a client, sends it a message and ends.
func serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	p := make([]byte, 1000)
	if n, err := conn.Read(p); err != nil || n == 0 || p[0] != 0x10 {
		return
	}
	for _, packet := range [][]byte{connack, message} {
		if _, err := conn.Write(packet); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// said is what the client has reported up to the end of a connection.
func (e *esp) said(t *testing.T) string {
	t.Helper()
	late := time.After(time.Minute)
	for all := ""; ; all += ", " {
		select {
		case event := <-e.events:
			if all += event; event == "disconnected" {
				return all
			}
		case <-late:
			t.Errorf("no end behind %q", all)
			return all
		}
	}
}
