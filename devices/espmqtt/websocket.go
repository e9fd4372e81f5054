package espmqtt

import (
	"cmp"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// Opcodes of frames. Those from opcodeClose on are control frames.
const (
	opcodeText   = 1
	opcodeBinary = 2
	opcodeClose  = 8
	opcodePing   = 9
	opcodePong   = 10
)

const (
	frameFIN         = 0x80
	frameReserved    = 0x70
	frameMasked      = 0x80
	controlFrameSize = 125 // the largest payload of a control frame, in bytes
)

// webSocket is the transport over a WebSocket: each write is a frame of its own (ESP-WS-04), and what comes in is a
// stream of bytes, whatever the frames' bounds (ESP-WS-05). What a read finds to be no data, such as a control frame, it
// reports as a time that has passed (ESP-WS-07).
type webSocket struct {
	*socket
	traits
	random *rand.Rand
	early  []byte // came behind the answer to the handshake
	limit  time.Duration

	// The frame that was begun last.
	opcode    byte
	length    int
	remaining int // bytes of it that were not read
	mask      [4]byte
	served    bool // a control frame has been dealt with, of which the last read said nothing; see QuirkWebSocketControl
}

// statusRedirect are the answers that carry another address, and that the client takes for success (ESP-WS-03).
var statusRedirect = map[int]bool{301: true, 302: true, 303: true, 307: true, 308: true}

// keyGUID is what RFC 6455 adds to a key before it is hashed.
const keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// upgrade does the opening handshake on a connection (ESP-WS-01, ESP-WS-02). The whole of the answer's header must fit
// size bytes, as the request must.
func (w *webSocket) upgrade(host, path string, size int) error {
	raw := make([]byte, 16)
	for i := range raw {
		raw[i] = byte(w.random.Uint32())
	}
	key := base64.StdEncoding.EncodeToString(raw)
	start := "GET " + path + " HTTP/1.1\r\n" +
		"Connection: Upgrade\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: ESP32 Websocket Client\r\n" +
		"Upgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\n"
	subprotocol := "Sec-WebSocket-Protocol: mqtt\r\n"
	if w.has(SubprotocolMissing) {
		subprotocol = ""
	}
	const end = "\r\n"
	request := start + subprotocol + end
	const tooLong = "Error in request generation"
	switch n := len(start) + len(subprotocol); {
	case len(start) >= size:
		return w.complain(tooLong+", desired request len: %d, buffer size: %d", len(start), size)
	case n >= size:
		return w.complain(tooLong+"(snprintf of subprotocol returned %d, desired request len: %d, buffer size: %d",
			len(subprotocol), n, size)
	case len(request) >= size:
		return w.complain(tooLong+"(snprintf of header terminal returned %d, desired request len: %d, buffer size: %d",
			len(end), len(request), size)
	}
	if err := w.socket.write([]byte(request), w.limit); err != nil {
		w.print('E', tagWebSocket, "Error write Upgrade header %s", request)
		return err
	}
	answer := make([]byte, 0, size-1)
	for len(answer) < cap(answer) {
		n, err := w.socket.read(answer[len(answer):cap(answer)], w.limit)
		if n == 0 {
			return cmp.Or(err, w.complain("Error read response for Upgrade header"))
		}
		answer = answer[:len(answer)+n]
		text := cText(string(answer))
		if header, _, found := strings.Cut(text, headerEnd); found {
			redirected, err := w.checkAnswer(text, header, key)
			if err == nil && !w.does(QuirkWebSocketUnchecked) {
				err = checkAgreement(header)
			}
			if err != nil && !w.has(UpgradeUnchecked) {
				return err
			}
			if w.early = answer[len(header)+len(headerEnd):]; redirected { // nothing of the answer was taken for read
				w.early = answer
			}
			return nil
		}
	}
	return w.complain("Header size exceeded buffer size or delimiter not found")
}

// complain prints what is wrong, and is the error for it.
func (w *webSocket) complain(format string, arguments ...any) error {
	w.print('E', tagWebSocket, format, arguments...)
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, arguments...), errProtocol)
}

// unread prints that nothing could be read, and is the error for that.
func (w *webSocket) unread(err error) error {
	w.print('E', tagWebSocket, "Error read data(%d)", readCode(err))
	return err
}

