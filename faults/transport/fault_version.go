package transport

import (
	"crypto/tls"
	"fmt"

	"mqtthil/faults/internal/form"
)

// OldVersion has the server know no newer version of TLS than this one: tls.VersionTLS10 or tls.VersionTLS11 for a
// server that no client of today should take, tls.VersionTLS12 for one that is merely not new.
func OldVersion(newest uint16) Fault {
	if newest < tls.VersionTLS10 || newest > tls.VersionTLS12 {
		panic(fmt.Sprintf("transport: OldVersion(%#04x): the old versions are TLS 1.0, 1.1 and 1.2", newest))
	}
	return Fault{kind: versionKind(newest)}
}

type versionKind uint16

func (k versionKind) String() string {
	return fmt.Sprintf("nothing newer than %s", tls.VersionName(uint16(k)))
}
func (versionKind) needs() layer { return layerTLS }

func (k versionKind) prepare(p *plan, c *chance) {
	p.hello = append(p.hello, func(config *tls.Config, _ *wire) error {
		if c.strike() {
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, uint16(k)
		}
		return nil
	})
}

// versionName is a version of TLS as rule files write it.
type versionName uint16

// UnmarshalText reads it.
func (v *versionName) UnmarshalText(text []byte) error {
	switch string(text) {
	case "1.0":
		*v = tls.VersionTLS10
	case "1.1":
		*v = tls.VersionTLS11
	case "1.2":
		*v = tls.VersionTLS12
	default:
		return fmt.Errorf("%q is no old version of TLS; those are 1.0, 1.1 and 1.2", text)
	}
	return nil
}

// UnmarshalYAML reads it from a rule file.
func (v *versionName) UnmarshalYAML(unmarshal func(any) error) error {
	return form.UnmarshalText(unmarshal, v)
}
