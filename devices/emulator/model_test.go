package emulator

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"mqtthil/devices/espmqtt"
)

// TestMQTT5Packets: what the example of MQTT 5.0 sends, byte by byte.
func TestMQTT5Packets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		options := Options{Firmware: Firmware{App: "mqtt5", URI: "mqtt://broker:1883"}}
		kconfig := options.DefaultKconfig()
		kconfig.MessageIDIncremental = true
		options.Kconfig = &kconfig
		b := run(t, options)
		conn, err := b.broker.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		user := "26" + short("board") + short("esp32") + "26" + short("u") + short("user") + "26" + short("p") + short("password")
		expect := func(what, first string, body ...string) {
			t.Helper()
			got := b.receives(conn)
			want := unhex(t, strings.Join(body, ""))
			if first != hex.EncodeToString(got[:1]) || !bytes.HasSuffix(got, want) || len(got)-len(want) > 3 {
				t.Errorf("%s is\n%x, not\n%s .. %x", what, got, first, want)
			}
		}
		expect("CONNECT", "10", short("MQTT"), "05ee0078", properties("110000000a", "2700000400", "21ffff", "220002", "1901", "1701", user),
			short("ESP32_123456"), properties("180000000a", "0101", "020000000a", "08", short("test/response"), "09", short("123456"), user),
			short("topic/will"), short("i will leave"), short("123"), short("456"))
		b.sends(conn, 0x20, 3, 0, 0, 0)
		published := []string{"0101", "02000003e8", "08", short("topic/test/response"), "09", short("123456")}
		expect("PUBLISH", "33", short("topic/qos1"), "0001", properties(append(published, user)...), hex.EncodeToString([]byte("data_3")))
		expect("SUBSCRIBE", "82", "0002", properties("0bd3c701", user), short("$share/group1/topic/qos0"), "00")
		expect("SUBSCRIBE", "82", "0003", properties("0bd3c701", user), short("topic/qos1"), "06")
		expect("UNSUBSCRIBE", "a2", "0004", properties(user), short("$share/group1/topic/qos0"))
		b.sends(conn, 0x90, 4, 0, 2, 0, 0)
		expect("PUBLISH", "30", short("topic/qos0"), properties(published...), hex.EncodeToString([]byte("data")))
		b.sends(conn, 0xb0, 4, 0, 4, 0, 0)
		expect("DISCONNECT", "e0", "00", properties("110000003c", user))
	})
}

// short is a text with its length before it, in hexadecimal digits.
func short(text string) string {
	return hex.EncodeToString(append([]byte{0, byte(len(text))}, text...))
}

// properties are properties with their length before them, all in hexadecimal digits; up to 127 bytes.
func properties(list ...string) string {
	all := strings.Join(list, "")
	return hex.EncodeToString([]byte{byte(len(all) / 2)}) + all
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestMemorySpoilt: TCP keep alive on a WebSocket spoils the board's memory, and the board panics (ESP-QRK-39).
func TestMemorySpoilt(t *testing.T) {
	t.Parallel()
	for _, chip := range []Chip{ESP32, ESP32C3} {
		t.Run(chip.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := run(t, Options{Chip: chip})
				b.expect(prompt)
				var config espmqtt.Config
				config.Broker.Address.URI = text("ws://broker:1883/mqtt")
				config.Network.TCPKeepAlive = espmqtt.TCPKeepAlive{Enable: true, Idle: 5, Interval: 5, Count: 3}
				b.command(initialize(t, config))
				b.types("start\n")
				conn, err := b.broker.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				request := make([]byte, 1000)
				n, err := conn.Read(request)
				if err != nil {
					t.Fatal(err)
				}
				_, key, _ := strings.Cut(string(request[:n]), "Sec-WebSocket-Key: ")
				key, _, _ = strings.Cut(key, "\r\n")
				sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
				b.sends(conn, []byte("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: "+
					base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n")...)
				b.expect("Guru Meditation Error: Core  0 panic'ed (Load")
				b.expect("Rebooting...\r\n")
				b.expect("RESET reason=PANIC")
				b.expect(prompt)
				if got := b.command("outbox"); !strings.Contains(got, "not initialized") {
					t.Errorf("the client lives on: %q", got)
				}
			})
		})
	}
}

