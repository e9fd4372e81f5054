package faults

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

// largePublish is a PUBLISH of QoS 1 with a payload of that many bytes, of which no two pieces of equal size look alike.
func largePublish(id byte, payload int) []byte {
	head := binary.AppendUvarint([]byte{0x32}, uint64(payload+5))
	head = append(head, 0, 1, 't', 0, id)
	pattern := make([]byte, 251) // a prime
	for i := range pattern {
		pattern[i] = byte(i)
	}
	return append(head, bytes.Repeat(pattern, payload/len(pattern)+1)[:payload]...)
}

// A packet that is too large to be held can be dropped, delayed, answered and cut, at any place; nothing else.
func TestLargePackets(t *testing.T) {
	t.Parallel()
	const payload = largestPacket + 100_000
	large := largePublish(2, payload)
	first, third := publishPacket(1, "one"), publishPacket(3, "three")
	all := slices.Concat(first, large, third)
	type largeTest struct {
		name string
		does []Action
		want []byte
		back []byte
		ends Ending
		took time.Duration
		left string // recorded as left alone
	}
	tests := []largeTest{
		{name: "drop", does: []Action{Drop()}, want: slices.Concat(first, third)},
		{name: "delay", does: []Action{Delay(time.Second)}, want: all, took: time.Second},
		{name: "answer", does: []Action{Answer("PUBACK")}, want: slices.Concat(first, third), back: []byte{0x40, 2, 0, 2}},
		{name: "duplicate", does: []Action{Duplicate()}, want: all, left: "duplicate"},
		{name: "hold", does: []Action{Hold()}, want: all, left: "hold"},
		{name: "reorder", does: []Action{Reorder(2)}, want: all, left: "reorder 2 packets"},
		{name: "rewrite", does: []Action{Rewrite(NewID(7))}, want: all, left: "rewrite id to 7"},
		{name: "corrupt", does: []Action{CorruptAnywhere()}, want: all, left: "corrupt a bit"},
		{name: "forge", does: []Action{Forge(DeviceToBroker, "PINGREQ")}, want: all, left: "forge PINGREQ from the device"},
		{name: "split", does: []Action{Split(1000, time.Second)}, want: all, left: "split into pieces of 1000 bytes, 1s apart"},
		{name: "glue", does: []Action{Glue(1)}, want: all, left: "glue to the next packet"},
		{name: "some of it", does: []Action{Duplicate(), Delay(time.Second)}, want: all, took: time.Second, left: "duplicate"},
	}
	for _, at := range []Place{Before, 5, headBytes - 1, headBytes, headBytes + 1, 500_000, -1,
		Place(len(large)), After} {
		part := slices.Concat(first, large[:at.bytes(len(large))])
		for _, how := range []Ending{FIN, RST, HalfClose} {
			ends := how
			if how == HalfClose {
				ends = FIN
			}
			tests = append(tests, largeTest{name: fmt.Sprintf("cut with %s %s", how, at), does: []Action{Cut(at, how)},
				want: part, ends: ends})
		}
		tests = append(tests,
			largeTest{name: fmt.Sprintf("pause %s", at), does: []Action{Pause(at, 9*time.Second, "")}, want: all,
				took: 9 * time.Second},
			largeTest{name: fmt.Sprintf("pause %s, then FIN", at), does: []Action{Pause(at, 9*time.Second, FIN)}, want: part,
				took: 9 * time.Second},
			largeTest{name: fmt.Sprintf("delay and cut %s", at), does: []Action{Delay(time.Second), Cut(at, FIN)},
				want: part, took: time.Second})
	}
	for _, test := range tests {
		for _, direction := range []Direction{DeviceToBroker, BrokerToDevice} {
			t.Run(test.name+"/"+direction.String(), func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, n network) {
					s := newSetup(t, n)
					sender, receiver := s.connectMQTT()
					match := FromDevice(PUBLISH).WithID(2)
					if direction == BrokerToDevice {
						sender, receiver, match = receiver, sender, ToDevice(PUBLISH).WithID(2)
					}
					s.proxy.Add(On(match, test.does...))
					start := time.Now()
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						if _, err := sender.Write(all); err == nil {
							_ = sender.Conn.(interface{ CloseWrite() error }).CloseWrite()
						}
					}()
					got, err := io.ReadAll(receiver)
					if !bytes.Equal(got, test.want) {
						t.Errorf("got %d bytes, want %d, of which the first %d are the same", len(got), len(test.want),
							same(got, test.want))
					}
					if isReset := err != nil; isReset != (test.ends == RST) {
						t.Errorf("ended with %v, want %s", err, test.ends)
					}
					if took := time.Since(start); took != test.took {
						t.Errorf("took %s, want %s", took, test.took)
					}
					<-sent
					sender.wantBytes(test.back)
					var left []string
					for _, e := range s.rec.Events() {
						if e.Kind == timeline.KindFault && strings.HasPrefix(e.Fault.Action, "left alone") {
							left = append(left, e.Fault.Action)
						}
					}
					if test.left != "" && !slices.Equal(left, []string{"left alone, for the packet is too large to " + test.left}) {
						t.Errorf("recorded as left alone: %q, want %q", left, test.left)
					}
				})
			})
		}
	}
}

