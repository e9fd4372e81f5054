package esptls

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

const (
	tagTLS       = "esp-tls"
	tagMbedTLS   = "esp-tls-mbedtls"
	tagTransport = "transport_base"
)

// maximumRecord is how much of a write goes into one TLS record, in bytes (CONFIG_MBEDTLS_SSL_OUT_CONTENT_LEN).
const maximumRecord = 4096

// Connect does the TLS handshake with a server on a connection that stands, and gives the connection above it. The
// context's deadline bounds the handshake; after it the context has no meaning. A failure is an *Error and closes conn.
//
// The connection sends no close_notify: Close closes conn and that is all (ESP-TLS-05). Its SetLinger is that of conn,
// where conn has one. A write that its deadline interrupts spoils the connection for further writes, other than on a
// board.
func Connect(ctx context.Context, conn net.Conn, host string, options Options) (net.Conn, error) {
	o, complete := options.applied()
	var secured net.Conn
	err := &Error{LastError: CodeSetup, Err: errors.New("a setting is not in the build; the log has which")}
	if complete || !options.Strict {
		secured, err = dialTLS(ctx, conn, host, &o)
	}
	if err == nil {
		return secured, nil
	}
	_ = conn.Close()
	if err.LastError == CodeTimeout {
		o.log('W', tagTLS, "Failed to open new connection in specified timeout")
	} else {
		o.log('E', tagTLS, "Failed to open new connection")
	}
	o.log('E', tagTransport, "Failed to open a new connection")
	return nil, err
}

func dialTLS(ctx context.Context, conn net.Conn, host string, o *Options) (net.Conn, *Error) {
	server, err := configure(host, o)
	if err != nil {
		o.log('E', tagMbedTLS, fmt.Sprintf("Failed to set client configurations, returned [0x%04X] (%s)",
			err.LastError, codeNames[err.LastError]))
		o.log('E', tagTLS, "create_ssl_handle failed")
		return nil, err
	}
	if server.psk {
		return dialPSK(ctx, conn, server.name, o)
	}
	secured := tls.Client(conn, server.config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, server.handshakeFailure(ctx, err, o)
	}
	return &tlsConn{Conn: secured, below: conn}, nil
}

// server is how the client goes about one server.
type server struct {
	name     string // checked against its certificate and sent to it; empty: neither
	psk      bool   // it proves itself by a pre-shared key
	config   *tls.Config
	judged   bool // its certificate has been looked at
	flags    int  // what is wrong with it
	verifier *verifier
}

// configure makes the configuration of mbedTLS, in the order in which esp-tls does.
func configure(host string, o *Options) (*server, *Error) {
	s := &server{config: &tls.Config{
		InsecureSkipVerify:          true, // verified below, as mbedTLS does it
		NextProtos:                  o.ALPN,
		MinVersion:                  tls.VersionTLS12,
		MaxVersion:                  tls.VersionTLS12,
		CipherSuites:                defaultCipherSuites(),
		DynamicRecordSizingDisabled: true,
	}}
	if o.Build.TLS13 {
		s.config.MaxVersion = tls.VersionTLS13
	}
	if len(o.CipherSuites) > 0 {
		s.config.CipherSuites = o.CipherSuites
	}
	if !o.SkipCommonNameCheck {
		if s.name = host; o.CommonName != "" {
			s.name = o.CommonName
		}
		s.config.ServerName = s.name
	}

	s.verifier = &verifier{name: s.name, dates: o.Build.CertificateDates}
	switch {
	case o.UseBundle:
		s.verifier.bundle, s.verifier.pool = true, o.Bundle
	case o.UseGlobalCAStore:
		// The store is parsed when the application fills it; one that could not be parsed is an empty one.
		s.verifier.trusted, _ = parseCertificates(o.GlobalCAStore)
		if len(s.verifier.trusted) == 0 {
			o.log('E', tagMbedTLS, "global_cacert is NULL")
			return nil, &Error{LastError: CodeInvalidState, Err: errors.New("the global CA store is empty")}
		}
	case present(o.CA):
		var failed int
		s.verifier.trusted, failed = parseCertificates(o.CA)
		if len(s.verifier.trusted) == 0 {
			o.log('E', tagMbedTLS, fmt.Sprintf("mbedtls_x509_crt_parse of CA cert returned -0x%04X", stackInvalidFormat))
			return nil, &Error{CodeCertificate, stackInvalidFormat, 0,
				errors.New("the CA certificate is neither PEM nor DER")}
		}
		if failed > 0 {
			o.log('W', tagMbedTLS, fmt.Sprintf(
				"mbedtls_x509_crt_parse was partly successful. No. of failed certificates: %d", failed))
		}
	case o.PSK != nil:
		s.psk = true
	case !o.Build.SkipServerVerification:
		o.log('E', tagMbedTLS,
			"No server verification option set in esp_tls_cfg_t structure. Check esp_tls API reference")
		return nil, &Error{LastError: CodeSetup,
			Err: errors.New("no way to verify the server is set: give a CA, a bundle or a PSK")}
	default:
		s.verifier = nil
	}
	if s.verifier != nil && !s.psk {
		s.config.VerifyConnection = s.verify
	}

	own, err := clientCertificate(o)
	if err != nil {
		return nil, err
	}
	if own != nil {
		if _, isRSA := own.Leaf.PublicKey.(*rsa.PublicKey); isRSA && !o.Build.TLS13 {
			// mbedTLS does no RSA-PSS in TLS 1.2, nor does the digital signature peripheral.
			own.SupportedSignatureAlgorithms = []tls.SignatureScheme{
				tls.PKCS1WithSHA512, tls.PKCS1WithSHA384, tls.PKCS1WithSHA256}
		}
		s.config.Certificates = []tls.Certificate{*own}
	}
	return s, nil
}