// TestMemoryShown: of a message whose properties do not fit the buffer, an application prints what lies behind that: here
// the client's identifier, which lies where the real payload would (ESP-QRK-34).
func TestMemoryShown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Firmware: Firmware{App: "mqtt5", URI: "mqtt://broker:1883"}})
		conn, err := b.broker.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		b.receives(conn)
		b.sends(conn, 0x20, 3, 0, 0, 0)
		b.expect("MQTT_EVENT_CONNECTED")
		b.sends(conn, unhex(t, "30a308"+"000174"+"9c08"+"080419"+strings.Repeat("72", 1049)+"7070")...)
		b.expect("TOPIC=t\r\n")
		b.expect("DATA=ESP32_123456\r\n")
		b.expect("DATA=")
	})
}

// TestUserEvents: the console's way to the application's own events, one of which stops the client for good (ESP-QRK-48).
func TestUserEvents(t *testing.T) {
	t.Parallel()
	for _, without := range [][]espmqtt.Quirk{nil, {espmqtt.QuirkCustomEvents}} {
		t.Run(fmt.Sprint(without), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := run(t, Options{Behaviour: espmqtt.Behaviour{Without: without}})
				b.expect(prompt)
				var config espmqtt.Config
				config.Broker.Address.URI = text("mqtt://broker:1883")
				config.Buffer.Size = 64
				b.command(initialize(t, config))
				if got := b.command("set_uri nonsense"); !strings.Contains(got, "Failed to set the URI") {
					t.Errorf("a URI that is none: %q", got)
				}
				b.types("start\n")
				conn, err := b.broker.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				b.receives(conn)
				b.sends(conn, 0x20, 2, 0, 0)
				b.expect("MQTT_EVENT_CONNECTED")
				b.types("user_event hello 0\n")
				b.expect("MQTT_USER_EVENT hello\r\n")
				b.expect("Other event id:9\r\n")
				if without == nil {
					b.types("user_event one 0\nuser_event two 0\n")
					b.expect("Failed to dispatch an event of the application")
				}
				b.types("user_event inside 1\n")
				time.Sleep(2 * time.Second)
				b.sends(conn, append([]byte{0x30, 103, 0, 1, 't'}, make([]byte, 100)...)...)
				b.expect("MQTT_EVENT_DATA topic=t qos=0 len=59 offset=0")
				time.Sleep(time.Minute)
				b.drainInto(func(rest string) {
					if strings.Contains(rest, "MQTT_EVENT_DATA_COMPLETE") != (without != nil) {
						t.Errorf("without %v: %q", without, rest)
					}
				})
			})
		})
	}
}

// TestOutboxOfApplication: a build whose outbox is the application's, that of the example or one that a test brings.
func TestOutboxOfApplication(t *testing.T) {
	t.Parallel()
	t.Run("the example's", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			b := run(t, Options{Firmware: Firmware{App: "custom_outbox", URI: "mqtt://broker:1883"}})
			b.expect("Pool: Pool: 22 bytes allocated, 22 total bytes in use\r\n")
			b.expect("MQTT_EXAMPLE: Enqueued msg_id=")
			b.expect("Pool: Pool: 28 bytes allocated, 50 total bytes in use\r\n")
			b.expect("MQTT_EXAMPLE: Other event id:7\r\n")
		})
	})
	t.Run("one that lasts", func(t *testing.T) {
		inBubble(t, func(t *testing.T) {
			kept := espmqtt.NewOutbox(nil)
			options := Options{NewOutbox: func() espmqtt.Outbox { return kept }}
			kconfig := options.DefaultKconfig()
			kconfig.CustomOutbox = true
			options.Kconfig = &kconfig
			b := run(t, options)
			for _, want := range []string{"OUTBOX size=0", "OUTBOX size=8"} { // the second life finds what the first has left
				b.expect(prompt)
				b.command(initCommand)
				if got := b.command("outbox"); !strings.Contains(got, want) {
					t.Errorf("not %s but %q", want, got)
				}
				b.command("publish t x 1 1 0 1")
				if err := b.Reset(); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
	options := Options{}
	kconfig := options.DefaultKconfig()
	kconfig.CustomOutbox = true
	options.Kconfig = &kconfig
	if err := options.Validate(); err == nil || !strings.Contains(err.Error(), "application conformance brings no outbox") {
		t.Errorf("a build that cannot be: %v", err)
	}
}
