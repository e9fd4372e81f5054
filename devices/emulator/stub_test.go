package emulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/broker"
	"mqtthil/devices"
	"mqtthil/devices/console"
	"mqtthil/devices/frame"
	"mqtthil/harness/simnet"
	"mqtthil/harness/timeline"
)

// stubBench is a board with the stub, in virtual time, with the test at its console and a broker for its clients.
type stubBench struct {
	*bench
	number uint32            // of the last command
	events map[uint32]string // that have come, by number
}

func runStub(t *testing.T, options Options) *stubBench {
	t.Helper()
	options.App = "stub"
	options.Seed = 1
	b := &stubBench{bench: run(t, options), events: map[uint32]string{}}
	server, err := broker.New(timeline.NewRecorder(nil), broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(b.broker); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	b.expectFrame(frame.Ready)
	b.typesFrame(frame.Got, 0, "")
	return b
}

func (b *stubBench) typesFrame(kind string, number uint32, body string) {
	b.t.Helper()
	b.types(frame.Frame{Kind: kind, Number: number, Body: body}.String() + "\n")
}

// expectFrame waits for the next frame of a kind, and acknowledges events until then.
func (b *stubBench) expectFrame(kind string) frame.Frame {
	b.t.Helper()
	for {
		b.expect(frame.Start)
		text := b.expect("\r\n")
		f, err := frame.Parse(text)
		if err != nil {
			b.t.Fatalf("the board prints %q: %v", text, err)
		}
		if f.Kind == frame.Event {
			b.events[f.Number] = f.Body
			b.typesFrame(frame.Got, f.Number, "")
		}
		if f.Kind == kind {
			return f
		}
	}
}

// left lets time pass, and returns what was printed and nobody has expected. It acknowledges nothing.
func (b *bench) left(d time.Duration) string {
	time.Sleep(d)
	synctest.Wait()
	for {
		select {
		case more := <-b.printed:
			b.unread += more
		default:
			text := b.unread
			b.unread = ""
			return text
		}
	}
}

// does has a command done and returns the body of its result.
func (b *stubBench) does(body string) string {
	b.t.Helper()
	b.number++
	b.typesFrame(frame.Command, b.number, body)
	f := b.expectFrame(frame.Result)
	if f.Number != b.number {
		b.t.Fatalf("%s is answered by %s", body, f)
	}
	return f.Body
}

// succeeds has a command done that has to succeed.
func (b *stubBench) succeeds(body string) string {
	b.t.Helper()
	result := b.does(body)
	if !strings.HasPrefix(result, `{"ok":true`) {
		b.t.Errorf("%s: %s", body, result)
	}
	return result
}

// eventually waits for an event whose body has all the parts.
func (b *stubBench) eventually(parts ...string) string {
	b.t.Helper()
	for {
		f := b.expectFrame(frame.Event)
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(f.Body, part) }) {
			return f.Body
		}
	}
}

const stubInit = `{"do":"init","client":%d,"config":{"broker":{"address":{"uri":"mqtt://broker:1883"}},` +
	`"credentials":{"client_id":"dut-%[1]d"},"session":{"protocol_ver":3}}}`

