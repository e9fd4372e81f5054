package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"mqtthil/faults"
	"mqtthil/harness/timeline"
)

// watch is what sees everything of one proxy: it hands it on to the record, shows it, and says what somebody should know.
type watch struct {
	proxy    string
	upstream string
	say      func(string)
	show     func(format string, arguments ...any) // nil: nothing is shown
	record   *timeline.Stream                      // nil: nothing is recorded

	mu    sync.Mutex
	start time.Time
	next  int
	told  map[int]bool // connections of which was said that they are not MQTT
}

// open opens the proxy's record, where there is a folder for it.
func (w *watch) open(folder *recordFolder, listen string) (faults.Record, func(), error) {
	w.start, w.told = time.Now(), map[int]bool{}
	if folder == nil {
		return w, func() {}, nil
	}
	record, done, err := folder.add(w.proxy, listen, w.upstream)
	w.record = record
	return w, done, err
}

// Append implements faults.Record.
func (w *watch) Append(e timeline.Event) timeline.Event {
	if w.record != nil {
		e = w.record.Append(e)
	} else {
		e = w.stamp(e)
	}
	if w.show != nil {
		if text := shown(e); text != "" {
			at := w.start.Add(e.At).Format("15:04:05.000000")
			w.show("%s %s %s\n", at, w.proxy, fit(printable(text), longestLine))
		}
	}
	w.tell(e)
	return e
}

// longestLine bounds what is shown of a packet.
const longestLine = 400

func (w *watch) stamp(e timeline.Event) timeline.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.Seq, e.At = w.next, time.Since(w.start)
	w.next++
	return e
}

// shown is an event in a line: the connection's number, the direction, and what came in or was done; empty for what is not
// shown, such as that a packet has gone out as it came.
func shown(e timeline.Event) string {
	point := e.Point
	if e.Fault != nil {
		point = e.Fault.Point
	}
	arrow := " "
	switch point {
	case timeline.LeftDevice:
		arrow = "→"
	case timeline.LeftBroker:
		arrow = "←"
	}
	var what string
	switch {
	case e.Kind == timeline.KindFault && e.Fault.Rule > 0:
		what = fmt.Sprintf("   rule %d: %s", e.Fault.Rule, e.Fault.Action)
	case e.Kind == timeline.KindFault:
		what = "   " + e.Fault.Text
		if e.Fault.Action != "link" && !strings.HasPrefix(e.Fault.Text, e.Fault.Action) {
			what += ": " + e.Fault.Action
		}
	case arrow == " ":
		return ""
	case e.Kind == timeline.KindPacket:
		what = e.Packet.String()
	case e.Kind == timeline.KindRaw:
		what = e.Text
	case e.Kind == timeline.KindOpen:
		what = "connected"
	case e.Kind == timeline.KindClose:
		what = e.Text
	}
	if e.Conn == 0 {
		return fmt.Sprintf("%6s %s %s", "", arrow, what)
	}
	return fmt.Sprintf("%6s %s %s", fmt.Sprintf("#%d", e.Conn), arrow, what)
}

// mostTold bounds how many connections are kept in mind of which something was said.
const mostTold = 1 << 16

// tell says what somebody should know who looks neither at packets nor at a record.
func (w *watch) tell(e timeline.Event) {
	switch {
	case e.Kind == timeline.KindClose && e.Point == timeline.ReachedBroker && strings.HasPrefix(e.Text, "reaching the broker"):
		text := fmt.Sprintf("proxy %s, connection %d: %s", w.proxy, e.Conn, e.Text)
		if !strings.Contains(e.Text, "handshake with the broker") { // then there is something
			text += fmt.Sprintf("; is there a broker at %s?", w.upstream)
		}
		w.say(text)
	case e.Kind == timeline.KindClose && e.Point == timeline.LeftDevice && strings.Contains(e.Text, "handshake with the device"):
		w.say(fmt.Sprintf("proxy %s, connection %d: %s", w.proxy, e.Conn, e.Text))
	case e.Kind == timeline.KindRaw && (e.Point == timeline.LeftDevice || e.Point == timeline.LeftBroker):
		w.mu.Lock()
		known := w.told[e.Conn]
		if len(w.told) >= mostTold {
			clear(w.told)
		}
		w.told[e.Conn] = true
		w.mu.Unlock()
		if !known {
			w.say(fmt.Sprintf("proxy %s, connection %d: %s; it is relayed as it is", w.proxy, e.Conn, e.Text))
		}
	}
}

// printable takes from what a device or a broker has put into a text, such as a topic, its power over the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
