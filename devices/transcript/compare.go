package transcript

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Tolerances. Times are measured from the start or from the newest connection, whichever fits better: a wait between
// connections is R or 1.5 R by a race in the client.
const (
	slackMilliseconds = 60
	slackPercent      = 2
	orderMilliseconds = 20 // an order between observers counts where the recording has it further apart than this
)

// observer is one of those who saw a trace. Each saw its rows in an order of their own.
type observer string

const (
	wire    observer = "wire"    // the broker
	task    observer = "task"    // the client's task, by its events
	console observer = "console" // the console's task, by its answers
)

// consoleText is what the console's task prints.
var consoleText = regexp.MustCompile(`^(Mqtt client|Publish |Subscribe |Unsubscribe |OUTBOX)`)

// sight is a row as an observer saw it.
type sight struct {
	Row
	sinceAccept int
}

// observerOf says who saw the row; it is empty for what is no expectation.
func observerOf(r Row) observer {
	switch r.Kind {
	case kindFromDevice, kindClosedByDevice, kindResetByDevice, kindAccept, kindUpgrade, kindFrame:
		return wire
	case kindEvent:
		if consoleText.MatchString(r.Text) {
			return console
		}
		return task
	}
	return ""
}

// observe sorts a trace by its observers.
func observe(rows []Row) map[observer][]sight {
	seen := map[observer][]sight{}
	accepted := 0
	for _, r := range rows {
		if r.Kind == kindAccept {
			accepted = r.At
		}
		if r.Kind == kindResetByDevice { // which of the two it is depends on what was unread
			r.Kind = kindClosedByDevice
		}
		if o := observerOf(r); o != "" {
			seen[o] = append(seen[o], sight{r, r.At - accepted})
		}
	}
	return seen
}

// Difference says where two traces first differ; it is empty where they agree.
func Difference(recorded, played []Row) string {
	want, got := observe(recorded), observe(played)
	ids := identifiers{}
	for _, o := range []observer{wire, task, console} {
		for i := range max(len(want[o]), len(got[o])) {
			switch {
			case i >= len(got[o]):
				return fmt.Sprintf("%s row %d: recorded %s, played nothing more", o, i, want[o][i])
			case i >= len(want[o]):
				return fmt.Sprintf("%s row %d: recorded nothing more, played %s", o, i, got[o][i])
			}
			if what := ids.differ(want[o][i], got[o][i]); what != "" {
				return fmt.Sprintf("%s row %d: recorded %s, played %s: %s", o, i, want[o][i], got[o][i], what)
			}
		}
	}
	return disorder(want, got)
}

// disorder finds two rows of different observers that changed places; the rows of each observer are known to agree.
func disorder(want, got map[observer][]sight) string {
	for first, firsts := range want {
		for second, seconds := range want {
			if first == second {
				continue
			}
			for i, a := range firsts {
				for j, b := range seconds {
					if b.At-a.At > orderMilliseconds && got[first][i].At > got[second][j].At {
						return fmt.Sprintf("recorded %s before %s, played %s after %s", a, b, got[first][i], got[second][j])
					}
				}
			}
		}
	}
	return ""
}

func (s sight) String() string {
	text := s.Text
	switch s.Kind {
	case kindFromDevice:
		text = s.Packet + " " + s.Hex
		if s.Hex == "" {
			text = fmt.Sprintf("%s %s… (%d bytes)", s.Packet, s.Head, s.Length)
		}
	case kindFrame:
		text = fmt.Sprintf("opcode %d, fin %d, masked %v, %d bytes", s.Opcode, s.FIN, s.Masked, s.Length)
	}
	where := ""
	if s.Conn != 0 {
		where = fmt.Sprintf(" on %d", s.Conn)
	}
	return fmt.Sprintf("[%d ms%s: %s %s]", s.At, where, s.Kind, text)
}

// identifiers pairs the packet identifiers of the two traces: the client chooses them by chance, but where one repeats
// in the one trace it has to repeat in the other.
type identifiers struct{ there, back map[string]string }

func (ids *identifiers) same(recorded, played string) bool {
	if ids.there == nil {
		ids.there, ids.back = map[string]string{}, map[string]string{}
	}
	there, known := ids.there[recorded]
	back, knownBack := ids.back[played]
	if !known && !knownBack {
		ids.there[recorded], ids.back[played] = played, recorded
		return true
	}
	return known && knownBack && there == played && back == recorded
}