// TestStubREADME plays the dialogues of firmware-stub/README.md to a board: what stands there is what it prints.
func TestStubREADME(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../firmware-stub/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var typed, want []string
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSuffix(line, "\n")
		if text, found := strings.CutPrefix(line, "    > ␞"); found {
			typed = append(typed, frame.Start+text)
		}
		if text, found := strings.CutPrefix(line, "    < ␞"); found {
			want = append(want, text)
		}
	}
	if len(typed) < 10 || len(want) < 20 {
		t.Fatalf("%d lines to the device and %d from it", len(typed), len(want))
	}
	synctest.Test(t, func(t *testing.T) {
		b := run(t, Options{Seed: 1, Firmware: Firmware{App: "stub"}})
		server, err := broker.New(timeline.NewRecorder(nil), broker.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if err := server.Serve(b.broker); err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		for _, line := range append(typed, "") {
			printed.WriteString(b.left(100 * time.Millisecond))
			b.types(line + "\n")
		}
		var got []string
		for line := range strings.SplitSeq(printed.String(), "\r\n") {
			if _, text, found := strings.Cut(line, frame.Start); found {
				got = append(got, text)
			}
		}
		// Of an answer and an event at the same moment, either may come first.
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the board prints\n%s\nand the page says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestStubREADMEIsWhole: the page names every command.
func TestStubREADMEIsWhole(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../firmware-stub/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, _ := strings.Cut(string(page), "| `do` |")
	commands, _, _ = strings.Cut(commands, "\n\n")
	for name := range stubCommands {
		if !strings.Contains(commands, "`"+name+"`") {
			t.Errorf("it does not name %s", name)
		}
	}
}

// TestStubBadFrames: every damage is told, and changes nothing.
func TestStubBadFrames(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{})
		heap := frame.Frame{Kind: frame.Command, Number: 1, Body: `{"do":"heap"}`}.String()
		latin := frame.Frame{Kind: frame.Command, Number: 1, Body: "{\"do\":\"\xe4\"}"}.String()
		for _, test := range []struct{ typed, want string }{
			{"AT", `"error":"form","text":"a frame begins with the character 0x1e"`},
			{heap[1:], `"error":"form","text":"a frame begins with`},
			{strings.Replace(heap, "heap", "heat", 1), `"error":"checksum"`},
			{heap + " ", `"error":"form"`},
			{heap[:len(heap)-1], `"error":"form"`},
			{heap[:8] + heap, `"error":"form","text":"another frame began before it had ended"`},
			{latin, `"error":"utf8","text":"a frame is UTF-8 text"`},
			{frame.Start + strings.Repeat("x", 5000), `"error":"too-long","text":"a frame has at most 1024 bytes"`},
			{frame.Frame{Kind: "TEA", Number: 1}.String(), `"error":"form","text":"the bench sends CMD, GOT, AGAIN and WHO"`},
			{frame.Frame{Kind: frame.Ack, Number: 1}.String(), `"error":"form"`},
			{frame.Frame{Kind: frame.Got, Number: 1, Body: "{}"}.String(), `"error":"form","text":"GOT has no body"`},
			{frame.Frame{Kind: frame.Who, More: true}.String(), `"error":"form","text":"WHO has no body"`},
		} {
			b.types(test.typed + "\n")
			nak := b.expectFrame(frame.Nak)
			if !strings.Contains(nak.Body, test.want) {
				t.Errorf("%.60q is answered by %s", test.typed, nak.Body)
			}
			if after := strings.TrimPrefix(test.typed, heap[:8]); after == heap {
				b.expectFrame(frame.Result) // the one that cut the other short is whole
				b.number = 1
			}
			if nak.Number != 0 && nak.Number != b.number {
				t.Errorf("%.60q is answered by %s", test.typed, nak)
			}
		}
		b.types("\n \r\n\r\n") // are no frames, and no mistake
		b.types(frame.Frame{Kind: frame.Who}.String() + "\r\n")
		if f := b.expectFrame(frame.Ready); !strings.Contains(f.Body, `"command":1,"event":1,"repeat":1`) {
			t.Errorf("after all that the board says %s", f.Body)
		}
	})
}