// defaultCipherSuites are those of ESP-IDF's default build, which has RSA key exchange but neither ChaCha20 nor the
// ciphers that are broken.
func defaultCipherSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
		tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA,
	}
}

// verify judges the server's certificate in the course of the handshake.
func (s *server) verify(state tls.ConnectionState) error {
	s.judged = true
	if s.flags = s.verifier.judge(state); s.flags != 0 {
		return &x509.CertificateInvalidError{Cert: state.PeerCertificates[0], Detail: describe(s.flags)}
	}
	return nil
}

// handshakeFailure makes the board's error of that of crypto/tls.
func (s *server) handshakeFailure(ctx context.Context, cause error, o *Options) *Error {
	cause = fmt.Errorf("TLS handshake: %w", cause)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Err: cause}
	case ctx.Err() != nil, isTimeout(cause):
		return &Error{LastError: CodeTimeout, Err: cause}
	}
	failure := &Error{CodeHandshake, stackCode(cause), s.flags, cause}
	if s.flags != 0 {
		failure.StackError = stackVerificationFailed
	}
	o.log('E', tagMbedTLS, fmt.Sprintf("mbedtls_ssl_handshake returned -0x%04X", failure.StackError))
	switch {
	case s.flags != 0:
		o.log('I', tagMbedTLS, "Failed to verify peer certificate!")
	case s.judged:
		o.log('I', tagMbedTLS, "Certificate verified.")
	}
	return failure
}

// tlsConn is a TLS connection with the manners of esp-tls. Whoever reads or writes prints the code of an Error.
type tlsConn struct {
	*tls.Conn
	below net.Conn
}

func (c *tlsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case err == nil, err == io.EOF, isTimeout(err), errors.Is(err, net.ErrClosed):
		return n, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, io.EOF // mbedTLS does not mind where in a record the stream ends
	}
	return n, &Error{CodeReadFailed, stackCode(err), 0, fmt.Errorf("reading from the TLS connection: %w", err)}
}

// Write sends p in records of 4096 bytes.
func (c *tlsConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var sent int
		sent, err = c.Conn.Write(p[n:min(n+maximumRecord, len(p))])
		n += sent
	}
	if err == nil || isTimeout(err) || errors.Is(err, net.ErrClosed) {
		return n, err
	}
	return n, &Error{CodeWriteFailed, stackCode(err), 0, fmt.Errorf("writing to the TLS connection: %w", err)}
}

func (c *tlsConn) Close() error { return c.below.Close() }

// SetLinger chooses how Close ends the connection below, as (*net.TCPConn).SetLinger does.
func (c *tlsConn) SetLinger(seconds int) error { return setLinger(c.below, seconds) }

// setLinger does nothing for a connection that has no such choice.
func setLinger(conn net.Conn, seconds int) error {
	if choosy, ok := conn.(interface{ SetLinger(int) error }); ok {
		return choosy.SetLinger(seconds)
	}
	return nil
}
