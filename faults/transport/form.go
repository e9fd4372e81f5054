package transport

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"mqtthil/faults/authority"
	"mqtthil/faults/internal/form"
)

// kinds are all faults by their names in rule files.
var kinds = form.Kinds[Fault]{
	"wrong-name":                form.Alone(WrongName),
	"unknown-ca":                form.Alone(UnknownCA),
	"expired-certificate":       form.Alone(ExpiredCertificate),
	"certificate-not-yet-valid": form.Alone(CertificateNotYetValid),
	"large-chain":               form.With("large-chain: 20000", largeChain),
	"certificate-required":      form.Alone(CertificateRequired),
	"certificate-requested":     form.Alone(CertificateRequested),
	"certificate-not-requested": form.Alone(CertificateNotRequested),
	"old-version": form.With("old-version: 1.1", func(v versionName) (Fault, error) {
		return OldVersion(uint16(v)), nil
	}),
	"alert-instead-of-hello": form.With("alert-instead-of-hello: access-denied", func(a alertName) (Fault, error) {
		return AlertInsteadOfHello(Alert(a)), nil
	}),
	"alert-after-handshake": form.With("alert-after-handshake: access-denied", func(a alertName) (Fault, error) {
		return AlertAfterHandshake(Alert(a)), nil
	}),
	"stall":           form.With("stall: {before: server-hello, for: 5s}", stallForm.fault),
	"split-records":   sized("split-records", SplitRecords),
	"split-segments":  sized("split-segments", SplitSegments),
	"no-close-notify": form.Alone(NoCloseNotify),

	"wrong-accept":        form.Alone(WrongAccept),
	"no-accept":           form.Alone(NoAccept),
	"subprotocol":         form.With("subprotocol: chat", field(Subprotocol)),
	"no-subprotocol":      form.Alone(NoSubprotocol),
	"status":              form.With("status: 403", status),
	"redirect":            form.With("redirect: ws://elsewhere/mqtt", field(Redirect)),
	"fragments":           sized("fragments", Fragments),
	"fragments-with-ping": sized("fragments-with-ping", FragmentsWithPing),
	"split-frames":        sized("split-frames", SplitFrames),
	"gather-frames":       form.With("gather-frames: {messages: 2, within: 1s}", gatherForm.fault),
	"text-frames":         form.Alone(TextFrames),
	"masked-frames":       form.Alone(MaskedFrames),
	"wrong-mask":          form.Alone(WrongMask),
	"slow-headers":        form.Alone(SlowHeaders),
	"ping":                form.Alone(Ping),
	"close-frame":         form.With("close-frame: {code: 1012, after: 5}", closeForm.fault),
	"no-close-frame":      form.Alone(NoCloseFrame),
}

// ParseFault reads one fault of a rule file, in YAML or JSON. Its errors say line, column and what is wrong there.
func ParseFault(data []byte) (Fault, error) {
	var f Fault
	if err := form.Parse(data, &f); err != nil {
		return Fault{}, err
	}
	return f, nil
}

// UnmarshalYAML reads a fault from a rule file: its name, or its name with what belongs to it, and beside that nth, from
// and times.
func (f *Fault) UnmarshalYAML(unmarshal func(any) error) error {
	fault, limits, err := form.UnmarshalLimited(unmarshal, kinds)
	if err != nil {
		return err
	}
	*f = fault
	f.limit = limits
	return nil
}

// sized is a kind with pieces of so many bytes.
func sized(name string, make func(int) Fault) func(func(any) error) (Fault, error) {
	return form.With(name+": 10", func(n form.Whole) (Fault, error) {
		if n < 1 {
			return Fault{}, fmt.Errorf("%s of %d bytes: a piece has at least one", name, n)
		}
		return make(int(n)), nil
	})
}

func largeChain(size form.Whole) (Fault, error) {
	if size < 0 || size > authority.LargestChain {
		return Fault{}, fmt.Errorf("a certificate chain of %d bytes: 0 to %d are possible", size, authority.LargestChain)
	}
	return LargeChain(int(size)), nil
}

func status(code form.Whole) (Fault, error) {
	if code < 100 || code > 999 {
		return Fault{}, fmt.Errorf("status %d: one of HTTP has three digits", code)
	}
	return Status(int(code)), nil
}

// field is a kind with a text that stands in a line of the HTTP answer.
func field(make func(string) Fault) func(form.Text) (Fault, error) {
	return func(text form.Text) (Fault, error) {
		switch {
		case text == "":
			return Fault{}, errors.New("a text is missing here")
		case strings.ContainsFunc(string(text), unicode.IsControl):
			return Fault{}, fmt.Errorf("%q does not fit into a line of HTTP: it has control characters", string(text))
		}
		return make(string(text)), nil
	}
}
