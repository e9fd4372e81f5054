package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mqtthil/faults/internal/form"
)

// Message is a message of the TLS handshake that a server sends, by its number there. In TLS 1.3 all but ServerHello are
// encrypted: a fault that names another one has the server speak TLS 1.2.
type Message byte

// The messages, in the order in which a server of TLS 1.2 sends them.
const (
	ServerHello        Message = 2
	Certificate        Message = 11
	ServerKeyExchange  Message = 12
	CertificateRequest Message = 13
	ServerHelloDone    Message = 14
	Finished           Message = 20 // with the ChangeCipherSpec before it
)

func (m Message) String() string {
	switch m {
	case ServerHello:
		return "ServerHello"
	case Certificate:
		return "Certificate"
	case ServerKeyExchange:
		return "ServerKeyExchange"
	case CertificateRequest:
		return "CertificateRequest"
	case ServerHelloDone:
		return "ServerHelloDone"
	case Finished:
		return "Finished"
	}
	return fmt.Sprintf("message %d", byte(m))
}

// Point is a place in what the server sends in the TLS handshake.
type Point struct {
	message Message // 0: at a byte
	byte    int
}

// Before is the place before a message.
func Before(m Message) Point { return Point{message: m} }

// AfterByte is the place behind the first n bytes, from 0. A handshake that is shorter does not come there.
func AfterByte(n int) Point {
	if n < 0 {
		panic(fmt.Sprintf("transport: AfterByte(%d): a stream has no such place", n))
	}
	return Point{byte: n}
}

func (p Point) String() string {
	if p.message != 0 {
		return fmt.Sprintf("before %s", p.message)
	}
	return fmt.Sprintf("after byte %d", p.byte)
}

// Stall has the server stop in the handshake for so long; 0 stands for as long as the device stays.
func Stall(at Point, length time.Duration) Fault {
	if length < 0 {
		panic(fmt.Sprintf("transport: Stall for %s: a time cannot be negative", length))
	}
	return Fault{kind: stallKind{at, length}}
}

type stallKind struct {
	at     Point
	length time.Duration
}

func (k stallKind) String() string {
	if k.length == 0 {
		return fmt.Sprintf("stall %s for good", k.at)
	}
	return fmt.Sprintf("stall %s for %s", k.at, k.length)
}

func (stallKind) needs() layer { return layerTLS }

func (k stallKind) prepare(p *plan, c *chance) {
	p.pauses = append(p.pauses, &pause{point: k.at, length: k.length, chance: c})
	if k.at.message == 0 || k.at.message == ServerHello {
		return
	}
	p.hello = append(p.hello, func(config *tls.Config, _ *wire) error {
		if c.may() {
			config.MaxVersion = tls.VersionTLS12
		}
		return nil
	})
}

// stallForm is Stall as rule files write it.
type stallForm struct {
	Before    messageName   `json:"before"`
	AfterByte *form.Whole   `json:"after-byte"`
	For       form.Duration `json:"for"`
}

func (f stallForm) fault() (Fault, error) {
	at := Before(Message(f.Before))
	switch {
	case (f.Before == 0) == (f.AfterByte == nil):
		return Fault{}, errors.New("stall needs either before, a message of the handshake, or after-byte, a number of bytes")
	case f.AfterByte != nil && *f.AfterByte < 0:
		return Fault{}, fmt.Errorf("after-byte %d: a stream has no such place; 0 is its beginning", *f.AfterByte)
	case f.For < 0:
		return Fault{}, fmt.Errorf("for %s is negative; leave it out to stall for good", time.Duration(f.For))
	case f.AfterByte != nil:
		at = AfterByte(int(*f.AfterByte))
	}
	return Stall(at, time.Duration(f.For)), nil
}

// messageName is a Message by its name in rule files.
type messageName Message

var messageNames = map[string]Message{
	"server-hello": ServerHello, "certificate": Certificate, "server-key-exchange": ServerKeyExchange,
	"certificate-request": CertificateRequest, "server-hello-done": ServerHelloDone, "finished": Finished,
}

// UnmarshalText reads it.
func (m *messageName) UnmarshalText(text []byte) error {
	message, known := messageNames[string(text)]
	if !known {
		return fmt.Errorf("%q is no message of the handshake; there are %s", text,
			strings.Join(slices.Sorted(maps.Keys(messageNames)), ", "))
	}
	*m = messageName(message)
	return nil
}

// UnmarshalYAML reads it from a rule file.
func (m *messageName) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, m)
}