// same is how many bytes a and b have in common at their beginning.
func same(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// What the proxy makes up, or hands on late, never gets between the bytes of another packet.
func TestNothingGetsInsideAPacket(t *testing.T) {
	t.Parallel()
	ping, pong := []byte{0xc0, 0}, []byte{0xd0, 0}
	for _, size := range []int{300, 100_000, largestPacket + 100_000} {
		for _, record := range []bool{true, false} {
			for name, insert := range map[string]func(s *setup, held *Armed, device *peer) (want []byte){
				"answer": func(_ *setup, _ *Armed, device *peer) []byte { device.write(ping); return pong },
				"forge": func(s *setup, _ *Armed, _ *peer) []byte {
					if _, err := s.proxy.Forge(BrokerToDevice, "PUBACK 7"); err != nil {
						s.t.Error(err)
					}
					return []byte{0x40, 2, 0, 7}
				},
				"release": func(_ *setup, held *Armed, _ *peer) []byte { held.Release(-1); return publishPacket(9, "held") },
			} {
				t.Run(fmt.Sprintf("%s/%d bytes/record %t", name, size, record), func(t *testing.T) {
					t.Parallel()
					inBubble(t, func(t *testing.T, n network) {
						s := newSetupWith(t, n, Options{Summary: !record})
						s.proxy.Add(On(FromDevice(PINGREQ), Answer("PINGRESP")))
						held := s.proxy.Add(On(ToDevice(PUBLISH).WithID(9), Hold()))
						device, broker := s.connectMQTT()
						broker.write(publishPacket(9, "held"))
						synctest.Wait()
						if !record {
							held.Remove() // so that nobody wants to see a PUBLISH any more
						}
						large := largePublish(1, size)
						var got []byte
						read := make(chan struct{})
						wanted := len(large) + 100
						go func() {
							defer close(read)
							buffer := make([]byte, 4096)
							for len(got) < wanted {
								n, err := device.Read(buffer)
								if got = append(got, buffer[:n]...); err != nil {
									return
								}
							}
						}()
						broker.write(large[:size*3/4])
						synctest.Wait()
						want := insert(s, held, device)
						synctest.Wait()
						broker.write(large[size*3/4:])
						synctest.Wait()
						broker.fin()
						<-read
						whole := slices.Concat(large, want)
						if record && size <= largestPacket { // the packet waits for its end
							whole = slices.Concat(want, large)
						}
						if !bytes.Equal(got, whole) {
							t.Errorf("got %d bytes, want %d, of which the first %d are the same", len(got), len(whole),
								same(got, whole))
						}
					})
				})
			}
		}
	}
}

// Glue must not keep what is too large to be held.
func TestGlueToALargePacket(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, n network) {
		s := newSetup(t, n)
		device, broker := s.connectMQTT()
		s.proxy.Add(On(FromDevice(PUBLISH).WithID(1), Glue(3)))
		large := largePublish(2, 4*largestPacket)
		go func() { // it is not read to the end
			_, _ = device.Write(slices.Concat(publishPacket(1, "x"), large[:3*largestPacket]))
		}()
		broker.wantBytes(publishPacket(1, "x"), large[:largestPacket])
	})
}

