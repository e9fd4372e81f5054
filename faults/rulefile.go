package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"mqtthil/harness/timeline"
)

// File is what a rule file holds, in YAML or JSON. Conditions and rules are in force in this order.
type File struct {
	Seed  *uint64     `json:"seed,omitempty"`
	Link  []Condition `json:"link,omitzero"`
	Rules []Rule      `json:"rules,omitzero"`
}

// ParseFile reads a rule file. Its errors say line, column and what is wrong there. A file that has neither rules nor link
// is a mistake; to say that there are none, it has rules: [].
func ParseFile(data []byte) (File, error) {
	f := File{}
	if err := parse(data, &f); err != nil {
		return File{}, err
	}
	return f, nil
}

var errNothing = errors.New("there is nothing in it: a rule file has rules, or link with conditions; rules: [] for none")

// fileForm is a File as it is written.
type fileForm struct {
	Seed  *uint64        `json:"seed"`
	Link  list[linkForm] `json:"link"`
	Rules list[Rule]     `json:"rules"`
}

// UnmarshalYAML reads it from a rule file.
func (f *File) UnmarshalYAML(unmarshal func(any) error) error {
	var form fileForm
	if err := unmarshalStruct(unmarshal, &form); err != nil {
		return err
	}
	if form.Link == nil && form.Rules == nil {
		return located(unmarshal, errNothing)
	}
	*f = File{Seed: form.Seed, Rules: form.Rules}
	if form.Link != nil {
		f.Link = []Condition{}
	}
	for _, l := range form.Link {
		f.Link = append(f.Link, l...)
	}
	return nil
}

// linkForm is a condition, or the conditions of a preset.
type linkForm []Condition

// UnmarshalYAML reads it from a rule file.
func (l *linkForm) UnmarshalYAML(unmarshal func(any) error) error {
	var keys map[string]later
	if unmarshal(&keys) == nil && keys["preset"].unmarshal != nil {
		var form struct {
			Preset string `json:"preset"`
		}
		err := unmarshal(&form)
		if err == nil {
			*l, err = Preset(form.Preset)
		}
		return located(unmarshal, err)
	}
	*l = make(linkForm, 1)
	return unmarshal(&(*l)[0])
}

// ParseRule reads one rule of a rule file, in YAML or JSON.
func ParseRule(data []byte) (Rule, error) {
	var r Rule
	if err := parse(data, &r); err != nil {
		return Rule{}, err
	}
	return r, nil
}

// ParseCondition reads one condition of a rule file, in YAML or JSON.
func ParseCondition(data []byte) (Condition, error) {
	var c Condition
	if err := parse(data, &c); err != nil {
		return Condition{}, err
	}
	return c, nil
}

