package console_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mqtthil/devices"
	"mqtthil/devices/console"
	"mqtthil/devices/frame"
	"mqtthil/harness/timeline"
)

// stubRig is a talk on a stub console, whose device is the test itself.
type stubRig struct {
	devices.Talk
	mu    sync.Mutex
	lines []string // typed by the talk
}

func talkStub() *stubRig {
	r := &stubRig{}
	r.Talk = console.Stub{}.Talk(func(line string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.lines = append(r.lines, line)
	})
	return r
}

// typed is what the talk has typed since the last call, without checksums.
func (r *stubRig) typed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var texts []string
	for _, line := range r.lines {
		texts = append(texts, bare(line))
	}
	r.lines = nil
	return strings.Join(texts, ", ")
}

// bare is a frame without RS and checksum.
func bare(line string) string {
	if _, err := frame.Parse(strings.TrimPrefix(line, frame.Start)); err != nil {
		return fmt.Sprintf("%q: %v", line, err)
	}
	return line[1 : len(line)-9]
}

// says has the device say a frame, and returns the names of the events that it tells.
func (r *stubRig) says(kind string, number uint32, body string) string {
	return r.prints(frame.Frame{Kind: kind, Number: number, Body: body}.String())
}

func (r *stubRig) prints(line string) string {
	var names []string
	for _, e := range r.Parse(line) {
		names = append(names, e.Name)
	}
	return strings.Join(names, " ")
}

// boots has the device boot.
func (r *stubRig) boots(nonce string) string {
	return r.says(frame.Ready, 1, readyBody(nonce, 0, 1, 0))
}

func readyBody(nonce string, command, event, repeat int) string {
	return fmt.Sprintf(`{"chip":"ESP32","nonce":"%s","reset":"POWERON","frame":128,"command":%d,"event":%d,"repeat":%d}`,
		nonce, command, event, repeat)
}

// expect compares.
func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestStubCommand(t *testing.T) {
	t.Parallel()
	const mqtt = `{"config":{"broker":{"address":{"uri":"mqtt://b:1"}}`
	for _, test := range []struct {
		request devices.Request
		want    string // the body; empty: an error
	}{
		{devices.Request{Action: devices.ActionStart}, `{"do":"start"}`},
		{devices.Request{Action: devices.ActionDestroy}, `{"do":"destroy"}`},
		{devices.Request{Action: "fly"}, ``},
		{devices.Request{Action: devices.ActionSubscribe, Topic: "a/#", QoS: 2}, `{"do":"subscribe","qos":2,"topic":"a/#"}`},
		{devices.Request{Action: devices.ActionSubscribe, Topic: "a/#", QoS: 3}, ``},
		{devices.Request{Action: devices.ActionUnsubscribe, Topic: "\xff"}, `{"do":"unsubscribe","topic64":"/w=="}`},
		{devices.Request{Action: devices.ActionPublish, Topic: "-a\nb", Payload: "ü \"\n"},
			`{"data":"ü \"\n","do":"publish","qos":0,"retain":false,"topic":"-a\nb"}`},
		{devices.Request{Action: devices.ActionPublish, Topic: "a", Payload: "ababab", QoS: 1, Retain: true, Enqueue: true},
			`{"data":"ab","do":"enqueue","qos":1,"repeat":3,"retain":true,"topic":"a"}`},
		{devices.Request{Action: devices.ActionPublish, Topic: "a", Payload: "\x00"},
			`{"data64":"AA==","do":"publish","qos":0,"retain":false,"topic":"a"}`},
		{devices.Request{Action: devices.ActionPublish, Topic: "a"},
			`{"data":"","do":"publish","qos":0,"retain":false,"topic":"a"}`},
		{devices.Request{Action: devices.ActionPublish, Topic: "a", QoS: 3}, ``},
		{devices.Request{Action: devices.ActionInit, Config: devices.Config{Broker: "b:1"}}, mqtt + `},"do":"init"}`},
		{devices.Request{Action: devices.ActionInit, Config: devices.Config{Broker: "b:1",
			Will: &devices.Will{Topic: "w", Payload: "\xff", QoS: 1, Retain: true}}},
			mqtt + `,"session":{"last_will":{"msg64":"/w==","qos":1,"retain":1,"topic":"w"}}},"do":"init"}`},
		{devices.Request{Action: devices.ActionInit, Config: devices.Config{Broker: "b:1", Will: &devices.Will{Topic: "w"}}},
			mqtt + `,"session":{"last_will":{"msg":"","qos":0,"retain":0,"topic":"w"}}},"do":"init"}`},
		{devices.Request{Action: devices.ActionInit, Config: devices.Config{Will: &devices.Will{Topic: "\xff"}}}, ``},
		{devices.Request{Action: devices.ActionInit, Config: devices.Config{ClientID: "\xff"}}, ``},
	} {
		r := talkStub()
		r.boots("n")
		r.typed()
		line, err := r.Command(test.request)
		if (err == nil) != (test.want != "") {
			t.Errorf("%+v: %q, %v", test.request, line, err)
		}
		var body strings.Builder
		for number := uint32(1); err == nil; number++ {
			f, damage := frame.Parse(line[1:])
			if damage != nil || f.Number != number || len(line)+1 > frame.Smallest {
				t.Fatalf("%q: %v", line, damage)
			}
			if body.WriteString(f.Body); !f.More {
				break
			}
			r.says(frame.Ack, number, "")
			r.says(frame.Ack, number, "") // and once more
			line = r.lines[len(r.lines)-1]
		}
		var got, want any
		_, _ = json.Unmarshal([]byte(body.String()), &got), json.Unmarshal([]byte(test.want), &want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.request, diff)
		}
		r.Close()
	}
}

