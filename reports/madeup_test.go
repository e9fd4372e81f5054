package reports

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

var sample = flag.String("sample", "", "a new folder to write a made-up run and its reports to, to look at them")

// TestSample writes the made-up run and its reports where -sample says, for eyes to judge.
func TestSample(t *testing.T) {
	if *sample == "" {
		t.Skip("no -sample given")
	}
	writeRun(t, *sample, madeUpRun(), madeUpRecords(t)...)
	if _, err := Write(*sample); err != nil {
		t.Fatal(err)
	}
}

// named is a record with the name of its file.
type named struct {
	file string
	data []byte
}

// writeRun writes the folder of a run.
func writeRun(t testing.TB, dir string, run timeline.Run, records ...named) {
	t.Helper()
	data, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, recordFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, runFile), data)
	for _, r := range records {
		write(t, filepath.Join(dir, recordFolder, r.file), r.data)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// record writes a record in virtual time. It opens with the scenario.
func record(t *testing.T, scenario timeline.Scenario, act func(*scene)) []byte {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		s := &scene{Recorder: timeline.NewRecorder(&out), conn: 1}
		s.Append(timeline.Event{Kind: timeline.KindScenario, Scenario: &scenario})
		act(s)
		if err := s.Err(); err != nil {
			t.Error(err)
		}
	})
	return out.Bytes()
}

