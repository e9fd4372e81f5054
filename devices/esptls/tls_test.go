package esptls

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/devices/esptls/esptlstest"
	"mqtthil/harness/simnet"
)

// tap passes a connection's bytes on and notes those that are written.
type tap struct {
	net.Conn
	mu     sync.Mutex
	writes [][]byte
}

func (c *tap) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes = append(c.writes, bytes.Clone(p))
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *tap) written() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.writes)
}

// pair gives the two ends of a connection in memory.
func pair(t testing.TB) (client *tap, server net.Conn) {
	t.Helper()
	network := simnet.New()
	listener, err := network.Listen("broker:8883")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := network.DialContext(t.Context(), "tcp", "broker:8883")
	if err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return &tap{Conn: conn}, server
}

// lines collects what the board logs.
type lines []string

func (l *lines) log(level byte, tag, text string) { *l = append(*l, string(level)+" "+tag+": "+text) }

func (l *lines) have(part string) bool {
	return slices.ContainsFunc(*l, func(line string) bool { return strings.Contains(line, part) })
}

// signer is a key that shows only what it can do.
type signer struct{ hidden crypto.Signer }

func (s signer) Public() crypto.PublicKey { return s.hidden.Public() }
func (s signer) Sign(random io.Reader, digest []byte, options crypto.SignerOpts) ([]byte, error) {
	return s.hidden.Sign(random, digest, options)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := esptlstest.NewAuthority(t, "bench CA"), esptlstest.NewAuthority(t, "another CA")
	middle := ca.Intermediate("intermediate")
	underMiddle := middle.Server(esptlstest.Named("broker"))
	underMiddle.Certificate = append(underMiddle.Certificate, middle.Certificate.Raw)

	selfSigned := esptlstest.SelfSigned(t, esptlstest.Named("broker"))

	broker := ca.Server(esptlstest.Named("broker", "10.0.0.1", "*.example.org"))
	onlyCommonName := ca.Server(x509.Certificate{Subject: pkix.Name{CommonName: "broker"}})
	bothNames := esptlstest.Named("elsewhere")
	bothNames.Subject.CommonName = "broker"
	expired := esptlstest.Named("broker")
	expired.NotBefore, expired.NotAfter = esptlstest.LongAgo, esptlstest.LongAgo.AddDate(0, 0, 1)
	future := esptlstest.Named("broker")
	future.NotBefore, future.NotAfter = esptlstest.FarAhead.AddDate(-1, 0, 0), esptlstest.FarAhead
	forClients := esptlstest.Named("broker")
	forClients.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	noSignature := esptlstest.Named("broker")
	noSignature.KeyUsage = x509.KeyUsageKeyEncipherment

	wrappedKey, _, err := parseKey(readKey(t, "pbes2-aes256-sha256"), []byte("bench"))
	if err != nil {
		t.Fatal(err)
	}
	deviceCertificate := ca.Sign(esptlstest.Device(), wrappedKey.Public())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaCertificate := ca.Sign(esptlstest.Device(), rsaKey.Public())
	caPEM := esptlstest.PEM(ca.Certificate)
	withDates := Build{CertificateDates: true}

	for _, c := range []struct {
		name    string
		server  tls.Certificate
		mutual  bool
		ceiling uint16 // the server's highest version
		host    string
		options Options

		want   Error // without Err; zero: the connection stands
		silent bool  // nothing reached the server
		log    string
		sni    string
		alpn   string
	}{
		{name: "CA in PEM", options: Options{CA: caPEM}, sni: "broker"},
		{name: "CA in DER", options: Options{CA: ca.Certificate.Raw}, sni: "broker"},
		{name: "one good CA of two", options: Options{CA: append(
			[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), caPEM...)}, sni: "broker",
			log: "W esp-tls-mbedtls: mbedtls_x509_crt_parse was partly successful. No. of failed certificates: 1"},
		{name: "CA that is none", options: Options{CA: []byte("hello")}, silent: true,
			want: Error{LastError: 0x8015, StackError: 0x2180},
			log:  "E esp-tls-mbedtls: mbedtls_x509_crt_parse of CA cert returned -0x2180"},
		{name: "another CA", options: Options{CA: esptlstest.PEM(other.Certificate)},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNotTrusted},
			log:  "E esp-tls-mbedtls: mbedtls_ssl_handshake returned -0x2700"},
		{name: "intermediate authority", server: underMiddle, options: Options{CA: caPEM}, sni: "broker"},
		{name: "intermediate authority is what is trusted", server: underMiddle,
			options: Options{CA: esptlstest.PEM(middle.Certificate)}, sni: "broker"},
		{name: "self-signed and trusted for itself", server: selfSigned,
			options: Options{CA: esptlstest.PEM(selfSigned.Leaf)}, sni: "broker"},
		{name: "self-signed and not trusted", server: selfSigned, options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNotTrusted}},
		{name: "server's certificate is no authority", options: Options{CA: esptlstest.PEM(broker.Leaf)},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNotTrusted}},

		{name: "bundle", options: Options{UseBundle: true, Bundle: esptlstest.Pool(ca.Certificate)}, sni: "broker"},
		{name: "bundle goes before CA", options: Options{UseBundle: true, Bundle: esptlstest.Pool(other.Certificate), CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNotTrusted}},
		{name: "global store goes before bundle",
			options: Options{UseGlobalCAStore: true, GlobalCAStore: caPEM, UseBundle: true,
				Bundle: esptlstest.Pool(other.Certificate)}, sni: "broker"},
		{name: "empty global store", options: Options{UseGlobalCAStore: true, CA: caPEM}, silent: true,
			want: Error{LastError: 0x103}, log: "E esp-tls-mbedtls: global_cacert is NULL"},
		{name: "roots of the machine", options: Options{UseBundle: true},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNotTrusted}},
		{name: "no verification", options: Options{}, silent: true, want: Error{LastError: 0x8017},
			log: "E esp-tls-mbedtls: No server verification option set in esp_tls_cfg_t structure"},
		{name: "CA cleared by NULL", options: Options{CA: []byte("NULL")}, silent: true, want: Error{LastError: 0x8017}},
		{name: "no verification, in a build that needs none",
			options: Options{Build: Build{SkipServerVerification: true}}, sni: "broker"},
		{name: "bundle that the build lacks", silent: true, want: Error{LastError: 0x8017},
			options: Options{UseBundle: true, CA: caPEM, Build: Build{NoCertificateBundle: true}},
			log:     "E mqtt_client: Certificate bundle is not enabled for mbedTLS in menuconfig"},

		{name: "another name", host: "elsewhere", options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNameMismatch},
			log:  "I esp-tls-mbedtls: Failed to verify peer certificate!"},
		{name: "another name and another CA", host: "elsewhere", options: Options{CA: esptlstest.PEM(other.Certificate)},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNameMismatch | FlagNotTrusted}},
		{name: "another name, not checked", host: "elsewhere", options: Options{CA: caPEM, SkipCommonNameCheck: true}},
		{name: "common name instead of host", host: "elsewhere",
			options: Options{CA: caPEM, CommonName: "broker"}, sni: "broker"},
		{name: "name with a star", host: "a.example.org", options: Options{CA: caPEM}, sni: "a.example.org"},
		{name: "star is one label", host: "a.b.example.org", options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNameMismatch}},
		{name: "address", host: "10.0.0.1", options: Options{CA: caPEM}},
		{name: "only a common name", server: onlyCommonName, options: Options{CA: caPEM}, sni: "broker"},
		{name: "common name beside alternative names", server: ca.Server(bothNames), options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNameMismatch}},

		{name: "expired, by a board without dates", server: ca.Server(expired),
			options: Options{CA: caPEM}, sni: "broker"},
		{name: "expired", server: ca.Server(expired), options: Options{CA: caPEM, Build: withDates},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagExpired}},
		{name: "not yet valid, by a board without dates", server: ca.Server(future),
			options: Options{CA: caPEM}, sni: "broker"},
		{name: "not yet valid", server: ca.Server(future), options: Options{CA: caPEM, Build: withDates},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagFuture}},
		{name: "certificate of a client", server: ca.Server(forClients), options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagExtendedKeyUsage}},
		{name: "key for another use", server: ca.Server(noSignature), options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagKeyUsage}},

		{name: "ALPN",
			options: Options{CA: caPEM, ALPN: []string{"x-amzn-mqtt-ca", "mqtt"}}, sni: "broker", alpn: "mqtt"},
		{name: "ALPN that the build lacks, and what comes after it is lost", host: "elsewhere",
			options: Options{CA: caPEM, ALPN: []string{"mqtt"}, SkipCommonNameCheck: true, Build: Build{NoALPN: true}},
			want:    Error{LastError: 0x801A, StackError: 0x2700, CertificateFlags: FlagNameMismatch},
			log:     "E mqtt_client: APLN configured but not enabled in menuconfig"},
		{name: "TLS 1.3 where the build has it", options: Options{CA: caPEM, Build: Build{TLS13: true}}, sni: "broker"},
		{name: "server without TLS 1.2", ceiling: tls.VersionTLS11, options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x7780}},

		{name: "mutual", mutual: true, sni: "broker",
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(deviceCertificate), ClientKey: esptlstest.KeyPEM(t, wrappedKey)}},
		{name: "mutual, all in DER", mutual: true, sni: "broker",
			options: Options{CA: ca.Certificate.Raw, ClientCertificate: deviceCertificate.Raw, ClientKey: pkcs8(t, wrappedKey)}},
		{name: "mutual with an encrypted key", mutual: true, sni: "broker",
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(deviceCertificate),
				ClientKey: readKey(t, "pbes2-aes256-sha256"), ClientKeyPassword: []byte("bench")}},
		{name: "mutual with a legacy encrypted key", mutual: true, sni: "broker",
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(deviceCertificate),
				ClientKey: readKey(t, "legacy-aes128"), ClientKeyPassword: []byte("bench")}},
		{name: "mutual with the password forgotten", silent: true,
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(deviceCertificate), ClientKey: readKey(t, "legacy-aes128")},
			want:    Error{LastError: 0x8019, StackError: 0x3C00},
			log:     "E esp-tls-mbedtls: mbedtls_pk_parse_keyfile returned -0x3C00"},
		{name: "mutual with a broken key", silent: true,
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(deviceCertificate), ClientKey: []byte("hello")},
			want:    Error{LastError: 0x8019, StackError: 0x3D00},
			log:     "returned [0x8019] (ESP_ERR_MBEDTLS_PK_PARSE_KEY_FAILED)"},
		{name: "mutual with a broken certificate", silent: true,
			options: Options{CA: caPEM, ClientCertificate: []byte("hello"), ClientKey: esptlstest.KeyPEM(t, wrappedKey)},
			want:    Error{LastError: 0x8015, StackError: 0x2180}},
		{name: "certificate without key", silent: true, want: Error{LastError: 0x103},
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(deviceCertificate)},
			log:     "You have to provide both clientcert_buf and clientkey_buf for mutual authentication"},
		{name: "key without certificate", silent: true, want: Error{LastError: 0x103},
			options: Options{CA: caPEM, ClientKey: esptlstest.KeyPEM(t, wrappedKey)}},
		{name: "key that cannot be read", mutual: true, sni: "broker",
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(rsaCertificate), Signer: signer{rsaKey}}},
		{name: "key that cannot be read, without certificate", silent: true, want: Error{LastError: 0x103},
			options: Options{CA: caPEM, Signer: signer{rsaKey}},
			log:     "Client certificate is also required with the DS parameters"},
		{name: "mutual, and the client has nothing", mutual: true, options: Options{CA: caPEM},
			want: Error{LastError: 0x801A, StackError: 0x7780}, log: "I esp-tls-mbedtls: Certificate verified."},
		{name: "a secure element, strictly", options: Options{CA: caPEM, UseSecureElement: true, Strict: true}, silent: true,
			want: Error{LastError: 0x8017}, log: "E mqtt_client: Secure element not enabled for esp-tls in menuconfig"},
		{name: "strictly", options: Options{CA: caPEM, Strict: true}, sni: "broker"},
		{name: "mutual, and the secure element makes the rest get lost", mutual: true,
			options: Options{CA: caPEM, UseSecureElement: true, ClientCertificate: esptlstest.PEM(deviceCertificate),
				ClientKey: esptlstest.KeyPEM(t, wrappedKey)},
			want: Error{LastError: 0x801A, StackError: 0x7780},
			log:  "E mqtt_client: Secure element not enabled for esp-tls in menuconfig"},
		{name: "mutual, and the build has no digital signature", mutual: true,
			options: Options{CA: caPEM, ClientCertificate: esptlstest.PEM(rsaCertificate), Signer: signer{rsaKey},
				Build: Build{NoDigitalSignature: true}},
			want: Error{LastError: 0x801A, StackError: 0x7780},
			log:  "E mqtt_client: Digital Signature not enabled for esp-tls in menuconfig"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.server.Certificate == nil {
				c.server = broker
			}
			if c.host == "" {
				c.host = "broker"
			}
			synctest.Test(t, func(t *testing.T) {
				configuration := &tls.Config{
					Certificates: []tls.Certificate{c.server}, NextProtos: []string{"mqtt"}, MinVersion: tls.VersionTLS10,
					MaxVersion: c.ceiling, ClientCAs: esptlstest.Pool(ca.Certificate),
				}
				if c.mutual {
					configuration.ClientAuth = tls.RequireAndVerifyClientCert
				}
				below, accepted := pair(t)
				secured := tls.Server(accepted, configuration)
				var served sync.WaitGroup
				served.Go(func() {
					_, _ = io.Copy(secured, secured)
					_ = secured.Close()
				})
				var log lines
				c.options.Log = log.log
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				conn, err := Connect(ctx, below, c.host, c.options)
				if err == nil {
					echo(t, conn)
					_ = conn.Close()
				}
				served.Wait()

				var got Error
				var own *Error
				if errors.As(err, &own) {
					got = Error{own.LastError, own.StackError, own.CertificateFlags, nil}
				}
				if (err != nil) != (c.want != Error{}) || got != c.want {
					t.Fatalf("got %#x, want %#x; error: %v", got, c.want, err)
				}
				if c.log != "" && !log.have(c.log) {
					t.Errorf("the log has no line %q:\n%s", c.log, strings.Join(log, "\n"))
				}
				if err != nil && !log.have("E transport_base: Failed to open a new connection") {
					t.Errorf("the log does not end as it should:\n%s", strings.Join(log, "\n"))
				}
				if c.silent && len(below.written()) > 0 {
					t.Error("something was sent before the error")
				}
				if err == nil {
					state := secured.ConnectionState()
					version := uint16(tls.VersionTLS12)
					if c.options.Build.TLS13 {
						version = tls.VersionTLS13
					}
					if state.ServerName != c.sni || state.NegotiatedProtocol != c.alpn || state.Version != version {
						t.Errorf("the server saw name %q, protocol %q, version %x; want %q, %q, %x",
							state.ServerName, state.NegotiatedProtocol, state.Version, c.sni, c.alpn, version)
					}
				}
			})
		})
	}
}