// TestStubEvents: an event comes under the names and fields of Espressif's application.
func TestStubEvents(t *testing.T) {
	t.Parallel()
	type fields = map[string]string
	device := func(name string, f fields) timeline.Device { return timeline.Device{Name: name, Fields: f} }
	for _, test := range []struct {
		body string
		want []timeline.Device
	}{
		{`{"event":"MQTT_EVENT_BEFORE_CONNECT","client":0,"t":5}`, []timeline.Device{device("MQTT_EVENT_BEFORE_CONNECT", fields{})}},
		{`{"event":"MQTT_EVENT_CONNECTED","client":2,"session_present":true,"user_properties":[{"key":"a","value64":"/w=="}]}`,
			[]timeline.Device{device("MQTT_EVENT_CONNECTED", fields{"session_present": "1", "client": "2"}),
				device("CONNACK_USER_PROPERTY", fields{"key": "a", "val": "\uFFFD", "val64": "/w==", "client": "2"})}},
		{`{"event":"MQTT_EVENT_DISCONNECTED"}`, []timeline.Device{device("MQTT_EVENT_DISCONNECTED", fields{})}},
		{`{"event":"MQTT_EVENT_DISCONNECTED","reason_code":0}`, []timeline.Device{
			device("DISCONNECT_REASON", fields{"reason": "0"}), device("MQTT_EVENT_DISCONNECTED", fields{})}},
		{`{"event":"MQTT_EVENT_SUBSCRIBED","msg_id":4,"codes":[1,128]}`, []timeline.Device{
			device("MQTT_EVENT_SUBSCRIBED", fields{"msg_id": "4", "data_len": "2", "return_code": "0x01"})}},
		{`{"event":"MQTT_EVENT_SUBSCRIBED","msg_id":4,"codes":[128],"failed":true}`, []timeline.Device{
			device("MQTT_EVENT_SUBSCRIBE_FAILED", fields{"msg_id": "4", "data_len": "1", "return_code": "0x80"})}},
		{`{"event":"MQTT_EVENT_UNSUBSCRIBED","msg_id":4}`, []timeline.Device{device("MQTT_EVENT_UNSUBSCRIBED", fields{"msg_id": "4"})}},
		{`{"event":"MQTT_EVENT_DELETED","msg_id":4}`, []timeline.Device{device("MQTT_EVENT_DELETED", fields{"msg_id": "4"})}},
		{`{"event":"MQTT_EVENT_DATA","msg_id":4,"topic":"a b","qos":1,"retain":true,"dup":true,"len":2,"offset":0,"total":2,"data":"hi",` +
			`"payload_format_indicator":true,"content_type":"c","response_topic":"r","correlation_data64":"/w==","subscribe_id":3,` +
			`"user_properties":[{"key":"k","value":"v"}]}`, []timeline.Device{
			device("MQTT_EVENT_DATA", fields{"msg_id": "4", "topic": "a b", "qos": "1", "retain": "1", "dup": "1", "len": "2",
				"offset": "0", "total": "2"}),
			device("MQTT_EVENT_DATA_PAYLOAD", fields{"payload": "hi"}),
			device("DATA_PROP", fields{"property": "payload_format_indicator", "value": "1"}),
			device("DATA_PROP", fields{"property": "content_type", "value": "c"}),
			device("DATA_PROP", fields{"property": "response_topic", "value": "r"}),
			device("DATA_PROP", fields{"property": "correlation_data", "value": "\uFFFD", "value64": "/w=="}),
			device("DATA_PROP", fields{"property": "subscribe_id", "value": "3"}),
			device("DATA_PROP", fields{"property": "user_property", "key": "k", "val": "v"}),
			device("MQTT_EVENT_DATA_COMPLETE", fields{"msg_id": "4", "total": "2"})}},
		{`{"event":"MQTT_EVENT_DATA","msg_id":0,"qos":0,"len":1,"offset":5,"total":9,"data64":"AA=="}`, []timeline.Device{
			device("MQTT_EVENT_DATA", fields{"msg_id": "0", "qos": "0", "retain": "0", "dup": "0", "len": "1", "offset": "5", "total": "9"}),
			device("MQTT_EVENT_DATA_PAYLOAD", fields{"payload": "\x00", "payload64": "AA=="})}},
		{`{"event":"MQTT_EVENT_ERROR","error":{"type":2,"connect_return_code":4}}`, []timeline.Device{
			device("MQTT_EVENT_ERROR", fields{"kind": "CONNECTION_REFUSED", "code": "4"}),
			device("ERROR", fields{"type": "2", "connect_return_code": "4", "esp_tls_last_esp_err": "0x0", "esp_tls_stack_err": "0x0",
				"cert_flags": "0x0", "sock_errno": "0"})}},
		{`{"event":"MQTT_EVENT_ERROR","error":{"type":1,"esp_tls_last_esp_err":32776,"esp_transport_sock_errno":104}}`, []timeline.Device{
			device("MQTT_EVENT_ERROR", fields{"kind": "TCP_TRANSPORT"}),
			device("ERROR", fields{"type": "1", "connect_return_code": "0", "esp_tls_last_esp_err": "0x8008", "esp_tls_stack_err": "0x0",
				"cert_flags": "0x0", "sock_errno": "104"})}},
		{`{"event":"MQTT_EVENT_ERROR"}`, []timeline.Device{device("MQTT_EVENT_ERROR", fields{"kind": "no error_handle"})}},
		{`{"event":"TEMPERATURE","celsius":21.5,"where":"chip","list":[1]}`, []timeline.Device{
			device("TEMPERATURE", fields{"event": "TEMPERATURE", "celsius": "21.5", "where": "chip"})}},
		{`{"event":7}`, []timeline.Device{{Name: "DAMAGED-FRAME", Reply: true, Fields: fields{"text": `event: "{\"event\":7}"`}}}},
	} {
		r := talkStub()
		r.boots("n")
		got := r.Parse("I (5) wifi: half a li" + frame.Frame{Kind: frame.Event, Number: 1, Body: test.body}.String())
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.body, diff)
		}
		expect(t, test.body, r.typed(), "GOT 0, GOT 1")
	}
}

