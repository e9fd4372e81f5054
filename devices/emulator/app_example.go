package emulator

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"sync"

	"mqtthil/devices/espmqtt"
)

// example is one of ESP-IDF's example applications: one client, which it starts when the board has its network, and
// which works from within the handler of its events. They differ in few points.
type example struct {
	*application
	exampleKind
	power *power

	mu     sync.Mutex // the power may go while the client is made
	client *espmqtt.Client
}

// exampleKind is what makes one example differ from another.
type exampleKind struct {
	publishesFirst bool // a message with QoS 1, when connected
	memoryTwice    bool // it logs the free memory once more before it makes its client
	config         func(*example) espmqtt.Config
	failure        func(*example, espmqtt.ErrorHandle) // logs what an ERROR event says; nil: nothing
	received       func(*example, espmqtt.Event)       // what it does with a message beside logging it; may be nil
}

// newExample makes the constructor of a kind of example.
func newExample(kind exampleKind) func(*power, *application) program {
	return func(p *power, a *application) program {
		return &example{application: a, exampleKind: kind, power: p}
	}
}

// run starts the client. Nothing reads the console of an example.
func (a *example) run() {
	if a.memoryTwice {
		a.power.logMemory(a.tag)
	}
	a.start(a.config(a), a.handle, nil)
}

// start makes the client and starts it, unless the power goes. Prepare, which may be nil, is called in between.
func (a *example) start(config espmqtt.Config, handler func(espmqtt.Event), prepare func(*espmqtt.Client)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.power.dead() {
		return
	}
	client, err := a.power.newClient(config, handler)
	if err != nil {
		return // an example does not look at what esp_mqtt_client_init returns, and all that follows does nothing
	}
	a.client = client
	if prepare != nil {
		prepare(client)
	}
	_ = client.Start()
}

func (a *example) powerOff() {
	a.mu.Lock()
	client := a.client
	a.mu.Unlock()
	if client != nil {
		client.PowerOff()
	}
}

// uri is the broker's: the user's, or the one that the example goes to.
func (a *example) uri() *string {
	if uri := a.power.board.options.URI; uri != "" {
		return &uri
	}
	return &a.URI
}

func (a *example) log(level byte, format string, arguments ...any) {
	a.power.log(level, a.tag, fmt.Sprintf(format, arguments...))
}

// handle is the example's event handler.
func (a *example) handle(e espmqtt.Event) {
	const sentPublish, sentSubscribe = "sent publish successful, msg_id=%d", "sent subscribe successful, msg_id=%d"
	switch e.ID {
	case espmqtt.EventConnected:
		a.log('I', "MQTT_EVENT_CONNECTED")
		if a.publishesFirst {
			a.log('I', sentPublish, e.Client.Publish("topic/qos1", []byte("data_3"), 1, false))
		}
		a.log('I', sentSubscribe, e.Client.Subscribe("topic/qos0", 0))
		a.log('I', sentSubscribe, e.Client.Subscribe("topic/qos1", 1))
		a.log('I', "sent unsubscribe successful, msg_id=%d", e.Client.Unsubscribe("topic/qos1"))
	case espmqtt.EventDisconnected:
		a.log('I', "MQTT_EVENT_DISCONNECTED")
	case espmqtt.EventSubscribed:
		a.log('I', "MQTT_EVENT_SUBSCRIBED, msg_id=%d, return code=0x%02x ", e.MessageID, e.Data[0])
		a.log('I', sentPublish, e.Client.Publish("topic/qos0", []byte("data"), 0, false))
	case espmqtt.EventUnsubscribed:
		a.log('I', "MQTT_EVENT_UNSUBSCRIBED, msg_id=%d", e.MessageID)
	case espmqtt.EventPublished:
		a.log('I', "MQTT_EVENT_PUBLISHED, msg_id=%d", e.MessageID)
	case espmqtt.EventData:
		a.log('I', "MQTT_EVENT_DATA")
		// Printed with CR LF, of which the console makes CR CR LF.
		a.power.write(fmt.Sprintf("TOPIC=%s\r\r\nDATA=%s\r\r\n", e.Topic, e.Data))
		if a.received != nil {
			a.received(a, e)
		}
	case espmqtt.EventError:
		a.log('I', "MQTT_EVENT_ERROR")
		if a.failure != nil {
			a.failure(a, e.Error)
		}
	default:
		a.log('I', "Other event id:%d", e.ID)
	}
}

