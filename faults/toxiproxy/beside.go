package toxiproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"mqtthil/faults"
)

// compact makes sure that a text is JSON, and small: what reads rules would read YAML as well, which can be made to grow.
func compact(text []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// oneLine is an error without the picture of the place where it is, which is no use in a line.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(line)
}

// number is the number in a request's path, 0 where there is none.
func number(r *request) int {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		return 0
	}
	return n
}

// ruleView is a rule at work as JSON has it.
type ruleView struct {
	Number  int         `json:"number"`
	Rule    faults.Rule `json:"rule"`
	Text    string      `json:"text"`
	Matched int         `json:"matched"`
	Fired   int         `json:"fired"`
	Held    int         `json:"held"`
}

func viewRule(a *faults.Armed) ruleView {
	return ruleView{a.Number(), a.Rule(), a.String(), a.Matched(), a.Fired(), a.Held()}
}

func (p *Proxy) rule(r *request) (*faults.Armed, error) {
	rules, n := p.faults.Rules(), number(r)
	at := slices.IndexFunc(rules, func(a *faults.Armed) bool { return a.Number() == n })
	if at < 0 {
		return nil, errRuleNotFound
	}
	return rules[at], nil
}

func listRules(p *Proxy, _ *request) (answer, error) {
	views := []ruleView{}
	for _, a := range p.faults.Rules() {
		views = append(views, viewRule(a))
	}
	return ok(views)
}

func createRule(p *Proxy, r *request) (answer, error) {
	rule, err := readRule(r.body)
	if err != nil {
		return answer{}, badRequest(err)
	}
	if len(p.faults.Rules()) >= maxPerProxy {
		return answer{}, errTooMany
	}
	return created(viewRule(p.faults.Add(rule)))
}

func showRule(p *Proxy, r *request) (answer, error) {
	a, err := p.rule(r)
	if err != nil {
		return answer{}, err
	}
	return ok(viewRule(a))
}

func deleteRule(p *Proxy, r *request) (answer, error) {
	a, err := p.rule(r)
	if err != nil {
		return answer{}, err
	}
	removeRule(a)
	return done()
}

// removeRule takes a rule away. Nobody could release later what it holds.
func removeRule(a *faults.Armed) {
	a.Remove()
	a.Release(-1)
}

func releaseHeld(p *Proxy, r *request) (answer, error) {
	a, err := p.rule(r)
	if err != nil {
		return answer{}, err
	}
	query := r.URL.Query()
	count := -1
	if text := query.Get("count"); text != "" {
		if count, err = strconv.Atoi(text); err != nil || count < 0 {
			return answer{}, &Error{fmt.Sprintf("count %q is no number of packets", text), http.StatusBadRequest}
		}
	}
	switch order := query.Get("order"); {
	case order == "" || order == "oldest":
		return ok(map[string]int{"released": a.Release(count)})
	case order == "newest" && count < 0:
		return ok(map[string]int{"released": a.ReleaseReversed()})
	}
	return answer{}, &Error{"order is oldest, or newest and then without count", http.StatusBadRequest}
}

// conditionView is a condition at work as JSON has it.
type conditionView struct {
	Number    int              `json:"number"`
	Condition faults.Condition `json:"condition"`
	Text      string           `json:"text"`
	Met       int              `json:"met"`             // connections that have met it
	Toxic     string           `json:"toxic,omitempty"` // the one that it is
}

func (p *Proxy) viewCondition(i *faults.Imposed) conditionView {
	c := i.Condition()
	return conditionView{i.Number(), c, c.String(), i.Met(), p.toxicOf(i)}
}

// toxicOf is the name of the toxic that a condition is, empty where it is none.
func (p *Proxy) toxicOf(i *faults.Imposed) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.toxics {
		if t.imposed == i {
			return t.name
		}
	}
	return ""
}

func (p *Proxy) condition(r *request) (*faults.Imposed, error) {
	conditions, n := p.faults.Conditions(), number(r)
	at := slices.IndexFunc(conditions, func(i *faults.Imposed) bool { return i.Number() == n })
	if at < 0 {
		return nil, errConditionNotFound
	}
	return conditions[at], nil
}

// freeCondition is a condition that is no toxic.
func (p *Proxy) freeCondition(r *request) (*faults.Imposed, error) {
	i, err := p.condition(r)
	if err != nil {
		return nil, err
	}
	if name := p.toxicOf(i); name != "" {
		return nil, &Error{fmt.Sprintf("condition %d is the toxic %s; change it as that", i.Number(), name), http.StatusConflict}
	}
	return i, nil
}

func listConditions(p *Proxy, _ *request) (answer, error) {
	views := []conditionView{}
	for _, i := range p.faults.Conditions() {
		views = append(views, p.viewCondition(i))
	}
	return ok(views)
}

func createCondition(p *Proxy, r *request) (answer, error) {
	c, err := readCondition(r.body)
	if err != nil {
		return answer{}, badRequest(err)
	}
	if len(p.faults.Conditions()) >= maxPerProxy {
		return answer{}, errTooMany
	}
	return created(p.viewCondition(p.faults.Impose(c)))
}

func showCondition(p *Proxy, r *request) (answer, error) {
	i, err := p.condition(r)
	if err != nil {
		return answer{}, err
	}
	return ok(p.viewCondition(i))
}

func replaceCondition(p *Proxy, r *request) (answer, error) {
	i, err := p.freeCondition(r)
	if err != nil {
		return answer{}, err
	}
	c, err := readCondition(r.body)
	if err != nil {
		return answer{}, badRequest(err)
	}
	i.Replace(c)
	return ok(p.viewCondition(i))
}

func deleteCondition(p *Proxy, r *request) (answer, error) {
	i, err := p.freeCondition(r)
	if err != nil {
		return answer{}, err
	}
	i.Remove()
	return done()
}

func listConnections(p *Proxy, _ *request) (answer, error) {
	connections := p.faults.List()
	if connections == nil {
		connections = []faults.Connection{}
	}
	return ok(connections)
}

// ending is how a request wants connections to end.
func ending(r *request) (faults.Ending, error) {
	how := faults.RST
	if text := r.URL.Query().Get("with"); text != "" {
		if err := how.UnmarshalText([]byte(text)); err != nil {
			return how, &Error{"with: " + err.Error(), http.StatusBadRequest}
		}
	}
	return how, nil
}

func endConnections(p *Proxy, r *request) (answer, error) {
	how, err := ending(r)
	if err != nil {
		return answer{}, err
	}
	p.faults.Disconnect(how)
	return done()
}

func endConnection(p *Proxy, r *request) (answer, error) {
	how, err := ending(r)
	if err != nil {
		return answer{}, err
	}
	if !p.faults.DisconnectOne(number(r), how) {
		return answer{}, errConnectionNotFound
	}
	return done()
}

func forge(p *Proxy, r *request) (answer, error) {
	var form struct {
		To     faults.Direction `json:"to"`
		Packet faults.Template  `json:"packet"`
	}
	if err := decode(r.body, &form); err != nil {
		return answer{}, err
	}
	if form.To == 0 {
		return answer{}, missingField("to")
	}
	n, err := p.faults.Forge(form.To, form.Packet)
	if err != nil {
		return answer{}, badRequest(err)
	}
	return ok(map[string]int{"connections": n})
}