// TestStubInOrder: events are told once and in their order, whatever is damaged and comes twice.
func TestStubInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := talkStub()
		defer r.Close()
		event := func(number uint32, name string) string { return r.says(frame.Event, number, `{"event":"`+name+`"}`) }
		expect(t, "boot", r.boots("n"), "BOOT HIL-READY PROMPT")
		expect(t, "boot", r.boots("n"), "PROMPT")
		r.typed()
		expect(t, "first", event(1, "A"), "A")
		expect(t, "first, again", event(1, "A"), "")
		expect(t, "typed", r.typed(), "GOT 1, GOT 1")
		expect(t, "with a gap", event(3, "C")+event(4, "D"), "")
		expect(t, "typed", r.typed(), "AGAIN 2")
		time.Sleep(2500 * time.Millisecond)
		expect(t, "typed when nothing comes", r.typed(), "AGAIN 2, AGAIN 2")
		expect(t, "the others", event(2, "B")+event(3, "C")+event(4, "D"), "BCD")
		expect(t, "typed", r.typed(), "GOT 2, GOT 3, GOT 4")
		time.Sleep(time.Hour)
		expect(t, "typed when all is well", r.typed(), "")

		whole := frame.Frame{Kind: frame.Event, Number: 5, Body: `{"event":"E"}`}.String()
		expect(t, "damaged", r.prints(whole[:10]+"I (5) wifi: hello"), "DAMAGED-FRAME")
		expect(t, "the rest", r.prints(whole[10:]), "")
		expect(t, "typed", r.typed(), "AGAIN 5")
		expect(t, "behind garbage and a piece of itself", r.prints("\uFFFD\x00"+whole[:12]+whole), "DAMAGED-FRAME E")
		expect(t, "typed", r.typed(), "GOT 5")

		parts := frame.Split(frame.Event, 6, `{"event":"LONG","text":"`+strings.Repeat("€", 200)+`"}`, frame.Smallest)
		for _, part := range parts[:len(parts)-1] {
			expect(t, "a part", r.prints(part.String())+r.prints(part.String()), "")
		}
		expect(t, "the last part", r.prints(parts[len(parts)-1].String()), "LONG")
		next := uint32(6 + len(parts))
		r.typed()

		expect(t, "forgotten", r.says(frame.Event, 99, `{"event":"LOST","from":3}`), "LOST")
		expect(t, "forgotten, again", r.says(frame.Event, 99, `{"event":"LOST","from":3}`), "")
		expect(t, "behind it", event(100, "F"), "F")
		expect(t, fmt.Sprintf("typed behind %d", next), r.typed(), "GOT 99, GOT 99, GOT 100")
		expect(t, "an echo", r.says(frame.Got, 100, "")+r.says(frame.Command, 1, "{}")+r.says("NEWS", 7, "{}"), "")
		expect(t, "typed", r.typed(), "")
	})
}

