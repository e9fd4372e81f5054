package emulator

import (
	"fmt"
	"strings"
	"time"

	"mqtthil/devices/frame"
)

// Bounds and times of the stub console; firmware-stub/README.md has the rules that they belong to.
const (
	stubProtocol = 1
	stubMessage  = 32 << 10         // the longest command, bytes of all its parts
	stubKept     = 64 << 10         // bytes of events that are held until they are acknowledged
	stubRepeat   = time.Second      // until what was not acknowledged is sent again; each time twice as long
	stubSeldom   = 32 * time.Second // but no longer than this
)

// stubLink is the device's end of a stub console: it takes frames in, and sees to it that each command is run once and
// each event arrives.
type stubLink struct {
	power *power
	ready func() object // who the device is
	// run runs a command. What it leaves to be done once it is answered may be nil.
	run func(text string) (result object, after func())

	lock     chan struct{} // held while one of the fields below is used; a channel, so that virtual time can see the wait
	greeted  bool          // the bench has sent a frame since the boot
	readies  int           // how often the device has said who it is
	last     uint32        // number of the last frame of a command that has come; 0: none
	parts    strings.Builder
	reply    string // the frame that answers the last one; empty while the command runs, and for a part of one
	next     uint32 // number of the next event
	kept     []keptEvent
	keptSize int
	gone     bool // nobody acknowledges events
	moved    bool // something was acknowledged since the last repetition

	jobs    chan stubJob
	room    chan struct{} // events were acknowledged
	stirred chan struct{} // there is something to repeat
}

// keptEvent is an event that was sent and is not acknowledged.
type keptEvent struct {
	frames []frame.Frame
	size   int
}

// last is the number of its last frame.
func (k *keptEvent) last() uint32 { return k.frames[len(k.frames)-1].Number }

// stubJob is a command that is to run.
type stubJob struct {
	number uint32
	text   string
}

func newStubLink(p *power) *stubLink {
	return &stubLink{power: p, lock: make(chan struct{}, 1), next: 1, jobs: make(chan stubJob, 1),
		room: make(chan struct{}, 1), stirred: make(chan struct{}, 1)}
}

func (l *stubLink) hold() (release func()) {
	l.lock <- struct{}{}
	return func() { <-l.lock }
}

func (l *stubLink) send(f frame.Frame) { l.power.write(f.String() + "\r\n") }

// read takes what is typed, until the power goes.
func (l *stubLink) read() {
	l.power.tasks.Go(l.work)
	l.power.tasks.Go(l.remind)
	release := l.hold()
	l.sayReady()
	release()
	var lines stubReader
	for {
		select {
		case <-l.power.off:
			return
		case <-l.power.typed.arrived:
			l.power.wake(lineCost)
		}
		for text := l.power.typed.take(); len(text) > 0; text = l.power.typed.take() {
			for _, b := range text {
				for _, line := range lines.take(b) {
					l.receive(line)
				}
			}
		}
	}
}

// stubReader cuts what is typed into frames. It holds no more than one of the longest.
type stubReader struct {
	line   []byte
	inside bool // behind Start
}

// stubLine is what may be a frame: a text that has ended.
type stubLine struct {
	text  string
	frame bool // there was Start before it
	cut   bool // another frame began before its line end
}

// take takes a byte and returns what it ends. A carriage return before the line end is no part of a line.
func (r *stubReader) take(b byte) (ended []stubLine) {
	if b != '\n' && b != frame.Start[0] {
		if len(r.line) < frame.Limit { // one that is longer is known by that
			r.line = append(r.line, b)
		}
		return nil
	}
	text := strings.TrimSuffix(string(r.line), "\r")
	if r.inside || strings.TrimSpace(text) != "" {
		ended = append(ended, stubLine{text, r.inside, b != '\n'})
	}
	r.line, r.inside = r.line[:0], b != '\n'
	return ended
}

// receive takes what may be a frame.
func (l *stubLink) receive(line stubLine) {
	defer l.hold()()
	f, err := frame.Parse(line.text)
	switch {
	case !line.frame:
		err = fmt.Errorf("%w: a frame begins with the character 0x1e", frame.ErrForm)
	case line.cut:
		err = fmt.Errorf("%w: another frame began before it had ended", frame.ErrForm)
	}
	if err == nil {
		err = l.take(f)
	}
	if err != nil {
		code, text, _ := strings.Cut(err.Error(), ": ")
		l.send(frame.Frame{Kind: frame.Nak, Number: l.last, Body: object{{"error", code}, {"text", text}}.json()})
	}
}

// take takes a frame. With an error it has done nothing.
func (l *stubLink) take(f frame.Frame) error {
	if f.Kind != frame.Command && (f.More || f.Body != "") {
		return fmt.Errorf("%w: %s has no body", frame.ErrForm, f.Kind)
	}
	switch f.Kind {
	case frame.Who:
		l.sayReady()
	case frame.Got:
		l.acknowledged(f.Number)
	case frame.Again:
		l.acknowledged(f.Number - min(f.Number, 1))
		l.again(f.Number)
	case frame.Command:
		l.command(f)
	default:
		return fmt.Errorf("%w: the bench sends %s, %s, %s and %s", frame.ErrForm, frame.Command, frame.Got, frame.Again, frame.Who)
	}
	l.greeted, l.gone = true, false
	return nil
}

