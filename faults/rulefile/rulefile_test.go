package rulefile

import (
	"crypto/tls"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mqtthil/faults/names"
	"mqtthil/faults/transport"
)

// transportFaults are all faults of transports, as they are written and as they are made.
var transportFaults = []struct {
	written string
	made    transport.Fault
}{
	{"wrong-name", transport.WrongName()},
	{"unknown-ca", transport.UnknownCA()},
	{"expired-certificate", transport.ExpiredCertificate()},
	{"expired-certificate:", transport.ExpiredCertificate()},
	{"{expired-certificate: , nth: 2}", transport.ExpiredCertificate().Nth(2)},
	{"certificate-not-yet-valid", transport.CertificateNotYetValid()},
	{"large-chain: 20000", transport.LargeChain(20000)},
	{"large-chain: 0", transport.LargeChain(0)},
	{"old-version: 1.0", transport.OldVersion(tls.VersionTLS10)},
	{"old-version: 1.1", transport.OldVersion(tls.VersionTLS11)},
	{"old-version: '1.2'", transport.OldVersion(tls.VersionTLS12)},
	{"certificate-required", transport.CertificateRequired()},
	{"certificate-requested", transport.CertificateRequested()},
	{"certificate-not-requested", transport.CertificateNotRequested()},
	{"alert-instead-of-hello: access-denied", transport.AlertInsteadOfHello(transport.AccessDenied)},
	{"alert-instead-of-hello: 255", transport.AlertInsteadOfHello(255)},
	{"{alert-after-handshake: internal-error, from: 2, times: 1}", transport.AlertAfterHandshake(transport.InternalError).From(2).Times(1)},
	{"stall: {before: server-hello, for: 5s}", transport.Stall(transport.Before(transport.ServerHello), 5*time.Second)},
	{"{fault: {stall: {before: finished}}, times: 1}", transport.Stall(transport.Before(transport.Finished), 0).Times(1)},
	{"{fault: {stall: {after-byte: 0}}}", transport.Stall(transport.AfterByte(0), 0)},
	{"{stall: {after-byte: 500, for: 1m}, times: 2}", transport.Stall(transport.AfterByte(500), time.Minute).Times(2)},
	{"split-records: 5", transport.SplitRecords(5)},
	{"split-segments: 1", transport.SplitSegments(1)},
	{"no-close-notify", transport.NoCloseNotify()},
	{"wrong-accept", transport.WrongAccept()},
	{"no-accept", transport.NoAccept()},
	{"subprotocol: chat", transport.Subprotocol("chat")},
	{"no-subprotocol", transport.NoSubprotocol()},
	{"status: 403", transport.Status(403)},
	{"{fault: {status: 503}, nth: 2}", transport.Status(503).Nth(2)},
	{"redirect: ws://elsewhere/mqtt", transport.Redirect("ws://elsewhere/mqtt")},
	{"fragments: 3", transport.Fragments(3)},
	{"fragments-with-ping: 2", transport.FragmentsWithPing(2)},
	{"split-frames: 3", transport.SplitFrames(3)},
	{"gather-frames: {messages: 2, within: 1s}", transport.GatherFrames(2, time.Second)},
	{"text-frames", transport.TextFrames()},
	{"masked-frames", transport.MaskedFrames()},
	{"wrong-mask", transport.WrongMask()},
	{"slow-headers", transport.SlowHeaders()},
	{"ping", transport.Ping()},
	{"{fault: ping, times: 3}", transport.Ping().Times(3)},
	{"close-frame: {code: 1012}", transport.CloseFrame(1012, 0)},
	{"close-frame: {code: 1001, after: 5}", transport.CloseFrame(1001, 5)},
	{"no-close-frame", transport.NoCloseFrame()},
}

// nameFaults are all faults of names.
var nameFaults = []struct {
	written string
	made    names.Fault
}{
	{"does-not-exist", names.DoesNotExist("")},
	{"does-not-exist: broker.bench", names.DoesNotExist("broker.bench")},
	{"{does-not-exist: broker.bench, times: 2}", names.DoesNotExist("broker.bench").Times(2)},
	{"{fault: {server-fails: Broker.bench.}, nth: 3}", names.ServerFails("broker.bench").Nth(3)},
	{"{no-answer: 007, from: 2}", names.NoAnswer("007").From(2)},
	{"late: {by: 5s}", names.Late("", 5*time.Second)},
	{"{late: {name: broker.bench, by: 5s}, times: 1}", names.Late("broker.bench", 5*time.Second).Times(1)},
	{"elsewhere: {address: '::1'}", names.Elsewhere("", "::1")},
	{"elsewhere: {name: broker.bench, address: 192.0.2.1}", names.Elsewhere("broker.bench", "192.0.2.1")},
}

