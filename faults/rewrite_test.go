package faults

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"mqtthil/harness/timeline"
)

func TestRewrite(t *testing.T) {
	t.Parallel()
	const (
		publish  = "32 08 0001 74 0007 616263"
		publish0 = "31 05 0001 74 6869"
		publish5 = "32 0d 0001 74 0007 05 02 0000000a 6869"
		connack  = "20 02 0000"
		connack5 = "20 06 0000 03 21 000a"
		suback   = "90 04 0008 0102"
		suback5  = "90 05 0008 00 0102"
	)
	for _, test := range []struct {
		name    string
		version byte
		packet  string
		fields  []Field
		want    string // "" for no change
	}{
		{"id", 4, publish, []Field{NewID(0x1234)}, "32 08 0001 74 1234 616263"},
		{"id of an acknowledgement", 4, "40 02 0007", []Field{NewID(9)}, "40 02 0009"},
		{"id of PUBREL", 4, "62 02 0007", []Field{NewID(9)}, "62 02 0009"},
		{"id of SUBSCRIBE", 5, "82 09 0008 02 0b05 0001 61 01", []Field{NewID(9)}, "82 09 0009 02 0b05 0001 61 01"},
		{"id of SUBACK", 5, suback5, []Field{NewID(9)}, "90 05 0009 00 0102"},
		{"id where there is none", 4, "c0 00", []Field{NewID(9)}, ""},
		{"id of QoS 0", 4, publish0, []Field{NewID(9)}, ""},
		{"QoS 0 to 1", 4, publish0, []Field{NewQoS(1)}, "33 07 0001 74 0001 6869"},
		{"QoS 0 to 2 with id", 4, publish0, []Field{NewQoS(2), NewID(5)}, "35 07 0001 74 0005 6869"},
		{"QoS 1 to 0", 4, publish, []Field{NewQoS(0)}, "30 06 0001 74 616263"},
		{"QoS 1 to 2", 4, publish, []Field{NewQoS(2)}, "34 08 0001 74 0007 616263"},
		{"QoS that is none", 4, publish, []Field{NewQoS(3)}, "36 08 0001 74 0007 616263"},
		{"QoS 1 to 0 in 5.0", 5, publish5, []Field{NewQoS(0)}, "30 0b 0001 74 05 02 0000000a 6869"},
		{"QoS of what is no PUBLISH", 4, "40 02 0007", []Field{NewQoS(1)}, ""},
		{"DUP", 4, publish, []Field{NewDUP(true)}, "3a 08 0001 74 0007 616263"},
		{"no DUP", 4, "3a 08 0001 74 0007 616263", []Field{NewDUP(false)}, publish},
		{"retain", 4, publish, []Field{NewRetain(true)}, "33 08 0001 74 0007 616263"},
		{"no retain", 4, publish0, []Field{NewRetain(false)}, "30 05 0001 74 6869"},
		{"topic", 4, publish, []Field{NewTopic("a/b")}, "32 0a 0003 612f62 0007 616263"},
		{"no topic", 5, publish5, []Field{NewTopic("")}, "32 0c 0000 0007 05 02 0000000a 6869"},
		{"payload", 4, publish, []Field{NewPayload("")}, "32 05 0001 74 0007"},
		{"payload in 5.0", 5, publish5, []Field{NewPayload("x")}, "32 0c 0001 74 0007 05 02 0000000a 78"},
		{"everything", 5, publish5,
			[]Field{NewID(1), NewQoS(2), NewDUP(true), NewRetain(true), NewTopic("u"), NewPayload("y")},
			"3d 0c 0001 75 0001 05 02 0000000a 79"},
		{"code of CONNACK", 4, connack, []Field{NewCode(5)}, "20 02 0005"},
		{"code of CONNACK in 5.0", 5, connack5, []Field{NewCode(0x87)}, "20 06 0087 03 21 000a"},
		{"code of SUBACK", 4, suback, []Field{NewCode(0x80)}, "90 04 0008 8002"},
		{"code of SUBACK in 5.0", 5, suback5, []Field{NewCode(0x87)}, "90 05 0008 00 8702"},
		{"code of UNSUBACK in 5.0", 5, "b0 04 0009 00 00", []Field{NewCode(0x11)}, "b0 04 0009 00 11"},
		{"code of UNSUBACK", 4, "b0 02 0009", []Field{NewCode(0x11)}, ""},
		{"code of PUBACK", 4, "40 02 0007", []Field{NewCode(0x10)}, ""},
		{"code that PUBACK in 5.0 leaves out", 5, "40 02 0007", []Field{NewCode(0x10)}, "40 03 0007 10"},
		{"code of PUBREC in 5.0", 5, "50 08 0007 97 04 1f 0001 78", []Field{NewCode(0)}, "50 08 0007 00 04 1f 0001 78"},
		{"code of DISCONNECT in 5.0", 5, "e0 01 04", []Field{NewCode(0)}, "e0 01 00"},
		{"code that DISCONNECT in 5.0 leaves out", 5, "e0 00", []Field{NewCode(0x8e)}, "e0 01 8e"},
		{"code of DISCONNECT", 4, "e0 00", []Field{NewCode(4)}, ""},
		{"code of AUTH", 5, "f0 06 18 04 15 0001 78", []Field{NewCode(0x19)}, "f0 06 19 04 15 0001 78"},
		{"code of PINGREQ", 5, "c0 00", []Field{NewCode(4)}, ""},
		{"id and code", 5, "40 02 0007", []Field{NewID(8), NewCode(0x10)}, "40 03 0008 10"},
		{"session present", 4, connack, []Field{NewSessionPresent(true)}, "20 02 0100"},
		{"no session present", 5, "20 03 01 00 00", []Field{NewSessionPresent(false)}, "20 03 00 00 00"},
		{"session of what is no CONNACK", 4, "40 02 0007", []Field{NewSessionPresent(true)}, ""},
		{"flags", 4, "40 02 0007", []Field{NewFlags(15)}, "4f 02 0007"},
		{"flags of PUBLISH", 4, publish, []Field{NewFlags(0)}, "30 08 0001 74 0007 616263"},
		{"bytes", 4, publish, []Field{NewBytes("40 02 {id}")}, "40 02 0007"},
		{"bytes by name", 4, publish, []Field{NewBytes("PUBREC")}, "50 02 0007"},
		{"what is too short", 4, "32 03 0001 74", []Field{NewID(9), NewTopic("x")}, ""},
		{"what is too short for a topic", 4, "32 02 0009", []Field{NewTopic("x")}, ""},
		{"empty CONNACK", 4, "20 00", []Field{NewSessionPresent(true), NewCode(5)}, ""},
		{"empty PUBACK", 4, "40 00", []Field{NewID(5)}, ""},
		{"length in two bytes", 4, "40 8200 0007", []Field{NewID(9)}, "40 02 0009"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			raw := unhex(t, test.packet)
			before := bytes.Clone(raw)
			var p reading
			p.read(raw, len(raw), test.version, nil)
			want := before
			if test.want != "" {
				want = unhex(t, test.want)
			}
			r := Rewrite(test.fields...).(rewrite)
			var got []byte
			if r.Bytes != "" {
				got = r.Bytes.bytes(p.id)
			} else {
				got = r.edit(&p)
			}
			if got != nil && !bytes.Equal(got, want) || got == nil && test.want != "" {
				t.Errorf("got % x, want % x", got, want)
			}
			if !bytes.Equal(raw, before) {
				t.Errorf("the packet itself has become % x", raw)
			}
		})
	}
}

