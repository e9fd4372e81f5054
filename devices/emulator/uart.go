package emulator

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// uart is the sending half of the board's serial port. What is printed is held until the line has taken it; a board
// that prints faster than it is read waits, as a chip waits for its UART. But it does not wait for ever: nobody may be
// reading, and a chip would not notice. So a reader that takes nothing for as long as patience while the buffer is full
// counts as gone, and until it reads again, what the buffer has no room for is dropped, line by line.
type uart struct {
	line io.ReadWriter

	printing chan struct{} // held by who prints; a channel, so that a wait for it is one that virtual time can see
	more     chan struct{} // something was printed
	room     chan struct{} // the line has taken something

	mu      sync.Mutex
	pending bytes.Buffer
	gone    bool // the reader
}

const (
	uartBuffer = 64 << 10 // bytes that may be pending before a board waits
	uartChunk  = 4 << 10  // bytes that are put on the line at once
	patience   = time.Second
)

func newUART(line io.ReadWriter) *uart {
	return &uart{line: line, printing: make(chan struct{}, 1), more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// print prints text, all of it or, where nobody reads, nothing. It gives up when the power goes.
func (u *uart) print(text string, off <-chan struct{}) {
	select {
	case u.printing <- struct{}{}:
		defer func() { <-u.printing }()
	case <-off:
		return
	}
	for !u.accept(text) {
		late := time.NewTimer(patience)
		select {
		case <-u.room:
		case <-late.C:
			u.setGone(true)
		case <-off:
			late.Stop()
			return
		}
		late.Stop()
	}
}

// accept takes text, to be sent or to be dropped. It is false where there is no room now.
func (u *uart) accept(text string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending.Len() >= uartBuffer {
		return u.gone
	}
	u.pending.WriteString(text)
	signal(u.more)
	return true
}

func (u *uart) setGone(gone bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = gone
}

// start begins to send. The function that it returns ends that, and waits for what is pending to be sent; where the
// line takes nothing, it gives up after a while and leaves it to whoever closes the line to end the Write that waits.
func (u *uart) start() (stop func()) {
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		u.send(stopping)
	}()
	return func() {
		close(stopping)
		for {
			late := time.NewTimer(patience)
			select {
			case <-stopped:
				late.Stop()
				return
			case <-u.room:
				late.Stop()
			case <-late.C:
				return
			}
		}
	}
}

// send puts on the line what is printed.
func (u *uart) send(stopping <-chan struct{}) {
	for stop := false; !stop; {
		select {
		case <-u.more:
		case <-stopping:
			stop = true
		}
		for chunk := u.next(); len(chunk) > 0; chunk = u.next() {
			_, _ = u.line.Write(chunk) // a UART does not know whether anybody listens
			u.setGone(false)
			signal(u.room)
		}
	}
}

// next takes what is to be sent next.
func (u *uart) next() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return bytes.Clone(u.pending.Next(uartChunk))
}

// typed is the receiving half of the serial port: bytes that the console's task has not read yet. It holds only so
// many, as a chip; what comes when it is full is lost.
type typed struct {
	arrived chan struct{} // something was typed

	mu    sync.Mutex
	bytes []byte
}

// typedLimit bounds what is held for a console that is busy, in bytes.
const typedLimit = 64 << 10

func newTyped() *typed { return &typed{arrived: make(chan struct{}, 1)} }

func (t *typed) add(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, data[:min(len(data), typedLimit-len(t.bytes))]...)
	signal(t.arrived)
}

func (t *typed) take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	data := t.bytes
	t.bytes = nil
	return data
}

// signal says on a channel with room for one signal that something has happened.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
