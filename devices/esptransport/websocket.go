package esptransport

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"
)

const tagWebSocket = "transport_ws"

// defaultBufferSize is what request and answer of the handshake have to fit, in bytes (CONFIG_WS_BUFFER_SIZE).
const defaultBufferSize = 1024

// WebSocketOptions are the settings of a WebSocket.
type WebSocketOptions struct {
	// Random makes the key and the masks, so that a run can be repeated. It must be set, and nobody else may use it at
	// the same time.
	Random *rand.Rand
	// Timeout bounds each write and each read of the handshake and each answer to a control frame (esp-mqtt's
	// network.timeout_ms). 0: the context and the connection's own write deadline are the only bounds.
	Timeout    time.Duration
	BufferSize int    // of the handshake, in bytes (CONFIG_WS_BUFFER_SIZE); 0: 1024
	Host       string // in the header Host, instead of the host and port of DialWebSocket
	UserAgent  string // instead of the board's own
	Headers    string // further ones, each ended by CR LF
	Log        Log    // may be nil
}

// keyGUID is what RFC 6455 appends to a key before it is hashed.
const keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// redirections are the answers that carry another address. ESP-IDF gives them back as they are, and esp-mqtt takes
// whatever is not negative for success (ESP-WS-03).
var redirections = []int{301, 302, 303, 307, 308}