func TestRewriteOfNonsense(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string][]Field{
		"nothing": nil, "QoS": {NewQoS(4)}, "flags": {NewFlags(16)}, "topic": {NewTopic(strings.Repeat("x", 65536))},
		"bytes": {NewBytes("4x")},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			On(FromDevice(), Rewrite(fields...))
		}()
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // of a packet with the identifier 0x0102; in errors, a part of the text
		"PUBACK": "40020102", "puback": "40020102", "PUBACK 7": "40020007", "PUBREC 7 0x87": "5003000787", "PUBREL": "62020102",
		"PUBCOMP 0xffff": "7002ffff", "PINGREQ": "c000", "PINGRESP": "d000", "DISCONNECT": "e000", "DISCONNECT 0x8b": "e0018b",
		"CONNACK": "20020000", "CONNACK 5": "20020005", "40 02 {id}": "40020102", "4002{id}": "40020102", "E000": "e000",
		"{id}{id}": "01020102", " c0\t00 ": "c000", "3003 0001 74": "3003000174",
		"": "!is missing", "  ": "!is missing", "4": "!hexadecimal", "4x": "!hexadecimal", "{id": "!hexadecimal",
		"PUBLISH": "!has to be given as bytes", "SUBSCRIBE": "!has to be given as bytes", "PUBACK 65536": "!out of range",
		"PUBACK 7 256": "!out of range", "PUBACK x": "!invalid syntax", "PUBACK 1 2 3": "!more than a PUBACK has",
		"PINGREQ 1": "!more than a PINGREQ has", "CONNACK 1 2": "!more than a CONNACK has", "DISCONNECT -1": "!invalid syntax",
		"PUBACKK": "!neither a name nor bytes",
	} {
		data, err := Template(text).encode(0x0102)
		if problem, bad := strings.CutPrefix(want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), problem) {
				t.Errorf("%q: %x, %v, want an error with %q", text, data, err, problem)
			}
			continue
		}
		if got := hex.EncodeToString(data); err != nil || got != want {
			t.Errorf("%q is %s, %v, want %s", text, got, err, want)
		}
	}
}

