package transport

import (
	"errors"
	"fmt"

	"github.com/gobwas/ws"

	"mqtthil/faults/internal/form"
)

// CloseFrame has the server send a CLOSE frame with a status code after n frames with data, from 0: at once. What the
// broker still sends is lost, and the device is to end the connection.
func CloseFrame(code uint16, n int) Fault {
	if n < 0 {
		panic(fmt.Sprintf("transport: CloseFrame after %d frames: counts begin at 0", n))
	}
	return Fault{kind: closeKind{ws.StatusCode(code), n}}
}

type closeKind struct {
	code ws.StatusCode
	n    int
}

func (k closeKind) String() string { return fmt.Sprintf("CLOSE %d after %d frames", k.code, k.n) }
func (closeKind) needs() layer     { return layerWebSocket }

func (k closeKind) filter(c *chance) frameFilter { return &closing{closeKind: k, chance: c} }

type closing struct {
	closeKind
	chance *chance
	sent   int
	done   bool
}

func (k *closing) filter(t turn, frames []frame) []frame {
	if k.done || t.last {
		return frames
	}
	for i := 0; ; i++ {
		if k.sent >= k.n && k.chance.strike() {
			k.done = true
			return append(frames[:i:i], frame{Frame: ws.NewCloseFrame(ws.NewCloseFrameBody(k.code, ""))})
		}
		if i == len(frames) {
			return frames
		}
		if frames[i].data() {
			k.sent++
		}
	}
}

// NoCloseFrame has the server end a WebSocket without a CLOSE frame.
func NoCloseFrame() Fault {
	return Fault{kind: noCloseFrame{}}
}

type noCloseFrame struct{}

func (noCloseFrame) String() string { return "no CLOSE frame" }
func (noCloseFrame) needs() layer   { return layerWebSocket }

// closeForm is CloseFrame as rule files write it.
type closeForm struct {
	Code  *uint16    `json:"code"`
	After form.Whole `json:"after"`
}

func (f closeForm) fault() (Fault, error) {
	switch {
	case f.Code == nil:
		return Fault{}, errors.New("close-frame needs code, such as 1012")
	case f.After < 0:
		return Fault{}, fmt.Errorf("after %d frames: counts begin at 0", f.After)
	}
	return CloseFrame(*f.Code, int(f.After)), nil
}
