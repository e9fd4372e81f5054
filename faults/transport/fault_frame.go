package transport

import "github.com/gobwas/ws"

// TextFrames has the server send text frames, which MQTT forbids [MQTT-6.0.0-1].
func TextFrames() Fault {
	return Fault{kind: eachFrame{"text frames", func(f frame) frame {
		if f.Header.OpCode == ws.OpBinary {
			f.Header.OpCode = ws.OpText
		}
		return f
	}}}
}

// MaskedFrames has the server mask its frames, which RFC 6455 forbids.
func MaskedFrames() Fault {
	return Fault{kind: eachFrame{"masked frames", func(f frame) frame {
		f.Frame = ws.MaskFrame(f.Frame)
		return f
	}}}
}

// WrongMask has the server's frames say that they are masked, by a mask that does not fit.
func WrongMask() Fault {
	return Fault{kind: eachFrame{"frames with a mask that does not fit", func(f frame) frame {
		f.Header.Masked, f.Header.Mask = true, [4]byte{0x5a, 0xa5, 0x3c, 0xc3}
		return f
	}}}
}

// SlowHeaders has the server send the header of each frame byte by byte, a TCP segment or a TLS record each.
func SlowHeaders() Fault {
	return Fault{kind: eachFrame{"frame headers byte by byte", func(f frame) frame {
		f.slow = true
		return f
	}}}
}

// eachFrame is a fault that changes each frame with data.
type eachFrame struct {
	text   string
	change func(frame) frame
}

func (k eachFrame) String() string { return k.text }
func (eachFrame) needs() layer     { return layerWebSocket }

func (k eachFrame) filter(c *chance) frameFilter {
	return eachData(c, func(f frame) []frame { return []frame{k.change(f)} })
}
