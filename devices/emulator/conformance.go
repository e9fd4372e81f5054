package emulator

import (
	"fmt"
	"slices"
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

// command is a command of the console. One without an argument table takes whatever stands behind it, and looks at none of
// it; one that help says nothing of is mqtthil's own.
type command struct {
	name, about string
	arguments   []argument
	run         func([]given) bool
}

func newConformance(p *power, _ *application) program { return &conformance{power: p} }

// run is the console.
func (a *conformance) run() { a.power.repl(a.command) }

func (a *conformance) commands() []command {
	blob := []argument{{value: "<base64_json>", about: "base64 of a JSON object"}}
	return []command{
		{"init", "Make the client, with a configuration in JSON, in base64", blob, a.init},
		{"config", "Change the client: a configuration or properties, in base64", blob, a.config},
		{"start", "Let the client begin to connect", nil, a.start},
		{"stop", "End the client's task and connection", nil, a.stop},
		{"disconnect", "Close the connection", nil, a.disconnect},
		{"reconnect", "Connect again at once", nil, a.reconnect},
		{"destroy", "Take the client away", nil, a.destroy},
		{"subscribe", "Ask the broker for messages", []argument{
			{value: "<topic>", about: "topic filter"},
			{value: "<qos>", about: "0, 1 or 2", number: true}}, a.subscribe},
		{"unsubscribe", "Ask the broker for no more of them", []argument{
			{value: "<topic>", about: "topic filter"}}, a.unsubscribe},
		{"publish", "Send a message", []argument{
			{value: "<topic>", about: "topic name"},
			{value: "<pattern>", about: "what the payload repeats"},
			{value: "<pattern repetitions>", about: "how often it does", number: true},
			{value: "<qos>", about: "0, 1 or 2", number: true},
			{value: "<retain>", about: "1: to be retained", number: true},
			{value: "<enqueue>", about: "0: send now, 1: put it in the outbox", number: true}}, a.publish},
		{"help", helpAbout, helpArguments, a.help},
		{"outbox", "", nil, a.outbox},
		{"set_uri", "", []argument{{value: "<uri>"}}, a.setURI},
		{"user_event", "", []argument{{value: "<text>"}, {value: "<in_data>", number: true}}, a.userEvent},
	}
}

// help lists the commands.
func (a *conformance) help(values []given) bool {
	text, ok := help(a.commands(), values)
	a.power.write(text)
	return ok
}

// command runs a command. It says whether there is such a command, and whether it succeeded.
func (a *conformance) command(name string, words []string) (known, ok bool) {
	commands := a.commands()
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	if i < 0 {
		return false, false
	}
	c := commands[i]
	var values []given
	if c.arguments != nil {
		most := 1
		if name == "help" {
			most = 2
		}
		var errors string
		if values, errors = readArguments(name, words, c.arguments, most); errors != "" {
			a.power.write(errors)
			return true, false
		}
	}
	if a.client == nil && !slices.Contains([]string{"init", "destroy", "help"}, name) {
		a.log('E', "MQTT client not initialized, call init first")
		return true, false
	}
	return true, c.run(values)
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

func (a *conformance) init(values []given) bool {
	if a.client != nil {
		a.log('W', "MQTT client already initialized")
		return true
	}
	value, ok := a.read(values[0].text)
	if !ok {
		a.log('E', "Invalid JSON config")
	}
	config, ok := value.(espmqtt.Config)
	if !ok {
		a.log('E', "init requires mqtt client config")
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

// config applies one blob. What the client makes of it, the application does not look at. The original frees the properties
// of PUBLISH before the client reads them (ESP-V5-01), so that what is sent is a matter of luck; here they are what was set.
func (a *conformance) config(values []given) bool {
	value, ok := a.read(values[0].text)
	if !ok {
		a.log('E', "Failed to parse json config")
		return false
	}
	switch v := value.(type) {
	case espmqtt.Config:
		if id := v.Credentials.ClientID; id != nil {
			a.log('I', "client_id=%s", *id)
		}
		_ = a.client.SetConfig(v)
	case espmqtt.ConnectProperty:
		_ = a.client.SetConnectProperty(v)
	case espmqtt.PublishProperty:
		_ = a.client.SetPublishProperty(&v)
	case espmqtt.SubscribeProperty:
		a.subscribeProperty = v // whatever the client thinks of it, which may point to it already
		_ = a.client.SetSubscribeProperty(&a.subscribeProperty)
	case espmqtt.UnsubscribeProperty:
		_ = a.client.SetUnsubscribeProperty(&v)
	case espmqtt.DisconnectProperty:
		_ = a.client.SetDisconnectProperty(v)
	}
	return true
}

func (a *conformance) start([]given) bool {
	if err := a.client.Start(); err != nil {
		a.log('E', "Failed to start mqtt client task")
		return false
	}
	a.log('I', "Mqtt client started")
	return true
}

func (a *conformance) stop([]given) bool {
	if err := a.client.Stop(); err != nil {
		a.log('E', "Failed to stop mqtt client task")
		return false
	}
	a.log('I', "Mqtt client stopped")
	return true
}

func (a *conformance) disconnect([]given) bool {
	if err := a.client.Disconnect(); err != nil {
		a.log('E', "Failed to request disconnection")
		return false
	}
	a.log('I', "Mqtt client disconnected")
	return true
}

func (a *conformance) reconnect([]given) bool {
	if err := a.client.Reconnect(); err != nil {
		a.log('E', "Failed to request reconnection")
		return false
	}
	a.log('I', "Mqtt client will reconnect")
	return true
}

func (a *conformance) destroy([]given) bool {
	if a.client == nil {
		return true
	}
	a.client.UnregisterEvent()
	_ = a.client.Destroy()
	a.mu.Lock()
	a.client = nil
	a.mu.Unlock()
	a.log('I', "mqtt client for tests destroyed")
	return true
}

func (a *conformance) subscribe(values []given) bool {
	return a.requested("Subscribe", a.client.Subscribe(values[0].text, values[1].number))
}

func (a *conformance) unsubscribe(values []given) bool {
	return a.requested("Unsubscribe", a.client.Unsubscribe(values[0].text))
}

func (a *conformance) publish(values []given) bool {
	topic, pattern, repetitions := values[0].text, values[1].text, values[2].number
	qos, retain, enqueue := values[3].number, values[4].number != 0, values[5].number != 0
	if repetitions < 0 {
		a.log('E', "Invalid pattern repetitions")
		return false
	}
	// The length has 32 bits. Where that is too little, the payload is written over what is behind it.
	length := len(pattern) * repetitions
	switch short := int(uint32(length)); {
	case short > freeMemory: // an exception that the application does not catch
		a.power.panic(Abort)
		return false
	case short == 0:
		pattern = ""
	case short < length:
		a.power.panic(BadStore)
		return false
	}
	payload := []byte(strings.Repeat(pattern, repetitions))
	if enqueue {
		return a.requested("Publish", a.client.Enqueue(topic, payload, qos, retain, true))
	}
	return a.requested("Publish", a.client.Publish(topic, payload, qos, retain))
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

func (a *conformance) outbox([]given) bool {
	a.extension("OUTBOX size=%d", a.client.OutboxSize())
	return true
}

func (a *conformance) setURI(values []given) bool {
	if err := a.client.SetURI(values[0].text); err != nil {
		a.log('E', "Failed to set the URI")
		return false
	}
	return true
}

// userEvent dispatches an event of the application with a text: at once, or from within the handler of the MQTT_EVENT_DATA
// that comes next.
func (a *conformance) userEvent(values []given) bool {
	event := espmqtt.Event{Data: []byte(values[0].text)}
	if values[1].number != 0 {
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

// handle prints an event, and does to the board what the original does with it.
func (a *conformance) handle(e espmqtt.Event) {
	a.show(e)
	freed := (e.ID == espmqtt.EventConnected || e.ID == espmqtt.EventData) && len(e.UserProperties) > 0
	if freed && slices.Contains(a.power.board.options.Quirks, UserPropertiesFreedTwice) {
		a.power.panic(FailedAssert)
	}
}

// show prints an event.
func (a *conformance) show(e espmqtt.Event) {
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
		topic = " topic=" + printed(e.Topic)
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

// printed is what C makes of a text: it ends at a NUL.
func printed[T string | []byte](text T) string {
	ended, _, _ := strings.Cut(string(text), "\x00")
	return ended
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
