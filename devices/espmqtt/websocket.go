package espmqtt

import (
	"cmp"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
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
	request := "GET " + path + " HTTP/1.1\r\n" +
		"Connection: Upgrade\r\n" +
		"Host: " + host + "\r\n" +
		"User-Agent: ESP32 Websocket Client\r\n" +
		"Upgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\n" +
		"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
	if w.has(SubprotocolMissing) {
		request = strings.Replace(request, "Sec-WebSocket-Protocol: mqtt\r\n", "", 1)
	}
	if len(request) >= size {
		return fmt.Errorf("an upgrade request of %d bytes: %w", len(request), errProtocol)
	}
	if err := w.socket.write([]byte(request), w.limit); err != nil {
		return err
	}
	answer := make([]byte, 0, size-1)
	for len(answer) < cap(answer) {
		n, err := w.socket.read(answer[len(answer):cap(answer)], w.limit)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("no answer to the upgrade request: %w", errProtocol)
		}
		answer = answer[:len(answer)+n]
		text := cText(string(answer))
		if header, _, found := strings.Cut(text, headerEnd); found {
			redirected, err := checkAnswer(text, header, key)
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
	return fmt.Errorf("too long an answer to the upgrade request: %w", errProtocol)
}

// headerEnd is what the header of a request and that of an answer end with.
const headerEnd = "\r\n\r\n"

// checkAnswer looks for the one header that proves that the other side speaks WebSocket; the status counts only where it
// redirects.
func checkAnswer(text, header, key string) (redirected bool, err error) {
	code := answerStatus(text)
	if code == 0 || code == -1 {
		return false, fmt.Errorf("an answer without a status: %w", errProtocol)
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
		return false, fmt.Errorf("%d times Sec-WebSocket-Accept: %w", len(accepts), errProtocol)
	}
	if statusRedirect[code] {
		if location == "" {
			return false, fmt.Errorf("a redirection to nowhere: %w", errProtocol)
		}
		return true, nil
	}
	if len(accepts) == 0 || !strings.HasPrefix(acceptFor(key), accepts[0]) { // only so much of it is compared
		return false, fmt.Errorf("a wrong Sec-WebSocket-Accept: %w", errProtocol)
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
	for len(p) > 0 {
		n, err := w.take(p, wait)
		if err != nil {
			return err
		}
		if n == 0 {
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
				return 0, fmt.Errorf("the payload of a control frame is missing: %w", errProtocol)
			}
			if err := w.takeAll(p[:w.length], wait); err != nil {
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
		return false, err
	}
	w.opcode = head[0] & 0x0f
	control := w.opcode >= opcodeClose
	switch {
	case head[0]&frameReserved != 0, w.opcode > opcodeBinary && w.opcode < opcodeClose, w.opcode > opcodePong:
		return false, fmt.Errorf("a frame of an unknown kind: %w", errProtocol)
	case w.opcode == opcodeText && !w.does(QuirkWebSocketUnchecked):
		return false, fmt.Errorf("a text frame: %w", errProtocol)
	case control && head[0]&frameFIN == 0:
		return false, fmt.Errorf("a part of a control frame: %w", errProtocol)
	}
	length := int(head[1] &^ frameMasked)
	switch length {
	case 126:
		var long [2]byte
		err = w.takeAll(long[:], wait)
		length = int(binary.BigEndian.Uint16(long[:]))
	case 127:
		var long [8]byte
		err = w.takeAll(long[:], wait)
		if n := binary.BigEndian.Uint64(long[:]); n < 1<<31 {
			length = int(n)
		} else if err == nil {
			err = fmt.Errorf("a frame of %d bytes: %w", n, errProtocol)
		}
	}
	if err == nil && control && length > controlFrameSize {
		err = cmp.Or(w.skip(p, length, wait), fmt.Errorf("a control frame of %d bytes: %w", length, errProtocol))
	}
	w.mask = [4]byte{}
	if err == nil && head[1]&frameMasked != 0 && length > 0 {
		err = w.takeAll(w.mask[:], wait)
		copy(p[:cap(p)], w.mask[:]) // where the client reads it to
	}
	if err != nil {
		return false, err
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
		if err != nil || n < w.length {
			return cmp.Or(err, errProtocol)
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
		return w.frame(opcodePong, payload, w.limit)
	case opcodeClose:
		if err := w.frame(opcodeClose, nil, w.limit); err != nil {
			return err
		}
		if w.socket.poll(wait) {
			if n, err := w.socket.read(make([]byte, 1), 0); n == 0 && err != nil {
				return nil // closed as it should be; the next read finds it
			}
		}
		return fmt.Errorf("the server closed the WebSocket: %w", errProtocol)
	}
	return nil
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
	if err := w.socket.write(head, limit); err != nil || len(payload) == 0 {
		return err
	}
	masked := make([]byte, len(payload))
	for i := range payload {
		masked[i] = payload[i] ^ byte(mask>>(8*(3-i%4)))
	}
	return w.socket.write(masked, limit)
}