// transportFailure is how most examples log the codes of a failed transport.
func (a *example) transportFailure(e espmqtt.ErrorHandle) {
	if e.Type != espmqtt.ErrorTCPTransport {
		return
	}
	for _, code := range []struct {
		where string
		value int
	}{
		{"reported from esp-tls", e.TLSLastError},
		{"reported from tls stack", e.TLSStackError},
		{"captured as transport's socket errno", e.SocketErrno},
	} {
		if code.value != 0 {
			a.log('E', "Last error %s: 0x%x", code.where, code.value)
		}
	}
	a.log('I', "Last errno string (%s)", espmqtt.Strerror(e.SocketErrno))
}

// sslFailure is how the ssl example logs an error.
func (a *example) sslFailure(e espmqtt.ErrorHandle) {
	switch e.Type {
	case espmqtt.ErrorTCPTransport:
		a.log('I', "Last error code reported from esp-tls: 0x%x", e.TLSLastError)
		a.log('I', "Last tls stack error number: 0x%x", e.TLSStackError)
		a.log('I', "Last captured errno : %d (%s)", e.SocketErrno, espmqtt.Strerror(e.SocketErrno))
	case espmqtt.ErrorConnectionRefused:
		a.log('I', "Connection refused error: 0x%x", e.ConnectReturnCode)
	default:
		a.log('W', "Unknown error type: 0x%x", e.Type)
	}
}

// binarySize is how much of itself the ssl example sends when it is asked to, in bytes.
const binarySize = 20000

// sendBinary answers "send binary please", or the beginning of it, with the beginning of the board's flash.
func (a *example) sendBinary(e espmqtt.Event) {
	if !bytes.HasPrefix([]byte("send binary please"), e.Data) {
		return
	}
	a.log('I', "Sending the binary")
	a.log('I', "binary sent with msg_id=%d", e.Client.Publish("topic/binary", a.image(), 0, false))
}

// image is a stand-in for the application's image in the flash: what a board holds there is the same every time.
func (a *example) image() []byte {
	content := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", a.project))))
	image := make([]byte, binarySize)
	_, _ = content.Read(image)
	image[0] = 0xe9 // by which a chip knows an image
	return image
}

// plainConfig has the broker's address alone.
func (a *example) plainConfig() (c espmqtt.Config) {
	c.Broker.Address.URI = a.uri()
	return c
}

// trustingConfig knows by its authority whom to trust.
func (a *example) trustingConfig() espmqtt.Config {
	c := a.plainConfig()
	v := &c.Broker.Verification
	v.Certificate, v.CertificateLength = file(a.power.board.options.CA)
	return c
}

// provingConfig has a certificate and its key, too.
func (a *example) provingConfig() espmqtt.Config {
	c := a.signingConfig()
	options, authentication := a.power.board.options, &c.Credentials.Authentication
	authentication.DSData = false
	authentication.Key, authentication.KeyLength = file(options.Key)
	if options.KeyPassword != "" {
		authentication.KeyPassword = &options.KeyPassword
	}
	return c
}

// signingConfig leaves the key to the digital signature peripheral.
func (a *example) signingConfig() espmqtt.Config {
	c := a.trustingConfig()
	authentication := &c.Credentials.Authentication
	authentication.Certificate, authentication.CertificateLength = file(a.power.board.options.Certificate)
	authentication.DSData = true
	return c
}

// sharingConfig has a key that the broker has, too.
func (a *example) sharingConfig() espmqtt.Config {
	c := a.plainConfig()
	c.Broker.Verification.PSK = a.power.board.options.PSK
	return c
}

// file hands a file over to the client: PEM as it is, DER with its length.
func file(data []byte) (text *string, length int) {
	s := string(data)
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		s, length = base64.StdEncoding.EncodeToString(data), len(data)
	}
	return &s, length
}