// headerEnd is what the header of a request and that of an answer end with.
const headerEnd = "\r\n\r\n"

// checkAnswer looks for the one header that proves that the other side speaks WebSocket; the status counts only where it
// redirects.
func (w *webSocket) checkAnswer(text, header, key string) (redirected bool, err error) {
	code := answerStatus(text)
	if code == 0 || code == -1 {
		return false, w.complain("HTTP upgrade failed")
	}
	accepts, location := []string{}, ""
	for _, line := range strings.Split(header, "\r\n")[1:] {
		const acceptName, locationName = "sec-websocket-accept: ", "location: "
		switch lower := strings.ToLower(line); {
		case strings.HasPrefix(lower, acceptName):
			accepts = append(accepts, line[len(acceptName):])
		case strings.HasPrefix(lower, locationName):
			location = line[len(locationName):]
		}
	}
	if len(accepts) > 1 {
		return false, w.complain("Multiple Sec-WebSocket-Accept headers")
	}
	if statusRedirect[code] {
		if location == "" {
			return false, w.complain("Location header not found")
		}
		return true, nil
	}
	if len(accepts) == 0 {
		return false, w.complain("Sec-WebSocket-Accept not found")
	}
	if !strings.HasPrefix(acceptFor(key), accepts[0]) { // only so much of it is compared
		return false, w.complain("Invalid websocket key")
	}
	return false, nil
}

// answerStatus finds the status of an answer as the client does: wherever a version of HTTP is in its text, in up to three
// characters behind the next space. It is 0 where there is none.
func answerStatus(text string) (code int) {
	const version = "http/"
	for len(text) >= len(version) && !strings.EqualFold(text[:len(version)], version) {
		text = text[1:]
	}
	_, status, _ := strings.Cut(text, " ")
	status = strings.TrimLeft(status[:min(3, len(status))], " \t\n\v\f\r")
	digits := len(status) - len(strings.TrimLeft(status, "+-"))
	if digits <= 1 {
		for digits < len(status) && '0' <= status[digits] && status[digits] <= '9' {
			digits++
		}
		code, _ = strconv.Atoi(status[:digits])
	}
	return code
}

// checkAgreement looks at the rest of what RFC 6455 asks of an answer, and the client does not.
func checkAgreement(header string) error {
	lines := strings.Split(header, "\r\n")
	if _, status, _ := strings.Cut(lines[0], " "); !strings.HasPrefix(status, "101") {
		return fmt.Errorf("status %q: %w", status, errProtocol)
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") && strings.TrimSpace(value) == "mqtt" {
			return nil
		}
	}
	return fmt.Errorf("an answer without the subprotocol mqtt: %w", errProtocol)
}