// load makes a report of records that are a run of their own, file by file.
func load(t *testing.T, run timeline.Run, records ...[]byte) *Report {
	t.Helper()
	dir := t.TempDir()
	var files []named
	for i, data := range records {
		files = append(files, named{fmt.Sprintf("%03d-record.jsonl", i+1), data})
	}
	writeRun(t, dir, run, files...)
	report, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// scene plays bench, device and broker.
type scene struct {
	*timeline.Recorder
	conn int
}

func (s *scene) seen(point timeline.Point, p *timeline.Packet) int {
	return s.Append(timeline.Event{Kind: timeline.KindPacket, Conn: s.conn, Point: point, Packet: p}).Seq
}

// up passes a packet from the device to the broker and returns where it came in.
func (s *scene) up(p *timeline.Packet) int {
	seq := s.seen(timeline.LeftDevice, p)
	s.seen(timeline.ReachedBroker, p)
	return seq
}

// down passes a packet from the broker to the device.
func (s *scene) down(p *timeline.Packet) int {
	seq := s.seen(timeline.LeftBroker, p)
	s.seen(timeline.ReachedDevice, p)
	return seq
}

func (s *scene) fault(rule int, text, action string, packet int) int {
	return s.Append(timeline.Event{Kind: timeline.KindFault, Conn: s.conn,
		Fault: &timeline.Fault{Rule: rule, Text: text, Action: action, Packet: packet}}).Seq
}

func (s *scene) step(text string) { s.Append(timeline.Event{Kind: timeline.KindStep, Text: text}) }

func (s *scene) console(text string) {
	s.Append(timeline.Event{Kind: timeline.KindConsoleIn, Data: []byte(text + "\r\n")})
	s.Append(timeline.Event{Kind: timeline.KindLine, Text: text})
}

func (s *scene) typed(text string) {
	s.Append(timeline.Event{Kind: timeline.KindConsoleOut, Data: []byte(text + "\r\n")})
}

func (s *scene) device(name string, fields map[string]string) int {
	return s.Append(timeline.Event{Kind: timeline.KindDevice, Device: &timeline.Device{Name: name, Fields: fields}}).Seq
}

func (s *scene) broker(b timeline.Broker) int {
	return s.Append(timeline.Event{Kind: timeline.KindBroker, Broker: &b}).Seq
}

func (s *scene) open(point timeline.Point) {
	s.Append(timeline.Event{Kind: timeline.KindOpen, Conn: s.conn, Point: point})
}

func (s *scene) close(point timeline.Point, how string) {
	s.Append(timeline.Event{Kind: timeline.KindClose, Conn: s.conn, Point: point, Text: how})
}

func (s *scene) check(c timeline.Check) int {
	return s.Append(timeline.Event{Kind: timeline.KindCheck, Check: &c}).Seq
}

func (s *scene) finding(f timeline.Finding) int {
	return s.Append(timeline.Event{Kind: timeline.KindFinding, Finding: &f}).Seq
}

func (s *scene) verdict(v timeline.Verdict) {
	s.Append(timeline.Event{Kind: timeline.KindVerdict, Verdict: &v})
}

// text writes a string as MQTT does.
func text(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }

// packet puts a packet together from its first byte and the rest.
func packet(p timeline.Packet, first byte, rest ...[]byte) *timeline.Packet {
	body := bytes.Join(rest, nil)
	raw := append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
	p.Flags, p.Length, p.Sum = first&0x0f, len(raw), crc32.ChecksumIEEE(raw)
	p.Raw = raw[:min(len(raw), timeline.MaxRaw)]
	return &p
}

func connect(client, username, password string) *timeline.Packet {
	c := &timeline.Connect{Protocol: "MQTT", Version: 4, Flags: 2, ClientID: client, KeepAlive: 120, CleanSession: true}
	rest := text(client)
	if username != "" {
		c.Flags, c.HasUsername, c.HasPassword, c.Username = 0xc2, true, true, username
		rest = bytes.Join([][]byte{rest, text(username), text(password)}, nil)
	}
	return packet(timeline.Packet{Type: "CONNECT", Connect: c}, 0x10, text("MQTT"), []byte{4, c.Flags, 0, 120}, rest)
}

func connack() *timeline.Packet {
	return packet(timeline.Packet{Type: "CONNACK"}, 0x20, []byte{0, 0})
}

func publish(id uint16, dup bool, topic, payload string) *timeline.Packet {
	first := byte(0x32)
	if dup {
		first |= 8
	}
	return packet(timeline.Packet{Type: "PUBLISH", ID: id, DUP: dup, QoS: 1, Topic: topic, PayloadLength: len(payload),
		PayloadSum: crc32.ChecksumIEEE([]byte(payload))},
		first, text(topic), binary.BigEndian.AppendUint16(nil, id), []byte(payload))
}

func puback(id uint16) *timeline.Packet {
	return packet(timeline.Packet{Type: "PUBACK", ID: id}, 0x40, binary.BigEndian.AppendUint16(nil, id))
}

func pingreq() *timeline.Packet { return packet(timeline.Packet{Type: "PINGREQ"}, 0xc0) }

func pingresp() *timeline.Packet { return packet(timeline.Packet{Type: "PINGRESP"}, 0xd0) }

func disconnect() *timeline.Packet { return packet(timeline.Packet{Type: "DISCONNECT"}, 0xe0) }

// bringUp boots a device and connects it.
func (s *scene) bringUp() {
	s.Append(timeline.Event{Kind: timeline.KindReset, Text: "power-on before the scenario"})
	s.console("ESP-ROM:esp32c3-api1-20210207")
	s.console("rst:0x1 (POWERON),boot:0xc (SPI_FAST_FLASH_BOOT)")
	time.Sleep(312 * time.Millisecond)
	s.console("I (312) main_task: Calling app_main()")
	s.step("the device connects")
	s.typed("mqtt connect --uri mqtt://127.0.0.1:40213 --client-id bench-1")
	s.connected()
}

func (s *scene) connected() {
	time.Sleep(14 * time.Millisecond)
	s.open(timeline.LeftDevice)
	s.open(timeline.ReachedBroker)
	s.up(connect("bench-1", "sensor", "swordfish"))
	s.broker(timeline.Broker{Hook: "session-established", Client: "bench-1"})
	s.down(connack())
	s.console("I (326) mqtt_client: Received CONNACK")
	s.device("MQTT_EVENT_CONNECTED", map[string]string{"session_present": "0", "msg_id": "0"})
}

func madeUpRun() timeline.Run {
	started := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	return timeline.Run{
		Tool: "mqtthil", Version: "0.1.0", Started: started, Ended: started.Add(3417 * time.Millisecond),
		Command: []string{"mqtthil", "run", "--device", "emulated", "--defect", "no-dup", "--label", "qos1 && !slow"},
		Device:  "emulated esp-mqtt", Time: "virtual", Defects: []string{"no-dup"},
		Profiles: []string{"mqtt-3.1.1", "esp-mqtt"}, Seed: new(int64(4711)),
		Go: "go1.26.8", OS: "linux/amd64", Host: "bench-3",
		Requirements: map[string]string{
			"MQTT-3.3.1-1":  "DUP is 1 whenever a PUBLISH is delivered again.",
			"MQTT-2.3.1-3":  "A packet that is sent again carries the same packet identifier.",
			"ESP-RETX-01":   "An unacknowledged message is sent again after the retransmission timeout.",
			"MQTT-4.4.0-1":  "On a live connection nothing is sent again.",
			"MQTT-3.1.2-24": "The gap between two packets of the client does not exceed the keep alive.",
			"ESP-RECON-02":  "After a lost connection the client waits for the reconnect timeout and connects again.",
		},
		Selected: []string{
			"Retransmission an unacknowledged QoS 1 message is sent again, same id, DUP set",
			"Retransmission a message is sent again after the connection was lost",
			"Link packets that are late, doubled and damaged",
			"Keep alive a PINGREQ is sent in time",
			"Link the broker is restarted",
			"TLS an expired certificate is refused",
			"Session a clean session forgets its subscriptions",
		},
	}
}

// madeUpRecords are the records of madeUpRun: one of each sort.
func madeUpRecords(t *testing.T) []named {
	run := madeUpRun()
	scenario := func(i int, topic string, covers ...string) timeline.Scenario {
		return timeline.Scenario{Name: run.Selected[i], Topic: topic, Covers: covers, Labels: []string{"qos1"},
			Location: fmt.Sprintf("scenarios/%s_test.go:%d", topic, 20+i*17), Started: run.Started,
			Settings: map[string]string{"keep alive": "120 s", "retransmission timeout": "1 s", "transport": "tcp"}}
	}
	var records []named
	add := func(slug string, data []byte) {
		records = append(records, named{fmt.Sprintf("%03d-%s.jsonl", len(records)+1, slug), data})
	}

	add("sent-again", record(t, scenario(0, "retransmission", "ESP-RETX-01", "MQTT-3.3.1-1", "MQTT-2.3.1-3"),
		func(s *scene) {
			const rule = "drop PUBACK to the device, 2 times"
			s.bringUp()
			s.step("a QoS 1 message is published and its PUBACK dropped twice")
			s.typed("mqtt publish bench/up hello --qos 1")
			var sent []int
			for try := range 3 {
				sent = append(sent, s.up(publish(1, try == 2, "bench/up", "hello")))
				s.broker(timeline.Broker{Hook: "message", Client: "bench-1", Topic: "bench/up", QoS: 1, ID: 1,
					Payload: []byte("hello")})
				if try < 2 {
					s.fault(1, rule, "drop", s.seen(timeline.LeftBroker, puback(1)))
					time.Sleep(time.Second)
					s.console(fmt.Sprintf("D (%d) mqtt_client: Retransmitting msg_id=1", 1340+1000*try))
				}
			}
			s.down(puback(1))
			s.device("MQTT_EVENT_PUBLISHED", map[string]string{"msg_id": "1"})
			s.step("the message was sent three times")
			s.check(timeline.Check{Text: "PUBLISH id 1 left the device 3 times", Passed: true, Events: sent})
			s.check(timeline.Check{Text: "every PUBLISH after the first has DUP set", Events: sent[:2],
				Message: "Expected\n    PUBLISH id 1 QoS 1 bench/up (5 bytes)\nto have DUP set: it is sent again, first at 0.326 s"})
			s.finding(timeline.Finding{Judge: "redelivery", Requirement: "MQTT-3.3.1-1", Profile: "mqtt-3.1.1",
				Text: "PUBLISH id 1 was delivered again without DUP", Events: sent[:2]})
			s.finding(timeline.Finding{Judge: "redelivery", Requirement: "MQTT-4.4.0-1", Profile: "mqtt-5.0",
				Text: "PUBLISH id 1 was sent again on a live connection", Events: sent[1:2],
				Deviation: "ESP-MQTT always sends again after its timeout, whatever the version"})
			s.verdict(timeline.Verdict{Status: timeline.Failed, Owner: timeline.OwnerDevice, Wall: 12 * time.Millisecond,
				Message: "every PUBLISH after the first has DUP set\nthe second at 1.326 s has not", Events: sent[:2]})
		}))

	add("connection-lost", record(t, scenario(1, "retransmission", "ESP-RECON-02", "MQTT-2.3.1-3"), func(s *scene) {
		s.bringUp()
		s.step("the connection is cut as the PUBACK passes")
		s.up(publish(2, false, "bench/up", "hello"))
		s.fault(1, "cut at the first PUBACK", "cut rst", s.seen(timeline.LeftBroker, puback(2)))
		s.close(timeline.ReachedDevice, "rst")
		s.close(timeline.ReachedBroker, "rst")
		s.broker(timeline.Broker{Hook: "disconnect", Client: "bench-1", Text: "connection reset by peer"})
		s.device("MQTT_EVENT_DISCONNECTED", nil)
		time.Sleep(10 * time.Second)
		s.conn = 2
		s.connected()
		s.up(publish(2, true, "bench/up", "hello"))
		s.down(puback(2))
		s.device("MQTT_EVENT_PUBLISHED", map[string]string{"msg_id": "2"})
		s.check(timeline.Check{Text: "the message was sent again with the same packet identifier", Passed: true})
		s.up(disconnect())
		s.close(timeline.LeftDevice, "fin")
		s.close(timeline.ReachedBroker, "fin")
		s.verdict(timeline.Verdict{Status: timeline.Passed, Wall: 9 * time.Millisecond})
	}))

	add("late-doubled-damaged", record(t, scenario(2, "link"), func(s *scene) {
		s.bringUp()
		s.step("a PUBLISH is late, its PUBACK comes twice")
		late := publish(3, false, "bench/late", "late")
		seq := s.seen(timeline.LeftDevice, late)
		s.fault(1, "delay PUBLISH by 2 s", "delay 2s", seq)
		time.Sleep(2 * time.Second)
		s.seen(timeline.ReachedBroker, late)
		s.fault(2, "duplicate PUBACK", "duplicate", s.down(puback(3)))
		s.seen(timeline.ReachedDevice, puback(3))
		s.step("a PUBACK is damaged, another one forged, the link is slow")
		s.up(publish(4, false, "bench/up", "x"))
		s.fault(3, "rewrite the identifier of PUBACK", "rewrite id 9", s.seen(timeline.LeftBroker, puback(4)))
		s.seen(timeline.ReachedDevice, puback(9))
		s.seen(timeline.ReachedDevice, puback(77))
		s.fault(0, "", "link latency 350ms", 0)
		seq = s.seen(timeline.LeftDevice, pingreq())
		time.Sleep(350 * time.Millisecond)
		s.seen(timeline.ReachedBroker, pingreq())
		s.down(pingresp())
		s.Append(timeline.Event{Kind: timeline.KindRaw, Conn: 1, Point: timeline.LeftDevice,
			Data: []byte{0xf7, 0xff, 0xff, 0xff, 0xff, 0x01},
			Text: "remaining length has more than four bytes"})
		s.check(timeline.Check{Text: "the device answers within 1 s", Passed: true, Events: []int{seq}})
		s.verdict(timeline.Verdict{Status: timeline.Passed, Wall: 11 * time.Millisecond})
	}))

	add("pingreq", record(t, scenario(3, "keepalive", "MQTT-3.1.2-24"), func(s *scene) {
		s.bringUp()
		s.step("nothing happens for two keep alives")
		for range 4 {
			time.Sleep(60 * time.Second)
			s.up(pingreq())
			s.down(pingresp())
		}
		s.check(timeline.Check{Text: "no gap exceeds 120 s", Passed: true})
		s.verdict(timeline.Verdict{Status: timeline.Passed, Wall: 4 * time.Millisecond})
	}))

	add("broker-restarted", record(t, scenario(4, "link"), func(s *scene) {
		s.bringUp()
		s.step("the broker is restarted")
		s.Append(timeline.Event{Kind: timeline.KindHarness, Text: "the bench did not close within 5 s; goroutines:\n" +
			"goroutine 41 [select]:\nmqtthil/broker.(*Broker).serve(0xc000112000)\n\tbroker/serve.go:88 +0x1f4"})
		s.verdict(timeline.Verdict{Status: timeline.Failed, Owner: timeline.OwnerHarness, Wall: 5 * time.Second,
			Message: "the bench did not close within 5 s"})
	}))

	killed := record(t, scenario(5, "tls"), func(s *scene) {
		s.bringUp()
		s.step("the broker shows a certificate of yesterday")
		time.Sleep(500 * time.Millisecond)
		s.console("E (812) esp-tls-mbedtls: mbedtls_ssl_handshake returned -0x2700")
	})
	add("expired", killed[:len(killed)-25])
	return records
}
