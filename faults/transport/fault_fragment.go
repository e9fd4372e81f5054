package transport

import (
	"fmt"

	"github.com/gobwas/ws"
)

// Fragments has the server send each message in fragments of no more than n bytes, which are continuation frames but for
// the first.
func Fragments(n int) Fault {
	mustSize("Fragments", n)
	return Fault{kind: fragmentKind{size: n}}
}

// FragmentsWithPing is like Fragments, with a PING between any two fragments, as RFC 6455 allows.
func FragmentsWithPing(n int) Fault {
	mustSize("FragmentsWithPing", n)
	return Fault{kind: fragmentKind{size: n, ping: true}}
}

type fragmentKind struct {
	size int
	ping bool
}

func (k fragmentKind) String() string {
	text := fmt.Sprintf("messages in fragments of no more than %d bytes", k.size)
	if k.ping {
		text += ", with PING between them"
	}
	return text
}

func (fragmentKind) needs() layer { return layerWebSocket }

func (k fragmentKind) filter(c *chance) frameFilter {
	return eachLong(c, k.size, func(f frame) []frame {
		var fragments []frame
		for rest := f.Payload; len(rest) > 0; {
			n := min(k.size, len(rest))
			code, last := ws.OpContinuation, f.Header.Fin && n == len(rest)
			if len(fragments) == 0 {
				code = f.Header.OpCode
			} else if k.ping {
				fragments = append(fragments, frame{Frame: ws.NewPingFrame([]byte(pingText))})
			}
			fragments = append(fragments, frame{Frame: ws.NewFrame(code, last, rest[:n]), slow: f.slow})
			rest = rest[n:]
		}
		return fragments
	})
}

// SplitFrames has the server send each message in several messages, frames that are whole each, of no more than n bytes.
func SplitFrames(n int) Fault {
	mustSize("SplitFrames", n)
	return Fault{kind: splitFrames(n)}
}

type splitFrames int

func (k splitFrames) String() string { return fmt.Sprintf("frames of no more than %d bytes", int(k)) }
func (splitFrames) needs() layer     { return layerWebSocket }

func (k splitFrames) filter(c *chance) frameFilter {
	return eachLong(c, int(k), func(f frame) []frame {
		var frames []frame
		for rest := f.Payload; len(rest) > 0; {
			n := min(int(k), len(rest))
			frames = append(frames, frame{Frame: ws.NewFrame(f.Header.OpCode, true, rest[:n]), slow: f.slow})
			rest = rest[n:]
		}
		return frames
	})
}

// eachLong replaces the frames with data of more than n bytes. A frame that another fault has masked stays as it is.
func eachLong(c *chance, n int, change func(frame) []frame) frameFilter {
	return filterFunc(func(frames []frame) []frame {
		var changed []frame
		for _, f := range frames {
			if f.data() && !f.Header.Masked && len(f.Payload) > n && c.strike() {
				changed = append(changed, change(f)...)
			} else {
				changed = append(changed, f)
			}
		}
		return changed
	})
}
