package emulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"mqtthil/devices/espmqtt"
)

// Tags of the application's log lines: its own, and that of the lines that its original does not print.
const (
	appTag       = "mqtt_conformance"
	extensionTag = "mqtthil"
)

// conformance is Espressif's MQTT conformance application: one client, driven by console commands, whose events are
// printed. Beyond the original it reads the whole client configuration and prints the lines with extensionTag.
type conformance struct {
	power *power

	mu     sync.Mutex // the power may go while a command runs
	client *espmqtt.Client
	inData atomic.Pointer[espmqtt.Event] // to be dispatched when a message comes

	subscribeProperty espmqtt.SubscribeProperty // the newest one; the client points to it
}

// command is a command of the console.
type command struct {
	name, arguments string
	run             func([]string) bool
}

func newConformance(p *power, _ *application) program { return &conformance{power: p} }

// run is the console.
func (a *conformance) run() { a.power.repl(a.command) }

func (a *conformance) commands() []command {
	return []command{
		{"help", "", a.help},
		{"init", "<base64>", a.init},
		{"config", "<base64>", a.config},
		{"start", "", a.start},
		{"stop", "", a.stop},
		{"disconnect", "", a.disconnect},
		{"reconnect", "", a.reconnect},
		{"destroy", "", a.destroy},
		{"subscribe", "<topic> <qos>", a.subscribe},
		{"unsubscribe", "<topic>", a.unsubscribe},
		{"publish", "<topic> <pattern> <repetitions> <qos> <retain> <enqueue>", a.publish},
		{"outbox", "", a.outbox},
		{"set_uri", "<uri>", a.setURI},
		{"user_event", "<text> <in_data>", a.userEvent},
	}
}

// help lists the commands.
func (a *conformance) help([]string) bool {
	var list strings.Builder
	for _, c := range a.commands() {
		list.WriteString(strings.TrimSpace(c.name+"  "+c.arguments) + "\r\n")
	}
	a.power.write(list.String())
	return true
}

// command runs a command. It says whether there is such a command, and whether it succeeded.
func (a *conformance) command(name string, arguments []string) (known, ok bool) {
	i := slices.IndexFunc(a.commands(), func(c command) bool { return c.name == name })
	if i < 0 {
		return false, false
	}
	c := a.commands()[i]
	if want := len(strings.Fields(c.arguments)); len(arguments) != want {
		a.power.write(fmt.Sprintf("%s: takes %d arguments, not %d\r\n", name, want, len(arguments)))
		return true, false
	}
	if a.client == nil && !slices.Contains([]string{"init", "destroy", "help"}, name) {
		a.log('E', "MQTT client not initialized, call init first")
		return true, false
	}
	return true, c.run(arguments)
}

func (a *conformance) log(level byte, format string, arguments ...any) {
	a.power.log(level, appTag, fmt.Sprintf(format, arguments...))
}

func (a *conformance) extension(format string, arguments ...any) {
	a.power.log('I', extensionTag, fmt.Sprintf(format, arguments...))
}

// powerOff takes the client's power away; it returns when the client's task has ended.
func (a *conformance) powerOff() {
	a.mu.Lock()
	client := a.client
	a.mu.Unlock()
	if client != nil {
		client.PowerOff()
	}
}

// blob decodes base64 of a JSON object.
func (a *conformance) blob(encoded string) (map[string]json.RawMessage, bool) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		a.log('E', "json config: base64 decode failed")
		return nil, false
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		a.log('E', "json config: %s", err)
		return nil, false
	}
	return object, true
}

// read reads a part of a blob. Unknown fields are skipped.
func (a *conformance) read(raw json.RawMessage, into any) bool {
	if err := json.Unmarshal(raw, into); err != nil {
		a.log('E', "json config: %s", err)
		return false
	}
	return true
}