// command takes a frame of a command. One that has come before is not run again.
func (l *stubLink) command(f frame.Frame) {
	switch {
	case f.Number == l.last && l.reply != "":
		l.power.write(l.reply)
		return
	case f.Number == l.last && l.last > 0:
		l.send(frame.Frame{Kind: frame.Ack, Number: f.Number})
		return
	case f.Number != l.last+1 || l.running():
		l.sayReady()
		return
	}
	l.last, l.reply = f.Number, ""
	l.send(frame.Frame{Kind: frame.Ack, Number: f.Number})
	tooLong := l.parts.Len()+len(f.Body) > stubMessage
	if !tooLong {
		l.parts.WriteString(f.Body)
	}
	if f.More && !tooLong {
		return
	}
	text := l.parts.String()
	l.parts.Reset()
	if tooLong {
		l.answer(f.Number, stubError{code: "too-long",
			text: fmt.Sprintf("a command has at most %d bytes", stubMessage)}.object())
		return
	}
	l.jobs <- stubJob{f.Number, text} // there is room for one, and one is all that there can be
}

// running says whether a command runs, or waits to.
func (l *stubLink) running() bool { return l.last > 0 && l.reply == "" && l.parts.Len() == 0 }

// answer answers a command, and keeps the answer.
func (l *stubLink) answer(number uint32, result object) {
	l.reply = frame.Frame{Kind: frame.Result, Number: number, Body: result.json()}.String() + "\r\n"
	l.power.write(l.reply)
}

// work runs commands, one after the other, until the power goes.
func (l *stubLink) work() {
	for {
		select {
		case <-l.power.off:
			return
		case job := <-l.jobs:
			result, after := l.run(job.text)
			release := l.hold()
			l.answer(job.number, result)
			release()
			if after != nil {
				after()
			}
		}
	}
}

// sayReady says who the device is, and how far the counts are.
func (l *stubLink) sayReady() {
	body := append(l.ready(), object{{"command", l.last}, {"event", l.next}, {"repeat", l.readies}}...)
	l.readies++
	l.send(frame.Frame{Kind: frame.Ready, Number: stubProtocol, Body: body.json()})
}

// event sends an event, when there is room to keep it.
func (l *stubLink) event(text string) {
	for {
		release := l.hold()
		if l.keptSize+len(text) <= stubKept || l.gone || len(l.kept) == 0 {
			l.keep(frame.Split(frame.Event, l.next, text, frame.Limit))
			release()
			return
		}
		release()
		late := time.NewTimer(patience)
		select {
		case <-l.room:
		case <-l.power.off:
		case <-late.C:
			release := l.hold()
			l.gone = true
			release()
		}
		late.Stop()
		if l.power.dead() {
			return
		}
	}
}

// keep sends the frames of an event and keeps them. For want of room the oldest events are forgotten.
func (l *stubLink) keep(frames []frame.Frame) {
	if len(l.kept) == 0 {
		signal(l.stirred)
	}
	event := keptEvent{frames: frames}
	for _, f := range frames {
		l.send(f)
		event.size += len(f.Body)
	}
	l.next += uint32(len(frames))
	l.kept, l.keptSize = append(l.kept, event), l.keptSize+event.size
	for l.keptSize > stubKept && len(l.kept) > 1 {
		l.forget()
	}
}

// forget forgets the oldest event.
func (l *stubLink) forget() {
	l.keptSize -= l.kept[0].size
	l.kept = l.kept[1:]
}

// acknowledged forgets the events up to a number: they have arrived.
func (l *stubLink) acknowledged(number uint32) {
	for len(l.kept) > 0 && l.kept[0].last() <= number {
		l.forget()
		l.moved = true
	}
	signal(l.room)
}

// again sends the events from a number on once more. Of those that are forgotten it says that they are lost; with 0
// it does not.
func (l *stubLink) again(from uint32) {
	oldest := l.next
	if len(l.kept) > 0 {
		oldest = l.kept[0].frames[0].Number
	}
	if from > 0 && from < oldest {
		l.send(frame.Frame{Kind: frame.Event, Number: oldest - 1,
			Body: object{{"event", "LOST"}, {"from", from}}.json()})
	}
	for _, event := range l.kept {
		for _, f := range event.frames {
			if f.Number >= from {
				l.send(f)
			}
		}
	}
}

// remind repeats what the bench has not acknowledged: who the device is, and events.
func (l *stubLink) remind() {
	wait := stubRepeat
	for {
		release := l.hold()
		idle := l.greeted && len(l.kept) == 0
		l.moved = l.moved && !idle
		release()
		if idle {
			wait = stubRepeat
			select {
			case <-l.stirred:
				continue
			case <-l.power.off:
				return
			}
		}
		late := time.NewTimer(wait)
		select {
		case <-late.C:
		case <-l.power.off:
			late.Stop()
			return
		}
		wait = min(2*wait, stubSeldom)
		if l.repeat() {
			wait = stubRepeat
		}
	}
}

// repeat repeats what has been waiting. It says whether it need not yet: something was acknowledged meanwhile.
func (l *stubLink) repeat() (moved bool) {
	defer l.hold()()
	moved, l.moved = l.moved, false
	switch {
	case !l.greeted:
		l.sayReady()
	case !moved:
		l.again(0)
	}
	return moved
}
