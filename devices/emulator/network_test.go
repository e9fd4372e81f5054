package emulator

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestPowerCutAfter cuts the power at every byte of a packet.
func TestPowerCutAfter(t *testing.T) {
	t.Parallel()
	const packet = 2 + 3 + 2 + 10 // a PUBLISH of QoS 1 to topic a, with 10 bytes
	for n := range packet + 2 {
		inBubble1(t, func(t *testing.T) {
			b := run(t, Options{})
			b.expect(prompt)
			conn := b.connects()
			b.PowerCutAfter(n)
			b.types("publish a x 10 1 0 0\n")
			got := make([]byte, min(n, packet))
			if _, err := io.ReadFull(conn, got); err != nil {
				t.Fatal(err)
			}
			if n > 0 && got[0] != 0x32 {
				t.Errorf("% x", got)
			}
			if n > packet { // its PINGREQ is the first to find no power
				_ = conn.SetReadDeadline(time.Now().Add(time.Hour))
				if m, err := conn.Read(make([]byte, 2)); m != n-packet || err != nil {
					t.Errorf("%d bytes, %v", m, err)
				}
			}
			b.silent(conn)
			if err := b.Restart(); err != ErrOff {
				t.Errorf("Restart: %v", err)
			}
			b.PowerOn()
			b.expect("rst:0x1 ")
			b.expect(prompt)
			b.sends(conn, 0x40, 2, 0, 1)
			b.refused(conn)
			b.connects() // the cut is over
		})
	}
}

// inBubble1 runs a test in virtual time within another one.
func inBubble1(t *testing.T, test func(t *testing.T)) { t.Helper(); synctest.Test(t, test) }

// TestPowerCutTakenBack: the board lives, and a cut that was announced leaves other lives alone.
func TestPowerCutTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		b.PowerCutAfter(3)
		b.PowerCutAfter(-1)
		b.connects()
		if got := b.command("outbox"); !strings.Contains(got, "OUTBOX size=0") {
			t.Errorf("%q", got)
		}
	})
}

// TestOldConnections: what a board does not know, it refuses, whether the other side speaks before or after the boot,
// or ends; and what stays silent is left alone.
func TestOldConnections(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		conns := make([]net.Conn, 4)
		for i := range conns {
			conns[i] = b.connects()
			if i == 0 {
				b.sends(conns[0], 0xd0, 0)
			}
			b.PowerOff()
			if i == 0 {
				b.sends(conns[0], 0xd0, 0)
				b.silent(conns[0])
			}
			b.PowerOn()
			b.expect(prompt)
		}
		b.refused(conns[0])
		b.sends(conns[1], 0xd0, 0)
		b.refused(conns[1])
		if err := conns[2].(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		b.WiFi(false)
		b.sends(conns[3], 0xd0, 0)
		b.silent(conns[3])
		b.WiFi(true)
		b.refused(conns[3])
	})
}

// TestWiFi: without Wi-Fi everything stalls, nothing ends, and afterwards it goes on.
func TestWiFi(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		conn := b.connects()
		b.types("subscribe a 1\n")
		p := b.receives(conn)
		b.sends(conn, 0x90, 3, p[2], p[3], 1)
		b.expect("MQTT_EVENT_SUBSCRIBED")
		b.drain()

		b.WiFi(false)
		b.WiFi(false)
		b.expect(" wifi:bcn_timeout,ap_probe_send_start\r\n")
		b.sends(conn, append([]byte{0x30, 8, 0, 1, 'a'}, "hello"...)...)
		b.types("publish a up 2 0 0 0\n")
		b.expect("Publish requested, msg_id=0\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("without Wi-Fi %d bytes, %v", n, err)
		}
		_ = conn.SetReadDeadline(time.Time{})
		synctest.Wait()
		b.drainInto(func(text string) {
			if !strings.Contains(text, "example_connect: Wi-Fi disconnected 200, trying to reconnect...") ||
				!strings.Contains(text, "Wi-Fi disconnected 201, trying") || strings.Contains(text, "MQTT_EVENT") {
				t.Errorf("without Wi-Fi it says %q", text)
			}
		})

		b.WiFi(true)
		b.expect(" wifi:connected with ")
		if p := b.receives(conn); !bytes.Equal(p, []byte("\x30\x07\x00\x01aupup")) {
			t.Errorf("afterwards comes % x", p)
		}
		b.expect("MQTT_EVENT_DATA_PAYLOAD hello\r\n")

		b.WiFi(false) // for a moment, of which the station notices no more than that
		time.Sleep(time.Second)
		b.WiFi(true)
		b.drainInto(func(text string) {
			if !strings.HasSuffix(text, "wifi:bcn_timeout,ap_probe_send_start\r\n") {
				t.Errorf("a short loss gives %q", text)
			}
		})
	})
}

// drainInto hands over what is printed and not read yet.
func (b *bench) drainInto(look func(string)) {
	synctest.Wait()
	for len(b.printed) > 0 {
		b.unread += <-b.printed
	}
	look(b.unread)
	b.unread = ""
}

// TestWiFiLostForLong: the client notices by its keep alive, finds no way to the broker, and comes back. The broker sees
// the end of the old connection only then.
func TestWiFiLostForLong(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		conn := b.connects()
		b.WiFi(false)
		b.types("publish a x 10000 1 0 0\n") // more than there is room for
		b.expect("Writing didn't complete in specified timeout")
		b.expect("MQTT_EVENT_DISCONNECTED")
		b.expect("ERROR type=1 connect_return_code=0 esp_tls_last_esp_err=0x8004 esp_tls_stack_err=0x0 cert_flags=0x0 sock_errno=118")
		b.WiFi(true)
		all, err := io.ReadAll(conn)
		if len(all) != sendBuffer || err != nil {
			t.Errorf("the old connection gives %d bytes, %v", len(all), err)
		}
		after := b.accepts()
		b.sends(after, 0x20, 2, 0, 0)
		b.expect("MQTT_EVENT_CONNECTED")
	})
}

// TestWiFiDownAtBoot: the application waits for its network before its console.
func TestWiFiDownAtBoot(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		b.WiFi(false)
		b.drain()
		if err := b.Reset(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		b.drainInto(func(text string) {
			if !strings.Contains(text, "Wi-Fi disconnected 201") || strings.Contains(text, prompt) {
				t.Errorf("it says %q", text)
			}
		})
		promptly(t, "Reset", func() { _ = b.Reset() })
		b.WiFi(true)
		b.expect(prompt)
		b.WiFi(false)
		synctest.Wait()
		promptly(t, "PowerOff", b.PowerOff)
		b.WiFi(true)
		b.WiFi(false)
		b.PowerOn()
		synctest.Wait() // and the console's end ends its wait
	})
}
