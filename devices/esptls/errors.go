package esptls

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Codes of esp-tls in Error.LastError, by the names that ESP-IDF has for them.
const (
	CodeInvalidState = 0x103  // ESP_ERR_INVALID_STATE
	CodeTimeout      = 0x8006 // ESP_ERR_ESP_TLS_CONNECTION_TIMEOUT
	CodeCertificate  = 0x8015 // ESP_ERR_MBEDTLS_X509_CRT_PARSE_FAILED
	CodeSetup        = 0x8017 // ESP_ERR_MBEDTLS_SSL_SETUP_FAILED
	CodeWriteFailed  = 0x8018 // ESP_ERR_MBEDTLS_SSL_WRITE_FAILED
	CodeKey          = 0x8019 // ESP_ERR_MBEDTLS_PK_PARSE_KEY_FAILED
	CodeHandshake    = 0x801A // ESP_ERR_MBEDTLS_SSL_HANDSHAKE_FAILED
	CodePSK          = 0x801B // ESP_ERR_MBEDTLS_SSL_CONF_PSK_FAILED
	CodeReadFailed   = 0x801D // ESP_ERR_MBEDTLS_SSL_READ_FAILED
)

// Codes of mbedTLS in Error.StackError. mbedTLS has them negative; esp-tls reports them positive.
const (
	stackConnectionReset     = 0x0050
	stackInvalidFormat       = 0x2180 // of a certificate
	stackVerificationFailed  = 0x2700
	stackPasswordMismatch    = 0x3B80
	stackPasswordRequired    = 0x3C00
	stackUnknownKeyAlgorithm = 0x3C80
	stackInvalidKey          = 0x3D00
	stackHandshakeFailure    = 0x6E00
	stackInvalidRecord       = 0x7200
	stackConnectionEOF       = 0x7280
	stackFatalAlert          = 0x7780
)

// Bits of Error.CertificateFlags: what mbedTLS holds against the server's certificate.
const (
	FlagExpired          = 0x0001
	FlagNameMismatch     = 0x0004
	FlagNotTrusted       = 0x0008
	FlagFuture           = 0x0200
	FlagKeyUsage         = 0x0800
	FlagExtendedKeyUsage = 0x1000
)

// Error is a failure with the codes that a board reports for it. Errors of the layer below that mean the same on a board
// are not wrapped: io.EOF, an expired deadline, a closed connection.
type Error struct {
	LastError        int // esp_tls_last_esp_err
	StackError       int // esp_tls_stack_err: mbedTLS's code, positive
	CertificateFlags int // esp_tls_cert_verify_flags
	Err              error
}

func (e *Error) Error() string {
	switch {
	case e.CertificateFlags != 0:
		return fmt.Sprintf("%v (esp-tls 0x%X, mbedTLS -0x%04X, certificate flags 0x%X)",
			e.Err, e.LastError, e.StackError, e.CertificateFlags)
	case e.StackError != 0:
		return fmt.Sprintf("%v (esp-tls 0x%X, mbedTLS -0x%04X)", e.Err, e.LastError, e.StackError)
	case e.LastError != 0:
		return fmt.Sprintf("%v (esp-tls 0x%X)", e.Err, e.LastError)
	}
	return e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// codeNames are the names that the board logs for its codes.
var codeNames = map[int]string{
	CodeInvalidState: "ESP_ERR_INVALID_STATE",
	CodeCertificate:  "ESP_ERR_MBEDTLS_X509_CRT_PARSE_FAILED",
	CodeSetup:        "ESP_ERR_MBEDTLS_SSL_SETUP_FAILED",
	CodeKey:          "ESP_ERR_MBEDTLS_PK_PARSE_KEY_FAILED",
	CodePSK:          "ESP_ERR_MBEDTLS_SSL_CONF_PSK_FAILED",
}

// isTimeout tells a deadline that has passed from failures of the connection.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// stackCode is mbedTLS's code for what crypto/tls reports. crypto/tls has no codes of its own for most of what it finds
// wrong with the other side; all that goes as a handshake failure.
func stackCode(err error) int {
	var record tls.RecordHeaderError
	var operation *net.OpError
	switch {
	case errors.As(err, &record):
		return stackInvalidRecord
	case errors.As(err, &operation) && operation.Op == "remote error":
		return stackFatalAlert
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return stackConnectionEOF
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return stackConnectionReset
	}
	return stackHandshakeFailure
}