// Each fault is what its constructor makes.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, test := range transportFaults {
		f, err := Parse([]byte("transport:\n- " + test.written + "\n"))
		if err != nil || len(f.Transport) != 1 || f.Transport[0].String() != test.made.String() {
			t.Errorf("%s: %v, %v, want %s", test.written, f.Transport, err, test.made)
		}
	}
	for _, test := range nameFaults {
		f, err := Parse([]byte("names: {faults: [" + test.written + "]}\n"))
		if err != nil || len(f.Names.Faults) != 1 || f.Names.Faults[0].String() != test.made.String() {
			t.Errorf("%s: %+v, %v, want %s", test.written, f.Names, err, test.made)
		}
	}
}

// Every function that makes a fault is in the tables above: a new one cannot be forgotten in rule files.
func TestEveryConstructor(t *testing.T) {
	t.Parallel()
	own, err := parser.ParseFile(token.NewFileSet(), "rulefile_test.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	called := map[string]bool{}
	ast.Inspect(own, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.SelectorExpr); ok {
				called[fmt.Sprint(f.X, ".", f.Sel)] = true
			}
		}
		return true
	})
	for _, name := range []string{"transport", "names"} {
		files, err := filepath.Glob("../" + name + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		constructors := 0
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results.NumFields() != 1 ||
					fmt.Sprint(f.Type.Results.List[0].Type) != "Fault" {
					continue
				}
				constructors++
				if !called[name+"."+f.Name.Name] {
					t.Errorf("nothing in a rule file is tested to be %s.%s", name, f.Name.Name)
				}
			}
		}
		if constructors < 5 {
			t.Errorf("only %d functions of package %s make a fault", constructors, name)
		}
	}
}

// All sections stand side by side.
func TestParse(t *testing.T) {
	t.Parallel()
	f, err := Parse([]byte(`seed: 7
transport: ping
rules:
  - on: &puback {to: device, type: PUBACK}
    do: [drop]
  - {on: *puback, do: hold}
names:
  hosts: {broker.bench: 192.168.1.10, both: ['::1', 127.0.0.1], none: []}
  faults: no-answer
link: [latency: 2s]
`))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(*f.Seed, f.Transport, f.Rules, f.Names.Hosts, f.Names.Faults, f.Link)
	want := "7 [PING before each frame] [on every PUBACK to the device: drop on every PUBACK to the device: hold] " +
		"map[both:[::1 127.0.0.1] broker.bench:[192.168.1.10] none:[]] [every name: no answer] [latency 2s]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if f, err := Parse([]byte(`{"transport": ["ping"], "rules": []}`)); err != nil || len(f.Transport) != 1 || f.Names != nil {
		t.Errorf("JSON is read as %+v, %v", f, err)
	}
}