// TestStubCommandIsRepeated until the device has it, and no longer.
func TestStubCommandIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := talkStub()
		defer r.Close()
		r.boots("n")
		r.typed()
		start := devices.Request{Action: devices.ActionStart}
		const first = `CMD 1 {"do":"start"}`
		line, err := r.Command(start)
		if err != nil || bare(line) != first {
			t.Fatalf("%q, %v", line, err)
		}
		if _, err := r.Command(start); !errors.Is(err, devices.ErrNoAnswer) {
			t.Errorf("another one meanwhile: %v", err)
		}
		time.Sleep(20 * time.Second) // at 1, 3, 7 and 15 s
		expect(t, "typed", r.typed(), strings.Join([]string{first, first, first, first}, ", "))
		r.says(frame.Nak, 0, `{"error":"checksum"}`)
		expect(t, "typed when it came damaged", r.typed(), first)
		expect(t, "damaged", r.prints("\x1eRES 1 {}"), "DAMAGED-FRAME")
		expect(t, "and again", r.prints("\x1eRES 1 {}"), "DAMAGED-FRAME")
		expect(t, "typed", r.typed(), "AGAIN 1, "+first)
		expect(t, "taken", r.says(frame.Ack, 1, ""), "")
		expect(t, "of another one", r.says(frame.Result, 7, `{"ok":true}`), "")
		expect(t, "done", r.says(frame.Result, 1, `{"ok":true}`), "ANSWER PROMPT")
		expect(t, "done, again", r.says(frame.Result, 1, `{"ok":true}`), "")
		r.says(frame.Event, 1, `{"event":"E"}`)
		r.typed()
		time.Sleep(time.Hour)
		expect(t, "typed when it is done", r.typed(), "")

		line, _ = r.Command(start)
		expect(t, "the next", bare(line), `CMD 2 {"do":"start"}`)
		expect(t, "which is lost", r.says(frame.Ready, 1, readyBody("n", 1, 2, 5)), "")
		expect(t, "typed", r.typed(), `GOT 1, CMD 2 {"do":"start"}`)
		expect(t, "which has come", r.says(frame.Ready, 1, readyBody("n", 2, 4, 6)), "")
		expect(t, "typed", r.typed(), `GOT 1, AGAIN 2`)
		expect(t, "somebody else types", r.says(frame.Ready, 1, readyBody("n", 9, 4, 7)), "ANSWER PROMPT")
		line, _ = r.Command(start)
		expect(t, "the next", bare(line), `CMD 10 {"do":"start"}`)
		r.typed()
		var names string
		for range 500 {
			names += r.says(frame.Nak, 9, `{"error":"too-long"}`)
		}
		expect(t, "refused for ever", names, "ANSWER PROMPT")
		if typed := strings.Count(r.typed(), "CMD"); typed != 400 {
			t.Errorf("typed %d times", typed)
		}
	})
}

