package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mqtthil/faults"
	"mqtthil/faults/authority"
	"mqtthil/faults/toxiproxy"
	"mqtthil/faults/transport"
	"mqtthil/harness"
)

// deviceSide is how devices reach the proxy of --listen, which takes the transport off.
type deviceSide struct {
	transport string
	names     []string
	caOut     string
	psk       string

	key       transport.PSK        // of psk
	authority *authority.Authority // where there is TLS
	stunnel   *transport.Stunnel   // nil before it has started
}

func (d *deviceSide) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&d.transport, "transport", harness.Transports()[0],
		"how devices connect: "+strings.Join(harness.Transports(), ", "))
	f.StringArrayVar(&d.names, "name", nil, "host name or IP address that devices connect to, for the certificate; "+
		"repeatable (default that of --listen)")
	f.StringVar(&d.caOut, "ca-out", "", "folder to write the authority's certificate to, which devices have to trust, and with "+
		"mutual-tls a device's own (default tls in that of --record)")
	f.StringVar(&d.psk, "psk", "", "pre-shared key of devices: IDENTITY:KEY, the key in hexadecimal digits, 16 bytes or more")
}

// hasTLS says whether devices are shown a certificate.
func (d *deviceSide) hasTLS() bool {
	return slices.Contains([]string{"tls", "mutual-tls", "wss"}, d.transport)
}

// check finds what does not go together, and completes what is left out.
func (d *deviceSide) check(listen, record string) error {
	switch {
	case !slices.Contains(harness.Transports(), d.transport):
		return usage("--transport: unknown transport %q; it is one of %s", d.transport, strings.Join(harness.Transports(), ", "))
	case !d.hasTLS() && (len(d.names) > 0 || d.caOut != ""):
		return usage("--name and --ca-out are for a certificate, which transport %s has none of; add --transport tls, mutual-tls or wss",
			d.transport)
	case d.transport != "psk" && d.psk != "":
		return usage("--psk is the key of transport psk; add --transport psk")
	case d.transport == "psk":
		return d.readKey()
	case !d.hasTLS():
		return nil
	}
	if d.caOut == "" {
		if record == "" {
			return usage("--transport %s has an authority of its own, which devices have to trust: "+
				"name a folder for its certificate by --ca-out", d.transport)
		}
		d.caOut = filepath.Join(record, "tls")
	}
	if len(d.names) == 0 {
		host, _, _ := net.SplitHostPort(listen)
		if address := net.ParseIP(host); address != nil && address.IsUnspecified() {
			return usage("--transport %s: no certificate can be for %s; name the address or host name that devices connect to by --name",
				d.transport, host)
		}
		d.names = []string{host}
	}
	if slices.Contains(d.names, "") {
		return usage("--name is empty: it is a host name or an IP address that devices connect to")
	}
	return nil
}

func (d *deviceSide) readKey() error {
	identity, digits, found := strings.Cut(d.psk, ":")
	if !found {
		return usage("--transport psk needs a key: --psk IDENTITY:KEY, the key in hexadecimal digits")
	}
	key, err := hex.DecodeString(digits)
	if err != nil {
		return usage("--psk: the key is not in hexadecimal digits: %w", err)
	}
	d.key = transport.PSK{Identity: identity, Key: key}
	if err := d.key.Check(); err != nil {
		return usage("--psk: %w", err)
	}
	return nil
}

// prepare makes the authority, and finds faults that the transport cannot have.
func (d *deviceSide) prepare(faulty []transport.Fault) (err error) {
	if len(faulty) > 0 && d.plain() {
		return usage("there are faults of a transport, and none is taken off: add --transport %s",
			strings.Join(slices.DeleteFunc(harness.Transports(), func(t string) bool { return t == "tcp" || t == "psk" }), ", "))
	}
	if d.hasTLS() {
		if d.authority, err = authority.New(authority.Options{}); err != nil {
			return err
		}
	}
	_, err = d.front(faulty, nil)
	return err
}

// plain says whether there is nothing for the proxy itself to take off; with a pre-shared key stunnel does.
func (d *deviceSide) plain() bool { return d.transport == "tcp" || d.transport == "psk" }

// front makes what takes the transport off, with its faults; nil where there is nothing to take off.
func (d *deviceSide) front(faulty []transport.Fault, record faults.Record) (*transport.Front, error) {
	if d.plain() {
		return nil, nil
	}
	front, err := transport.NewFront(transport.Options{
		Authority: d.authority, Names: d.names, ClientCertificate: d.transport == "mutual-tls",
		WebSocket: d.transport == "ws" || d.transport == "wss", Record: record,
	})
	if err != nil {
		return nil, err
	}
	for _, fault := range faulty {
		if _, err := front.Add(fault); err != nil {
			return nil, usage("--transport %s: %w; choose another transport, or leave the fault out", d.transport, err)
		}
	}
	return front, nil
}

// write writes the files that devices need.
func (d *deviceSide) write() error {
	if d.authority == nil {
		return nil
	}
	write := d.authority.WriteCA
	if d.transport == "mutual-tls" {
		device, err := d.authority.Client("device")
		if err != nil {
			return infrastructure(err)
		}
		write = func(folder string) error { return d.authority.WriteFiles(folder, device) }
	}
	if err := write(d.caOut); err != nil {
		return usage("%w; name another folder by --ca-out", err)
	}
	return nil
}

// behind is where the proxy listens: where devices connect, or where stunnel does in their place.
func (d *deviceSide) behind(listen string) string {
	if d.transport == "psk" {
		return "127.0.0.1:0"
	}
	return listen
}

// shield has stunnel listen where devices connect, if the transport is its business.
func (d *deviceSide) shield(ctx context.Context, listen, proxy string) (err error) {
	if d.transport == "psk" {
		d.stunnel, err = transport.StartStunnel(ctx, listen, proxy, d.key)
	}
	return err
}

// describe says what devices need to know.
func (d *deviceSide) describe(out *lines, say func(string)) {
	switch {
	case d.hasTLS():
		out.printf("  transport %s, certificate for %s\n", d.transport, strings.Join(d.names, ", "))
		out.printf("  authority to trust: %s\n", filepath.Join(d.caOut, authority.CAFile))
	case d.stunnel != nil:
		out.printf("  transport psk, by stunnel: devices connect to %s, with the key of %s\n", d.stunnel.Addr(), d.key.Identity)
		if toxiproxy.OpenToOthers(d.stunnel.Addr()) {
			say(fmt.Sprintf("stunnel listens on %s, where everybody who reaches this machine can connect", d.stunnel.Addr()))
		}
	case d.transport != "tcp":
		out.printf("  transport %s\n", d.transport)
	}
	if d.transport == "mutual-tls" {
		out.printf("  certificate and key of the device: %s, %s\n",
			filepath.Join(d.caOut, authority.CertificateFile), filepath.Join(d.caOut, authority.KeyFile))
	}
}

func (d *deviceSide) close() {
	if d.stunnel != nil {
		_ = d.stunnel.Close() // it has no errors
	}
}