// TestStubBadCommands: every mistake has an answer that names it.
func TestStubBadCommands(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{})
		b.succeeds(fmt.Sprintf(stubInit, 1))
		for _, test := range []struct{ body, want string }{
			{``, `"error":"json","text":"EOF"`},
			{`x`, `"error":"json"`},
			{`{"do":"heap"`, `"error":"json"`},
			{`{"do":"heap"} 1`, `"error":"json","text":"there is something behind the object"`},
			{`["do"]`, `"error":"type","text":"an object is expected, not a list"`},
			{`{}`, `"error":"missing-key","key":"do"`},
			{`{"do":null}`, `"error":"missing-key","key":"do"`},
			{`{"do":7}`, `"error":"type","key":"do","text":"do: a text is expected, not the number"`},
			{`{"do":"fly"}`, `"error":"unknown-command","key":"do","text":"there is no command \"fly\""`},
			{`{"do":"heap","client":1}`, `"error":"unknown-key","key":"client"`},
			{`{"do":"start"}`, `"error":"client","key":"client","text":"client 0 is not there: init it first"`},
			{`{"do":"start","client":8}`, `"error":"client","key":"client","text":"there is no client 8: they are 0 to 7"`},
			{`{"do":"destroy","client":-1}`, `"error":"client"`},
			{`{"do":"state","client":99}`, `"error":"client"`},
			{`{"do":"start","client":"1"}`, `"error":"type","key":"client"`},
			{`{"do":"start","client":1.5}`, `"text":"client: a whole number in the range that it has in C is expected, not the number 1.5"`},
			{fmt.Sprintf(stubInit, 1), `"error":"client","key":"client","text":"client 1 is there: destroy it first"`},
			{`{"do":"init"}`, `"error":"missing-key","key":"config"`},
			{`{"do":"init","config":{"broker":{"address":{"uri":7}}}}`, `"error":"type","key":"config.broker.address.uri"`},
			{`{"do":"init","config":{"session":{"keepalive":"x"}}}`, `"error":"type","key":"config.session.keepalive"`},
			{`{"do":"init","config":{"session":{"last_will":{"qos":true}}}}`, `"key":"config.session.last_will.qos"`},
			{`{"do":"init","config":{"task":{"priority":5}}}`, `"error":"unknown-key","key":"task"`},
			{`{"do":"init","config":{"session":{"last_will":{"msg64":"?"}}}}`, `"error":"base64","key":"msg64"`},
			{`{"do":"init","config":{"session":{"last_will":{"msg64":"AA==","msg":""}}}}`, `"error":"value","key":"msg"`},
			{`{"do":"init","config":{"broker":{"address":{"uri":"nonsense"}}}}`, `"error":"esp","text":"uri \"nonsense\" has no scheme`},
			{`{"do":"config","client":1}`, `"error":"missing-key","key":"config"`},
			{`{"do":"config","client":1,"config":{"broker":{"address":{"uri":"mqtt://a","transport":1}}}}`, `"esp_err":"ESP_ERR_INVALID_ARG"`},
			{`{"do":"set_uri","client":1}`, `"error":"missing-key","key":"uri"`},
			{`{"do":"set_uri","client":1,"uri":"/"}`, `"error":"esp"`},
			{`{"do":"properties","client":1,"subscribe":{"retain_handle":3}}`, `"error":"esp","text":"retain handling 3`},
			{`{"do":"properties","client":1,"connect":{"receive_maximum":65536}}`, `"error":"type","key":"connect.receive_maximum"`},
			{`{"do":"publish","client":1,"topic":"a"}`, `"error":"missing-key","key":"data"`},
			{`{"do":"publish","client":1,"data":"a"}`, `"error":"missing-key","key":"topic"`},
			{`{"do":"publish","client":1,"topic":"a","data":"a","data64":"YQ=="}`, `"error":"value","key":"data"`},
			{`{"do":"publish","client":1,"topic":"a","data64":"YQ"}`, `"error":"base64","key":"data64","text":"data64: it is no base64 with padding"`},
			{`{"do":"publish","client":1,"topic":"a","data":"a","repeat":-1}`, `"error":"value","key":"repeat"`},
			{`{"do":"publish","client":1,"topic":"a","data":"ab","repeat":4611686018427387905}`, `"error":"value","key":"repeat"`},
			{`{"do":"publish","client":1,"topic":"a","data":"a"}`, `"error":"esp","text":"esp_mqtt_client_publish returned -1","msg_id":-1`},
			{`{"do":"subscribe","client":1,"topic":"a"}`, `"text":"esp_mqtt_client_subscribe returned -1"`},
			{`{"do":"subscribe","client":1}`, `"error":"missing-key","key":"topic"`},
			{`{"do":"unsubscribe","client":1,"topic64":"="}`, `"error":"base64","key":"topic64"`},
			{`{"do":"stop","client":1}`, `"error":"esp","text":"client was not started`},
			{`{"do":"reconnect","client":1}`, `"esp_err":"ESP_FAIL"`},
			{`{"do":"sleep"}`, `"error":"value","key":"ms"`},
			{`{"do":"sleep","ms":9223372036854775807}`, `"error":"value","key":"ms"`},
			{`{"do":"panic","fault":"fear"}`, `"error":"value","key":"fault"`},
			{`{"do":"watchdog","which":"dog"}`, `"error":"value","key":"which"`},
			{`{"do":"` + strings.Repeat("x", 900) + `"}`, `xxx…"`},
		} {
			if got := b.does(test.body); !strings.HasPrefix(got, `{"ok":false,`) || !strings.Contains(got, test.want) {
				t.Errorf("%s: %s, want %s", test.body, got, test.want)
			}
		}
		if got := b.succeeds(`{"do":"info"}`); !strings.Contains(got, `"in_use":[{"client":1,"state":1,"outbox":0}]`) {
			t.Errorf("after all that: %s", got)
		}
	})
}