func pkcs8(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// echo checks that what is written comes back.
func echo(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, 5)
	if _, err := io.ReadFull(conn, back); err != nil || string(back) != "hello" {
		t.Fatalf("got %q back, error %v", back, err)
	}
}

// secured gives a TLS connection in memory: the client's end, what is below it, and the server's end with what is below.
func secured(t *testing.T) (client net.Conn, below *tap, server *tls.Conn, serverBelow net.Conn) {
	t.Helper()
	ca := esptlstest.NewAuthority(t, "bench CA")
	below, serverBelow = pair(t)
	server = tls.Server(serverBelow, &tls.Config{Certificates: []tls.Certificate{ca.Server(esptlstest.Named("broker"))}})
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	client, err := Connect(t.Context(), below, "broker", Options{CA: esptlstest.PEM(ca.Certificate)})
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	return client, below, server, serverBelow
}

func TestTLSHandshakeThatStalls(t *testing.T) {
	t.Parallel()
	ca := esptlstest.NewAuthority(t, "bench CA")
	for _, c := range []struct {
		name string
		stop func(ctx context.Context) (context.Context, context.CancelFunc)
		code int
		log  bool
	}{
		{"time is up", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 10*time.Second)
		}, 0x8006, true},
		{"given up", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(10*time.Second, cancel)
			return ctx, cancel
		}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				below, server := pair(t)
				defer server.Close()
				ctx, cancel := c.stop(t.Context())
				defer cancel()
				var log lines
				start := time.Now()
				_, err := Connect(ctx, below, "broker", Options{CA: esptlstest.PEM(ca.Certificate), Log: log.log})
				var own *Error
				if !errors.As(err, &own) || own.LastError != c.code || own.StackError != 0 || time.Since(start) != 10*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if c.log != log.have("W esp-tls: Failed to open new connection in specified timeout") {
					t.Errorf("log:\n%s", strings.Join(log, "\n"))
				}
				hello, err := io.ReadAll(server) // ends because the client has closed
				if len(hello) == 0 || err != nil {
					t.Errorf("the server got %d bytes, error %v", len(hello), err)
				}
			})
		})
	}
}

