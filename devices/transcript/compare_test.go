package transcript

import (
	"strings"
	"testing"
)

// recorded is a trace of a client that connects, publishes, and repeats the message on a second connection.
func recorded() []Row {
	return []Row{
		{At: 0, Kind: kindCommand, Text: "start"},
		{At: 1, Kind: kindEvent, Text: "MQTT_EVENT_BEFORE_CONNECT"},
		{At: 1, Kind: kindAccept, Conn: 1},
		{At: 2, Kind: kindFromDevice, Conn: 1, Packet: "CONNECT", Hex: "100c00044d515454040200780000"},
		{At: 500, Kind: kindEvent, Text: "Publish requested, msg_id=4711"},
		{At: 501, Kind: kindFromDevice, Conn: 1, Packet: "PUBLISH", Hex: "320500017412677a"},
		{At: 600, Kind: kindFromDevice, Conn: 1, Packet: "PUBREL", Hex: "62024242"},
		{At: 900, Kind: kindClosedByDevice, Conn: 1},
		{At: 900, Kind: kindEvent, Text: "ERROR type=1 connect_return_code=0 sock_errno=113"},
		{At: 2400, Kind: kindEvent, Text: "MQTT_EVENT_BEFORE_CONNECT"},
		{At: 2400, Kind: kindAccept, Conn: 2},
		{At: 3400, Kind: kindFromDevice, Conn: 2, Packet: "PUBLISH", Hex: "3a0500017412677a"},
		{At: 3410, Kind: kindEvent, Text: "MQTT_EVENT_PUBLISHED, msg_id=4711"},
	}
}

func TestDifference(t *testing.T) {
	t.Parallel()
	at := func(i, ms int) func([]Row) []Row {
		return func(rows []Row) []Row { rows[i].At = ms; return rows }
	}
	replace := func(i int, old, new string) func([]Row) []Row {
		return func(rows []Row) []Row {
			rows[i].Text = strings.Replace(rows[i].Text, old, new, 1)
			rows[i].Hex = strings.Replace(rows[i].Hex, old, new, 1)
			return rows
		}
	}
	both := func(changes ...func([]Row) []Row) func([]Row) []Row {
		return func(rows []Row) []Row {
			for _, change := range changes {
				rows = change(rows)
			}
			return rows
		}
	}
	onBoard := replace(8, "=113", "=118")
	for name, test := range map[string]struct {
		change func([]Row) []Row
		want   string // a part of the difference; empty where there must be none
	}{
		"the same":              {both(), ""},
		"errno of another kind": {replace(8, "=118", "=104"), "error number"},
		"a little later":        {at(5, 555), ""},
		"too late":              {at(5, 565), "another time"},
		"2 %":                   {at(12, 3470), ""},
		"the wait is shorter":   {both(at(9, 1900), at(10, 1900), at(11, 2900), at(12, 2910)), ""},
		"the wait's end moves":  {both(at(9, 1900), at(10, 1900), at(11, 3200), at(12, 3210)), "another time"},
		"reset, not closed":     {func(rows []Row) []Row { rows[7].Kind = kindResetByDevice; return rows }, ""},
		"other identifiers": {both(replace(4, "4711", "77"), replace(5, "1267", "004d"),
			replace(11, "1267", "004d"), replace(12, "4711", "77")), ""},
		"repeated under another":  {replace(11, "1267", "1268"), "another packet identifier"},
		"two become one":          {replace(6, "4242", "1267"), "another packet identifier"},
		"the event's is another":  {replace(12, "4711", "4712"), "another packet identifier"},
		"no DUP":                  {replace(11, "3a05", "3205"), "another packet"},
		"another payload":         {replace(5, "7a", "7b"), "another packet"},
		"a row is missing":        {func(rows []Row) []Row { return rows[:len(rows)-1] }, "played nothing more"},
		"a row too many":          {func(rows []Row) []Row { return append(rows, rows[12]) }, "recorded nothing more"},
		"on another connection":   {func(rows []Row) []Row { rows[11].Conn = 3; return rows }, "something else"},
		"order between observers": {both(at(6, 552), at(4, 551)), ""},
		"order turned round":      {both(at(6, 545), at(4, 555)), "before"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Difference(recorded(), test.change(onBoard(recorded())))
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("difference %q, which should hold %q", got, test.want)
			}
		})
	}
}

// TestFirstDifference: what is reported is the first row that differs.
func TestFirstDifference(t *testing.T) {
	t.Parallel()
	played := recorded()
	played[3].Hex, played[5].Hex = "1000", "3000"
	if got := Difference(recorded(), played); !strings.Contains(got, "wire row 1") || !strings.Contains(got, "CONNECT") {
		t.Errorf("the first difference is %s", got)
	}
}

// TestLongPacket: of a long packet only the beginning and a sum were kept. The sum counts unless it covers an identifier
// that is not seen.
func TestLongPacket(t *testing.T) {
	t.Parallel()
	topic := strings.Repeat("79", 56)
	for _, test := range []struct {
		head, want string
	}{
		{"30990200" + "38" + topic, "another payload"},
		{"32990200" + "38" + topic, ""},
		{"3299020001" + "79" + "1267" + "00", ""},
		{"82990200" + "01", ""},
	} {
		row := func(sum string) []Row {
			return []Row{{Kind: kindFromDevice, Conn: 1, Head: test.head[:min(len(test.head), 96)], Length: 284, Sum: sum}}
		}
		got := Difference(row("00000001"), row("00000002"))
		if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, not %q", test.head, got, test.want)
		}
		if got := Difference(row("00000001"), row("00000001")); got != "" {
			t.Errorf("%s: differs from itself: %s", test.head, got)
		}
	}
}