// A mistake is told with its place, what is wrong and what there is instead.
func TestMistakes(t *testing.T) {
	t.Parallel()
	transport := func(fault string) string { return "transport:\n- " + fault + "\n" }
	names := func(fault string) string { return "names:\n  faults: [" + fault + "]\n" }
	for _, test := range []struct {
		file, at string
		says     string
	}{
		{"", "", "nothing in it"},
		{"5", "1:1", "mapping"},
		{"transprt: []", "1:1", `unknown field "transprt"`},
		{"rules:\n- on: {to: device}\n  do: dorp\n", "3:7", `unknown action "dorp"`},
		{"transport: ping\nseed: 1.5\n", "2:7", "whole number"},
		{"transport: ping\n---\ntransport: ping\n", "3:1", "second document"},
		{"transport: ping\ntransport: ping\n", "2:1", "already defined"},
		{"transport: [~]", "1:13", "nothing in this place"},
		{transport("pnig"), "2:3", `unknown fault "pnig"; there are alert-after-handshake,`},
		{transport("{pnig: 1, times: 2}"), "2:4", `unknown fault "pnig"`},
		{transport("5"), "2:3", `unknown fault "5"`},
		{transport("{}"), "2:3", "the fault itself is missing"},
		{transport("{times: 2}"), "2:4", "the fault itself is missing"},
		{transport("{fault: }"), "2:4", `unknown fault "fault"`},
		{transport("{fault: {ping: , text-frames: }}"), "2:12", "one fault at a time, but here are 2 names: ping, text-frames"},
		{transport("{ping: , text-frames: , nth: 1}"), "2:4", "one fault at a time"},
		{transport("{ping: , nth: 1, from: 1}"), "2:4", "leave out either"},
		{transport("{ping: , nth: 0}"), "2:4", "nth 0: it is a number from 1"},
		{transport("{ping: , times: }"), "2:4", "times 0"},
		{transport("{ping: , from: -1}"), "2:4", "from -1"},
		{transport("{ping: , times: 1.5}"), "2:19", "whole number"},
		{transport("{ping: , times: often}"), "2:19", "here belongs a number"},
		{transport("ping: 5"), "2:9", "nothing belongs to it"},
		{transport("ping: {}"), "2:9", "nothing belongs to it"},
		{transport("stall"), "2:3", "such as stall: {before: server-hello, for: 5s}"},
		{transport("stall: 5s"), "2:3", "such as stall: {before: server-hello, for: 5s}"},
		{transport("stall: {for: 5s}"), "2:11", "either before"},
		{transport("stall: {before: finished, after-byte: 1}"), "2:11", "either before"},
		{transport("stall: {before: helo}"), "2:19", `"helo" is no message of the handshake; there are certificate,`},
		{transport("stall: {after-byte: -1}"), "2:11", "after-byte -1"},
		{transport("stall: {after-byte: 1.5}"), "2:23", "whole number"},
		{transport("stall: {before: finished, for: -1s}"), "2:11", "negative"},
		{transport("stall: {before: finished, for: 5}"), "2:34", `"5" is no time`},
		{transport("stall: {before: finished, until: 5s}"), "2:29", `unknown field "until"`},
		{transport("old-version: 1.3"), "2:16", `"1.3" is no old version of TLS`},
		{transport("alert-instead-of-hello"), "2:3", "such as alert-instead-of-hello: access-denied"},
		{transport("alert-instead-of-hello: 256"), "2:27", `"256" is no alert: a number from 0 to 255, or access-denied,`},
		{transport("alert-after-handshake: doom"), "2:26", `"doom" is no alert`},
		{transport("large-chain: 2000000"), "2:16", "0 to 1048576"},
		{transport("large-chain: -1"), "2:16", "0 to 1048576"},
		{transport("fragments: 0"), "2:14", "fragments of 0 bytes"},
		{transport("split-records: 1.5"), "2:18", "whole number"},
		{transport("split-records: [1]"), "2:18", "here belongs a number"},
		{transport("split-records: 99999999999999999999"), "2:18", "99999999999999999999"},
		{transport("status: 42"), "2:11", "three digits"},
		{transport("redirect: ''"), "2:13", "missing"},
		{transport(`redirect: "a\r\nSet-Cookie: b"`), "2:13", "control characters"},
		{transport(`subprotocol: "\0"`), "2:16", "control characters"},
		{transport("gather-frames: {within: 1s}"), "2:19", "at least one"},
		{transport("gather-frames: {messages: 2}"), "2:19", "needs within"},
		{transport("close-frame: {after: 1}"), "2:17", "needs code"},
		{transport("close-frame: {code: 65536}"), "2:23", "0 to 65535"},
		{transport("close-frame: {code: 1, after: -1}"), "2:17", "begin at 0"},
		{"names: 5", "1:8", "mapping"},
		{"names: {hots: {}}", "1:9", `unknown field "hots"`},
		{"names: {hosts: {a: b}}", "1:20", `"b" is no IP address; one is 192.168.1.10`},
		{"names: {hosts: {a: 'fe80::1%eth0'}}", "1:20", "no IP address"},
		{names("broken"), "2:12", `unknown fault "broken"; there are does-not-exist, elsewhere, late, no-answer, server-fails`},
		{names("late: x"), "2:12", "such as late: {name: broker.bench, by: 5s}"},
		{names("late: {name: x}"), "2:19", "late needs by"},
		{names("late: {by: -1s}"), "2:19", "late needs by"},
		{names("elsewhere: {name: x}"), "2:24", "elsewhere needs address"},
		{names("elsewhere: {address: '127.0.0.1:1'}"), "2:33", "no IP address"},
		{names("{no-answer: x, times: 0}"), "2:13", "times 0"},
	} {
		f, err := Parse([]byte(test.file))
		if err == nil {
			t.Errorf("no error in %s, read as %+v", test.file, f)
			continue
		}
		if f.Transport != nil || f.Names != nil || f.Rules != nil || f.Seed != nil {
			t.Errorf("%s is read as %+v for all that", test.file, f)
		}
		if message := err.Error(); test.at != "" && !strings.HasPrefix(message, "["+test.at+"] ") || !strings.Contains(message, test.says) {
			t.Errorf("%s\nis said to be %s\nwant [%s] … %s", test.file, message, test.at, test.says)
		}
	}
}

// FuzzParse takes any text. What can be read says what it does, and reads the same again.
func FuzzParse(f *testing.F) {
	for _, test := range transportFaults {
		f.Add("transport:\n- " + test.written + "\n")
	}
	for _, test := range nameFaults {
		f.Add("names: {hosts: {broker.bench: 192.168.1.10}, faults: [" + test.written + "]}\n")
	}
	for _, text := range []string{"", "{}", "~", "transport: &a [ping]\nnames: *a\n", "seed: 1\ntransport:\nnames: ~\n",
		"<<: {transport: ping}\n", "transport: !!str ping\n", "? transport\n: ping\n", "{transport: [{<<: &a {status: 403}, nth: 1}, *a]}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(text))
		if err != nil {
			_ = err.Error()
			return
		}
		again, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(again.Transport, again.Rules), fmt.Sprint(file.Transport, file.Rules); got != want {
			t.Fatalf("%q is\n%s, and once more\n%s", text, want, got)
		}
		if file.Names == nil {
			return
		}
		table := names.New(nil)
		for name, addresses := range file.Names.Hosts {
			table.Set(name, addresses...)
		}
		for _, fault := range file.Names.Faults {
			if armed := table.Add(fault); armed.String() != fault.String() || armed.Fired() != 0 {
				t.Fatalf("%q is armed as %q", fault, armed)
			}
		}
	})
}
