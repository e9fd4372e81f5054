package espmqtt

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestThatDoesNotCount: a request to reconnect that does not end the wait stays, and time passes all the same.
func TestRequestThatDoesNotCount(t *testing.T) {
	t.Parallel()
	inRig(t, options{behaviour: Behaviour{Defects: []Defect{NoReconnect}}}, func(r *rig) {
		_ = r.conn.Close()
		synctest.Wait()
		if err := r.Reconnect(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if state := r.State(); state != WaitingReconnect {
			t.Errorf("the client is in state %v", state)
		}
	})
}

// TestLostInHandler: a handler that finds out in the middle of a message that the connection is lost ends the message.
func TestLostInHandler(t *testing.T) {
	t.Parallel()
	lost := 0
	inRig(t, options{
		config: func(c *Config) { c.Buffer.Size = 64 },
		handler: func(r *rig, e Event) {
			switch e.ID {
			case EventData:
				r.abort()
			case EventDisconnected:
				lost++
			}
		},
	}, func(r *rig) {
		r.sendRaw(append([]byte{0x30, 0xac, 2, 0, 1, 't'}, bytes.Repeat([]byte{'p'}, 297)...))
		time.Sleep(10 * time.Millisecond)
		if state := r.State(); lost != 2 || state != WaitingReconnect { // for the handler, and for the message
			t.Errorf("%d times disconnected, state %v", lost, state)
		}
	})
}

// TestTopicBeyondBuffer: a remaining length and a topic length that lie do not make the model read outside its buffer,
// however large that is.
func TestTopicBeyondBuffer(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: func(c *Config) { c.Buffer.Size = 40000 }}, func(r *rig) {
		r.sendRaw(append([]byte{0x32}, bytes.Repeat([]byte{0xff}, 4)...))
		r.sendRaw(bytes.Repeat([]byte{0x80}, 50000))
		time.Sleep(time.Minute)
		r.happened()
	})
}