// differ says in which way a row is another one; it is empty where it is the same.
func (ids *identifiers) differ(a, b sight) string {
	switch {
	case a.Kind != b.Kind || a.Conn != b.Conn:
		return "something else"
	case a.Kind == kindFromDevice:
		if what := ids.differPacket(a.Row, b.Row); what != "" {
			return what
		}
	case a.Kind == kindFrame && (a.Opcode != b.Opcode || a.FIN != b.FIN || a.Masked != b.Masked || a.Length != b.Length):
		return "another frame"
	case a.Kind == kindUpgrade && a.Text != b.Text:
		return "another request"
	case a.Kind == kindEvent:
		if what := ids.differText(a.Text, b.Text); what != "" {
			return what
		}
	}
	if a.Kind == kindAccept && a.Conn > 1 || a.Text == "MQTT_EVENT_BEFORE_CONNECT" {
		return "" // what follows counts from here
	}
	if !near(a.At, b.At) && !near(a.sinceAccept, b.sinceAccept) {
		return fmt.Sprintf("another time, since the connection was accepted %d and %d ms", a.sinceAccept, b.sinceAccept)
	}
	return ""
}

func near(recorded, played int) bool {
	return max(recorded-played, played-recorded) <= max(slackMilliseconds, slackPercent*recorded/100)
}

// differPacket compares two packets.
func (ids *identifiers) differPacket(a, b Row) string {
	recorded, recordedID := splitID(a)
	played, playedID := splitID(b)
	switch {
	case a.Length != b.Length:
		return "another length"
	case recorded != played:
		return "another packet"
	case recordedID == "" && a.Sum != b.Sum && !hidesID(a):
		return "another payload"
	case recordedID != "" && !ids.same(number(recordedID), number(playedID)):
		return "another packet identifier"
	}
	return ""
}

// splitID takes the identifier out of a packet for which the client chose one.
func splitID(r Row) (rest, id string) {
	text := r.Hex + r.Head
	data, err := hex.DecodeString(text)
	if err != nil || len(data) < 2 {
		return text, ""
	}
	i := 1
	for i < len(data) && data[i]&0x80 != 0 {
		i++
	}
	i++
	switch kind := data[0] >> 4; {
	case kind == 3 && data[0]&6 != 0 && i+2 <= len(data):
		i += 2 + (int(data[i])<<8 | int(data[i+1]))
	case kind == 6 || kind == 8 || kind == 10:
	default:
		return text, ""
	}
	if i+2 > len(data) {
		return text, ""
	}
	return text[:2*i] + "...." + text[2*i+4:], text[2*i : 2*i+4]
}

// hidesID says whether a packet has an identifier beyond the part of it that was kept, for which its sum is another each
// time: a PUBLISH with QoS > 0 and a long topic.
func hidesID(r Row) bool {
	first, err := hex.DecodeString((r.Head + "00")[:2])
	return err == nil && first[0]>>4 == 3 && first[0]&6 != 0
}

// number is a hexadecimal identifier as an event line shows it.
func number(id string) string {
	var n uint16
	_, _ = fmt.Sscanf(id, "%x", &n)
	return fmt.Sprint(n)
}

var (
	errnoText     = regexp.MustCompile(`sock_errno=(\d+)`)
	messageIDText = regexp.MustCompile(`msg_id=(\d{2,})`)
)

// differText compares two lines of the console.
func (ids *identifiers) differText(a, b string) string {
	if x, y := messageIDText.FindStringSubmatch(a), messageIDText.FindStringSubmatch(b); x != nil && y != nil {
		if !ids.same(x[1], y[1]) {
			return "another packet identifier"
		}
		a, b = strings.Replace(a, x[0], "", 1), strings.Replace(b, y[0], "", 1)
	}
	if x, y := errnoText.FindStringSubmatch(a), errnoText.FindStringSubmatch(b); x != nil && y != nil {
		if meaning, ok := boardErrno[x[1]]; ok && meaning != y[1] || !ok && x[1] != y[1] {
			return "another error number (recorded in Linux's numbers, played in a board's)"
		}
		a, b = strings.Replace(a, x[0], "", 1), strings.Replace(b, y[0], "", 1)
	}
	if a != b {
		return "another line"
	}
	return ""
}

// boardErrno gives the error number of a board, which is newlib's, for that of Linux, where they are not the same.
var boardErrno = map[string]string{
	"101": "114", // ENETUNREACH
	"103": "113", // ECONNABORTED
	"107": "128", // ENOTCONN
	"110": "116", // ETIMEDOUT
	"113": "118", // EHOSTUNREACH
	"115": "119", // EINPROGRESS
}