func TestTLSServerThatSpeaksSomethingElse(t *testing.T) {
	t.Parallel()
	ca := esptlstest.NewAuthority(t, "bench CA")
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		stack int
	}{
		{"HTTP", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, 0x7200},
		{"the end", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, 0x7280},
		{"a reset", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.(*simnet.Conn).SetLinger(0)
		}, 0x0050},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				below, server := pair(t)
				go func() {
					c.serve(server)
					_ = server.Close()
				}()
				_, err := Connect(t.Context(), below, "broker", Options{CA: esptlstest.PEM(ca.Certificate)})
				var own *Error
				if !errors.As(err, &own) || own.LastError != 0x801A || own.StackError != c.stack {
					t.Errorf("got %v, want 0x801A and -0x%04X", err, c.stack)
				}
			})
		})
	}
}

func TestTLSRecordsAndEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, below, server, _ := secured(t)
		before := len(below.written())
		message := bytes.Repeat([]byte("0123456789"), 1000)
		go func() { _, _ = client.Write(message) }()
		got := make([]byte, len(message))
		if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("what arrived is not what was sent: %v", err)
		}
		synctest.Wait()
		var sizes []int
		for _, record := range below.written()[before:] {
			sizes = append(sizes, int(record[3])<<8|int(record[4]))
		}
		const overhead = 8 + 16 // of AES-GCM: explicit nonce and tag
		want := []int{4096 + overhead, 4096 + overhead, 10000 - 2*4096 + overhead}
		if !slices.Equal(sizes, want) {
			t.Errorf("records of %v bytes, want %v", sizes, want)
		}

		records := len(below.written())
		_ = client.Close()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the server reads %v after the client has closed", err)
		}
		if len(below.written()) != records {
			t.Error("Close sent something: a board sends no close_notify")
		}
		_ = server.Close()
	})
}

func TestTLSPeerEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		end  func(server *tls.Conn, below net.Conn)
		want Error // zero: io.EOF
	}{
		{"with close_notify", func(s *tls.Conn, _ net.Conn) { _ = s.Close() }, Error{}},
		{"with close_notify, and the connection stays", func(s *tls.Conn, _ net.Conn) { _ = s.CloseWrite() }, Error{}},
		{"without", func(_ *tls.Conn, b net.Conn) { _ = b.Close() }, Error{}},
		{"in a record", func(_ *tls.Conn, b net.Conn) {
			_, _ = b.Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
			_ = b.Close()
		}, Error{}},
		{"with a reset", func(_ *tls.Conn, b net.Conn) {
			_ = b.(*simnet.Conn).SetLinger(0)
			_ = b.Close()
		}, Error{LastError: 0x801D, StackError: 0x0050}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, _, server, below := secured(t)
				defer below.Close()
				defer client.Close()
				c.end(server, below)
				_, err := client.Read(make([]byte, 1))
				var own *Error
				switch {
				case c.want == Error{} && err != io.EOF:
					t.Errorf("got %v, want EOF", err)
				case c.want != Error{} && (!errors.As(err, &own) || own.LastError != c.want.LastError ||
					own.StackError != c.want.StackError):
					t.Errorf("got %v, want %#x", err, c.want)
				}
			})
		})
	}
}

func TestTLSReadDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, _, server, below := secured(t)
		defer below.Close()
		defer client.Close()
		start := time.Now()
		_ = client.SetReadDeadline(start.Add(time.Second))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		_, _ = server.Write([]byte("late"))
		_ = client.SetReadDeadline(time.Now().Add(time.Nanosecond)) // a board's wait of 0
		p := make([]byte, 10)
		if n, err := client.Read(p); err != nil || string(p[:n]) != "late" {
			t.Errorf("after a time-out: %q, %v", p[:n], err)
		}
	})
}