// acceptFor is the proof that a server gives for a key.
func acceptFor(key string) string {
	sum := sha1.Sum([]byte(key + keyGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func (w *webSocket) poll(wait time.Duration) bool { return len(w.early) > 0 || w.socket.poll(wait) }

// take reads what is there of the stream below the frames.
func (w *webSocket) take(p []byte, wait time.Duration) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	return w.socket.read(p, wait)
}

// takeAll reads all of p; that it takes longer than it may is an error (ESP-WS-08).
func (w *webSocket) takeAll(p []byte, wait time.Duration) error {
	wanted := len(p)
	for len(p) > 0 {
		n, err := w.take(p, wait)
		if err != nil {
			return err
		}
		if n == 0 {
			w.print('W', tagWebSocket, "Requested to read %d, actually read %d bytes", wanted, wanted-len(p))
			return fmt.Errorf("a part of a frame is missing: %w", errProtocol)
		}
		p = p[n:]
	}
	return nil
}

func (w *webSocket) read(p []byte, wait time.Duration) (int, error) {
	if w.remaining == 0 {
		begun, err := w.begin(p, wait)
		if err != nil {
			return 0, err
		}
		control := w.opcode >= opcodeClose
		switch {
		case control && begun:
			if err := w.control(wait); err != nil || w.does(QuirkWebSocketControl) {
				return 0, err
			}
			w.served = true
			return w.read(p, wait)
		case control && w.length > 0 && w.does(QuirkWebSocketControl):
			// Nothing came. The client forgets that it has dealt with the last control frame and wants its payload
			// once more; where that is missing, or too long for what is being read, the connection is over.
			if w.length > len(p) {
				return 0, w.complain("Control frame payload (%d) exceeds caller buffer (%d)", w.length, len(p))
			}
			if err := w.takeAll(p[:w.length], wait); err != nil {
				w.print('E', tagWebSocket, "Control frame payload read failed (expected=%d, got=%d)", w.length, readCode(err))
				return 0, err
			}
			return w.length, nil
		case !begun || w.length == 0:
			return 0, nil
		}
	}
	p = p[:min(len(p), w.remaining)]
	n, err := w.take(p, wait)
	if err != nil {
		w.remaining = 0
		w.print('E', tagWebSocket, "Error reading payload data(%d)", readCode(w.unread(err)))
		return 0, err
	}
	if n > 0 {
		w.unmask(p) // all that was asked for, whether it came or not
	}
	w.remaining -= n
	w.served = w.served && n == 0
	return n, nil
}

// unmask takes the mask off. A server's frames have none; the client begins with the mask's first byte at each read.
func (w *webSocket) unmask(p []byte) {
	for i := range p {
		p[i] ^= w.mask[i%4]
	}
}

// begin reads the header of a frame whose payload is wanted in p. It is false where none has come.
func (w *webSocket) begin(p []byte, wait time.Duration) (begun bool, err error) {
	if !w.poll(wait) {
		return false, nil
	}
	var head [2]byte
	if !w.does(QuirkWebSocketControl) {
		wait = max(wait, w.limit)
	}
	if err := w.takeAll(head[:], wait); err != nil {
		return false, w.unread(err)
	}
	w.opcode = head[0] & 0x0f
	control := w.opcode >= opcodeClose
	switch {
	case head[0]&frameReserved != 0:
		return false, w.complain("Non-zero RSV bits detected (rsv=0x%02X) - protocol violation, no extensions negotiated",
			head[0]&frameReserved)
	case w.opcode > opcodeBinary && w.opcode < opcodeClose, w.opcode > opcodePong:
		return false, w.complain("Reserved opcode detected (opcode=0x%02X) - protocol violation", w.opcode)
	case w.opcode == opcodeText && !w.does(QuirkWebSocketUnchecked):
		return false, fmt.Errorf("a text frame: %w", errProtocol)
	case control && head[0]&frameFIN == 0:
		return false, w.complain("Fragmented control frame detected (opcode=0x%02X, fin=%d) - protocol violation", w.opcode, 0)
	}
	length := int(head[1] &^ frameMasked)
	switch length {
	case 126:
		var long [2]byte
		if err = w.takeAll(long[:], wait); err != nil {
			return false, w.unread(err)
		}
		length = int(binary.BigEndian.Uint16(long[:]))
	case 127:
		var long [8]byte
		if err = w.takeAll(long[:], wait); err != nil {
			return false, w.unread(err)
		}
		n := binary.BigEndian.Uint64(long[:])
		if n >= 1<<31 {
			return false, w.complain("Payload length out of range")
		}
		length = int(n)
	}
	if control && length > controlFrameSize {
		err = w.complain("Control frame with excessive payload detected (opcode=0x%02X, payload_len=%d) - protocol violation",
			w.opcode, length)
		return false, cmp.Or(w.skip(p, length, wait), err)
	}
	w.mask = [4]byte{}
	if head[1]&frameMasked != 0 && length > 0 {
		err = w.takeAll(w.mask[:], wait)
		copy(p[:cap(p)], w.mask[:]) // where the client reads it to
		if err != nil {
			return false, w.unread(err)
		}
	}
	w.length, w.remaining = length, length
	return true, nil
}

// skip reads over a payload, or what is there of it, with the room of p.
func (w *webSocket) skip(p []byte, length int, wait time.Duration) error {
	for length > 0 {
		n, err := w.take(p[:min(len(p), length)], wait)
		if n == 0 {
			return err
		}
		length -= n
	}
	return nil
}

// control answers a control frame (ESP-WS-06, ESP-WS-09).
func (w *webSocket) control(wait time.Duration) error {
	payload := make([]byte, w.length)
	if w.length > 0 {
		n, err := w.take(payload, wait)
		if err == nil && n < w.length && !w.does(QuirkWebSocketControl) {
			if err = w.takeAll(payload[n:], w.limit); err == nil {
				n = w.length
			}
		}
		w.remaining -= n
		if err != nil {
			n = readCode(w.unread(err))
		}
		if n < w.length {
			return cmp.Or(err, w.complain("Control frame (opcode=%d) payload read failed (payload_len=%d, read_len=%d)",
				w.opcode, w.length, n))
		}
		w.unmask(payload)
	}
	switch w.opcode {
	case opcodePing:
		switch {
		case w.has(PongMissing):
			return nil
		case w.has(PongEmpty):
			payload = nil
		}
		err := w.frame(opcodePong, payload, w.limit)
		if err != nil {
			w.print('E', tagWebSocket, "PONG send failed (payload_len=%d, written_len=%d)", len(payload), writeCode(err))
		}
		return err
	case opcodeClose:
		if len(payload) > 0 {
			status := binary.BigEndian.Uint16(append(payload, 0))
			w.print('I', tagWebSocket, "Got CLOSE frame with status code=%d", status)
		}
		if err := w.frame(opcodeClose, nil, w.limit); err != nil {
			if writeCode(err) < 0 {
				w.print('E', tagWebSocket, "Sending CLOSE frame with 0 payload failed")
			}
			return err
		}
		return w.closed(wait)
	}
	return nil
}

// closed waits for the server to end the connection after its CLOSE frame. That it has done so the next read finds; that it
// has not is an error.
func (w *webSocket) closed(wait time.Duration) error {
	if !w.socket.poll(wait) {
		w.print('W', tagWebSocket, "Connection cannot be terminated gracefully within timeout=%d", wait.Milliseconds())
	} else if n, _ := w.socket.receiveHeld(make([]byte, 1)); n > 0 {
		w.print('W', tagBase, "poll_connection_closed: unexpected data readable on socket=%d", descriptor)
		w.print('W', tagWebSocket, "Connection terminated while waiting for clean TCP close")
	} else {
		w.print('I', tagWebSocket, "Connection terminated gracefully")
		return nil
	}
	return fmt.Errorf("the server closed the WebSocket: %w", errProtocol)
}

// writeCode is what esp_transport_write returns for an error: 0 where the time was over, or else −1.
func writeCode(err error) int {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0
	}
	return -1
}

func (w *webSocket) write(p []byte, limit time.Duration) error {
	if w.has(TextFrames) {
		return w.frame(opcodeText, p, limit)
	}
	return w.frame(opcodeBinary, p, limit)
}

// close closes the connection below. The client does not close the WebSocket (ESP-WS-09).
func (w *webSocket) close() {
	if !w.does(QuirkWebSocketNoClose) && w.opcode != opcodeClose {
		_ = w.frame(opcodeClose, binary.BigEndian.AppendUint16(nil, statusNormal), w.limit)
	}
	w.socket.close()
}

// statusNormal is the status of a CLOSE frame that has nothing to complain of.
const statusNormal = 1000

// frame sends a masked frame: its header and its payload in two writes.
func (w *webSocket) frame(opcode byte, payload []byte, limit time.Duration) error {
	head := []byte{frameFIN | opcode, frameMasked | byte(len(payload))}
	switch {
	case len(payload) > 0xffff:
		head[1] = frameMasked | 127
		head = binary.BigEndian.AppendUint64(head, uint64(len(payload)))
	case len(payload) > 125:
		head[1] = frameMasked | 126
		head = binary.BigEndian.AppendUint16(head, uint16(len(payload)))
	}
	mask := w.random.Uint32()
	if w.has(FramesUnmasked) {
		mask = 0
		head[1] &^= frameMasked
	} else {
		head = binary.BigEndian.AppendUint32(head, mask)
	}
	switch err := w.socket.send(head, limit); {
	case errors.Is(err, os.ErrDeadlineExceeded): // which the client finds out before it writes
		w.print('E', tagWebSocket, "Error transport_poll_write(%d)", writeCode(err))
		return err
	case err != nil:
		w.socket.complain("write", err)
		w.print('E', tagWebSocket, "Error write header")
		return err
	case len(payload) == 0:
		return nil
	}
	masked := make([]byte, len(payload))
	for i := range payload {
		masked[i] = payload[i] ^ byte(mask>>(8*(3-i%4)))
	}
	return w.socket.write(masked, limit)
}
