package toxiproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"mqtthil/faults"
)

// toxic is a condition under a name.
type toxic struct {
	name       string
	kind       string
	stream     string // as it was asked for: upstream or downstream, in any case of letters
	direction  faults.Direction
	toxicity   float32 // share of the connections that it befalls
	attributes attributes
	imposed    *faults.Imposed
}

// attributes are those of one kind of toxic. What has no sense, such as a negative time, counts as 0, as with Toxiproxy.
type attributes interface {
	condition() (faults.Condition, error)
}

// kinds are all kinds of toxics, with their attributes as they are if none are given.
var kinds = map[string]func() attributes{
	"latency":    func() attributes { return &latency{} },
	"bandwidth":  func() attributes { return &bandwidth{} },
	"slow_close": func() attributes { return &slowClose{} },
	"timeout":    func() attributes { return &timeout{} },
	"reset_peer": func() attributes { return &resetPeer{} },
	"slicer":     func() attributes { return &slicer{} },
	"limit_data": func() attributes { return &limitData{} },
	"noop":       func() attributes { return &noop{} },
}

type latency struct {
	Latency int64 `json:"latency"` // milliseconds
	Jitter  int64 `json:"jitter"`  // milliseconds, more or less
}

func (l *latency) condition() (faults.Condition, error) {
	return faults.Latency(faults.Spread{
		By: faults.Duration(milliseconds(l.Latency)), Jitter: faults.Duration(milliseconds(l.Jitter)),
	}), nil
}

type bandwidth struct {
	Rate int64 `json:"rate"` // in 1000 bytes per second
}

// At a rate of 0 nothing gets through, and nothing is lost. That is no link that is down: connecting works.
func (b *bandwidth) condition() (faults.Condition, error) {
	if b.Rate <= 0 {
		return faults.Latency(faults.Spread{By: faults.Duration(longest)}), nil
	}
	const most = 1 << 40 // in 1000 bytes per second: no limit at all
	return faults.Bandwidth(whole(min(b.Rate, most) * 1000)), nil
}

type slowClose struct {
	Delay int64 `json:"delay"` // milliseconds
}

func (s *slowClose) condition() (faults.Condition, error) {
	return faults.SlowClose(milliseconds(s.Delay)), nil
}

type timeout struct {
	Timeout int64 `json:"timeout"` // milliseconds; 0: until the toxic is removed
}

func (t *timeout) condition() (faults.Condition, error) {
	if t.Timeout <= 0 {
		return faults.Swallow(0, ""), nil
	}
	return faults.Swallow(milliseconds(t.Timeout), faults.FIN), nil
}

type resetPeer struct {
	Timeout int64 `json:"timeout"` // milliseconds
}

func (r *resetPeer) condition() (faults.Condition, error) {
	return faults.Swallow(milliseconds(r.Timeout), faults.RST), nil
}

type slicer struct {
	AverageSize   int64 `json:"average_size"`   // bytes
	SizeVariation int64 `json:"size_variation"` // bytes, more or less
	Delay         int64 `json:"delay"`          // microseconds
}

// Toxiproxy takes slices of 0 bytes, and crashes when there is something to slice.
func (s *slicer) condition() (faults.Condition, error) {
	if s.AverageSize < 1 {
		return faults.Condition{}, badRequest(errors.New("slicer needs an average_size of 1 byte or more"))
	}
	size := min(s.AverageSize, 1<<20) // more than there ever is at a time
	delay := time.Duration(min(max(s.Delay, 0), int64(longest/time.Microsecond))) * time.Microsecond
	return faults.Slice(int(size), int(min(max(s.SizeVariation, 0), size)), delay), nil
}

type limitData struct {
	Bytes int64 `json:"bytes"`
}

func (l *limitData) condition() (faults.Condition, error) {
	return faults.Limit(max(l.Bytes, 0)), nil
}

type noop struct{}

func (*noop) condition() (faults.Condition, error) { return faults.Latency(faults.Spread{}), nil }

// longest is a time that no connection lasts for.
const longest = 10 * 365 * 24 * time.Hour

func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), int64(longest/time.Millisecond))) * time.Millisecond
}

// whole is a number as an int, which on some machines has 32 bits: what is larger is there as large as it can be.
func whole(n int64) int { return int(min(n, math.MaxInt)) }

// toxicView is a toxic as JSON has it.
type toxicView struct {
	Attributes any     `json:"attributes"`
	Name       string  `json:"name"`
	Type       string  `json:"type"`
	Stream     string  `json:"stream"`
	Toxicity   float32 `json:"toxicity"`
}

func (t *toxic) view() toxicView {
	return toxicView{t.attributes, t.name, t.kind, t.stream, t.toxicity}
}

// readToxic reads a toxic that is to be added.
func readToxic(body []byte) (*toxic, error) {
	form := struct {
		Name       string          `json:"name"`
		Type       string          `json:"type"`
		Stream     string          `json:"stream"`
		Toxicity   float32         `json:"toxicity"`
		Attributes json.RawMessage `json:"attributes"`
	}{Stream: "downstream", Toxicity: 1}
	if err := decode(body, &form); err != nil {
		return nil, err
	}
	t := &toxic{name: form.Name, kind: form.Type, stream: form.Stream, toxicity: form.Toxicity}
	switch strings.ToLower(t.stream) {
	case "upstream":
		t.direction = faults.DeviceToBroker
	case "downstream":
		t.direction = faults.BrokerToDevice
	default:
		return nil, errInvalidStream
	}
	if t.name == "" {
		t.name = fmt.Sprintf("%s_%s", t.kind, t.stream)
	}
	attributes, ok := kinds[t.kind]
	if !ok {
		return nil, errInvalidType
	}
	t.attributes = attributes()
	return t, decodeAttributes(form.Attributes, t.attributes)
}

// decodeAttributes takes over those that a request gives.
func decodeAttributes(given json.RawMessage, into attributes) error {
	if len(given) == 0 || string(given) == "null" {
		return nil
	}
	return decode(given, into)
}

// changed is the toxic as a request's body wants it: with another toxicity, or with other attributes.
func (t *toxic) changed(body []byte) (*toxic, error) {
	form := struct {
		Toxicity   float32         `json:"toxicity"`
		Attributes json.RawMessage `json:"attributes"`
	}{Toxicity: t.toxicity}
	if err := decode(body, &form); err != nil {
		return nil, err
	}
	changed := *t
	changed.toxicity = form.Toxicity
	changed.attributes = kinds[t.kind]()
	before, err := json.Marshal(t.attributes)
	if err == nil {
		err = json.Unmarshal(before, changed.attributes)
	}
	if err != nil {
		return nil, err
	}
	return &changed, decodeAttributes(form.Attributes, changed.attributes)
}

func (t *toxic) condition() (faults.Condition, error) {
	c, err := t.attributes.condition()
	if err != nil {
		return c, err
	}
	c = c.Toward(t.direction)
	if t.toxicity < 1 {
		// A float32 as its shortest decimal, so that 0.3 is 0.3.
		share, err := strconv.ParseFloat(strconv.FormatFloat(float64(max(t.toxicity, 0)), 'g', -1, 32), 64)
		if err != nil {
			return c, err
		}
		c = c.ForShare(share)
	}
	return c, nil
}

// remove takes the toxic from its proxy. Connections that have lost bytes to a timeout must not go on without them.
func (t *toxic) remove() {
	if t.kind == "timeout" {
		t.imposed.EndConnections(faults.FIN)
	}
	t.imposed.Remove()
}
