package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gobwas/ws"
)

// memory is a connection whose other side has sent everything already.
type memory struct {
	io.Reader
	written bytes.Buffer
}

func (m *memory) Write(p []byte) (int, error)    { return m.written.Write(p) }
func (*memory) Close() error                     { return nil }
func (*memory) CloseWrite() error                { return nil }
func (*memory) SetLinger(int) error              { return nil }
func (*memory) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*memory) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*memory) SetDeadline(time.Time) error      { return nil }
func (*memory) SetReadDeadline(time.Time) error  { return nil }
func (*memory) SetWriteDeadline(time.Time) error { return nil }

const soundUpgrade = "GET /mqtt HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// FuzzUpgrade has a device send anything for a request. What it gets is an answer of HTTP or nothing, and how its bytes
// are cut makes no difference.
func FuzzUpgrade(f *testing.F) {
	for _, seed := range []string{
		soundUpgrade, soundUpgrade + "\x82\x80\x00\x00\x00\x00", strings.ReplaceAll(soundUpgrade, "\r", ""), "", "GET", "\n\n",
		"\r\n\r\n", "GET / HTTP/1.1\r\nHost\r\n\r\n", strings.Replace(soundUpgrade, "mqtt\r\n\r\n", "chat, mqtt\r\n\r\n", 1),
		strings.Repeat("x", 9000), strings.Replace(soundUpgrade, "13", "8", 1), strings.Replace(soundUpgrade, "/mqtt", "%zz", 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		whole := &memory{Reader: bytes.NewReader(request)}
		early, err := answerUpgrade(whole, "", nil)
		single := &memory{Reader: iotest.OneByteReader(bytes.NewReader(request))}
		_, singleErr := answerUpgrade(single, "", nil)
		if (err == nil) != (singleErr == nil) || !bytes.Equal(whole.written.Bytes(), single.written.Bytes()) {
			t.Errorf("whole: %v, %q; byte by byte: %v, %q", err, &whole.written, singleErr, &single.written)
		}
		answer := whole.written.String()
		if answer != "" && (!strings.HasPrefix(answer, "HTTP/1.1 ") || !strings.Contains(answer, "\r\n\r\n")) {
			t.Errorf("the answer is %q", answer)
		}
		if up := strings.HasPrefix(answer, "HTTP/1.1 101 "); up != (err == nil) {
			t.Errorf("the answer is %q, the error %v", answer, err)
		}
		if err == nil && !bytes.HasSuffix(request[:min(len(request), headerLimit+2048)], early) {
			t.Errorf("behind the request comes %q", early)
		}
	})
}

// FuzzAnswer has a broker send anything for an answer.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
		"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.0 101\r\n\r\n", "", strings.Repeat("x", 9000), "HTTP/1.1 101 \r\nx\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		m := &memory{Reader: bytes.NewReader(answer)}
		if _, err := dialWebSocket(t.Context(), m, &url.URL{Scheme: "ws", Host: "bench", Path: "/mqtt"}, time.Minute); err == nil {
			t.Error("an answer that cannot know the key passes")
		}
	})
}

// FuzzFrames has a device send anything for frames. What is read is what the library reads of them, whatever pieces it
// comes in, and no more is held than a few kilobytes.
func FuzzFrames(f *testing.F) {
	compile := func(frames ...ws.Frame) (out []byte) {
		for _, frame := range frames {
			out = append(out, ws.MustCompileFrame(ws.MaskFrameWith(frame, [4]byte{1, 2, 3, 4}))...)
		}
		return out
	}
	for _, seed := range [][]byte{
		compile(ws.NewBinaryFrame([]byte("whole")), ws.NewPingFrame([]byte("ping")), ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))),
		compile(ws.NewFrame(ws.OpBinary, false, []byte("a part")), ws.NewPingFrame(nil),
			ws.NewFrame(ws.OpContinuation, false, nil), ws.NewFrame(ws.OpContinuation, true, []byte("the rest"))),
		compile(ws.NewBinaryFrame(make([]byte, 126)), ws.NewBinaryFrame(make([]byte, 70_000))),
		compile(ws.NewTextFrame([]byte("text"))), compile(ws.NewFrame(3, true, nil)),
		ws.MustCompileFrame(ws.NewBinaryFrame([]byte("no mask"))),
		[]byte("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"),
		[]byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00some"),
		compile(ws.NewCloseFrame([]byte{3})), compile(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "\xff"))),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		want := reference(stream)
		for name, reader := range map[string]io.Reader{
			"whole": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
			"with its end": iotest.DataErrReader(bytes.NewReader(stream)),
		} {
			s := newWebSocket(&memory{Reader: reader}, ws.StateServerSide, nil)
			var got []byte
			p := make([]byte, 7)
			for {
				n, err := s.Read(p)
				got = append(got, p[:n]...)
				if len(s.in) > len(s.buffer)+ws.MaxHeaderSize+controlLimit {
					t.Fatalf("%d bytes are held", len(s.in))
				}
				if err != nil {
					if !errors.Is(err, io.EOF) && !strings.HasPrefix(err.Error(), "WebSocket: ") {
						t.Errorf("the error is %v", err)
					}
					break
				}
				if n == 0 {
					t.Fatal("neither bytes nor an error")
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	})
}

// reference reads frames as plainly as can be, from bytes that are all there.
func reference(stream []byte) (data []byte) {
	r := bytes.NewReader(stream)
	state := ws.StateServerSide
	for {
		header, err := ws.ReadHeader(r)
		if err != nil || ws.CheckHeader(header, state) != nil || header.OpCode == ws.OpText {
			return data
		}
		payload := make([]byte, min(header.Length, int64(r.Len())))
		_, _ = io.ReadFull(r, payload)
		ws.Cipher(payload, header.Mask, 0)
		if header.OpCode.IsControl() {
			if header.OpCode == ws.OpClose || int64(len(payload)) < header.Length {
				return data
			}
			continue
		}
		data = append(data, payload...)
		if state = state.Clear(ws.StateFragmented); !header.Fin {
			state = state.Set(ws.StateFragmented)
		}
	}
}
