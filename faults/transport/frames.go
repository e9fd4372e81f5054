package transport

import (
	"github.com/gobwas/ws"
)

// frame is a frame to be sent.
type frame struct {
	ws.Frame
	slow bool // its header goes out byte by byte
}

// data says whether a frame carries bytes of MQTT.
func (f frame) data() bool { return f.Header.OpCode.IsData() || f.Header.OpCode == ws.OpContinuation }

// frameKind is a fault of the frames of a connection. It strikes connections that stand, too.
type frameKind interface {
	kind
	// filter makes what changes the frames of one connection. It asks the chance before it does anything.
	filter(*chance) frameFilter
}

// frameFilter changes frames before they are sent. It is called with the socket's turn of writing.
type frameFilter interface {
	filter(turn, []frame) []frame
}

// turn is one time that a filter is called: for each message, besides at the beginning and at the end of a connection,
// when there is none.
type turn struct {
	socket *webSocket
	last   bool
}

// frameFaults are those of one connection.
type frameFaults struct {
	front   *Front
	number  int // of the connection in the record
	chances []*chance

	// Guarded by the socket's turn of writing.
	filters map[*Armed]frameFilter
}

// apply has the faults that are armed now change frames, in the order in which they were added.
func (f *frameFaults) apply(s *webSocket, frames []frame) []frame {
	return f.run(turn{socket: s}, frames)
}

// rest is what faults still hold back at the end.
func (f *frameFaults) rest(s *webSocket) []frame {
	return f.run(turn{socket: s, last: true}, nil)
}

func (f *frameFaults) run(t turn, frames []frame) []frame {
	if f == nil {
		return frames
	}
	for _, a := range f.front.Faults() {
		k, ok := a.fault.kind.(frameKind)
		if !ok {
			continue
		}
		filter := f.filters[a]
		if filter == nil {
			filter = k.filter(f.chance(a))
			f.filters[a] = filter
		}
		frames = filter.filter(t, frames)
	}
	return frames
}

// chance is that of a fault to strike this connection.
func (f *frameFaults) chance(a *Armed) *chance {
	for _, c := range f.chances {
		if c.armed == a {
			return c
		}
	}
	return &chance{armed: a, number: f.number}
}

// mute says whether the connection ends without a CLOSE frame.
func (f *frameFaults) mute() bool {
	if f == nil {
		return false
	}
	for _, a := range f.front.Faults() {
		if _, ok := a.fault.kind.(noCloseFrame); ok && f.chance(a).strike() {
			return true
		}
	}
	return false
}

// filterFunc is a filter without anything to remember.
type filterFunc func([]frame) []frame

func (f filterFunc) filter(_ turn, frames []frame) []frame { return f(frames) }

// eachData replaces the frames with data that a fault strikes by others.
func eachData(c *chance, change func(frame) []frame) frameFilter {
	return filterFunc(func(frames []frame) []frame {
		var changed []frame
		for _, f := range frames {
			if f.data() && c.strike() {
				changed = append(changed, change(f)...)
			} else {
				changed = append(changed, f)
			}
		}
		return changed
	})
}