func (a *conformance) init(arguments []string) bool {
	if a.client != nil {
		a.log('W', "MQTT client already initialized")
		return true
	}
	object, ok := a.blob(arguments[0])
	if !ok {
		a.log('E', "Invalid JSON config")
		return false
	}
	raw, ok := object["mqtt_config"]
	if !ok {
		a.log('E', "init requires mqtt client config")
		return false
	}
	var config espmqtt.Config
	if !a.read(raw, &config) {
		a.log('E', "Invalid JSON config")
		return false
	}
	client, err := a.power.newClient(config, a.handle)
	if err != nil {
		a.log('E', "Failed to initialize client")
		return false
	}
	a.mu.Lock()
	a.client = client
	a.mu.Unlock()
	a.log('I', "Mqtt client initialized")
	return true
}

// config applies one blob. What the client makes of it, the application does not look at.
func (a *conformance) config(arguments []string) bool {
	object, ok := a.blob(arguments[0])
	if !ok || len(object) != 1 || !a.apply(object) {
		a.log('E', "Failed to parse json config")
		return false
	}
	return true
}

// apply gives the client a configuration or properties. It is false where they cannot be read.
func (a *conformance) apply(object map[string]json.RawMessage) (known bool) {
	for name, raw := range object {
		switch name {
		case "mqtt_config":
			return set(a, raw, func(config espmqtt.Config) error {
				if id := config.Credentials.ClientID; id != nil {
					a.log('I', "client_id=%s", *id)
				}
				return a.client.SetConfig(config)
			})
		case "connect_property":
			return set(a, raw, a.client.SetConnectProperty)
		case "publish_property":
			return set(a, raw, func(p espmqtt.PublishProperty) error { return a.client.SetPublishProperty(&p) })
		case "subscribe_property":
			return set(a, raw, func(p espmqtt.SubscribeProperty) error {
				a.subscribeProperty = p // whatever the client thinks of it, which may point to it already
				return a.client.SetSubscribeProperty(&a.subscribeProperty)
			})
		case "unsubscribe_property":
			return set(a, raw, func(p espmqtt.UnsubscribeProperty) error { return a.client.SetUnsubscribeProperty(&p) })
		case "disconnect_property":
			return set(a, raw, a.client.SetDisconnectProperty)
		}
	}
	return false
}

// set reads a blob's value and hands it over.
func set[T any](a *conformance, raw json.RawMessage, to func(T) error) bool {
	var value T
	if !a.read(raw, &value) {
		return false
	}
	_ = to(value)
	return true
}

func (a *conformance) start([]string) bool {
	if err := a.client.Start(); err != nil {
		a.log('E', "Failed to start mqtt client task")
		return false
	}
	a.log('I', "Mqtt client started")
	return true
}

func (a *conformance) stop([]string) bool {
	if err := a.client.Stop(); err != nil {
		a.log('E', "Failed to stop mqtt client task")
		return false
	}
	a.log('I', "Mqtt client stopped")
	return true
}

func (a *conformance) disconnect([]string) bool {
	if err := a.client.Disconnect(); err != nil {
		a.log('E', "Failed to request disconnection")
		return false
	}
	a.log('I', "Mqtt client disconnected")
	return true
}

func (a *conformance) reconnect([]string) bool {
	if err := a.client.Reconnect(); err != nil {
		a.log('E', "Failed to request reconnection")
		return false
	}
	a.log('I', "Mqtt client will reconnect")
	return true
}

func (a *conformance) destroy([]string) bool {
	if a.client == nil {
		return true
	}
	if err := a.client.Destroy(); err != nil {
		return false
	}
	a.mu.Lock()
	a.client = nil
	a.mu.Unlock()
	a.log('I', "mqtt client for tests destroyed")
	return true
}

func (a *conformance) subscribe(arguments []string) bool {
	qos, ok := a.number(arguments[1])
	if !ok {
		return false
	}
	id := a.client.Subscribe(arguments[0], qos)
	return a.requested("Subscribe", id)
}