// FuzzTemplate takes any text: what has no error is bytes, whatever the identifier, and they begin as the name says.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"PUBACK", "PUBREC 7 0x87", "40 02 {id}", "DISCONNECT 0x8b", "CONNACK", "zz", "", "PUBACK 0b1 0o7",
		"PUBLISH", "{id}", "PINGREQ 1"} {
		f.Add(text, uint16(7))
	}
	f.Fuzz(func(t *testing.T, text string, id uint16) {
		template := Template(text)
		data, err := template.encode(id)
		if checked := template.check(); (err == nil) != (checked == nil) {
			t.Fatalf("%q: %v with identifier %d, %v with 1", text, err, id, checked)
		}
		if err != nil {
			return
		}
		if len(data) == 0 {
			t.Fatalf("%q is no bytes", text)
		}
		if kind := typeNamed(strings.ToUpper(strings.Fields(text)[0])); kind != 0 {
			if p := Decode(data, version5); p.Type != kind.String() || p.Error != "" {
				t.Fatalf("%q is % x: %s", text, data, p)
			}
		}
	})
}

// FuzzReading finds fields in anything: never beyond the bytes, and as the codec does where that can read the packet.
func FuzzReading(f *testing.F) {
	for _, packet := range matched {
		raw, err := hex.DecodeString(strings.ReplaceAll(packet.hex, " ", ""))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, packet.version, len(raw))
		f.Add(raw, packet.version, len(raw)/2)
	}
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff}, byte(5), 3)
	f.Fuzz(func(t *testing.T, raw []byte, version byte, cut int) {
		if len(raw) == 0 {
			return
		}
		var whole, part reading
		whole.read(raw[:len(raw):len(raw)], len(raw), version, map[uint16]string{1: "alias"})
		for _, offset := range []int{whole.idAt, whole.codeAt, whole.topicAt, whole.lengthAt, whole.payloadAt} {
			if offset < 0 || offset > len(raw) {
				t.Fatalf("a field of % x is at %d", raw, offset)
			}
		}
		for p := range eachProperty(whole.properties) {
			_ = p.value()
		}
		_ = whole.hasFilter("a")
		for _, r := range []rewrite{{ID: new(uint16)}, {Topic: new(text), QoS: new(byte)}, {Code: new(byte)},
			{SessionPresent: new(bool)}} {
			if got := r.edit(&whole); len(got) > len(raw)+8 {
				t.Fatalf("%s makes % x of % x", r, got, raw)
			}
		}

		decoded := Decode(raw, version)
		if remaining, n := binary.Uvarint(raw[1:min(len(raw), 1+lengthBytes)]); n <= 0 || int(remaining) != len(raw)-1-n {
			return
		}
		if decoded.ID != whole.id && decoded.Error == "" {
			t.Fatalf("% x has id %d, the codec says %d", raw, whole.id, decoded.ID)
		}
		if decoded.Error == "" {
			agree(t, &whole, decoded)
		}

		// Of a beginning, what is found must be what is found in the whole packet.
		at := min(max(cut, 1), len(raw))
		part.read(raw[:at:at], len(raw), version, nil)
		if part.id != 0 && part.id != whole.id || part.hasCode && part.code != whole.code ||
			part.clientID != "" && part.clientID != whole.clientID {
			t.Fatalf("the first %d bytes of % x read as %+v, all as %+v", at, raw, part, whole)
		}
	})
}

// agree checks a reading against what the codec made of the packet.
func agree(t *testing.T, r *reading, p *timeline.Packet) {
	t.Helper()
	if r.kind.String() != p.Type {
		t.Fatalf("type %s, the codec says %s", r.kind, p.Type)
	}
	if r.kind == PUBLISH {
		if r.topic != p.Topic && p.Topic != "" || len(r.payload()) != p.PayloadLength || r.qos() != p.QoS ||
			r.dup() != p.DUP || r.retain() != p.Retain {
			t.Fatalf("reads as %+v, the codec says %+v", r, p)
		}
	}
	if r.hasCode && r.code != p.Code && p.Codes == nil || p.Code != 0 && !r.hasCode {
		t.Fatalf("code %d, %t, the codec says %d", r.code, r.hasCode, p.Code)
	}
	if len(p.Codes) > 0 && (!r.hasCode || r.code != p.Codes[0]) {
		t.Fatalf("code %d, %t, the codec says %d", r.code, r.hasCode, p.Codes)
	}
	if p.Connect != nil && (r.clientID != p.Connect.ClientID || r.version != p.Connect.Version) {
		t.Fatalf("client %q, version %d, the codec says %+v", r.clientID, r.version, p.Connect)
	}
	for _, f := range p.Filters {
		if f.Topic != "" && !r.hasFilter(f.Topic) {
			t.Fatalf("no filter %q", f.Topic)
		}
	}
}