// TestStubTooLong sends a command of many parts.
func TestStubTooLong(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{})
		long := func(size int) (result frame.Frame) {
			text := `{"do":"heap"` + strings.Repeat(" ", size-len(`{"do":"heap"}`)) + `}`
			for _, f := range frame.Split(frame.Command, b.number+1, text, frame.Limit) {
				b.types(f.String() + "\n")
				b.expectFrame(frame.Ack)
				if b.number = f.Number; f.Number == 40 || !f.More {
					break
				}
			}
			return b.expectFrame(frame.Result)
		}
		if f := long(stubMessage); f.Number != b.number || !strings.HasPrefix(f.Body, `{"ok":true`) {
			t.Errorf("the longest command: %s", f)
		}
		b.number = 0
		b.PowerOff()
		b.PowerOn()
		b.expectFrame(frame.Ready)
		var f frame.Frame
		text := strings.Repeat(" ", 2*stubMessage)
		for _, part := range frame.Split(frame.Command, 1, text, frame.Limit) {
			b.number = part.Number
			b.types(part.String() + "\n")
			if b.expectFrame(frame.Ack); int(part.Number)*len(part.Body) > stubMessage {
				f = b.expectFrame(frame.Result)
				break
			}
		}
		if f.Number != b.number || !strings.Contains(f.Body, `"error":"too-long","text":"a command has at most 32768 bytes"`) {
			t.Errorf("a longer one: %s", f)
		}
		b.succeeds(`{"do":"heap"}`)
	})
}

// TestStubOnce: a command that comes again is answered and not run again, also while it runs.
func TestStubOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{})
		b.succeeds(fmt.Sprintf(stubInit, 0))
		b.succeeds(`{"do":"start"}`)
		b.eventually("MQTT_EVENT_CONNECTED")
		b.succeeds(`{"do":"subscribe","topic":"a","qos":1}`)
		first := b.succeeds(`{"do":"publish","topic":"a","data":"x","qos":1}`)
		for range 3 {
			b.typesFrame(frame.Command, b.number, `{"do":"publish","topic":"a","data":"x","qos":1}`)
			if f := b.expectFrame(frame.Result); f.Body != first || f.Number != b.number {
				t.Errorf("answered by %s, the first time by %s", f, first)
			}
		}
		time.Sleep(10 * time.Second)
		b.succeeds(`{"do":"outbox"}`)
		messages := 0
		for _, body := range b.events {
			if strings.Contains(body, "MQTT_EVENT_DATA") {
				messages++
			}
		}
		if messages != 1 {
			t.Errorf("published %d times", messages)
		}
		b.succeeds(`{"do":"set_uri","uri":"mqtt://nowhere:1"}`)
		b.succeeds(`{"do":"disconnect"}`)
		b.eventually("MQTT_EVENT_ERROR")
		b.number++
		b.typesFrame(frame.Command, b.number, `{"do":"stop"}`) // which takes half the time to reconnect
		b.expectFrame(frame.Ack)
		b.typesFrame(frame.Command, b.number, `{"do":"stop"}`)
		if f := b.expectFrame(frame.Ack); f.Number != b.number {
			t.Errorf("while it runs it is answered by %s", f)
		}
		b.typesFrame(frame.Command, b.number+1, `{"do":"heap"}`)
		if f := b.expectFrame(frame.Ready); !strings.Contains(f.Body, fmt.Sprintf(`"command":%d,`, b.number)) {
			t.Errorf("another one is answered by %s", f)
		}
		if f := b.expectFrame(frame.Result); f.Number != b.number || f.Body != `{"ok":true}` {
			t.Errorf("it ends with %s", f)
		}
		b.typesFrame(frame.Command, b.number+5, `{"do":"heap"}`)
		b.expectFrame(frame.Ready)
		info := b.succeeds(`{"do":"info"}`)
		if !strings.Contains(info, `"state":2`) {
			t.Errorf("stopped, the client is %s", info)
		}
	})
}

