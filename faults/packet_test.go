package faults

import (
	"bytes"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mqtthil/harness/timeline"
)

func oneProperty(name, value string) []timeline.Property {
	return []timeline.Property{{Name: name, Value: value}}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		version byte
		raw     string
		want    timeline.Packet // without Length, Raw, Sum, Version, which are checked for all
	}{
		// MQTT 3.1.1
		{"CONNECT", 0, "10 0f 0004 4d515454 04 02 003c 0003 647574",
			timeline.Packet{Type: "CONNECT", Connect: &timeline.Connect{
				Protocol: "MQTT", Version: 4, Flags: 2, ClientID: "dut", KeepAlive: 60, CleanSession: true}}},
		{"CONNECT with everything", 0,
			"10 25 0004 4d515454 04 ec 0078 0003 647574 0004 77696c6c 0003 627965 0004 75736572 0003 707764",
			timeline.Packet{Type: "CONNECT", Connect: &timeline.Connect{
				Protocol: "MQTT", Version: 4, Flags: 0xec, ClientID: "dut", KeepAlive: 120,
				Will:        &timeline.Will{Topic: "will", Payload: []byte("bye"), QoS: 1, Retain: true},
				HasUsername: true, Username: "user", HasPassword: true}}},
		{"CONNECT with reserved flag and empty will", 0, "10 11 0004 4d515454 04 05 0000 0000 0001 77 0000",
			timeline.Packet{Type: "CONNECT", Connect: &timeline.Connect{
				Protocol: "MQTT", Version: 4, Flags: 5, Will: &timeline.Will{Topic: "w", Payload: []byte{}}}}},
		{"CONNACK", 4, "20 02 0000", timeline.Packet{Type: "CONNACK"}},
		{"CONNACK with session", 4, "20 02 0100", timeline.Packet{Type: "CONNACK", SessionPresent: true}},
		{"CONNACK with refusal", 4, "20 02 0005", timeline.Packet{Type: "CONNACK", Code: 5}},
		{"PUBLISH QoS 0", 4, "30 05 0001 74 6869",
			timeline.Packet{Type: "PUBLISH", Topic: "t", PayloadLength: 2, PayloadSum: crc32.ChecksumIEEE([]byte("hi"))}},
		{"PUBLISH QoS 1", 4, "32 05 0001 74 0007", timeline.Packet{Type: "PUBLISH", Flags: 2, QoS: 1, Topic: "t", ID: 7}},
		{"PUBLISH with all flags", 4, "3d 06 0001 74 1267 78", timeline.Packet{Type: "PUBLISH", Flags: 13, DUP: true,
			QoS: 2, Retain: true, Topic: "t", ID: 0x1267, PayloadLength: 1, PayloadSum: crc32.ChecksumIEEE([]byte("x"))}},
		{"PUBLISH, version not known", 0, "30 03 0001 74", timeline.Packet{Type: "PUBLISH", Topic: "t"}},
		{"PUBACK", 4, "40 02 0007", timeline.Packet{Type: "PUBACK", ID: 7}},
		{"PUBREC", 4, "50 02 0007", timeline.Packet{Type: "PUBREC", ID: 7}},
		{"PUBREL", 4, "62 02 0007", timeline.Packet{Type: "PUBREL", Flags: 2, ID: 7}},
		{"PUBCOMP", 4, "70 02 ffff", timeline.Packet{Type: "PUBCOMP", ID: 65535}},
		{"SUBSCRIBE", 4, "82 0b 0008 0001 61 01 0002 622f 02", timeline.Packet{Type: "SUBSCRIBE", Flags: 2, ID: 8,
			Filters: []timeline.Filter{{Topic: "a", QoS: 1}, {Topic: "b/", QoS: 2}}}},
		{"SUBACK", 4, "90 04 0008 0180", timeline.Packet{Type: "SUBACK", ID: 8, Codes: []byte{1, 0x80}}},
		{"UNSUBSCRIBE", 4, "a2 05 0009 0001 61",
			timeline.Packet{Type: "UNSUBSCRIBE", Flags: 2, ID: 9, Filters: []timeline.Filter{{Topic: "a"}}}},
		{"UNSUBACK", 4, "b0 02 0009", timeline.Packet{Type: "UNSUBACK", ID: 9}},
		{"PINGREQ", 4, "c0 00", timeline.Packet{Type: "PINGREQ"}},
		{"PINGREQ, length in two bytes", 4, "c0 8000", timeline.Packet{Type: "PINGREQ"}},
		{"PINGRESP", 4, "d0 00", timeline.Packet{Type: "PINGRESP"}},
		{"DISCONNECT", 4, "e0 00", timeline.Packet{Type: "DISCONNECT"}},

		// MQTT 3.1
		{"3.1 CONNECT", 0, "10 10 0006 4d5149736470 03 00 000a 0002 6964",
			timeline.Packet{Type: "CONNECT", Connect: &timeline.Connect{
				Protocol: "MQIsdp", Version: 3, ClientID: "id", KeepAlive: 10}}},
		{"3.1 SUBSCRIBE again", 3, "8a 06 0008 0001 61 01", timeline.Packet{Type: "SUBSCRIBE", Flags: 10, DUP: true, ID: 8,
			Filters: []timeline.Filter{{Topic: "a", QoS: 1}}}},
		{"3.1 PUBREL again", 3, "6a 02 0008", timeline.Packet{Type: "PUBREL", Flags: 10, DUP: true, ID: 8}},

		// MQTT 5.0
		{"5.0 CONNECT", 0, "10 15 0004 4d515454 05 02 003c 05 11 00000e10 0003 647574",
			timeline.Packet{Properties: oneProperty("session-expiry-interval", "3600"), Type: "CONNECT", Connect: &timeline.Connect{
				Protocol: "MQTT", Version: 5, Flags: 2, ClientID: "dut", KeepAlive: 60, CleanSession: true}}},
		{"5.0 CONNECT with will delay", 0, "10 1b 0004 4d515454 05 04 003c 00 0001 64 05 18 0000000a 0001 77 0002 6869",
			timeline.Packet{Type: "CONNECT", Connect: &timeline.Connect{Protocol: "MQTT", Version: 5, Flags: 4,
				ClientID: "d", KeepAlive: 60, Will: &timeline.Will{Topic: "w", Payload: []byte("hi")}}}},
		{"5.0 CONNACK", 5, "20 06 0000 03 21 000a", timeline.Packet{Properties: oneProperty("receive-maximum", "10"), Type: "CONNACK"}},
		{"5.0 CONNACK in the older form", 5, "20 02 0001", timeline.Packet{Type: "CONNACK", Code: 1}},
		{"5.0 PUBLISH with alias", 5, "32 0a 0000 0007 03 23 0001 6869", timeline.Packet{Properties: oneProperty("topic-alias", "1"), Type: "PUBLISH", Flags: 2, QoS: 1,
			ID: 7, PayloadLength: 2, PayloadSum: crc32.ChecksumIEEE([]byte("hi"))}},
		{"5.0 PUBACK", 5, "40 02 0007", timeline.Packet{Type: "PUBACK", ID: 7}},
		{"5.0 PUBACK with reason", 5, "40 03 0007 10", timeline.Packet{Type: "PUBACK", ID: 7, Code: 0x10}},
		{"5.0 PUBREC with properties", 5, "50 08 0007 97 04 1f 0001 78", timeline.Packet{Properties: oneProperty("reason-string", "x"), Type: "PUBREC", ID: 7, Code: 0x97}},
		{"5.0 PUBREL", 5, "62 04 0007 92 00", timeline.Packet{Type: "PUBREL", Flags: 2, ID: 7, Code: 0x92}},
		{"5.0 PUBCOMP", 5, "70 03 0007 92", timeline.Packet{Type: "PUBCOMP", ID: 7, Code: 0x92}},
		{"5.0 SUBSCRIBE", 5, "82 09 0008 02 0b05 0001 61 2d", timeline.Packet{Properties: oneProperty("subscription-identifier", "5"), Type: "SUBSCRIBE", Flags: 2, ID: 8,
			Filters: []timeline.Filter{{Topic: "a", QoS: 1}}}},
		{"5.0 SUBACK", 5, "90 04 0008 00 87", timeline.Packet{Type: "SUBACK", ID: 8, Codes: []byte{0x87}}},
		{"5.0 UNSUBSCRIBE", 5, "a2 06 0009 00 0001 61",
			timeline.Packet{Type: "UNSUBSCRIBE", Flags: 2, ID: 9, Filters: []timeline.Filter{{Topic: "a"}}}},
		{"5.0 UNSUBACK", 5, "b0 05 0009 00 0011", timeline.Packet{Type: "UNSUBACK", ID: 9, Codes: []byte{0, 0x11}}},
		{"5.0 DISCONNECT", 5, "e0 00", timeline.Packet{Type: "DISCONNECT"}},
		{"5.0 DISCONNECT with reason only", 5, "e0 01 8e", timeline.Packet{Type: "DISCONNECT", Code: 0x8e}},
		{"5.0 DISCONNECT with properties", 5, "e0 07 04 05 11 00000000", timeline.Packet{Properties: oneProperty("session-expiry-interval", "0"), Type: "DISCONNECT", Code: 4}},
		{"5.0 AUTH", 5, "f0 06 18 04 15 0001 78", timeline.Packet{Properties: oneProperty("authentication-method", "x"), Type: "AUTH", Code: 0x18}},
		{"5.0 AUTH without anything", 5, "f0 00", timeline.Packet{Type: "AUTH"}},

		// Packets that nobody should send
		{"no bytes", 4, "", timeline.Packet{Error: "no bytes"}},
		{"type 0", 4, "00 00", timeline.Packet{Type: "type 0", Error: "no valid packet available"}},
		{"length too long", 4, "c0 ffffffff01",
			timeline.Packet{Type: "PINGREQ", Error: "malformed packet: remaining length"}},
		{"not whole", 4, "40 03 0007", timeline.Packet{Type: "PUBACK", ID: 7,
			Error: "malformed packet: remaining length is 3, bytes are 2"}},
		{"SUBSCRIBE with flags 0", 4, "80 06 0008 0001 61 01",
			timeline.Packet{Type: "SUBSCRIBE", ID: 8, Error: "malformed packet: flags"}},
		{"SUBSCRIBE again in 3.1.1", 4, "8a 06 0008 0001 61 01",
			timeline.Packet{Type: "SUBSCRIBE", Flags: 10, ID: 8, Error: "malformed packet: flags"}},
		{"PUBACK with flags", 4, "4f 02 0007",
			timeline.Packet{Type: "PUBACK", Flags: 15, ID: 7, Error: "malformed packet: flags"}},
		{"CONNECT with flags", 4, "11 00", timeline.Packet{Type: "CONNECT", Flags: 1, Error: "malformed packet: flags"}},
		{"PUBLISH QoS 3", 4, "36 05 0001 74 0007", timeline.Packet{Type: "PUBLISH", Flags: 6, QoS: 3, ID: 7,
			Error: "protocol violation: qos out of range"}},
		{"PUBLISH QoS 0 with DUP", 4, "38 03 0001 74", timeline.Packet{Type: "PUBLISH", Flags: 8, DUP: true,
			Error: "protocol violation: dup true with no qos"}},
		{"PUBLISH without its identifier", 4, "32 03 0001 74",
			timeline.Packet{Type: "PUBLISH", Flags: 2, QoS: 1, Error: errTooShort.Error()}},
		{"PUBLISH with a topic beyond the end", 4, "32 03 00ff 74",
			timeline.Packet{Type: "PUBLISH", Flags: 2, QoS: 1, Error: errTooShort.Error()}},
		{"PUBLISH with a topic that is no text", 4, "30 04 0002 c328", timeline.Packet{Type: "PUBLISH",
			Error: "malformed packet: invalid utf-8 string: malformed packet: topic"}},
		{"empty CONNECT", 4, "10 00", timeline.Packet{Type: "CONNECT", Error: errTooShort.Error()}},
		{"CONNECT without the user name that it announces", 4, "10 0f 0004 4d515454 04 82 003c 0003 647574",
			timeline.Packet{Type: "CONNECT", Error: errTooShort.Error()}},
		{"CONNECT with more", 4, "10 11 0004 4d515454 04 02 003c 0003 647574 ffff",
			timeline.Packet{Type: "CONNECT", Error: "malformed packet: bytes after the last field: 2"}},
		{"SUBSCRIBE QoS 3", 4, "82 06 0008 0001 61 03", timeline.Packet{Type: "SUBSCRIBE", Flags: 2, ID: 8,
			Error: "protocol violation: qos out of range"}},
		{"PUBACK with reason in 3.1.1", 4, "40 03 0007 10", timeline.Packet{Type: "PUBACK", ID: 7,
			Error: "malformed packet: bytes after the last field: 1"}},
		{"PUBACK without identifier", 4, "40 01 07", timeline.Packet{Type: "PUBACK", Error: errTooShort.Error()}},
		{"PINGREQ with a body", 4, "c0 01 00", timeline.Packet{Type: "PINGREQ",
			Error: "malformed packet: bytes after the last field: 1"}},
		{"DISCONNECT with reason in 3.1.1", 4, "e0 01 04", timeline.Packet{Type: "DISCONNECT",
			Error: "malformed packet: bytes after the last field: 1"}},
		{"AUTH in 3.1.1", 4, "f0 00", timeline.Packet{Type: "AUTH", Error: "AUTH exists in MQTT 5.0 only"}},
		{"5.0 SUBSCRIBE without options", 5, "82 06 0008 00 0001 61", // the codec panics here
			timeline.Packet{Type: "SUBSCRIBE", Flags: 2, ID: 8, Error: errTooShort.Error()}},
		{"5.0 PUBLISH with properties beyond the end", 5, "30 04 0001 74 09",
			timeline.Packet{Type: "PUBLISH", Error: errTooShort.Error()}},
		{"5.0 PUBLISH with a property beyond the properties", 5, "30 08 0001 74 02 23 0001 68",
			timeline.Packet{Type: "PUBLISH",
				Error: "malformed packet: properties: malformed packet: offset uint out of range"}},
		{"5.0 PUBACK with an unknown property", 5, "40 06 0007 00 02 7f00", timeline.Packet{Type: "PUBACK", ID: 7,
			Error: "malformed packet: properties: property type 127 not valid for packet type 4: " +
				"protocol violation: unsupported property"}},
		{"5.0 DISCONNECT with too long a length of properties", 5, "e0 06 00 8080808000",
			timeline.Packet{Type: "DISCONNECT", Error: "malformed packet: properties"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			raw := unhex(t, test.raw)
			test.want.Length, test.want.Sum = len(raw), crc32.ChecksumIEEE(raw)
			test.want.Raw = bytes.Clone(raw)
			test.want.Version = test.version
			if test.want.Connect != nil {
				test.want.Version = test.want.Connect.Version
			}
			got := Decode(raw, test.version)
			for i := range raw { // the packet must not look at the bytes any more
				raw[i] = 0xff
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("want -, got +\n%s", diff)
			}
		})
	}
}