func (a *conformance) unsubscribe(arguments []string) bool {
	return a.requested("Unsubscribe", a.client.Unsubscribe(arguments[0]))
}

func (a *conformance) publish(arguments []string) bool {
	var numbers [4]int
	for i := range numbers {
		n, ok := a.number(arguments[2+i])
		if !ok {
			return false
		}
		numbers[i] = n
	}
	repetitions, qos, retain, enqueue := numbers[0], numbers[1], numbers[2] != 0, numbers[3] != 0
	if repetitions < 0 || len(arguments[1]) > 0 && repetitions > freeMemory/len(arguments[1]) {
		a.log('E', "Invalid pattern repetitions")
		return false
	}
	payload := []byte(strings.Repeat(arguments[1], repetitions))
	if enqueue {
		return a.requested("Publish", a.client.Enqueue(arguments[0], payload, qos, retain, true))
	}
	return a.requested("Publish", a.client.Publish(arguments[0], payload, qos, retain))
}

// requested reports what a call that sends a message returned.
func (a *conformance) requested(what string, id int) bool {
	if id < 0 {
		a.log('E', "%s failed, msg_id=%d", what, id)
		return false
	}
	a.log('I', "%s requested, msg_id=%d", what, id)
	return true
}

func (a *conformance) outbox([]string) bool {
	a.extension("OUTBOX size=%d", a.client.OutboxSize())
	return true
}

func (a *conformance) setURI(arguments []string) bool {
	if err := a.client.SetURI(arguments[0]); err != nil {
		a.log('E', "Failed to set the URI")
		return false
	}
	return true
}

// userEvent dispatches an event of the application with a text: at once, or from within the handler of the MQTT_EVENT_DATA
// that comes next.
func (a *conformance) userEvent(arguments []string) bool {
	inData, ok := a.number(arguments[1])
	if !ok {
		return false
	}
	event := espmqtt.Event{Data: []byte(arguments[0])}
	if inData != 0 {
		a.inData.Store(&event)
		return true
	}
	return a.dispatch(a.client, event)
}

func (a *conformance) dispatch(client *espmqtt.Client, event espmqtt.Event) bool {
	if err := client.DispatchCustomEvent(event); err != nil {
		a.log('E', "Failed to dispatch an event of the application")
		return false
	}
	return true
}

func (a *conformance) number(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	if err != nil {
		a.power.write(fmt.Sprintf("%q is not a number\r\n", text))
	}
	return n, err == nil
}

// handle prints an event.
func (a *conformance) handle(e espmqtt.Event) {
	switch e.ID {
	case espmqtt.EventBeforeConnect:
		a.extension("MQTT_EVENT_BEFORE_CONNECT")
		a.log('I', "Other event id:%d", e.ID)
	case espmqtt.EventDeleted:
		a.extension("MQTT_EVENT_DELETED, msg_id=%d", e.MessageID)
		a.log('I', "Other event id:%d", e.ID)
	case espmqtt.EventConnected:
		present := 0
		if e.SessionPresent {
			present = 1
		}
		a.log('I', "MQTT_EVENT_CONNECTED session_present=%d", present)
		a.userProperties("CONNACK_USER_PROPERTY", e)
	case espmqtt.EventDisconnected:
		if e.V5 {
			a.log('W', "DISCONNECT_REASON=%d", e.ReasonCode)
		}
		a.log('I', "MQTT_EVENT_DISCONNECTED")
	case espmqtt.EventSubscribed:
		if e.Error.Type == espmqtt.ErrorSubscribeFailed {
			a.log('W', "MQTT_EVENT_SUBSCRIBE_FAILED msg_id=%d", e.MessageID)
		} else {
			a.log('I', "MQTT_EVENT_SUBSCRIBED, msg_id=%d", e.MessageID)
		}
		if len(e.Data) > 0 {
			a.log('I', "MQTT_EVENT_SUBSCRIBED data_len=%d return_code=0x%02x", len(e.Data), e.Data[0])
		}
	case espmqtt.EventUnsubscribed:
		a.log('I', "MQTT_EVENT_UNSUBSCRIBED, msg_id=%d", e.MessageID)
		if len(e.Data) > 0 { // in 3.x, those of an earlier event
			a.log('I', "MQTT_EVENT_UNSUBSCRIBED data_len=%d reason_code=0x%02x", len(e.Data), e.Data[0])
		}
	case espmqtt.EventPublished:
		a.log('I', "MQTT_EVENT_PUBLISHED, msg_id=%d", e.MessageID)
	case espmqtt.EventData:
		if event := a.inData.Swap(nil); event != nil {
			a.dispatch(e.Client, *event)
		}
		a.data(e)
	case espmqtt.EventUser:
		a.extension("MQTT_USER_EVENT %s", e.Data)
		a.log('I', "Other event id:%d", e.ID)
	case espmqtt.EventError:
		a.failure(e.Error)
	}
}