// TestStubClients has two clients on one board talk to each other, in bytes that are no text.
func TestStubClients(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{})
		for client := range 2 {
			b.succeeds(fmt.Sprintf(stubInit, client))
			b.succeeds(fmt.Sprintf(`{"do":"start","client":%d}`, client))
			b.eventually("MQTT_EVENT_CONNECTED", fmt.Sprintf(`"client":%d,`, client), `"session_present":false`)
		}
		b.succeeds(`{"do":"properties","client":1,"subscribe":{"subscribe_id":7}}`)
		b.succeeds(`{"do":"subscribe","client":1,"topic":"a/+","qos":1}`)
		b.eventually("MQTT_EVENT_SUBSCRIBED", `"client":1,`, `"codes":[1]`)
		b.succeeds(`{"do":"properties","publish":{"payload_format_indicator":true,"content_type":"x/y","response_topic":"r",` +
			`"correlation_data":"c","user_property":[{"key":"k","value":"v"}]}}`)
		b.succeeds(`{"do":"publish","topic":"a/b","data64":"AP+A","repeat":2,"qos":1,"retain":true}`)
		b.eventually("MQTT_EVENT_DATA", `"client":1,`, `"topic":"a/b","qos":1,"retain":false,"dup":false,"len":6,"offset":0,"total":6,`,
			`"data64":"AP+AAP+A"`, `"payload_format_indicator":true,"content_type":"x/y","response_topic":"r",`,
			`"correlation_data`, `"subscribe_id":7`, `"user_properties":[{"key":"k","value":"v"}]`)
		b.succeeds(`{"do":"enqueue","client":1,"topic64":"YS9j","data":"später","qos":0}`)
		b.eventually("MQTT_EVENT_DATA", `"topic":"a/c","qos":0`, `"data":"später"`)
		b.succeeds(`{"do":"properties","client":1,"unsubscribe":{"user_property":[{"key":"k","value":"v"}]}}`)
		b.succeeds(`{"do":"unsubscribe","client":1,"topic":"a/+"}`)
		b.eventually("MQTT_EVENT_UNSUBSCRIBED", `"client":1,`)
		if got := b.succeeds(`{"do":"outbox","client":1}`); got != `{"ok":true,"size":0}` {
			t.Errorf("the outbox is %s", got)
		}
		b.succeeds(`{"do":"disconnect"}`)
		b.eventually("MQTT_EVENT_DISCONNECTED", `"client":0,`, `"reason_code":`)
		b.succeeds(`{"do":"set_uri","uri":"mqtt://nowhere:1"}`)
		b.eventually("MQTT_EVENT_ERROR", `"client":0,`, `"error":{"type":1,"connect_return_code":0,"esp_tls_last_esp_err":`)
		b.succeeds(`{"do":"config","config":{"broker":{"address":{"uri":"mqtt://broker:1883"}},"network":{"reconnect_timeout_ms":500}}}`)
		b.eventually("MQTT_EVENT_CONNECTED", `"client":0,`)
		b.succeeds(`{"do":"stop","client":1}`)
		b.succeeds(`{"do":"destroy","client":1}`)
		b.succeeds(`{"do":"destroy","client":1}`)
		if got := b.succeeds(`{"do":"state","client":1}`); got != `{"ok":true,"state":0}` {
			t.Errorf("destroyed, the client is %s", got)
		}
	})
}

// TestStubEnds has the board end its life by command, and say why the next one began.
func TestStubEnds(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{Chip: ESP32C3})
		nonces := map[string]bool{}
		for _, test := range []struct{ body, reset string }{
			{`{"do":"restart"}`, "SW"},
			{`{"do":"sleep","ms":60000}`, "DEEPSLEEP"},
			{`{"do":"panic"}`, "PANIC"},
			{`{"do":"panic","fault":"stack"}`, "PANIC"},
			{`{"do":"watchdog"}`, "TASK_WDT"},
			{`{"do":"watchdog","which":"interrupt"}`, "INT_WDT"},
		} {
			b.succeeds(fmt.Sprintf(stubInit, 0))
			b.succeeds(`{"do":"start"}`)
			b.eventually("MQTT_EVENT_CONNECTED")
			start := time.Now()
			b.succeeds(test.body)
			f := b.expectFrame(frame.Ready)
			if !strings.Contains(f.Body, `"chip":"ESP32-C3"`) || !strings.Contains(f.Body, `"reset":"`+test.reset+`"`) ||
				!strings.HasSuffix(f.Body, `"command":0,"event":1,"repeat":0}`) {
				t.Errorf("%s ends in %s", test.body, f)
			}
			if _, nonce, _ := strings.Cut(f.Body, `"nonce":"`); nonces[nonce[:8]] {
				t.Errorf("the nonce of %s was there before", f)
			} else {
				nonces[nonce[:8]] = true
			}
			if slept := time.Since(start); test.reset == "DEEPSLEEP" && slept < time.Minute {
				t.Errorf("slept for %v", slept)
			}
			b.number = 0
		}
	})
}