func parse(data []byte, into any) error {
	var node ast.Node
	if yaml.Unmarshal(data, &node) == nil {
		if _, isNull := node.(*ast.NullNode); isNull {
			return errors.New("there is nothing in it")
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	switch err := d.Decode(into); {
	case errors.Is(err, io.EOF):
		return errors.New("there is nothing in it")
	case err != nil:
		return inWords(err)
	}
	var more ast.Node
	switch err := d.Decode(&more); {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil && more != nil:
		return located(func(into any) error { *into.(*ast.Node) = more; return nil },
			errors.New("this is a second document, behind ---, which nobody would read"))
	default:
		return errors.New("there is a second document, behind ---, which nobody would read")
	}
}

// marshal writes JSON without the escapes for HTML, which would make topics unreadable.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// ruleForm is a Rule as rule files write it.
type ruleForm struct {
	On    Match            `json:"on"`
	Do    list[actionForm] `json:"do"`
	Times int              `json:"times,omitempty"`
}

// MarshalJSON writes it as in a rule file.
func (r Rule) MarshalJSON() ([]byte, error) {
	f := ruleForm{On: r.match, Times: r.times}
	for _, a := range r.actions {
		f.Do = append(f.Do, actionForm{a})
	}
	return marshal(f)
}

// UnmarshalYAML reads it from a rule file.
func (r *Rule) UnmarshalYAML(unmarshal func(any) error) error {
	var f ruleForm
	if err := unmarshalStruct(unmarshal, &f); err != nil {
		return err
	}
	*r = Rule{match: f.On, times: f.Times}
	for _, a := range f.Do {
		r.actions = append(r.actions, a.Action)
	}
	return located(unmarshal, r.check())
}

// actionForm is an Action as rule files write it: its name, or its name with what belongs to it.
type actionForm struct{ Action }

// MarshalJSON writes it as in a rule file.
func (a actionForm) MarshalJSON() ([]byte, error) { return marshalNamed(a.verb(), a.Action) }

// UnmarshalYAML reads it from a rule file.
func (a *actionForm) UnmarshalYAML(unmarshal func(any) error) (err error) {
	a.Action, err = unmarshalNamed(unmarshal, "action", actionKinds)
	return err
}

// actionKinds are all actions by their names in rule files.
var actionKinds = map[string]func(func(any) error) (Action, error){
	"drop":      kindOf[drop, Action],
	"delay":     kindOf[delay, Action],
	"hold":      kindOf[hold, Action],
	"duplicate": kindOf[duplicate, Action],
	"reorder":   kindOf[reorder, Action],
	"rewrite":   kindOf[rewrite, Action],
	"corrupt":   kindOf[corrupt, Action],
	"forge":     kindOf[forge, Action],
	"answer":    kindOf[answer, Action],
	"split":     kindOf[split, Action],
	"glue":      kindOf[glue, Action],
	"cut":       kindOf[cut, Action],
}

// kindOf reads what stands behind a name in a rule file. A kind whose fields can be wrong has a method check.
func kindOf[T any, As any](unmarshal func(any) error) (As, error) {
	var v T
	if unmarshal != nil {
		if err := unmarshalStruct(unmarshal, &v); err != nil {
			return *new(As), err
		}
	}
	if err := check(v); err != nil {
		if unmarshal != nil {
			err = located(unmarshal, err)
		}
		return *new(As), err
	}
	if text, _ := marshal(v); unmarshal == nil && string(text) != "{}" {
		return *new(As), fmt.Errorf("more belongs to it, such as %s", text)
	}
	return any(v).(As), nil
}

// marshalActions writes actions for the record.
func marshalActions(actions []Action) string {
	if len(actions) == 0 {
		return ""
	}
	forms := make([]actionForm, 0, len(actions))
	for _, a := range actions {
		forms = append(forms, actionForm{a})
	}
	text, err := marshal(forms)
	if err != nil {
		return ""
	}
	return string(text)
}

// Replay makes rules of the faults in a record, which do at the same packets what was done there: on the same connection,
// by its number, and the same packet of a direction, by its number. What was left to chance is not any more.
func Replay(events []timeline.Event) ([]Rule, error) {
	var replayed []Rule
	together := map[int]*Armed{} // for each rule of the record whose packets are reordered together
	for _, e := range events {
		if e.Kind != timeline.KindFault || e.Fault.Do == "" {
			continue
		}
		var actions []actionForm
		if err := parse([]byte(e.Fault.Do), &actions); err != nil {
			return nil, fmt.Errorf("event %d: %w", e.Seq, err)
		}
		r := Rule{match: FromDevice().OnConnection(max(e.Conn, 1)).Nth(max(e.Fault.Nth, 1))}
		if e.Fault.Point == BrokerToDevice.entry() {
			r.match.form.To = BrokerToDevice
		}
		for _, a := range actions {
			if reorder, ok := a.Action.(reorder); ok {
				if together[e.Fault.Rule] == nil {
					together[e.Fault.Rule] = &Armed{}
				}
				reorder.armed = together[e.Fault.Rule]
				a.Action = reorder
			}
			r.actions = append(r.actions, a.Action)
		}
		replayed = append(replayed, r)
	}
	return replayed, nil
}
