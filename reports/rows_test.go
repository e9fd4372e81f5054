package reports

import (
	"slices"
	"testing"
	"time"

	"mqtthil/harness/timeline"
)

// FuzzDraw draws records of which each event is made from four bytes. Whatever happens on the wire, a short record is
// drawn whole: each event but the opening one is told of by one row, and the rows are in the order of the record.
func FuzzDraw(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 4, 0, 1, 1, 4, 1, 1, 1, 4, 2, 1, 1, 5, 1, 1, 3, 4, 3, 1, 1})
	f.Add([]byte{0, 0, 0, 0, 4, 0, 1, 1, 5, 0, 1, 1, 4, 1, 1, 2, 5, 2, 1, 1, 4, 1, 1, 1, 7, 0, 0, 1, 8, 0, 0, 2})
	points := []timeline.Point{timeline.LeftDevice, timeline.ReachedBroker, timeline.LeftBroker, timeline.ReachedDevice,
		""}
	actions := []string{"drop", "delay 1s", "duplicate", "rewrite", "cut fin", "forge", "release"}
	f.Fuzz(func(t *testing.T, data []byte) {
		var events []timeline.Event
		at := time.Duration(0)
		for part := range slices.Chunk(data, 4) {
			if len(part) < 4 || len(events) == maxRows {
				break
			}
			kind, choice, number, about := part[0], int(part[1]), int(part[2]), int(part[3])
			at += time.Duration(number/16) * 100 * time.Millisecond
			e := timeline.Event{Seq: len(events), At: at, Conn: number % 3, Point: points[choice%len(points)]}
			switch kind % 10 {
			case 0:
				e.Kind = timeline.KindOpen
			case 1:
				e.Kind, e.Text = timeline.KindClose, []string{"fin", "rst", ""}[about%3]
			case 2:
				e.Kind, e.Data = timeline.KindRaw, part[3:]
			case 3, 4:
				e.Kind, e.Packet = timeline.KindPacket, &timeline.Packet{Type: "PUBACK", Sum: uint32(about % 4)}
			case 5, 6:
				e.Kind = timeline.KindFault
				e.Fault = &timeline.Fault{Action: actions[choice%len(actions)], Packet: about}
			case 7:
				e.Kind, e.Check = timeline.KindCheck, &timeline.Check{Passed: choice%2 == 0, Events: []int{about, number - 128}}
			case 8:
				e.Kind, e.Finding = timeline.KindFinding, &timeline.Finding{Requirement: "R", Events: []int{about}}
			case 9:
				e.Kind = []timeline.Kind{timeline.KindLine, timeline.KindConsoleIn, timeline.KindPacket,
					timeline.KindVerdict}[choice%4]
			}
			if len(events) == 0 {
				e = timeline.Event{Kind: timeline.KindScenario}
			}
			events = append(events, e)
		}
		told := make([]int, len(events))
		last := -1
		for _, r := range draw(events) {
			if r.Shape == shapeGap || r.Seqs[0] <= last {
				t.Errorf("row %+v comes after that of event %d", r, last)
			}
			last = r.Seqs[0]
			for _, seq := range r.Seqs {
				told[seq]++
			}
			for _, tag := range r.Tags {
				if tag.Target < 0 || tag.Target >= len(events) {
					t.Errorf("%+v leads out of the record", tag)
				}
			}
		}
		for seq, n := range told {
			if seq > 0 && n != 1 {
				t.Errorf("%d rows tell of event %d, %+v", n, seq, events[seq])
			}
		}
	})
}