// DialWebSocket does the opening handshake on a connection that stands, and gives the WebSocket above it. After it the
// context has no meaning. A failure is an *Error or an error of conn, and closes conn.
//
// A redirection to another address succeeds, as far as esp-mqtt can see: the first Read then finds that the answer's
// text is no frame.
func DialWebSocket(ctx context.Context, conn net.Conn, host string, port int, path string,
	options WebSocketOptions) (*WebSocket, error) {
	if options.BufferSize == 0 {
		options.BufferSize = defaultBufferSize
	}
	if options.Host == "" {
		options.Host = fmt.Sprintf("%s:%d", host, port)
	}
	if options.UserAgent == "" {
		options.UserAgent = "ESP32 Websocket Client"
	}
	if path == "" {
		path = "/"
	}
	w := &WebSocket{Conn: conn, options: options, turn: make(chan struct{}, 1)}
	// The end of the context ends whatever is under way.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := w.open(ctx, path)
	if !stop() && err == nil { // it ended in time, but its end is about to spoil the deadlines
		err = &Error{Err: fmt.Errorf("WebSocket handshake: %w", ctx.Err())}
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return w, nil
}

func (w *WebSocket) log(level byte, format string, arguments ...any) {
	if w.options.Log != nil {
		w.options.Log(level, tagWebSocket, fmt.Sprintf(format, arguments...))
	}
}

// fail logs an error of the WebSocket layer and gives it. It has no codes.
func (w *WebSocket) fail(format string, arguments ...any) *Error {
	w.log('E', format, arguments...)
	return &Error{Err: errors.New("WebSocket: " + fmt.Sprintf(format, arguments...))}
}

// open does the handshake (ESP-WS-01 … 03).
func (w *WebSocket) open(ctx context.Context, path string) error {
	nonce := make([]byte, 16)
	for i := range nonce {
		nonce[i] = byte(w.options.Random.Uint32())
	}
	key := base64.StdEncoding.EncodeToString(nonce)
	request := "GET " + path + " HTTP/1.1\r\n" +
		"Connection: Upgrade\r\n" +
		"Host: " + w.options.Host + "\r\n" +
		"User-Agent: " + w.options.UserAgent + "\r\n" +
		"Upgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\n" +
		"Sec-WebSocket-Protocol: mqtt\r\n" +
		w.options.Headers + "\r\n"
	if len(request) >= w.options.BufferSize {
		return w.fail("Error in request generation, desired request len: %d, buffer size: %d",
			len(request), w.options.BufferSize)
	}
	if err := w.limitIn(ctx, w.Conn.SetWriteDeadline); err != nil {
		return err
	}
	if _, err := w.Conn.Write([]byte(request)); err != nil {
		w.log('E', "Error write Upgrade header %s", request)
		if isTimeout(err) {
			return &Error{Err: fmt.Errorf("WebSocket handshake: the request was not taken in time: %w", err)}
		}
		return fmt.Errorf("WebSocket handshake: sending the request: %w", err)
	}

	answer := make([]byte, 0, w.options.BufferSize-1)
	end := -1
	for end < 0 && len(answer) < cap(answer) {
		if err := w.limitIn(ctx, w.Conn.SetReadDeadline); err != nil {
			return err
		}
		n, err := w.Conn.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		if err != nil && n == 0 {
			w.log('E', "Error read response for Upgrade header")
			if isTimeout(err) { // a time-out is no error of TCP, so the board has no code for it
				return &Error{Err: fmt.Errorf("WebSocket handshake: no answer in time: %w", err)}
			}
			return fmt.Errorf("WebSocket handshake: reading the answer: %w", err)
		}
		end = bytes.Index(text(answer), []byte("\r\n\r\n"))
	}
	if end < 0 {
		return w.fail("Header size exceeded buffer size or delimiter not found")
	}
	redirected, err := w.check(string(answer[:end+len("\r\n")]), key)
	if err != nil {
		return err
	}
	w.early = answer[end+len("\r\n\r\n"):]
	if redirected { // nothing of the answer counts as read
		w.early = answer
	}
	return nil
}

// text is as much of the data as a C program takes for text.
func text(data []byte) []byte {
	if end := bytes.IndexByte(data, 0); end >= 0 {
		return data[:end]
	}
	return data
}

// check looks in the answer's header for what proves that the server speaks WebSocket. The status counts only where it
// redirects.
func (w *WebSocket) check(header, key string) (redirected bool, err error) {
	status := statusCode(header)
	if status == 0 {
		return false, w.fail("HTTP upgrade failed")
	}
	var accept, location string
	accepted := false
	for _, line := range strings.Split(header, "\r\n")[1:] {
		if value, ok := headerValue(line, "Sec-WebSocket-Accept: "); ok {
			if accepted {
				return false, w.fail("Multiple Sec-WebSocket-Accept headers")
			}
			accept, accepted = value, true
		}
		if value, ok := headerValue(line, "Location: "); ok {
			location = value
		}
	}
	if slices.Contains(redirections, status) {
		if location == "" {
			return false, w.fail("Location header not found")
		}
		return true, nil
	}
	if !accepted {
		return false, w.fail("Sec-WebSocket-Accept not found")
	}
	sum := sha1.Sum([]byte(key + keyGUID))
	if !strings.HasPrefix(base64.StdEncoding.EncodeToString(sum[:]), accept) { // only so much of it is compared
		return false, w.fail("Invalid websocket key")
	}
	return false, nil
}

// statusCode finds the status as the board does: up to three digits after the first space after the first "HTTP/",
// wherever that is. 0 is none.
func statusCode(header string) (code int) {
	start := strings.Index(strings.ToUpper(header), "HTTP/")
	if start < 0 {
		return 0
	}
	_, digits, _ := strings.Cut(header[start:], " ")
	for i := 0; i < min(3, len(digits)) && digits[i] >= '0' && digits[i] <= '9'; i++ {
		code = 10*code + int(digits[i]-'0')
	}
	return code
}

// headerValue gives what follows a header's name, whose case does not count but whose one space does.
func headerValue(line, name string) (value string, ok bool) {
	if len(line) < len(name) || !strings.EqualFold(line[:len(name)], name) {
		return "", false
	}
	return line[len(name):], true
}

// limitIn is limit for as long as the context lasts. Its end may have come before, and its deadline be overwritten.
func (w *WebSocket) limitIn(ctx context.Context, setDeadline func(time.Time) error) error {
	w.limit(setDeadline)
	if err := ctx.Err(); err != nil {
		return &Error{Err: fmt.Errorf("WebSocket handshake: %w", err)}
	}
	return nil
}

// limit sets a deadline of Timeout from now.
func (w *WebSocket) limit(setDeadline func(time.Time) error) {
	if w.options.Timeout > 0 {
		_ = setDeadline(time.Now().Add(w.options.Timeout)) // that it cannot be set shows in what it is for
	}
}