// TestStubRepeats: what nobody answers comes again, ever more seldom, and no more once it is answered.
func TestStubRepeats(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{Seed: 1, Firmware: Firmware{App: "stub"}})
		s := &stubBench{bench: b, events: map[uint32]string{}}
		var waits []time.Duration
		for last := time.Now(); len(waits) < 9; last = time.Now() {
			s.expectFrame(frame.Ready)
			waits = append(waits, time.Since(last))
		}
		if got := fmt.Sprint(waits); got != "[0s 1s 2s 4s 8s 16s 32s 32s 32s]" {
			t.Errorf("HIL-READY comes after %s", got)
		}
		s.typesFrame(frame.Got, 0, "")
		s.does(`{"do":"init","config":{"broker":{"address":{"uri":"mqtt://nowhere:1"}},"network":{"disable_auto_reconnect":true}}}`)
		s.number++
		s.typesFrame(frame.Command, s.number, `{"do":"start"}`)
		next := func() (number uint32) {
			b.expect(frame.Start + frame.Event + " ")
			_, _ = fmt.Sscan(b.expect(`{"event"`), &number)
			return number
		}
		for last := uint32(0); last < 3; { // BEFORE_CONNECT, ERROR, DISCONNECTED
			last = next()
		}
		s.typesFrame(frame.Got, 1, "")
		time.Sleep(100 * time.Millisecond)
		for _, want := range []uint32{2, 3, 2, 3, 2, 3} {
			if got := next(); got != want {
				t.Errorf("event %d comes again, want %d", got, want)
			}
		}
		s.typesFrame(frame.Again, 3, "")
		if got := next(); got != 3 {
			t.Errorf("event %d comes, although 3 was asked for", got)
		}
		if got := next(); got != 3 {
			t.Errorf("event %d comes again, although what was before 3 has come", got)
		}
		s.number++
		s.typesFrame(frame.Command, s.number, `{"do":"destroy"}`)
		s.expectFrame(frame.Result)
		s.typesFrame(frame.Got, 1<<30, "")
		s.typesFrame(frame.Who, 0, "")
		b.expect(frame.Start + frame.Ready) // what came before it may have crossed the acknowledgement
		time.Sleep(time.Hour)
		s.typesFrame(frame.Who, 0, "")
		if before := b.expect(frame.Start + frame.Ready); strings.Contains(before, frame.Start+frame.Event) {
			t.Errorf("events come although all of them were acknowledged: %q", before)
		}
	})
}

// TestStubForgets: a board that nobody listens to goes on working, and says what it has forgotten.
func TestStubForgets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := runStub(t, Options{})
		b.succeeds(fmt.Sprintf(stubInit, 0))
		b.succeeds(`{"do":"start"}`)
		b.eventually("MQTT_EVENT_CONNECTED")
		b.succeeds(`{"do":"subscribe","topic":"a","qos":0}`)
		first := b.eventually("MQTT_EVENT_SUBSCRIBED")
		for range 2 * stubKept / 1000 {
			b.number++
			b.typesFrame(frame.Command, b.number, `{"do":"publish","topic":"a","data":"x","repeat":1000}`)
			b.left(2 * time.Second)
		}
		b.typesFrame(frame.Again, 4, "")
		body := b.expectFrame(frame.Event)
		if body.Body != `{"event":"LOST","from":4}` || body.Number <= 4 {
			t.Errorf("after %s: %s", first, body)
		}
		if f := b.expectFrame(frame.Event); f.Number != body.Number+1 {
			t.Errorf("then %s", f)
		}
	})
}

// noisyLine is a serial line that damages what passes: it loses bytes, turns bits, and puts garbage and log lines
// between them, of which the log lines come whole but anywhere.
type noisyLine struct {
	net.Conn
	random *rand.Rand
	one    int // of so many bytes one is damaged
}

func (n *noisyLine) String() string { return "noisy line" }

func (n *noisyLine) damage(data []byte, logs bool) []byte {
	var out []byte
	for _, b := range data {
		if n.random.IntN(n.one) > 0 {
			out = append(out, b)
			continue
		}
		switch n.random.IntN(5) {
		case 0:
		case 1:
			out = append(out, b^1<<n.random.IntN(8))
		case 2:
			out = append(out, b, byte(n.random.Uint32()))
		case 3:
			out = append(out, frame.Start[0], b)
		default:
			if logs {
				out = append(out, "\x1b[0;33mW (77) wifi: beacon timeout\x1b[0m\r\n"...)
			}
			out = append(out, b)
		}
	}
	return out
}

