package emulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"mqtthil/devices/espmqtt"
	"mqtthil/devices/frame"
)

// stubClients is how many clients the stub can have.
const stubClients = 8

// stubTag is that of its log lines.
const stubTag = "mqtthil_stub"

// stub is mqtthil's own application: clients, driven by the commands of the stub console, which tells their events.
// firmware-stub/README.md is the description of that console.
type stub struct {
	power *power
	link  *stubLink
	nonce string

	mu      sync.Mutex // the power may go while a command runs
	clients [stubClients]*espmqtt.Client
}

func newStub(p *power, _ *application) program {
	a := &stub{power: p, link: newStubLink(p), nonce: fmt.Sprintf("%08x", p.random.Uint32())}
	a.link.ready, a.link.run = a.identity, a.command
	return a
}

func (a *stub) run() { a.link.read() }

// powerOff takes the clients' power away; it returns when their tasks have ended.
func (a *stub) powerOff() {
	for _, client := range a.all() {
		if client != nil {
			client.PowerOff()
		}
	}
}

// all are the clients; nil where there is none of that number.
func (a *stub) all() []*espmqtt.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.clients[:])
}

func (a *stub) set(number int, client *espmqtt.Client) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clients[number] = client
}

// identity is who the device is.
func (a *stub) identity() object {
	b := a.power.board
	mac := b.options.MAC
	return object{
		{"chip", b.options.Chip.String()},
		{"mac", fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])},
		{"reset", a.power.cause.reason()},
		{"nonce", a.nonce},
		{"heap", a.power.heap.left()},
		{"elf", b.elfDigits()},
		{"idf", idfVersion},
		{"frame", frame.Limit},
		{"message", stubMessage},
		{"clients", stubClients},
	}
}

// stubError is why a command was not done.
type stubError struct {
	code string
	key  string // that it is about, if any
	text string
	more object
}

func (e stubError) Error() string { return e.code + ": " + e.text }

// object is the answer. What the bench has sent is not said back at length.
func (e stubError) object() object {
	const most = 300
	if len(e.text) > most {
		e.text = strings.ToValidUTF8(e.text[:most], "") + "…"
	}
	o := object{{"ok", false}, {"error", e.code}}
	if e.key != "" {
		o.put("key", e.key)
	}
	o.put("text", e.text)
	return append(o, e.more...)
}

// wrong is an error about the value of a key.
func wrong(key, format string, arguments ...any) error {
	return stubError{code: "value", key: key, text: key + ": " + fmt.Sprintf(format, arguments...)}
}

// callFailed is the error of a call of esp-mqtt.
func callFailed(err error) error {
	name := espmqtt.ErrFail.Error()
	for _, known := range []error{espmqtt.ErrInvalidArgument, espmqtt.ErrNoMemory} {
		if errors.Is(err, known) {
			name = known.Error()
		}
	}
	return stubError{code: "esp", text: err.Error(), more: object{{"esp_err", name}}}
}

// stubCommands are the commands, by name.
var stubCommands = map[string]func(*stub, string) (object, func(), error){
	"info":        having((*stub).info),
	"heap":        having((*stub).heap),
	"init":        having((*stub).init),
	"config":      having((*stub).config),
	"set_uri":     having((*stub).setURI),
	"properties":  having((*stub).properties),
	"start":       calling((*espmqtt.Client).Start),
	"stop":        calling((*espmqtt.Client).Stop),
	"disconnect":  calling((*espmqtt.Client).Disconnect),
	"reconnect":   calling((*espmqtt.Client).Reconnect),
	"destroy":     having((*stub).destroy),
	"subscribe":   having((*stub).subscribe),
	"unsubscribe": having((*stub).unsubscribe),
	"publish":     having((*stub).publish),
	"enqueue":     having((*stub).enqueue),
	"outbox":      having((*stub).outbox),
	"state":       having((*stub).state),
	"restart":     ending((*stub).restart),
	"sleep":       ending((*stub).sleep),
	"panic":       ending((*stub).panic),
	"watchdog":    ending((*stub).watchdog),
}

// command runs a command.
func (a *stub) command(text string) (object, func()) {
	result, after, err := a.do(text)
	if err != nil {
		var known stubError
		if !errors.As(err, &known) {
			known = stubError{code: "value", text: err.Error()}
		}
		return known.object(), nil
	}
	return append(object{{"ok", true}}, result...), after
}

func (a *stub) do(text string) (object, func(), error) {
	var head struct {
		Do *string `json:"do"`
	}
	if err := decode(text, false, &head); err != nil {
		return nil, nil, err
	}
	if head.Do == nil {
		return nil, nil, missing("do")
	}
	run, known := stubCommands[*head.Do]
	if !known {
		return nil, nil, stubError{code: "unknown-command", key: "do", text: fmt.Sprintf("there is no command %q", *head.Do)}
	}
	return run(a, text)
}

