package transcript

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Opcodes of the frames that carry data: continuation, text, binary.
const opcodeBinary = 2

// keyGUID is what RFC 6455 adds to a key before it is hashed.
const keyGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// defaultAnswer accepts an upgrade.
const defaultAnswer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

var keyHeader = regexp.MustCompile(`(?i)sec-websocket-key: *(\S+)`)

// requestLimit bounds an upgrade request, in bytes.
const requestLimit = 16 << 10

// upgrade answers the device's request and makes a WebSocket of the link.
func (b *broker) upgrade(k *link) error {
	var request []byte
	for !bytes.Contains(request, []byte("\r\n\r\n")) {
		if len(request) > requestLimit {
			return fmt.Errorf("an upgrade request of more than %d bytes", requestLimit)
		}
		piece := make([]byte, 4096)
		n, err := k.Read(piece)
		if err != nil {
			return err
		}
		request = append(request, piece[:n]...)
	}
	match := keyHeader.FindSubmatch(request)
	if match == nil {
		return fmt.Errorf("an upgrade request without a key: %q", request)
	}
	key := string(match[1])
	shown := strings.ReplaceAll(string(request), key, "KEY")
	shown = strings.ReplaceAll(shown, b.address, "HOST:PORT")
	b.trace.add(Row{Kind: kindUpgrade, Conn: k.number, Text: shown})
	answer := defaultAnswer
	if b.script.WSAnswer != nil {
		answer = *b.script.WSAnswer
	}
	sum := sha1.Sum([]byte(key + keyGUID))
	accept := base64.StdEncoding.EncodeToString(sum[:])
	k.stream = &webSocket{link: k, trace: b.trace}
	_, err := k.conn.Write([]byte(strings.ReplaceAll(answer, "ACCEPT", accept)))
	return err
}

// webSocket is the broker's half of a WebSocket: bytes in and out, in frames.
type webSocket struct {
	link  *link
	trace *trace
	held  []byte
}

// Read gives the payload of data frames; frames of every kind are put on the trace.
func (w *webSocket) Read(p []byte) (int, error) {
	for len(w.held) == 0 {
		head := make([]byte, 2)
		if _, err := io.ReadFull(w.link, head); err != nil {
			return 0, err
		}
		size := int(head[1] & 0x7f)
		if size >= 126 {
			long := make([]byte, map[int]int{126: 2, 127: 8}[size])
			if _, err := io.ReadFull(w.link, long); err != nil {
				return 0, err
			}
			size = int(binary.BigEndian.Uint64(append(make([]byte, 8-len(long)), long...)))
		}
		if size < 0 || size > bodyLimit {
			return 0, fmt.Errorf("a frame of %d bytes", size)
		}
		var mask []byte
		if head[1]&0x80 != 0 {
			mask = make([]byte, 4)
			if _, err := io.ReadFull(w.link, mask); err != nil {
				return 0, err
			}
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(w.link, data); err != nil {
			return 0, err
		}
		for i := range data {
			if mask != nil {
				data[i] ^= mask[i%4]
			}
		}
		w.trace.add(Row{Kind: kindFrame, Conn: w.link.number, Opcode: int(head[0] & 15), FIN: int(head[0] >> 7),
			Masked: mask != nil, Length: size})
		if head[0]&15 <= opcodeBinary {
			w.held = data
		}
	}
	n := copy(p, w.held)
	w.held = w.held[n:]
	return n, nil
}

// Write sends a frame of data.
func (w *webSocket) Write(p []byte) (int, error) {
	if err := w.frame(opcodeBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *webSocket) frame(opcode byte, data []byte) error {
	head := []byte{0x80 | opcode, byte(len(data))}
	switch {
	case len(data) > 0xffff:
		head[1] = 127
		head = binary.BigEndian.AppendUint64(head, uint64(len(data)))
	case len(data) > 125:
		head[1] = 126
		head = binary.BigEndian.AppendUint16(head, uint16(len(data)))
	}
	_, err := w.link.Write(append(head, data...))
	return err
}

// sendFrame sends a frame that the script asks for.
func (b *broker) sendFrame(k *link, opcode byte, data []byte) {
	w, ok := k.stream.(*webSocket)
	if !ok {
		b.fault(fmt.Errorf("a frame on connection %d, which is no WebSocket", k.number))
		return
	}
	k.sending <- struct{}{}
	defer func() { <-k.sending }()
	b.trace.add(Row{Kind: kindSentFrame, Conn: k.number, Opcode: int(opcode), Hex: hex.EncodeToString(data)})
	_ = w.frame(opcode, data) // to a device that has gone
}
