package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mqtthil/faults/transport"
)

// brokerSide is how the proxy reaches the broker of --upstream.
type brokerSide struct {
	address  string // as it is given; HOST:PORT after check
	ca       string
	cert     string
	key      string
	name     string
	insecure bool

	scheme string
	path   string
	tls    *tls.Config // nil: no TLS
}

// upstreamPorts are the ports of URLs without one, by their schemes.
var upstreamPorts = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

func (b *brokerSide) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&b.address, "upstream", "", "the broker: HOST:PORT, or a URL with mqtt, mqtts, ws or wss, such as wss://HOST:PORT/PATH")
	f.StringVar(&b.ca, "upstream-ca", "", "file with certificates of authorities to trust with the broker (default the system's)")
	f.StringVar(&b.cert, "upstream-cert", "", "file with a certificate to show the broker")
	f.StringVar(&b.key, "upstream-key", "", "file with its key")
	f.StringVar(&b.name, "upstream-name", "", "name that the broker's certificate has to be for (default that of --upstream)")
	f.BoolVar(&b.insecure, "upstream-insecure", false, "take any certificate of the broker")
}

// check reads the address and the files that belong to it.
func (b *brokerSide) check() error {
	if b.address != "" {
		if err := b.readAddress(); err != nil {
			return err
		}
	}
	secure := b.scheme == "mqtts" || b.scheme == "wss"
	switch {
	case !secure && (b.ca != "" || b.cert != "" || b.key != "" || b.name != "" || b.insecure):
		return usage("--upstream-ca, -cert, -key, -name and -insecure are for TLS with the broker; have --upstream begin with mqtts:// or wss://")
	case !secure:
		return nil
	case b.insecure && (b.ca != "" || b.name != ""):
		return usage("--upstream-insecure takes any certificate, so that --upstream-ca and --upstream-name have no meaning; leave out either")
	case (b.cert == "") != (b.key == ""):
		return usage("--upstream-cert and --upstream-key go together")
	}
	host, _, _ := net.SplitHostPort(b.address)
	b.tls = &tls.Config{ServerName: host, InsecureSkipVerify: b.insecure}
	if b.name != "" {
		b.tls.ServerName = b.name
	}
	if b.ca != "" {
		text, err := os.ReadFile(b.ca)
		if err != nil {
			return usage("--upstream-ca: %w", err)
		}
		b.tls.RootCAs = x509.NewCertPool()
		if !b.tls.RootCAs.AppendCertsFromPEM(text) {
			return usage("--upstream-ca %s: there is no certificate in it; it is a file in PEM", b.ca)
		}
	}
	if b.cert != "" {
		own, err := tls.LoadX509KeyPair(b.cert, b.key)
		if err != nil {
			return usage("--upstream-cert and --upstream-key: %w", err)
		}
		b.tls.Certificates = []tls.Certificate{own}
	}
	return nil
}

// readAddress takes a URL apart.
func (b *brokerSide) readAddress() error {
	const what = "it is HOST:PORT, such as broker.example:1883, or SCHEME://HOST:PORT/PATH with mqtt, mqtts, ws or wss"
	given := b.address
	if strings.Contains(given, "://") {
		u, err := url.Parse(given)
		switch {
		case err != nil:
			return usage("--upstream: %w; %s", err, what)
		case upstreamPorts[u.Scheme] == "":
			return usage("--upstream %q: unknown scheme %s; %s", given, u.Scheme, what)
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			return usage("--upstream %q: user, query and fragment have no meaning here; %s", u.Redacted(), what)
		}
		b.scheme, b.path, b.address = u.Scheme, u.Path, u.Host
		if strings.HasPrefix(b.scheme, "mqtt") && strings.Trim(u.Path, "/") != "" {
			return usage("--upstream %q: a path is for ws and wss; leave it out", given)
		}
		if u.Port() == "" {
			b.address = net.JoinHostPort(u.Hostname(), upstreamPorts[u.Scheme])
		}
	}
	host, port, err := net.SplitHostPort(b.address)
	if err != nil || host == "" || port == "" {
		return usage("--upstream %q: %s", given, what)
	}
	return nil
}

// dial reaches the broker; nil where it is plain TCP.
func (b *brokerSide) dial() func(ctx context.Context, address string) (net.Conn, error) {
	if !slices.Contains([]string{"mqtts", "ws", "wss"}, b.scheme) {
		return nil
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		var dialer net.Dialer
		conn, err := transport.Back{
			Dial:      func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", address) },
			TLS:       b.tls,
			WebSocket: strings.HasPrefix(b.scheme, "ws"), Host: address, Path: b.path,
		}.Connect(ctx)
		var unverified *tls.CertificateVerificationError
		if errors.As(err, &unverified) {
			err = fmt.Errorf("%w; name the broker's authority by --upstream-ca, or the name in its certificate by --upstream-name", err)
		}
		return conn, err
	}
}