// TestStubBoots: a boot is told once, whether the ROM tells it, the device, or both.
func TestStubBoots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rom = "\uFFFDrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)"
		r := talkStub()
		defer r.Close()
		expect(t, "ROM", r.prints(rom), "BOOT")
		expect(t, "device", r.boots("a"), "HIL-READY PROMPT")
		expect(t, "device, again", r.says(frame.Ready, 1, readyBody("a", 0, 1, 1)), "PROMPT")
		expect(t, "without ROM", r.boots("b"), "BOOT HIL-READY PROMPT")
		_, _ = r.Command(devices.Request{Action: devices.ActionStart})
		expect(t, "in a command", r.prints(rom), "BOOT")
		r.typed()
		time.Sleep(time.Minute)
		expect(t, "typed after that", r.typed(), "")
		expect(t, "an event before the device", r.says(frame.Event, 1, `{"event":"E"}`), "")
		expect(t, "typed", r.typed(), "WHO 0")
		time.Sleep(1500 * time.Millisecond)
		expect(t, "typed again", r.typed(), "WHO 0")
		expect(t, "device", r.says(frame.Ready, 1, readyBody("c", 0, 1, 3)), "HIL-READY PROMPT")
		line, _ := r.Command(devices.Request{Action: devices.ActionStart})
		expect(t, "a command after that", bare(line), `CMD 1 {"do":"start"}`)

		expect(t, "a part", r.prints(frame.Frame{Kind: frame.Event, More: true, Number: 1, Body: `{"ev`}.String()), "")
		expect(t, "and then no other", r.boots("d"), "BOOT HIL-READY PROMPT")
		expect(t, "an event of its own", r.says(frame.Event, 1, `{"event":"E"}`), "E")

		late := talkStub() // comes to a board that has been running
		defer late.Close()
		expect(t, "running board", late.says(frame.Ready, 1, readyBody("a", 17, 30, 4)), "HIL-READY PROMPT")
		expect(t, "typed", late.typed(), "GOT 29")
		line, _ = late.Command(devices.Request{Action: devices.ActionStart})
		expect(t, "its command", bare(line), `CMD 18 {"do":"start"}`)

		other := talkStub()
		expect(t, "another version", other.says(frame.Ready, 2, readyBody("a", 0, 1, 0)), "")
		if what, hint := other.Awaited(); what != "frame HIL-READY" || hint != "it speaks version 2 of the protocol, this program speaks 1" {
			t.Errorf("awaited: %s (%s)", what, hint)
		}
		expect(t, "no counts", other.says(frame.Ready, 1, `{}`), "DAMAGED-FRAME")
		expect(t, "no object", other.says(frame.Ready, 1, `[]`), "DAMAGED-FRAME")
	})
}

