package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqtthil/harness/timeline"
)

// chancyRules leave something to chance in every way that there is, and act on both directions.
func chancyRules() []Rule {
	var all []Rule
	for _, m := range []Match{FromDevice(PUBLISH), ToDevice(PUBLISH)} {
		all = append(all,
			On(m.WithProbability(0.2), Drop()),
			On(m.WithProbability(0.2), Duplicate()),
			On(m.WithProbability(0.3), CorruptAnywhere()).Times(1000),
			On(m.WithProbability(0.3), DelayBy(Spread{Duration(time.Second), Duration(time.Second), Normal}), Rewrite(NewRetain(true))),
			On(m.From(3).WithProbability(0.2), Reorder(2)),
			On(m.WithProbability(0.1), Split(3, time.Millisecond)),
			On(m.WithProbability(0.1), Forge(m.form.To, "PINGREQ")),
		)
	}
	return append(all, On(FromDevice(PUBLISH).Nth(77), Cut(AtByte(4), HalfClose)))
}

// played is what came of a session: what each peer got of each connection, and what was decided.
type played struct {
	got     map[string][]byte
	decided map[string][]string // by connection and direction
	events  []timeline.Event
}

// play has three connections send packets both ways through the rules; order says how the connections take turns.
func play(t *testing.T, seed uint64, rules []Rule, order uint64) played {
	t.Helper()
	p := played{got: map[string][]byte{}, decided: map[string][]string{}}
	synctest.Test(t, func(t *testing.T) {
		s := newSetupWith(t, simulated(), Options{Seed: seed})
		for _, r := range rules {
			s.proxy.Add(r)
		}
		var reading sync.WaitGroup
		var mu sync.Mutex
		type end struct {
			*peer
			left [][]byte
		}
		var ends []*end
		for number := 1; number <= 3; number++ {
			device, broker := s.connectMQTT()
			for name, each := range map[string]*peer{"device": device, "broker": broker} {
				name := fmt.Sprintf("%s %d", name, number)
				e := &end{peer: each}
				for id := range byte(40) {
					e.left = append(e.left, publishPacket(id, fmt.Sprintf("payload %d of %s", id, name)))
				}
				ends = append(ends, e)
				reading.Go(func() {
					got, _ := io.ReadAll(each)
					mu.Lock()
					defer mu.Unlock()
					p.got[name] = got
				})
			}
		}
		slices.SortFunc(ends, func(a, b *end) int { return bytes.Compare(a.left[0], b.left[0]) })
		random := rand.New(rand.NewPCG(order, order))
		for len(ends) > 0 {
			i := random.IntN(len(ends))
			ends[i].write(ends[i].left[0])
			synctest.Wait()
			if ends[i].left = ends[i].left[1:]; len(ends[i].left) == 0 {
				ends[i].fin()
				ends = slices.Delete(ends, i, i+1)
			}
		}
		reading.Wait()
		p.events = s.rec.Events()
		for _, e := range p.events {
			if e.Kind == timeline.KindFault {
				where := fmt.Sprintf("%d %s", e.Conn, e.Fault.Point)
				p.decided[where] = append(p.decided[where], fmt.Sprintf("%d %s", e.Fault.Nth, e.Fault.Do))
			}
		}
	})
	return p
}

func (p played) equal(other played) bool {
	a, errA := json.Marshal([]any{p.got, p.decided})
	b, errB := json.Marshal([]any{other.got, other.decided})
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// The same seed decides the same for the same traffic of a connection, whatever the others do meanwhile.
func TestSeedDecides(t *testing.T) {
	t.Parallel()
	// Counting goes over all connections, so that rules that count are left out.
	rules := slices.DeleteFunc(chancyRules(), func(r Rule) bool { return r.times > 0 || r.match.span() != everyMatch })
	first := play(t, 1, rules, 1)
	if len(first.decided) != 6 {
		t.Errorf("faults in %d directions, want all 6", len(first.decided))
	}
	if !first.equal(play(t, 1, rules, 1)) {
		t.Error("the same seed and traffic gave something else")
	}
	if !first.equal(play(t, 1, rules, 2)) {
		t.Error("the same seed gave something else when the connections took turns differently")
	}
	if first.equal(play(t, 2, rules, 1)) {
		t.Error("another seed gave the same")
	}
}

// A record replayed does the same to the same traffic, without chance and whatever the seed.
func TestReplay(t *testing.T) {
	t.Parallel()
	first := play(t, 1, chancyRules(), 1)
	// The record may have been written and read in the meantime.
	var file bytes.Buffer
	for _, e := range first.events {
		if err := json.NewEncoder(&file).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	events, err := timeline.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := Replay(events)
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []uint64{1, 2} {
		again := play(t, 99, rules, order)
		if !first.equal(again) {
			for name, want := range first.got {
				if got := again.got[name]; !bytes.Equal(got, want) {
					t.Errorf("%s got %d bytes, want %d: the same up to %d", name, len(got), len(want), same(got, want))
				}
			}
			for where, want := range first.decided {
				if got := again.decided[where]; !slices.Equal(got, want) {
					t.Errorf("%s: decided %s, want %s", where, got, want)
				}
			}
		}
	}
}

func TestReplayOfADamagedRecord(t *testing.T) {
	t.Parallel()
	_, err := Replay([]timeline.Event{{Kind: timeline.KindFault, Seq: 7, Fault: &timeline.Fault{Do: `["dropp"]`}}})
	if err == nil || !strings.Contains(err.Error(), "event 7") || !strings.Contains(err.Error(), "dropp") {
		t.Errorf("got %v, want the event and what is wrong with it", err)
	}
}

// With a probability a rule acts on about that share of the packets, and counts all of them.
func TestWithProbability(t *testing.T) {
	t.Parallel()
	for _, p := range []float64{0, 0.1, 0.5, 1} {
		r := &rules{seed: 7}
		armed := r.add(On(FromDevice(PUBLISH).WithProbability(p), Drop()))
		s := sight{direction: DeviceToBroker, connection: 1}
		packet := publishPacket(1, "x")
		s.read(packet, len(packet), version311, nil)
		for nth := range 10_000 {
			r.choose(&s, arrival{nth: nth})
		}
		if got := float64(armed.Fired()) / 10_000; got < p-0.02 || got > p+0.02 || armed.Matched() != 10_000 {
			t.Errorf("probability %v: acted on %v of %d", p, got, armed.Matched())
		}
	}
}
