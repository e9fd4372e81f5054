package emulator

import (
	"fmt"

	"mqtthil/devices/espmqtt"
)

// outboxExample is esp-mqtt's example of a custom outbox. It queues two messages before it starts its client.
type outboxExample struct{ example }

func newOutboxExample(p *power, a *application) program {
	return &outboxExample{example{application: a, power: p}}
}

func (a *outboxExample) run() {
	a.start(a.plainConfig(), a.handle, func(client *espmqtt.Client) {
		const queued = "Enqueued msg_id=%d"
		a.log('I', queued, client.Enqueue("topic/qos1", []byte("data_3"), 1, false, true))
		a.log('I', queued, client.Enqueue("topic/qos2", []byte("QoS2 message"), 2, false, true))
	})
}

func (a *outboxExample) handle(e espmqtt.Event) {
	const sentPublish, sentSubscribe = "sent publish successful, msg_id=%d", "sent subscribe successful, msg_id=%d"
	switch e.ID {
	case espmqtt.EventConnected:
		a.log('I', "MQTT_EVENT_CONNECTED")
		a.log('I', sentPublish, e.Client.Publish("topic/qos1", []byte("data_3"), 1, false))
		a.log('I', sentSubscribe, e.Client.Subscribe("topic/qos0", 0))
		a.log('I', sentSubscribe, e.Client.Subscribe("topic/qos1", 1))
	case espmqtt.EventDisconnected:
		a.log('I', "MQTT_EVENT_DISCONNECTED")
	case espmqtt.EventSubscribed:
		a.log('I', "MQTT_EVENT_SUBSCRIBED, msg_id=%d", e.MessageID)
		a.log('I', sentPublish, e.Client.Publish("topic/qos0", []byte("data"), 0, false))
	case espmqtt.EventUnsubscribed:
		a.log('I', "MQTT_EVENT_UNSUBSCRIBED, msg_id=%d", e.MessageID)
	case espmqtt.EventPublished:
		a.log('I', "MQTT_EVENT_PUBLISHED, msg_id=%d", e.MessageID)
	case espmqtt.EventData:
		a.log('I', "MQTT_EVENT_DATA")
		a.power.write(fmt.Sprintf("TOPIC=%s\r\r\nDATA=%s\r\r\n", e.Topic, e.Data))
	case espmqtt.EventError:
		a.log('I', "MQTT_EVENT_ERROR")
		a.transportFailure(e.Error)
	default:
		a.log('I', "Other event id:%d", e.ID)
	}
}

// poolRoom is what the example's pool has for messages, in bytes: its memory of 16 KiB, but for what the pool itself needs.
const poolRoom = 16<<10 - 10464

// poolOutbox is the example's outbox. Its memory is a pool of a fixed size, beside the heap, and it logs what it takes of
// it; what the pool says is in use is all that ever was. When it is cleared it forgets to set its size to nothing, as the
// original does, so that a limit of the outbox counts messages that are long gone.
type poolOutbox struct {
	espmqtt.Outbox // the list without the memory
	power          *power
	size           int
	inUse          int
	taken          int // by the pool's own count
}

func newPoolOutbox(p *power) espmqtt.Outbox {
	return &poolOutbox{Outbox: espmqtt.NewOutbox(nil), power: p}
}

func (o *poolOutbox) Add(it *espmqtt.Item) bool {
	n := len(it.Data)
	if o.inUse+n > poolRoom {
		return false
	}
	o.size, o.inUse, o.taken = o.size+n, o.inUse+n, o.taken+n
	o.log("allocated", n)
	return o.Outbox.Add(it)
}

func (o *poolOutbox) Remove(it *espmqtt.Item) {
	o.Outbox.Remove(it)
	o.size -= len(it.Data)
	o.free(it)
}

func (o *poolOutbox) Clear() {
	for _, it := range o.Items() {
		o.free(it)
	}
	o.Outbox.Clear()
}

func (o *poolOutbox) Size() int { return o.size }

func (o *poolOutbox) free(it *espmqtt.Item) {
	o.inUse -= len(it.Data)
	o.log("deallocated", len(it.Data))
}

func (o *poolOutbox) log(what string, bytes int) {
	o.power.log('I', "Pool", fmt.Sprintf("Pool: %d bytes %s, %d total bytes in use", bytes, what, o.taken))
}