func TestDecodeKeepsOnlyTheBeginningOfALargePacket(t *testing.T) {
	t.Parallel()
	payload := strings.Repeat("x", 10000)
	raw := []byte("\x30\x93\x4e\x00\x01t" + payload)
	got := Decode(raw, 4)
	want := &timeline.Packet{
		Type: "PUBLISH", Length: len(raw), Raw: raw[:timeline.MaxRaw], Sum: crc32.ChecksumIEEE(raw),
		Version: 4, Topic: "t", PayloadLength: len(payload), PayloadSum: crc32.ChecksumIEEE([]byte(payload)),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
}

func TestPacketTypeNames(t *testing.T) {
	t.Parallel()
	for kind := CONNECT; kind <= AUTH; kind++ {
		if got := typeNamed(kind.String()); got != kind {
			t.Errorf("%s is type %d, want %d", kind, got, kind)
		}
	}
	if got := typeNamed("type 0"); got != 0 {
		t.Errorf("a name that is none is type %d", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, raw := range [][]byte{
		nil, connectPacket, connackPacket, publishPacket(7, "x"), {0xc0, 0}, {0x82, 6, 0, 8, 0, 0, 1, 'a'},
		{0x82, 9, 0, 8, 2, 11, 5, 0, 1, 'a', 1}, {0xe0, 1, 4}, {0x30, 4, 0, 1, 't', 9}, {0xf0, 2, 0x18, 0},
		[]byte("\x10\x1b\x00\x04MQTT\x05\x04\x00\x3c\x00\x00\x01d\x05\x18\x00\x00\x00\x0a\x00\x01w\x00\x02hi"),
	} {
		for _, version := range []byte{3, 4, 5} {
			f.Add(raw, version)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, version byte) {
		before := bytes.Clone(raw)
		p := Decode(raw, version)
		if !bytes.Equal(raw, before) {
			t.Fatal("changed the bytes")
		}
		if p.Length != len(raw) || p.Sum != crc32.ChecksumIEEE(raw) || !bytes.HasPrefix(raw, p.Raw) {
			t.Fatalf("% x is recorded as %d bytes, % x", raw, p.Length, p.Raw)
		}
		if p.Error == "" && p.PayloadLength > len(raw) {
			t.Fatalf("% x has a payload of %d bytes", raw, p.PayloadLength)
		}
		if p.Error != "" && (p.Topic != "" || p.Connect != nil || p.Filters != nil || p.Codes != nil) {
			t.Fatalf("% x is unreadable, %s, but has %+v", raw, p.Error, p)
		}
		_ = p.String()
	})
}