func missing(key string) error {
	return stubError{code: "missing-key", key: key, text: fmt.Sprintf("the key %q is missing", key)}
}

// having makes a command of a function that takes the command's keys.
func having[K any](do func(*stub, K) (object, error)) func(*stub, string) (object, func(), error) {
	return func(a *stub, text string) (object, func(), error) {
		var keys K
		if err := decode(text, true, &keys); err != nil {
			return nil, nil, err
		}
		result, err := do(a, keys)
		return result, nil, err
	}
}

// calling makes a command of a call that has no arguments but its client.
func calling(call func(*espmqtt.Client) error) func(*stub, string) (object, func(), error) {
	return having(func(a *stub, k ofClient) (object, error) {
		client, err := a.client(k)
		if err != nil {
			return nil, err
		}
		if err := call(client); err != nil {
			return nil, callFailed(err)
		}
		return nil, nil
	})
}

// ending makes a command that ends the board's life, once it is answered.
func ending[K any](do func(*stub, K) (func(*Board) error, error)) func(*stub, string) (object, func(), error) {
	return func(a *stub, text string) (object, func(), error) {
		var keys K
		if err := decode(text, true, &keys); err != nil {
			return nil, nil, err
		}
		end, err := do(a, keys)
		return nil, func() { a.power.later(end) }, err
	}
}

// wrongType is the error of a value of another type than the one of its key.
func wrongType(e *json.UnmarshalTypeError) error {
	expected := map[reflect.Kind]string{reflect.String: "a text", reflect.Bool: "true or false", reflect.Slice: "a list",
		reflect.Struct: "an object"}[e.Type.Kind()]
	if expected == "" {
		expected = "a whole number in the range that it has in C"
	}
	kind, number, _ := strings.Cut(e.Value, " ")
	found := map[string]string{"string": "a text", "bool": "true or false", "array": "a list", "object": "an object",
		"number": "the number " + number}[kind]
	// Of structs in structs, the path has the names of their types in Go, too.
	path := slices.DeleteFunc(strings.Split(e.Field, "."), func(name string) bool { return name != strings.ToLower(name) })
	key := strings.Join(path, ".")
	text := expected + " is expected, not " + strings.TrimSpace(found)
	if key != "" {
		text = key + ": " + text
	}
	return stubError{code: "type", key: key, text: text}
}

// decode reads a JSON object, and says what is wrong with it.
func decode(text string, strict bool, into any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	if strict {
		decoder.DisallowUnknownFields()
	}
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			return stubError{code: "json", text: "there is something behind the object"}
		}
		return nil
	}
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return wrongType(kind)
	}
	if key, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		key = strings.Trim(key, `"`)
		return stubError{code: "unknown-key", key: key, text: fmt.Sprintf("there is no key %q in this command", key)}
	}
	return stubError{code: "json", text: err.Error()}
}

// keys of commands.
type (
	noKeys struct {
		Do string `json:"do"`
	}
	ofClient struct {
		Do     string `json:"do"`
		Client int    `json:"client"`
	}
	// texts may be given in base64, under the second key.
	ofTopic struct {
		ofClient
		Topic   *string `json:"topic"`
		Topic64 *string `json:"topic64"`
	}
)

// bytesOf is a text, or bytes in base64.
func bytesOf(key string, text, encoded *string) ([]byte, error) {
	switch {
	case text != nil && encoded != nil:
		return nil, wrong(key, "it is given twice, as %s and as %s64", key, key)
	case text != nil:
		return []byte(*text), nil
	case encoded == nil:
		return nil, missing(key)
	}
	data, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return nil, stubError{code: "base64", key: key + "64", text: key + "64: it is no base64 with padding"}
	}
	return data, nil
}

// number checks the number of a client.
func (k ofClient) number() (int, error) {
	if k.Client < 0 || k.Client >= stubClients {
		return 0, stubError{code: "client", key: "client",
			text: fmt.Sprintf("there is no client %d: they are 0 to %d", k.Client, stubClients-1)}
	}
	return k.Client, nil
}

// client is the client that a command is for.
func (a *stub) client(k ofClient) (*espmqtt.Client, error) {
	number, err := k.number()
	if err != nil {
		return nil, err
	}
	client := a.all()[number]
	if client == nil {
		return nil, stubError{code: "client", key: "client", text: fmt.Sprintf("client %d is not there: init it first", number)}
	}
	return client, nil
}

