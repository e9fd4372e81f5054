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
//
// With a speed, every byte takes its time on the line, and no more is held than a chip's UART holds.
type uart struct {
	line io.ReadWriter
	baud int // 0: bytes take no time

	printing chan struct{} // held by who prints; a channel, so that a wait for it is one that virtual time can see
	room     chan struct{} // the line has taken something
	stopping chan struct{} // closed when nobody waits any more for what is on the line
	idle     chan struct{} // nothing is pending any more

	free time.Time // when the line has taken what is on it; for who sends

	mu      sync.Mutex
	pending bytes.Buffer
	started bool
	sending bool // a goroutine does, which lives no longer than something is pending
	gone    bool // the reader
}

const (
	uartBuffer = 64 << 10 // bytes that may be pending before a board waits
	uartChunk  = 4 << 10  // bytes that are put on the line at once
	uartFIFO   = 128      // bytes that a UART with a speed holds, in either direction
	uartDriver = 256      // bytes that the driver holds for a console that is busy, beside those in the UART
	patience   = time.Second
)

func newUART(line io.ReadWriter, baud int) *uart {
	return &uart{line: line, baud: baud,
		printing: make(chan struct{}, 1), room: make(chan struct{}, 1),
		stopping: make(chan struct{}), idle: make(chan struct{}, 1)}
}

// chunk is how many bytes go over the line at once: with a speed, as many as take about 10 ms, if the UART can hold
// them.
func (u *uart) chunk() int {
	if u.baud == 0 {
		return uartChunk
	}
	return min(max(1, u.baud/1000), uartFIFO)
}

// takes is the time that n bytes take on the line: start bit, eight bits, stop bit.
func (u *uart) takes(n int) time.Duration {
	if u.baud == 0 {
		return 0
	}
	return time.Duration(n) * 10 * time.Second / time.Duration(u.baud)
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
	limit := uartBuffer
	if u.baud > 0 {
		limit = uartFIFO
	}
	if u.pending.Len() >= limit {
		return u.gone
	}
	u.pending.WriteString(text)
	u.send()
	return true
}

func (u *uart) setGone(gone bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.gone = gone
}

// powerOff loses what a UART with a speed has not sent yet.
func (u *uart) powerOff() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.baud > 0 {
		u.pending.Reset()
	}
}

// start begins to send. The function that it returns ends that, and waits for what is pending to be sent; where the
// line takes nothing, it gives up after a while and leaves it to whoever closes the line to end the Write that waits.
func (u *uart) start() (stop func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.started = true
	u.send()
	return u.stop
}

func (u *uart) stop() {
	close(u.stopping)
	for u.ends() {
		late := time.NewTimer(patience)
		select {
		case <-u.idle:
		case <-u.room:
		case <-late.C:
			return
		}
		late.Stop()
	}
}

// ends begins nothing new, and says whether something is still being sent.
func (u *uart) ends() (sending bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.started = false
	return u.sending
}

// send sees to it that what is pending is put on the line. To be called with the lock held.
func (u *uart) send() {
	if !u.started || u.sending || u.pending.Len() == 0 {
		return
	}
	u.sending = true
	go func() {
		for chunk := u.next(); len(chunk) > 0; chunk = u.next() {
			u.travel(len(chunk))
			_, _ = u.line.Write(chunk) // a UART does not know whether anybody listens
			u.setGone(false)
			signal(u.room)
		}
		signal(u.idle)
	}()
}

// travel waits while n bytes are on the line. Nobody waits for that when the console has ended.
func (u *uart) travel(n int) {
	if u.baud == 0 {
		return
	}
	if now := time.Now(); u.free.Before(now) {
		u.free = now
	}
	u.free = u.free.Add(u.takes(n))
	arrival := time.NewTimer(time.Until(u.free))
	defer arrival.Stop()
	select {
	case <-arrival.C:
	case <-u.stopping:
	}
}

// next takes what is to be sent next. With nothing there, sending ends, and no memory is kept for it.
func (u *uart) next() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.pending.Len() == 0 {
		u.pending, u.sending = bytes.Buffer{}, false
		return nil
	}
	return bytes.Clone(u.pending.Next(u.chunk()))
}

// typed is the receiving half of the serial port: bytes that the console's task has not read yet. It holds only so
// many, as a chip; what comes when it is full is lost.
type typed struct {
	arrived chan struct{} // something was typed
	room    int           // bytes that are held for a console that is busy

	mu    sync.Mutex
	bytes []byte
	busy  bool   // the console's task is at something else than reading
	start func() // starts the console's task; nil where it waits for arrived
	runs  bool   // it was started, and has not found everything taken
}

// typedLimit bounds what is held for a console, in bytes, where the line has no speed.
const typedLimit = 64 << 10

func newTyped(baud int) *typed {
	t := &typed{arrived: make(chan struct{}, 1), room: typedLimit, busy: true}
	if baud > 0 {
		t.room = uartFIFO + uartDriver
	}
	return t
}

func (t *typed) add(data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	room := typedLimit
	if t.busy { // a console that reads takes bytes sooner than they come, however late this program may be
		room = t.room
	}
	t.bytes = append(t.bytes, data[:min(len(data), max(0, room-len(t.bytes)))]...)
	t.arrives()
}

// serve has a console's task started when something was typed, which then takes until nothing is left.
func (t *typed) serve(start func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start, t.busy = start, false
	if len(t.bytes) > 0 {
		t.arrives()
	}
}

// arrives tells the console's task. To be called with the lock held.
func (t *typed) arrives() {
	switch {
	case t.start == nil:
		signal(t.arrived)
	case !t.runs:
		t.runs = true
		t.start()
	}
}

// take takes what was typed, up to the end of a line. With nothing there, the console begins to read.
func (t *typed) take() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = len(t.bytes) > 0
	t.runs = t.busy
	n := len(t.bytes)
	if i := bytes.IndexAny(t.bytes, "\r\n"); i >= 0 {
		n = i + 1
	}
	data := t.bytes[:n]
	if t.bytes = t.bytes[n:]; len(t.bytes) == 0 {
		t.bytes = nil
	}
	return data
}

// signal says on a channel with room for one signal that something has happened.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