// noisyPort damages in both directions.
type noisyPort struct{ from, to noisyLine }

func (p *noisyPort) String() string { return "noisy line" }
func (p *noisyPort) Close() error   { return p.from.Close() }

func (p *noisyPort) Read(b []byte) (int, error) {
	n, err := p.from.Conn.Read(b[:len(b)/64]) // what is put in has room
	return copy(b, p.from.damage(b[:n], true)), err
}

func (p *noisyPort) Write(b []byte) (int, error) {
	_, err := p.to.Conn.Write(p.to.damage(b, false))
	return len(b), err
}

// TestStubOnANoisyLine drives a board over a bad line: every command is run once, and every event arrives once, in order.
func TestStubOnANoisyLine(t *testing.T) {
	t.Parallel()
	for _, one := range []int{3000, 1000, 400} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("one of %d, seed %d", one, seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { driveNoisy(t, one, seed) })
			})
		}
	}
}

func driveNoisy(t *testing.T, one int, seed uint64) {
	n := simnet.New()
	l, err := n.Listen("uart:0")
	if err != nil {
		t.Fatal(err)
	}
	near, err := n.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	brokerListener, err := n.Listen("broker:1883")
	if err != nil {
		t.Fatal(err)
	}
	seen := timeline.NewRecorder(nil)
	server, err := broker.New(seen, broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.Serve(brokerListener), server.Subscribe("up/#", 2)); err != nil {
		t.Fatal(err)
	}
	board := New(far, Options{Seed: seed + 1, Dial: n.DialContext, Firmware: Firmware{App: "stub"}})
	line := func(stream uint64) noisyLine { return noisyLine{near, rand.New(rand.NewPCG(seed, stream)), one} }
	record := timeline.NewRecorder(nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	dut := devices.Open(ctx, &noisyPort{line(1), line(2)}, console.Stub{}, record,
		devices.Options{BootTimeout: 10 * time.Minute, AnswerTimeout: 10 * time.Minute, Fail: func(err error) { panic(err) }})
	ended := make(chan error, 1)
	go func() { ended <- board.Run() }()
	defer func() {
		cancel(nil)
		_ = dut.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = server.Close()
	}()

	const messages = 40
	dut.AwaitBoot()
	dut.Init(devices.Config{Broker: "broker:1883", ClientID: "dut", KeepAlive: 600 * time.Second, BufferSize: 4096,
		Will: &devices.Will{Topic: "will", Payload: "\x00\xff" + strings.Repeat("long", 400)}})
	dut.Start()
	awaitEvents(t, record, "MQTT_EVENT_CONNECTED", 1)
	dut.Subscribe("down/#", devices.QoS1)
	awaitEvents(t, record, "MQTT_EVENT_SUBSCRIBED", 1)
	var sent, received []string
	for i := range messages {
		payload := fmt.Sprintf("message %d \x00\xff %s", i, strings.Repeat("x", i*20))
		sent = append(sent, payload)
		dut.Publish("up/a", payload, devices.QoS1)
		if err := server.Publish("down/a", []byte(payload), 1, false); err != nil {
			t.Fatal(err)
		}
	}
	awaitEvents(t, record, "MQTT_EVENT_PUBLISHED", messages)
	for _, e := range awaitEvents(t, record, "MQTT_EVENT_DATA_PAYLOAD", messages) {
		received = append(received, e.Fields["payload"])
	}
	var arrived []string
	for _, e := range seen.Events() {
		if e.Broker != nil && e.Broker.Hook == "message" {
			arrived = append(arrived, string(e.Broker.Payload))
		}
	}
	if !slices.Equal(arrived, sent) {
		t.Errorf("%d messages were to be published, and %d were:\n%.200q", len(sent), len(arrived), arrived)
	}
	for i, payload := range sent {
		if want := strings.ToValidUTF8(payload, "\uFFFD"); i >= len(received) || received[i] != want {
			t.Errorf("message %d of %d was told as %.50q, want %.50q", i, len(received), received[min(i, len(received)-1)], want)
			break
		}
	}
	if damaged := len(named(record, "DAMAGED-FRAME")); damaged == 0 && one < 3000 {
		t.Error("the line has damaged nothing")
	}
	if got := named(record, "LOST"); len(got) > 0 {
		t.Errorf("the board has forgotten events: %v", got)
	}
}

// named are a record's device events of a name.
func named(record *timeline.Recorder, name string) (events []timeline.Device) {
	for _, e := range record.Events() {
		if e.Device != nil && e.Device.Name == name {
			events = append(events, *e.Device)
		}
	}
	return events
}

// awaitEvents waits until a record has so many device events of a name, and a moment more.
func awaitEvents(t *testing.T, record *timeline.Recorder, name string, count int) []timeline.Device {
	t.Helper()
	late := time.After(time.Hour)
	for seen, found := 0, 0; found < count; {
		changed := record.Changed()
		events := record.Events()
		for ; seen < len(events); seen++ {
			if e := events[seen].Device; e != nil && e.Name == name {
				found++
			}
		}
		if found >= count {
			break
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%d of %d events %s", found, count, name)
		}
	}
	time.Sleep(time.Minute)
	events := named(record, name)
	if len(events) != count {
		t.Errorf("%d events %s, want %d", len(events), name, count)
	}
	return events
}

// FuzzStub types anything into a board: all that it says in frames is whole, and it listens on.
func FuzzStub(f *testing.F) {
	start := frame.Frame{Kind: frame.Command, Number: 1, Body: `{"do":"heap"}`}.String() + "\n"
	f.Add([]byte(start + start))
	f.Add([]byte("AT\r\n" + start[:10] + start + "\x1e\x1e\n\xff"))
	f.Add([]byte(frame.Frame{Kind: frame.Command, More: true, Number: 1, Body: `{"do"`}.String() + "\n" +
		frame.Frame{Kind: frame.Command, Number: 2, Body: `:"restart"}`}.String() + "\n"))
	f.Add([]byte(frame.Frame{Kind: frame.Again, Number: 1}.String() + "\n" + frame.Frame{Kind: frame.Got, Number: 1 << 30}.String() + "\n"))
	f.Fuzz(func(t *testing.T, typed []byte) {
		l := newTestLink()
		var lines stubReader
		ended := 0
		for _, b := range typed {
			for _, line := range lines.take(b) {
				l.receive(line)
				ended++
				select {
				case job := <-l.jobs:
					l.answer(job.number, stubError{code: "value", text: job.text}.object())
				default:
				}
			}
			if len(lines.line) > frame.Limit {
				t.Fatalf("holds %d bytes", len(lines.line))
			}
		}
		for _, line := range lines.take('\n') {
			l.receive(line)
		}
		told := l.power.board.uart.pending.String()
		if ended > 0 && told == "" {
			// Only an acknowledgement needs no answer.
			if !bytes.Contains(typed, []byte(frame.Got)) && !bytes.Contains(typed, []byte(frame.Again)) {
				t.Errorf("%q is not answered", typed)
			}
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(told, "\r\n"), "\r\n") {
			if text, found := strings.CutPrefix(line, frame.Start); told != "" && !found {
				t.Errorf("%q is no frame", line)
			} else if _, err := frame.Parse(text); told != "" && err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}

// TestStubLinkParts: of an event in parts, those are sent again that are asked for; and a board that nobody listened to
// waits again when somebody does.
func TestStubLinkParts(t *testing.T) {
	t.Parallel()
	l := newTestLink()
	l.gone = true
	l.keep(frame.Split(frame.Event, 1, strings.Repeat("x", 2500), frame.Limit))
	l.power.board.uart.pending.Reset()
	l.receive(stubLine{text: strings.TrimPrefix(frame.Frame{Kind: frame.Again, Number: 2}.String(), frame.Start), frame: true})
	var got []string
	for line := range strings.SplitSeq(strings.TrimSuffix(l.power.board.uart.pending.String(), "\r\n"), "\r\n") {
		got = append(got, line[1:7])
	}
	if !slices.Equal(got, []string{"EVT+ 2", "EVT 3 "}) || l.gone {
		t.Errorf("sent again: %q; gone: %t", got, l.gone)
	}
}

// newTestLink is a link whose board does not run: what it says stays in the UART, as far as that has room.
func newTestLink() *stubLink {
	board := New(new(bytes.Buffer), Options{Seed: 1, Firmware: Firmware{App: "stub"}})
	board.uart.gone = true
	p := &power{board: board, typed: newTyped(0), off: make(chan struct{})}
	l := newStubLink(p)
	l.ready = func() object { return object{{"nonce", "n"}} }
	return l
}