func (a *stub) info(noKeys) (object, error) {
	var clients []object
	for number, client := range a.all() {
		if client != nil {
			clients = append(clients, object{{"client", number}, {"state", client.State()}, {"outbox", client.OutboxSize()}})
		}
	}
	return append(a.identity(), member{"t", a.milliseconds()}, member{"in_use", append([]object{}, clients...)}), nil
}

func (a *stub) milliseconds() int64 { return time.Since(a.power.on).Milliseconds() }

func (a *stub) heap(noKeys) (object, error) { return object{{"free", a.power.heap.left()}}, nil }

// stubConfig is a configuration whose last will may be any bytes.
type stubConfig struct {
	espmqtt.Config
	Session struct {
		espmqtt.Session
		LastWill struct {
			espmqtt.LastWill
			Message64 *string `json:"msg64"`
		} `json:"last_will"`
	} `json:"session"`
}

func (c *stubConfig) config() (espmqtt.Config, error) {
	config := c.Config
	config.Session = c.Session.Session
	config.Session.LastWill = c.Session.LastWill.LastWill
	if encoded := c.Session.LastWill.Message64; encoded != nil {
		message, err := bytesOf("msg", config.Session.LastWill.Message, encoded)
		if err != nil {
			return config, err
		}
		text := string(message)
		config.Session.LastWill.Message = &text
	}
	return config, nil
}

// ofConfig are the keys of what takes a configuration.
type ofConfig struct {
	ofClient
	Config *stubConfig `json:"config"`
}

func (k *ofConfig) config() (espmqtt.Config, error) {
	if k.Config == nil {
		return espmqtt.Config{}, missing("config")
	}
	return k.Config.config()
}

func (a *stub) init(k ofConfig) (object, error) {
	number, err := k.number()
	if err != nil {
		return nil, err
	}
	config, err := k.config()
	if err != nil {
		return nil, err
	}
	if a.all()[number] != nil {
		return nil, stubError{code: "client", key: "client", text: fmt.Sprintf("client %d is there: destroy it first", number)}
	}
	client, err := a.power.newClient(config, func(e espmqtt.Event) {
		a.link.event(stubEvent(number, a.milliseconds(), e).json())
	})
	if err != nil {
		return nil, callFailed(err)
	}
	a.set(number, client)
	return nil, nil
}

func (a *stub) config(k ofConfig) (object, error) {
	client, err := a.client(k.ofClient)
	if err != nil {
		return nil, err
	}
	config, err := k.config()
	if err != nil {
		return nil, err
	}
	if err := client.SetConfig(config); err != nil {
		return nil, callFailed(err)
	}
	return nil, nil
}

func (a *stub) setURI(k struct {
	ofClient
	URI *string `json:"uri"`
}) (object, error) {
	client, err := a.client(k.ofClient)
	switch {
	case err != nil:
		return nil, err
	case k.URI == nil:
		return nil, missing("uri")
	}
	if err := client.SetURI(*k.URI); err != nil {
		return nil, callFailed(err)
	}
	return nil, nil
}

// properties sets those of MQTT 5.0, of whichever kinds are given, up to the first that is refused.
func (a *stub) properties(k struct {
	ofClient
	Connect     *espmqtt.ConnectProperty     `json:"connect"`
	Publish     *espmqtt.PublishProperty     `json:"publish"`
	Subscribe   *espmqtt.SubscribeProperty   `json:"subscribe"`
	Unsubscribe *espmqtt.UnsubscribeProperty `json:"unsubscribe"`
	Disconnect  *espmqtt.DisconnectProperty  `json:"disconnect"`
}) (object, error) {
	client, err := a.client(k.ofClient)
	if err != nil {
		return nil, err
	}
	if k.Connect != nil {
		err = client.SetConnectProperty(*k.Connect)
	}
	if k.Publish != nil && err == nil {
		err = client.SetPublishProperty(k.Publish)
	}
	if k.Subscribe != nil && err == nil {
		err = client.SetSubscribeProperty(k.Subscribe)
	}
	if k.Unsubscribe != nil && err == nil {
		err = client.SetUnsubscribeProperty(k.Unsubscribe)
	}
	if k.Disconnect != nil && err == nil {
		err = client.SetDisconnectProperty(*k.Disconnect)
	}
	if err != nil {
		return nil, callFailed(err)
	}
	return nil, nil
}

// destroy is done where there is no client.
func (a *stub) destroy(k ofClient) (object, error) {
	number, err := k.number()
	if err != nil {
		return nil, err
	}
	if client := a.all()[number]; client != nil {
		if err := client.Destroy(); err != nil {
			return nil, callFailed(err)
		}
		a.set(number, nil)
	}
	return nil, nil
}

