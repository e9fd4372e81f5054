package faults

import (
	"errors"
	"fmt"

	"mqtthil/faults/internal/form"
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
	if err := form.Parse(data, &f); err != nil {
		return File{}, err
	}
	return f, nil
}

var errNothing = errors.New("there is nothing in it: a rule file has rules, or link with conditions; rules: [] for none")

// fileForm is a File as it is written.
type fileForm struct {
	Seed  *uint64             `json:"seed"`
	Link  form.List[linkForm] `json:"link"`
	Rules form.List[Rule]     `json:"rules"`
}

// UnmarshalYAML reads it from a rule file.
func (f *File) UnmarshalYAML(unmarshal func(any) error) error {
	var written fileForm
	if err := form.UnmarshalStruct(unmarshal, &written); err != nil {
		return err
	}
	if written.Link == nil && written.Rules == nil {
		return form.Located(unmarshal, errNothing)
	}
	*f = File{Seed: written.Seed, Rules: written.Rules}
	if written.Link != nil {
		f.Link = []Condition{}
	}
	for _, l := range written.Link {
		f.Link = append(f.Link, l...)
	}
	return nil
}

// linkForm is a condition, or the conditions of a preset.
type linkForm []Condition

// UnmarshalYAML reads it from a rule file.
func (l *linkForm) UnmarshalYAML(unmarshal func(any) error) error {
	var keys map[string]form.Later
	if unmarshal(&keys) == nil && keys["preset"].Given() {
		var written struct {
			Preset string `json:"preset"`
		}
		err := unmarshal(&written)
		if err == nil {
			*l, err = Preset(written.Preset)
		}
		return form.Located(unmarshal, err)
	}
	*l = make(linkForm, 1)
	return unmarshal(&(*l)[0])
}

// ParseRule reads one rule of a rule file, in YAML or JSON.
func ParseRule(data []byte) (Rule, error) {
	var r Rule
	if err := form.Parse(data, &r); err != nil {
		return Rule{}, err
	}
	return r, nil
}

// ParseCondition reads one condition of a rule file, in YAML or JSON.
func ParseCondition(data []byte) (Condition, error) {
	var c Condition
	if err := form.Parse(data, &c); err != nil {
		return Condition{}, err
	}
	return c, nil
}

// ruleForm is a Rule as rule files write it.
type ruleForm struct {
	On    Match                 `json:"on"`
	Do    form.List[actionForm] `json:"do"`
	Times int                   `json:"times,omitempty"`
}

// MarshalJSON writes it as in a rule file.
func (r Rule) MarshalJSON() ([]byte, error) {
	f := ruleForm{On: r.match, Times: r.times}
	for _, a := range r.actions {
		f.Do = append(f.Do, actionForm{a})
	}
	return form.Marshal(f)
}

// UnmarshalYAML reads it from a rule file.
func (r *Rule) UnmarshalYAML(unmarshal func(any) error) error {
	var f ruleForm
	if err := form.UnmarshalStruct(unmarshal, &f); err != nil {
		return err
	}
	*r = Rule{match: f.On, times: f.Times}
	for _, a := range f.Do {
		r.actions = append(r.actions, a.Action)
	}
	return form.Located(unmarshal, r.check())
}

// actionForm is an Action as rule files write it: its name, or its name with what belongs to it.
type actionForm struct{ Action }

// MarshalJSON writes it as in a rule file.
func (a actionForm) MarshalJSON() ([]byte, error) { return form.MarshalNamed(a.verb(), a.Action) }

// UnmarshalYAML reads it from a rule file.
func (a *actionForm) UnmarshalYAML(unmarshal func(any) error) (err error) {
	a.Action, err = form.UnmarshalNamed(unmarshal, "action", actionKinds)
	return err
}

// actionKinds are all actions by their names in rule files.
var actionKinds = form.Kinds[Action]{
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
		if err := form.UnmarshalStruct(unmarshal, &v); err != nil {
			return *new(As), err
		}
	}
	if err := check(v); err != nil {
		if unmarshal != nil {
			err = form.Located(unmarshal, err)
		}
		return *new(As), err
	}
	if text, _ := form.Marshal(v); unmarshal == nil && string(text) != "{}" {
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
	text, err := form.Marshal(forms)
	if err != nil {
		return ""
	}
	return string(text)
}

// Replay makes rules of the faults in a record, which do at the same packets what was done there: on the same connection,
// by its number, and the same packet of a direction, by its number. What was left to chance is not any more. Conditions,
// and what somebody did by hand, such as Release, are not among them: packets that a rule held stay held.
func Replay(events []timeline.Event) ([]Rule, error) {
	var replayed []Rule
	together := map[int]*Armed{} // for each rule of the record whose packets are reordered together
	for _, e := range events {
		if e.Kind != timeline.KindFault || e.Fault.Do == "" {
			continue
		}
		var actions []actionForm
		if err := form.Parse([]byte(e.Fault.Do), &actions); err != nil {
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
