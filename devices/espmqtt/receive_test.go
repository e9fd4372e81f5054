package espmqtt

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// publish is a PUBLISH of the broker, in hexadecimal: a topic of that many letters, and a payload of that many bytes.
func publish(qos byte, topic, payload int) string {
	body := appendString(nil, strings.Repeat("t", topic))
	if qos > 0 {
		body = append(body, 0x11, 0x22)
	}
	body = append(body, bytes.Repeat([]byte("p"), payload)...)
	return hex.EncodeToString(append(appendLength([]byte{typePublish<<4 | qos<<1}, len(body)), body...))
}

// TestReceive holds events and answers against the real client's, with an input buffer of 64 bytes.
func TestReceive(t *testing.T) {
	t.Parallel()
	const ended = "error(1,0) disconnected"
	topic := func(n int) string { return strings.Repeat("t", n) }
	for name, test := range map[string]struct {
		send   []string // pieces, with a pause between
		pause  time.Duration
		want   string // events
		answer string
	}{
		"whole": {send: []string{publish(1, 5, 20)}, want: `data("ttttt",4386,20@0/20)`, answer: "40021122"},
		"five fragments": {send: []string{publish(1, 5, 300)}, answer: "40021122",
			want: `data("ttttt",4386,52@0/300) data("",4386,64@52/300) data("",4386,64@116/300) ` +
				`data("",4386,64@180/300) data("",4386,56@244/300)`},
		"fills the buffer": {send: []string{publish(0, 1, 59)}, want: `data("t",0,59@0/59)`},
		"header is all": {send: []string{publish(0, 59, 100)},
			want: `data("` + topic(59) + `",0,0@0/100) data("",0,64@0/100) data("",0,36@64/100)`},
		"identifier cut": {send: []string{publish(1, 58, 70)},
			want: `data("` + topic(58) + `",0,0@0/71) data("",0,64@0/71) data("",0,7@64/71)`, answer: "40021100"},
		"topic too long": {send: []string{publish(1, 60, 70)}, want: ended},
		"empty topic":    {send: []string{"30030000 70"}, want: `data("",0,1@0/1)`},
		"nothing at all": {send: []string{"30020000"}, want: "disconnected"},
		"empty payload":  {send: []string{"3003000174"}, want: `data("t",0,0@0/0)`},
		"QoS 2": {send: []string{publish(2, 1, 1), "62021122"},
			want: `data("t",4386,1@0/1)`, answer: "50021122 70021122"},
		"QoS 2 twice": {send: []string{publish(2, 1, 0), publish(2, 1, 0)},
			want: `data("t",4386,0@0/0) data("t",4386,0@0/0)`, answer: "50021122 50021122"},
		"PUBREL out of nowhere": {send: []string{"62020007"}, answer: "70020007"},
		"PUBREC out of nowhere": {send: []string{"50020007"}, answer: "62020007"},
		"identifier 0": {send: []string{"320500017400 00", "340500017400 00", "62020000", "50020000"},
			want: `data("t",0,0@0/0) data("t",0,0@0/0)`, answer: "40020001 50020002 70020003 62020004"},
		"acks out of nowhere": {send: []string{"40020007", "70020007", "9003000700", "b0020007", "d000", "c000", "20020000", "e000"}},
		"QoS 3":               {send: []string{"3600"}, want: ended},
		"DUP with QoS 0":      {send: []string{"3800"}, want: ended},
		"type 0":              {send: []string{"0000"}, want: ended},
		"AUTH":                {send: []string{"f000"}, want: ended},
		"SUBACK too large":    {send: []string{"90ff7f"}, want: ended},
		"length of 5 bytes":   {send: []string{"d08080808000"}},
		"stalled":             {send: []string{"3005"}, pause: 1500 * time.Millisecond, want: "disconnected"},
		"slow, but moving": {send: []string{"30", "04", "00", "01", "74", "70"}, pause: 900 * time.Millisecond,
			want: `data("t",0,1@0/1)`},
		"bytes swallowed": {send: []string{"400280", "ff", "300400017831"}, pause: 200 * time.Millisecond, want: ended},
		"bytes not swallowed": {send: []string{"400280ff", "300400017831"}, pause: 200 * time.Millisecond,
			want: `data("x",0,1@0/1)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{config: func(c *Config) { c.Buffer.Size = 64; c.Buffer.OutSize = 128 }}, func(r *rig) {
				r.happened()
				for _, piece := range test.send {
					if _, err := r.conn.Write(unhex(t, piece)); err != nil {
						break // the client has gone
					}
					time.Sleep(test.pause + time.Millisecond)
				}
				r.happens(test.want)
				for _, answer := range strings.Fields(test.answer) {
					r.expect(answer)
				}
			})
		})
	}
}

// TestPrematureAcknowledgement: a large message of which the rest is too late counts as received, and the connection is
// out of step.
func TestPrematureAcknowledgement(t *testing.T) {
	t.Parallel()
	inRig(t, options{config: func(c *Config) { c.Buffer.Size = 64; c.Network.Timeout = 2000 }}, func(r *rig) {
		r.happened()
		r.sendRaw(unhex(t, publish(1, 5, 300))[:150])
		began := time.Now()
		r.expect("40021122")
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("PUBACK came after %v", took)
		}
		r.happens(`data("ttttt",4386,52@0/300) data("",4386,64@52/300) data("",4386,22@116/300)`)
	})
}

// TestStickyData: in 3.1.1 UNSUBSCRIBED shows the data of the event before, as far as the buffer still holds it.
func TestStickyData(t *testing.T) {
	t.Parallel()
	inRig(t, options{}, func(r *rig) {
		r.happened()
		r.Subscribe("f", 1)
		r.expect("8206 0001 000166 01")
		r.send("9003 0001 01")
		r.Unsubscribe("f")
		r.expect("a205 0002 000166")
		r.send("b002 0002")
		r.happens("subscribed(1,01,0) unsubscribed(2,01)")
	})
}

func TestSuback(t *testing.T) {
	t.Parallel()
	for suback, want := range map[string]string{
		"9003000180":     "subscribed(1,80,3)",
		"90050001020080": "subscribed(1,020080,3)",
		"90020001":       "disconnected",
		"9003000200":     "", // another identifier
		"908300000100":   "", // its length has two bytes
	} {
		t.Run(suback, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{}, func(r *rig) {
				r.happened()
				r.Subscribe("f", 1)
				r.send(suback)
				r.happens(want)
			})
		})
	}
}

func TestConnack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		after  time.Duration // at which the events are looked at
		want   string
	}{
		"accepted":        {"20020100", 0, "before connected"},
		"refused":         {"20020005", 0, "before error(2,0) disconnected"},
		"longer":          {"200400000000", 0, "before connected"},
		"overlong length": {"2082000005", 0, "before connected"}, // its flags are taken for the code
		"another packet":  {"d000", 0, "before disconnected"},
		"bad flags":       {"21020000", 0, "before error(1,0) disconnected"},
		"part of it":      {"2002", 11 * time.Second, "before disconnected"},
		"nothing":         {"", 11 * time.Second, "before disconnected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inRig(t, options{stay: true}, func(r *rig) {
				if err := r.Start(); err != nil {
					t.Fatal(err)
				}
				conn, err := r.listener.Accept()
				if err != nil {
					t.Fatal(err)
				}
				r.conn = conn
				if _, err := conn.Write(unhex(t, test.answer)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(max(test.after, 100*time.Millisecond))
				if got := r.happened(); !strings.HasPrefix(got, test.want) {
					t.Errorf("events %s, not %s", got, test.want)
				}
				_ = r.listener.Close()
			})
		})
	}
}

// memoryConn plays what a broker sends, cut into pieces, and ends.
type memoryConn struct {
	net.Conn
	pieces [][]byte
}

func (c *memoryConn) Read(p []byte) (int, error) {
	for len(c.pieces) > 0 {
		n := copy(p, c.pieces[0])
		if c.pieces[0] = c.pieces[0][n:]; len(c.pieces[0]) == 0 {
			c.pieces = c.pieces[1:]
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, net.ErrClosed
}

func (c *memoryConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzReceive lets a client loose on bytes from a broker: it must neither panic nor hang, but where the real client does,
// and what it reports lies within what came.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0, 0x90, 3, 0, 1, 0x80, 0x30, 4, 0, 1, 't', 'p'}, false, byte(64), uint64(1), false)
	f.Add([]byte{0x20, 0x0d, 0, 0, 0x0a, 0x21, 0, 2, 0x24, 1, 0x25, 0, 0x13, 0, 4, 0x90, 4, 0, 1, 0, 1},
		true, byte(64), uint64(2), true)
	f.Add(append([]byte{0x20, 3, 0, 0, 0}, unhexed(publish(2, 5, 300))...), true, byte(16), uint64(3), true)
	f.Add([]byte{0x20, 3, 0, 0, 0, 0x30, 0x13, 0, 1, 't', 0x0d, 0x08, 0, 1, 'r', 0x26, 0, 1, 'k', 0, 1, 'v', 0x0b, 1, 'p'},
		true, byte(64), uint64(4), false)
	f.Add(append([]byte{0x20, 3, 0, 0, 0}, unhexed("320c000162000705010109fffb78")...), true, byte(64), uint64(5), false) // for ever
	f.Fuzz(func(t *testing.T, data []byte, v5 bool, buffer byte, cut uint64, plain bool) {
		synctest.Test(t, func(t *testing.T) {
			config := Config{}
			config.Buffer.Size = int(buffer)
			if v5 {
				config.Session.Protocol = ProtocolV5
			}
			c, err := newClient(config, func(k *Kconfig) { k.Protocol5 = true })
			if err != nil {
				t.Fatal(err)
			}
			defer c.PowerOff()
			time.AfterFunc(24*time.Hour, c.PowerOff) // for a client that reads the same properties for ever
			if plain {
				c.traits = Behaviour{Without: Quirks()}.traits()
			}
			c.handler = func(e Event) {
				beyond := e.Protocol == ProtocolV5 && (e.DataLength() < 0 || e.Offset < 0) // QuirkPropertiesBeyondBuffer
				if !beyond && (e.Offset < 0 || len(e.Data) > max(int(buffer), 1024)) {
					panic(fmt.Sprintf("an event of %d bytes at %d", len(e.Data), e.Offset))
				}
			}
			random := rand.New(rand.NewPCG(cut, 0))
			conn := &memoryConn{}
			for rest := data; len(rest) > 0; {
				n := 1 + random.IntN(len(rest))
				conn.pieces = append(conn.pieces, rest[:n])
				rest = rest[n:]
			}
			c.transport = newSocket(conn, NewTimer(), c.power, c.print)
			if !c.handshake() {
				return
			}
			for id := range uint16(20) { // something to acknowledge
				kind := []byte{typePublish, typeSubscribe, typeUnsubscribe}[id%3]
				c.outbox.Add(&Item{ID: id, Type: kind, QoS: 1, Data: []byte{kind << 4, 0}})
			}
			for turn := 0; c.receive(); turn++ {
				if turn > len(data)+10 {
					t.Fatal("the client does not come to an end")
				}
				c.transport.poll(time.Second)
			}
		})
	})
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func unhexed(text string) []byte {
	data, _ := hex.DecodeString(text)
	return data
}