// requested is the answer to a call that sends a message.
func requested(call string, id int) (object, error) {
	if id < 0 {
		return nil, stubError{code: "esp", text: fmt.Sprintf("esp_mqtt_client_%s returned %d", call, id),
			more: object{{"msg_id", id}}}
	}
	return object{{"msg_id", id}}, nil
}

func (a *stub) subscribe(k struct {
	ofTopic
	QoS int `json:"qos"`
}) (object, error) {
	client, err := a.client(k.ofClient)
	if err != nil {
		return nil, err
	}
	filter, err := bytesOf("topic", k.Topic, k.Topic64)
	if err != nil {
		return nil, err
	}
	return requested("subscribe", client.Subscribe(string(filter), k.QoS))
}

func (a *stub) unsubscribe(k ofTopic) (object, error) {
	client, err := a.client(k.ofClient)
	if err != nil {
		return nil, err
	}
	filter, err := bytesOf("topic", k.Topic, k.Topic64)
	if err != nil {
		return nil, err
	}
	return requested("unsubscribe", client.Unsubscribe(string(filter)))
}

// ofMessage are the keys of a message.
type ofMessage struct {
	ofTopic
	Data   *string `json:"data"`
	Data64 *string `json:"data64"`
	Repeat *int    `json:"repeat"` // how often the data is the payload; default 1
	QoS    int     `json:"qos"`
	Retain bool    `json:"retain"`
}

func (a *stub) message(k *ofMessage) (client *espmqtt.Client, topic string, payload []byte, err error) {
	if client, err = a.client(k.ofClient); err != nil {
		return nil, "", nil, err
	}
	t, err := bytesOf("topic", k.Topic, k.Topic64)
	if err != nil {
		return nil, "", nil, err
	}
	data, err := bytesOf("data", k.Data, k.Data64)
	if err != nil {
		return nil, "", nil, err
	}
	if k.Repeat == nil {
		return client, string(t), data, nil
	}
	if n := *k.Repeat; n < 0 || len(data) > 0 && n > freeMemory/len(data) {
		return nil, "", nil, wrong("repeat", "%d times %d bytes is no payload that the memory has room for", n, len(data))
	}
	return client, string(t), bytes.Repeat(data, *k.Repeat), nil
}

func (a *stub) publish(k ofMessage) (object, error) {
	client, topic, payload, err := a.message(&k)
	if err != nil {
		return nil, err
	}
	return requested("publish", client.Publish(topic, payload, k.QoS, k.Retain))
}

func (a *stub) enqueue(k struct {
	ofMessage
	Store *bool `json:"store"` // also a message of QoS 0; default true
}) (object, error) {
	client, topic, payload, err := a.message(&k.ofMessage)
	if err != nil {
		return nil, err
	}
	return requested("enqueue", client.Enqueue(topic, payload, k.QoS, k.Retain, k.Store == nil || *k.Store))
}

func (a *stub) outbox(k ofClient) (object, error) {
	client, err := a.client(k)
	if err != nil {
		return nil, err
	}
	return object{{"size", client.OutboxSize()}}, nil
}

// state is of a client that is not there, too.
func (a *stub) state(k ofClient) (object, error) {
	number, err := k.number()
	if err != nil {
		return nil, err
	}
	state := espmqtt.NotInitialized
	if client := a.all()[number]; client != nil {
		state = client.State()
	}
	return object{{"state", state}}, nil
}

func (a *stub) restart(noKeys) (func(*Board) error, error) { return (*Board).Restart, nil }

func (a *stub) sleep(k struct {
	noKeys
	Milliseconds int64 `json:"ms"`
}) (func(*Board) error, error) {
	const longest = 1 << 40 // ms; about 35 years
	if k.Milliseconds <= 0 || k.Milliseconds > longest {
		return nil, wrong("ms", "%d is no time to sleep: it is 1 to %d", k.Milliseconds, int64(longest))
	}
	return func(b *Board) error { return b.DeepSleep(time.Duration(k.Milliseconds) * time.Millisecond) }, nil
}

func (a *stub) panic(k struct {
	noKeys
	Fault string `json:"fault"`
}) (func(*Board) error, error) {
	end, err := panicCommand(k.Fault)
	if err != nil {
		return nil, wrong("fault", "%v", err)
	}
	return end, nil
}

func (a *stub) watchdog(k struct {
	noKeys
	Which string `json:"which"`
}) (func(*Board) error, error) {
	end, err := watchdogCommand(k.Which)
	if err != nil {
		return nil, wrong("which", "%v", err)
	}
	return end, nil
}