func TestStubAnswer(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]devices.Result{
		`{"ok":true}`:               {OK: true, Text: `{"ok":true}`},
		`{"ok":true,"msg_id":4711}`: {OK: true, PacketID: 4711, Text: `{"ok":true,"msg_id":4711}`},
		`{"ok":false,"error":"esp","text":"esp_mqtt_client_publish returned -2","msg_id":-2}`: {
			PacketID: -2, Text: "esp: esp_mqtt_client_publish returned -2"},
		`{"ok":"true?"}`: {Text: ": "},
		`[]`:             {Text: `the device's answer cannot be read: "[]"`},
		`null`:           {Text: `the device's answer cannot be read: "null"`},
	} {
		r := talkStub()
		r.boots("n")
		request := devices.Request{Action: devices.ActionPublish, Topic: "a"}
		_, _ = r.Command(request)
		events := r.Parse(frame.Frame{Kind: frame.Result, Number: 1, Body: body}.String())
		if len(events) != 2 || events[1].Name != devices.Prompt {
			t.Fatalf("%s is %+v", body, events)
		}
		if got, done := r.Answer(request, events[0]); !done || got != want {
			t.Errorf("%s is %+v, %t, want %+v", body, got, done, want)
		}
		if _, done := r.Answer(request, events[1]); done {
			t.Error("the prompt is no answer")
		}
		r.Close()
	}
}

// FuzzStub prints lines: what the talk types is whole frames, and every event is told once and in its order.
func FuzzStub(f *testing.F) {
	events := func(numbers ...uint32) (lines []string) {
		for _, n := range numbers {
			lines = append(lines, frame.Frame{Kind: frame.Event, Number: n, Body: fmt.Sprintf(`{"event":"E","n":%d}`, n)}.String())
		}
		return lines
	}
	ready := frame.Frame{Kind: frame.Ready, Number: 1, Body: readyBody("n", 0, 1, 0)}.String()
	f.Add(strings.Join(append([]string{ready}, events(1, 2, 2, 4, 3, 4)...), "\n"))
	f.Add(strings.Join(append([]string{"rst:0x1 (POWERON)", ready, ready[:30] + ready}, events(1, 3)...), "I (1) a: b"))
	f.Add(frame.Frame{Kind: frame.Result, Number: 1, Body: `{"ok":true}`}.String() + "\n" + frame.Frame{Kind: frame.Nak}.String())
	f.Add(frame.Frame{Kind: frame.Ready, Number: 1, Body: readyBody("m", 2147483647, 2147483647, 0)}.String())
	f.Fuzz(func(t *testing.T, printed string) {
		r := talkStub()
		defer r.Close()
		r.boots("n")
		_, _ = r.Command(devices.Request{Action: devices.ActionPublish, Topic: "a", Payload: strings.Repeat("abc?", 100) + "x"})
		seen := map[string]bool{}
		for _, line := range strings.Split(printed, "\n") {
			for _, e := range r.Parse(line) {
				if e.Name == "" {
					t.Errorf("%q tells %+v", line, e)
				}
				if n := e.Fields["n"]; e.Name == "E" && len(e.Fields) == 2 && seen[n] {
					t.Errorf("event %s is told twice", n)
				} else if e.Name == devices.Boot || e.Name == "HIL-READY" {
					clear(seen) // other numbers
				} else {
					seen[n] = true
				}
			}
		}
		for _, line := range r.lines {
			g, err := frame.Parse(strings.TrimPrefix(line, frame.Start))
			if err != nil || !slices.Contains([]string{frame.Command, frame.Got, frame.Again, frame.Who}, g.Kind) {
				t.Errorf("types %q: %v", line, err)
			}
		}
	})
}