func (a *conformance) data(e espmqtt.Event) {
	topic := ""
	if e.Topic != "" {
		topic = " topic=" + string(printed([]byte(e.Topic)))
	}
	a.log('I', "MQTT_EVENT_DATA%s qos=%d len=%d offset=%d total=%d", topic, e.QoS, e.DataLength(), e.Offset, e.TotalLength)
	if e.DataLength() > 0 {
		a.log('I', "MQTT_EVENT_DATA_PAYLOAD %s", printed(e.Data))
	}
	if e.V5 {
		a.properties(e)
	}
	if e.Offset+e.DataLength() == e.TotalLength {
		a.log('I', "MQTT_EVENT_DATA_COMPLETE msg_id=%d total=%d", e.MessageID, e.TotalLength)
	}
}

// properties prints the properties of a received PUBLISH.
func (a *conformance) properties(e espmqtt.Event) {
	p := e.Properties
	if p.PayloadFormatIndicator {
		a.log('I', "DATA_PROP payload_format_indicator=1")
	}
	for _, text := range []struct {
		name  string
		value []byte
	}{
		{"content_type", p.ContentType},
		{"response_topic", p.ResponseTopic},
		{"correlation_data", p.CorrelationData},
	} {
		if len(text.value) > 0 {
			a.log('I', "DATA_PROP %s=%s", text.name, printed(text.value))
		}
	}
	if p.SubscriptionID > 0 {
		a.log('I', "DATA_PROP subscribe_id=%d", p.SubscriptionID)
	}
	a.userProperties("DATA_PROP user_property", e)
}

// printed is what printf makes of bytes: they end at a NUL.
func printed(text []byte) []byte {
	text, _, _ = bytes.Cut(text, []byte{0})
	return text
}

// userProperties prints as many of them as a count of eight bits says there are.
func (a *conformance) userProperties(prefix string, e espmqtt.Event) {
	pairs, _ := e.UserProperties.Get(int(e.UserProperties.Count()))
	for _, p := range pairs {
		a.log('I', "%s key=%s val=%s", prefix, p.Key, p.Value)
	}
}

func (a *conformance) failure(e espmqtt.ErrorHandle) {
	switch e.Type {
	case espmqtt.ErrorConnectionRefused:
		a.log('W', "MQTT_EVENT_ERROR CONNECTION_REFUSED code=%d", e.ConnectReturnCode)
	case espmqtt.ErrorTCPTransport:
		a.log('E', "MQTT_EVENT_ERROR TCP_TRANSPORT")
	default:
		a.log('E', "MQTT_EVENT_ERROR type=%d", e.Type)
	}
	a.extension("ERROR type=%d connect_return_code=%d esp_tls_last_esp_err=0x%x esp_tls_stack_err=0x%x cert_flags=0x%x sock_errno=%d",
		e.Type, e.ConnectReturnCode, e.TLSLastError, e.TLSStackError, e.CertificateFlags, e.SocketErrno)
}
