package transport

import "github.com/gobwas/ws"

// pingText is what PINGs carry, for the PONG to carry back.
const pingText = "mqtthil"

// Ping has the server send a PING before each frame with data.
func Ping() Fault {
	return Fault{kind: pingKind{}}
}

type pingKind struct{}

func (pingKind) String() string { return "PING before each frame" }
func (pingKind) needs() layer   { return layerWebSocket }

func (pingKind) filter(c *chance) frameFilter {
	return eachData(c, func(f frame) []frame {
		return []frame{{Frame: ws.NewPingFrame([]byte(pingText))}, f}
	})
}
