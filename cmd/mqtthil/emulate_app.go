package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mqtthil/devices/emulator"
	"mqtthil/devices/espmqtt"
)

// firmwareFlags say what is in the boards' flash.
type firmwareFlags struct {
	app, uri        string
	ca, certificate string
	key, password   string
	hint, psk       string
}

func (f *firmwareFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.app, "app", "", "what the board runs, by default conformance: "+appNames())
	flags.StringVar(&f.uri, "uri", "", "the broker of an example application, instead of its own")
	flags.StringVar(&f.ca, "ca", "", "file with the certificate of the authority that the application trusts")
	flags.StringVar(&f.certificate, "cert", "", "file with the application's certificate")
	flags.StringVar(&f.key, "key", "", "file with its key, which is that of the digital signature peripheral, too")
	flags.StringVar(&f.password, "key-password", "", "what the key is encrypted with")
	flags.StringVar(&f.hint, "psk-hint", "", "the identity of a pre-shared key")
	flags.StringVar(&f.psk, "psk-key", "", "the pre-shared key, in hexadecimal digits")
}

func appNames() string {
	var names []string
	for _, a := range emulator.Apps() {
		names = append(names, a.Name)
	}
	return strings.Join(names, ", ")
}

// appList describes the applications, a line each.
func appList() string {
	var list strings.Builder
	for _, a := range emulator.Apps() {
		fmt.Fprintf(&list, "  %-16s %s", a.Name, a.About)
		if len(a.Needs) > 0 {
			fmt.Fprintf(&list, " (needs %s)", strings.Join(a.Needs, ", "))
		}
		list.WriteString("\n")
	}
	return list.String()
}

// firmware reads the files.
func (f *firmwareFlags) firmware() (emulator.Firmware, error) {
	firmware := emulator.Firmware{App: f.app, URI: f.uri, KeyPassword: f.password}
	for _, file := range []struct {
		flag, path string
		to         *[]byte
	}{
		{"--ca", f.ca, &firmware.CA}, {"--cert", f.certificate, &firmware.Certificate}, {"--key", f.key, &firmware.Key},
	} {
		if file.path == "" {
			continue
		}
		data, err := os.ReadFile(file.path)
		if err != nil {
			return firmware, usage("%s: %w", file.flag, err)
		}
		*file.to = data
	}
	if cmp.Or(f.hint, f.psk) != "" {
		if f.hint == "" || f.psk == "" {
			return firmware, usage("--psk-hint and --psk-key go together")
		}
		if _, err := hex.DecodeString(f.psk); err != nil {
			return firmware, usage("--psk-key: it is not in hexadecimal digits: %w", err)
		}
		firmware.PSK = &espmqtt.PSK{Hint: f.hint, Key: f.psk}
	}
	if err := firmware.Validate(); err != nil {
		return firmware, usage("--app: %w", err)
	}
	return firmware, nil
}
