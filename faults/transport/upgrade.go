package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// The subprotocol of MQTT [MQTT-6.0.0-3], and how long the header of an HTTP request or answer may be, in bytes.
const (
	subprotocol = "mqtt"
	headerLimit = 8 << 10
)

// acceptWebSocket does the opening handshake as a server.
func acceptWebSocket(ctx context.Context, below Stream, path string, timeout time.Duration, p *plan) (*webSocket, error) {
	limit := allow(ctx, below, timeout)
	early, err := answerUpgrade(below, path, p.answers)
	if err = limit.end(err); err != nil {
		farewell(ctx, below, err)
		return nil, err
	}
	return newWebSocket(below, ws.StateServerSide, early), nil
}

// answerUpgrade reads a request and answers it. It returns what came behind the request.
func answerUpgrade(conn io.ReadWriter, path string, changes []func(*answer)) (early []byte, err error) {
	request, early, err := readHeader(conn)
	if errors.Is(err, errHeaderTooLong) {
		_, _ = io.WriteString(conn, "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n")
	}
	if err != nil {
		return nil, err
	}
	var sound bytes.Buffer
	agreed, err := upgrader(path).Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(request), &sound})
	switch {
	case err == nil && agreed.Protocol != subprotocol:
		err = fmt.Errorf("the request offers no subprotocol %s: add Sec-WebSocket-Protocol: %s [MQTT-6.0.0-3]",
			subprotocol, subprotocol)
		sound.Reset()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("the request is cut short")
	}
	if err != nil {
		if sound.Len() == 0 {
			sound.WriteString("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		}
		_, _ = conn.Write(sound.Bytes())
		line, _, _ := bytes.Cut(request, []byte("\n"))
		return nil, fmt.Errorf("request %.80q: %w", bytes.TrimSpace(line), err)
	}
	a := parseAnswer(sound.String())
	for _, change := range changes {
		change(a)
	}
	if _, err := io.WriteString(conn, a.String()); err != nil {
		return nil, err
	}
	return early, a.refusal
}

// upgrader has the library check a request and make the answer of a sound server.
func upgrader(path string) ws.Upgrader {
	return ws.Upgrader{
		Protocol: func(offered []byte) bool { return string(offered) == subprotocol },
		OnRequest: func(uri []byte) error {
			asked, err := url.ParseRequestURI(string(uri))
			if err != nil {
				return ws.RejectConnectionError(ws.RejectionStatus(http.StatusBadRequest),
					ws.RejectionReason(fmt.Sprintf("the path %.80q is none", uri)))
			}
			if path != "" && asked.Path != path {
				return ws.RejectConnectionError(ws.RejectionStatus(http.StatusNotFound),
					ws.RejectionReason(fmt.Sprintf("the WebSocket is at %s, not at %.80q", path, uri)))
			}
			return nil
		},
	}
}

var errHeaderTooLong = fmt.Errorf("the HTTP header is longer than %d bytes", headerLimit)

// readHeader reads up to the empty line that ends an HTTP header, and a little more where more has come.
func readHeader(conn io.Reader) (header, rest []byte, err error) {
	var read []byte
	buffer := make([]byte, 1024)
	for {
		n, err := conn.Read(buffer)
		from := max(0, len(read)-3) // where the end that was not there yet may begin
		read = append(read, buffer[:n]...)
		for _, end := range []string{"\r\n\r\n", "\n\n"} {
			if i := bytes.Index(read[from:], []byte(end)); i >= 0 {
				i += from + len(end)
				return read[:i], read[i:], nil
			}
		}
		switch {
		case err == io.EOF && len(read) == 0:
			return nil, nil, fmt.Errorf("the connection ended without an HTTP request: %w", err)
		case err == io.EOF:
			return nil, nil, fmt.Errorf("the connection ended in the HTTP header, after %d bytes: %w", len(read), err)
		case err != nil:
			return nil, nil, err
		case len(read) > headerLimit:
			return nil, nil, errHeaderTooLong
		}
	}
}

// answer is a server's answer to the request, which faults change.
type answer struct {
	status  string
	fields  [][2]string
	refusal error // set where the WebSocket does not come about
}

func parseAnswer(text string) *answer {
	lines := strings.Split(strings.TrimSuffix(text, "\r\n\r\n"), "\r\n")
	a := &answer{status: strings.TrimPrefix(lines[0], "HTTP/1.1 ")}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		a.fields = append(a.fields, [2]string{name, value})
	}
	return a
}

// set changes a header field; with an empty value it takes the field out.
func (a *answer) set(name, value string) {
	kept := a.fields[:0]
	for _, field := range a.fields {
		if !strings.EqualFold(field[0], name) {
			kept = append(kept, field)
		}
	}
	if a.fields = kept; value != "" {
		a.fields = append(a.fields, [2]string{name, value})
	}
}

func (a *answer) String() string {
	var text strings.Builder
	text.WriteString("HTTP/1.1 " + a.status + "\r\n")
	for _, field := range a.fields {
		text.WriteString(field[0] + ": " + field[1] + "\r\n")
	}
	text.WriteString("\r\n")
	return text.String()
}

// dialWebSocket does the opening handshake as a client.
func dialWebSocket(ctx context.Context, below Stream, address *url.URL, timeout time.Duration) (*webSocket, error) {
	limit := allow(ctx, below, timeout)
	early, err := askUpgrade(below, address)
	if err = limit.end(err); err != nil {
		farewell(ctx, below, err)
		return nil, err
	}
	return newWebSocket(below, ws.StateClientSide, early), nil
}

// askUpgrade returns what came behind the server's answer.
func askUpgrade(conn io.ReadWriter, address *url.URL) (early []byte, err error) {
	dialer := ws.Dialer{Protocols: []string{subprotocol}}
	buffered, agreed, err := dialer.Upgrade(struct {
		io.Reader
		io.Writer
	}{io.LimitReader(conn, headerLimit), conn}, address)
	var status ws.StatusError
	switch {
	case errors.As(err, &status):
		return nil, fmt.Errorf("the broker answers with status %d: is %s the path of its WebSocket?", int(status), address.Path)
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("the broker's answer is cut short, or longer than %d bytes: %w", headerLimit, err)
	case err != nil:
		return nil, err
	}
	if agreed.Protocol != subprotocol {
		return nil, fmt.Errorf("the broker does not agree to the subprotocol %s [MQTT-6.0.0-4]", subprotocol)
	}
	if buffered != nil {
		early = make([]byte, buffered.Buffered())
		_, err = io.ReadFull(buffered, early)
	}
	return early, err
}
