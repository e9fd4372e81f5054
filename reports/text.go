package reports

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mqtthil/harness/timeline"
)

// Bounds of what is shown of one text. Records keep the whole.
const (
	maxLine  = 400  // runes of a text within a line
	maxBlock = 8000 // runes of a text that may have lines of its own
	maxLines = 100  // lines of such a text
	maxBytes = 32   // bytes of a packet
)

// line makes any bytes fit to be shown within one line: what would not be seen as itself (control characters, marks of
// direction, bytes that are no UTF-8) is shown as an escape, and a text too long is cut where it says so.
func line(s string) string { return printable(s, maxLine, false) }

// block is line for texts that may have several lines.
func block(s string) string {
	s = strings.ReplaceAll(strings.TrimRight(s, "\r\n \t"), "\r\n", "\n")
	end, lines := 0, 0
	for end < len(s) && lines < maxLines {
		next := strings.IndexByte(s[end:], '\n')
		if next < 0 {
			return printable(s, maxBlock, true)
		}
		end += next + 1
		lines++
	}
	if end == len(s) {
		return printable(s, maxBlock, true)
	}
	left := strings.Count(s[end:], "\n") + 1
	return printable(s[:end], maxBlock, true) + fmt.Sprintf("… (%s more)", count(left, "line"))
}

func printable(s string, limit int, lines bool) string {
	var b strings.Builder
	shown := 0
	for i := 0; i < len(s); shown++ {
		if shown == limit {
			fmt.Fprintf(&b, "… (%s in all)", count(len(s), "byte"))
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case lines && (r == '\n' || r == '\t'), unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		i += size
	}
	return b.String()
}

// seconds writes a time of the record or a duration, such as 12.345 s.
func seconds(d time.Duration) string { return clock(d) + " s" }

// clock is seconds without the unit, for columns.
func clock(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// bytesOf shows the first bytes of a packet or of what is none, in hexadecimal and as text. It is empty where there is
// nothing to show.
func bytesOf(e *timeline.Event) string {
	switch {
	case e.Kind == timeline.KindPacket && e.Packet != nil:
		raw := e.Packet.Raw
		if shown, secret := withoutSecret(e.Packet); secret {
			return dump(shown, len(shown)) + fmt.Sprintf(" (of %s; the rest may hold a password)",
				count(e.Packet.Length, "byte"))
		}
		return dump(raw, e.Packet.Length)
	case e.Kind == timeline.KindRaw:
		return dump(e.Data, len(e.Data))
	}
	return ""
}

// withoutSecret cuts a CONNECT that may hold a password behind its fixed header, protocol name and level, flags and
// keep alive, which take 12 bytes at least: a report is mailed around and a password must not be.
func withoutSecret(p *timeline.Packet) (shown []byte, cut bool) {
	const head = 12
	if p.Type != "CONNECT" || len(p.Raw) <= head || p.Connect != nil && !p.Connect.HasPassword {
		return p.Raw, false
	}
	return p.Raw[:head], true
}

// dump shows the first bytes of data, of which there were length.
func dump(data []byte, length int) string {
	if len(data) == 0 {
		return ""
	}
	shown := data[:min(len(data), maxBytes)]
	var b strings.Builder
	for i, c := range shown {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteString(hex.EncodeToString([]byte{c}))
	}
	b.WriteString("  ")
	for _, c := range shown {
		if c < ' ' || c > '~' {
			c = '.'
		}
		b.WriteByte(c)
	}
	if length > len(shown) {
		fmt.Fprintf(&b, "… (%s in all)", count(length, "byte"))
	}
	return b.String()
}

// describe says in a line what an event tells.
func describe(e *timeline.Event) string { return line(tell(e)) }

// tell is describe before its text has been made fit to be shown.
func tell(e *timeline.Event) string {
	switch {
	case e.Packet != nil:
		return e.Packet.String()
	case e.Kind == timeline.KindRaw:
		return fmt.Sprintf("%s that are no packet: %s", count(len(e.Data), "byte"), e.Text)
	case e.Kind == timeline.KindOpen:
		return "connection opened"
	case e.Kind == timeline.KindClose:
		return "connection closed: " + closing(e.Text)
	case e.Device != nil:
		return tellDevice(e.Device)
	case e.Broker != nil:
		return tellBroker(e.Broker)
	case e.Kind == timeline.KindRule && e.Fault != nil && e.Fault.Action != "":
		return tellFault(e.Fault)
	case e.Kind == timeline.KindRule && e.Fault != nil:
		return fmt.Sprintf("rule %d is armed: %s", e.Fault.Rule, e.Fault.Text)
	case e.Fault != nil:
		return tellFault(e.Fault)
	case e.Check != nil && e.Check.Passed:
		return "holds: " + e.Check.Text
	case e.Check != nil:
		return "does not hold: " + e.Check.Text + ": " + e.Check.Message
	case e.Finding != nil && e.Finding.Deviation != "":
		return fmt.Sprintf("known deviation %s: %s (%s)", e.Finding.Requirement, e.Finding.Text, e.Finding.Deviation)
	case e.Finding != nil:
		return fmt.Sprintf("finding %s: %s", e.Finding.Requirement, e.Finding.Text)
	case e.Scenario != nil:
		return e.Scenario.Name
	case e.Verdict != nil:
		return strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Verdict.Status, e.Verdict.Owner, e.Verdict.Message))
	case len(e.Data) > 0:
		return string(e.Data)
	}
	return e.Text
}

// closing writes the two ways in which TCP ends a connection as engineers do.
func closing(cause string) string {
	switch cause {
	case "fin", "rst":
		return strings.ToUpper(cause)
	case "":
		return "cause unknown"
	}
	return cause
}

func tellDevice(d *timeline.Device) string {
	var names []string
	for name := range d.Fields {
		names = append(names, name)
	}
	slices.Sort(names)
	s := d.Name
	for _, name := range names {
		s += " " + name + "=" + d.Fields[name]
	}
	return s
}

func tellBroker(b *timeline.Broker) string {
	s := b.Hook
	if b.Client != "" {
		s += " " + b.Client
	}
	if b.ID != 0 {
		s += fmt.Sprintf(" id %d", b.ID)
	}
	if b.Topic != "" {
		s += fmt.Sprintf(" %s QoS %d", b.Topic, b.QoS)
		if b.Retain {
			s += " retain"
		}
	}
	if len(b.Payload) > 0 {
		s += fmt.Sprintf(" “%s”", b.Payload)
	}
	if b.Text != "" {
		s += ": " + b.Text
	}
	return s
}

func tellFault(f *timeline.Fault) string {
	s := "bench"
	if f.Rule > 0 {
		s = fmt.Sprintf("rule %d", f.Rule)
	}
	s += ": " + f.Action
	if f.Text != "" && f.Text != f.Action {
		s += " (" + f.Text + ")"
	}
	return s
}