// The largest packet that there can be goes through in little memory. Not in parallel, because it looks at the heap.
func TestLargestPacket(t *testing.T) {
	for _, test := range []struct {
		name      string
		remaining int
		rules     []Rule
		condition []Condition
	}{
		{"as it comes", 268_435_455, nil, nil},
		{"with a rule", 16 << 20, []Rule{On(FromDevice(PUBLISH), Delay(time.Second), Cut(After, FIN))}, nil},
		{"with conditions", 16 << 20, nil, []Condition{Latency(Spread{By: Duration(time.Second)}), Bandwidth(10 << 20)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				for _, r := range test.rules {
					s.proxy.Add(r)
				}
				for _, c := range test.condition {
					s.proxy.Impose(c)
				}
				head := binary.AppendUvarint([]byte{0x30}, uint64(test.remaining))
				size := len(head) + test.remaining
				sent, received := crc32.NewIEEE(), crc32.NewIEEE()
				heap := func() int64 {
					var m runtime.MemStats
					runtime.GC()
					runtime.ReadMemStats(&m)
					return int64(m.HeapAlloc)
				}
				before := heap()
				var sending sync.WaitGroup
				defer sending.Wait()
				sending.Go(func() {
					beginning := append(head, "\x00\x01t"...)
					sent.Write(beginning)
					device.write(beginning)
					chunk := make([]byte, 32<<10)
					for left := size - len(beginning); left > 0; left -= len(chunk) {
						binary.BigEndian.PutUint32(chunk, uint32(left))
						chunk = chunk[:min(len(chunk), left)]
						sent.Write(chunk)
						if _, err := device.Write(chunk); err != nil {
							t.Error(err)
							return
						}
					}
					device.fin()
				})
				most, count := int64(0), 0
				buffer := make([]byte, 64<<10)
				for next := 0; ; {
					n, err := broker.Read(buffer)
					received.Write(buffer[:n])
					if count += n; count > next {
						most, next = max(most, heap()-before), count+size/4
					}
					if err != nil {
						if !errors.Is(err, io.EOF) {
							t.Error(err)
						}
						break
					}
				}
				if count != size || sent.Sum32() != received.Sum32() {
					t.Errorf("got %d bytes, want the %d that were sent", count, size)
				}
				if most > 8<<20 {
					t.Errorf("the heap grew by %d KiB on the way", most>>10)
				}
			})
		})
	}
}

// Whoever sends to a peer that does not read is held up soon, whatever the packets wait for, and the other direction is
// not.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(p *Proxy){
		"plain":   func(*Proxy) {},
		"rule":    func(p *Proxy) { p.Add(On(ToDevice(PUBLISH), Delay(time.Millisecond))) },
		"latency": func(p *Proxy) { p.Impose(Latency(Spread{By: Duration(time.Second)})) },
		"down":    func(p *Proxy) { p.Impose(Down().Toward(BrokerToDevice)) },
		"slow":    func(p *Proxy) { p.Impose(Bandwidth(10).Toward(BrokerToDevice)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, n network) {
				s := newSetup(t, n)
				device, broker := s.connectMQTT()
				prepare(s.proxy)
				if err := broker.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				accepted := 0
				for message := publishPacket(1, strings.Repeat("x", 100)); ; accepted += len(message) {
					if _, err := broker.Write(message); err != nil {
						if !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Errorf("writing: %v", err)
						}
						break
					}
					if accepted > 1<<20 {
						t.Fatal("the sender is not held up")
					}
				}
				device.write(publishPacket(2, "x"))
				broker.wantBytes(publishPacket(2, "x"))
				start := time.Now()
				s.proxy.Close()
				if took := time.Since(start); took != 0 {
					t.Errorf("Close took %s", took)
				}
			})
		})
	}
}
