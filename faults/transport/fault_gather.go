package transport

import (
	"errors"
	"fmt"
	"time"

	"github.com/gobwas/ws"

	"mqtthil/faults/internal/form"
)

// GatherFrames has the server put what makes n messages into one, so that several MQTT packets come in a frame. A message
// waits no longer than within for the others.
func GatherFrames(n int, within time.Duration) Fault {
	mustSize("GatherFrames", n)
	if within <= 0 {
		panic(fmt.Sprintf("transport: GatherFrames within %s: messages need a time to wait", within))
	}
	return Fault{kind: gatherKind{n, within}}
}

type gatherKind struct {
	n      int
	within time.Duration
}

func (k gatherKind) String() string {
	return fmt.Sprintf("up to %d messages in a frame, within %s", k.n, k.within)
}
func (gatherKind) needs() layer { return layerWebSocket }

func (k gatherKind) filter(c *chance) frameFilter { return &gathering{gatherKind: k, chance: c} }

// gathering holds messages back. It is guarded by the socket's turn of writing.
type gathering struct {
	gatherKind
	chance *chance
	timer  *time.Timer
	held   int
	bytes  []byte
	late   bool // the oldest message has waited long enough
}

func (g *gathering) filter(t turn, frames []frame) (out []frame) {
	for _, f := range frames {
		switch {
		case f.Header.OpCode != ws.OpBinary || !f.Header.Fin || f.Header.Masked,
			g.held == 0 && !g.chance.strike():
			out = append(append(out, g.take()...), f)
			continue
		case g.held == 0:
			g.timer = time.AfterFunc(g.within, func() { g.expire(t.socket) })
		}
		g.bytes = append(g.bytes, f.Payload...)
		if g.held++; g.held == g.n {
			out = append(out, g.take()...)
		}
	}
	if g.late || t.last {
		out = append(out, g.take()...)
	}
	return out
}

// expire sends what is held back when nothing more has come.
func (g *gathering) expire(s *webSocket) {
	s.writing.take()
	defer s.release()
	if !s.finSent {
		g.late = g.held > 0
		_ = s.putAll(s.faults.apply(s, nil)) // the next Write tells an error
	}
}

// take gives the frame of what is held back.
func (g *gathering) take() []frame {
	if g.held == 0 {
		return nil
	}
	g.timer.Stop()
	out := []frame{{Frame: ws.NewBinaryFrame(g.bytes)}}
	g.held, g.bytes, g.late = 0, nil, false
	return out
}

// gatherForm is GatherFrames as rule files write it.
type gatherForm struct {
	Messages form.Whole    `json:"messages"`
	Within   form.Duration `json:"within"`
}

func (f gatherForm) fault() (Fault, error) {
	switch {
	case f.Messages < 1:
		return Fault{}, fmt.Errorf("gather-frames: %d messages: a frame has at least one", f.Messages)
	case f.Within <= 0:
		return Fault{}, errors.New("gather-frames needs within, a time that messages wait, such as 1s")
	}
	return GatherFrames(int(f.Messages), time.Duration(f.Within)), nil
}
