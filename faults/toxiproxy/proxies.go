package toxiproxy

import (
	"encoding/json"
	"fmt"
	"net/http"

	"mqtthil/faults"
)

// speaks is the version of Toxiproxy's API that this is.
const speaks = "2.12.0"

func (s *Server) version(*request) (answer, error) {
	return ok(map[string]string{"version": speaks, "server": "mqtthil " + s.options.Version})
}

func (s *Server) listProxies(*request) (answer, error) {
	views := map[string]proxyView{}
	for _, p := range s.Proxies() {
		views[p.name] = p.view()
	}
	return ok(views)
}

// specForm is a proxy to be made, as JSON has it. What toxics, rules and conditions hold is read on its own.
type specForm struct {
	Name       string            `json:"name"`
	Listen     string            `json:"listen"`
	Upstream   string            `json:"upstream"`
	Enabled    *bool             `json:"enabled"`
	Toxics     []json.RawMessage `json:"toxics"`
	Conditions []json.RawMessage `json:"conditions"`
	Rules      []json.RawMessage `json:"rules"`
}

// spec checks a form; place says which of several it is.
func (f specForm) spec(place string) (Spec, error) {
	s := Spec{Name: f.Name, Listen: f.Listen, Upstream: f.Upstream, Disabled: f.Enabled != nil && !*f.Enabled}
	switch {
	case f.Name == "":
		return s, missingField("name" + place)
	case f.Upstream == "":
		return s, missingField("upstream" + place)
	}
	var err error
	if s.toxics, err = readAll(f.Toxics, "toxic", place, readToxic); err != nil {
		return s, err
	}
	if s.Conditions, err = readAll(f.Conditions, "condition", place, readCondition); err != nil {
		return s, err
	}
	s.Rules, err = readAll(f.Rules, "rule", place, readRule)
	return s, err
}

// readAll reads the parts of a list.
func readAll[T any](parts []json.RawMessage, what, place string, read func([]byte) (T, error)) ([]T, error) {
	var all []T
	for i, part := range parts {
		v, err := read(part)
		if err != nil {
			return nil, &Error{fmt.Sprintf("%s %d%s: %s", what, i+1, place, err), http.StatusBadRequest}
		}
		all = append(all, v)
	}
	return all, nil
}

func readCondition(text []byte) (faults.Condition, error) {
	text, err := compact(text)
	if err != nil {
		return faults.Condition{}, err
	}
	c, err := faults.ParseCondition(text)
	return c, oneLine(err)
}

func readRule(text []byte) (faults.Rule, error) {
	text, err := compact(text)
	if err != nil {
		return faults.Rule{}, err
	}
	r, err := faults.ParseRule(text)
	return r, oneLine(err)
}

// readSpecs reads the list that POST /populate takes.
func readSpecs(body []byte) ([]Spec, error) {
	var forms []specForm
	if err := decode(body, &forms); err != nil {
		return nil, err
	}
	var specs []Spec
	for i, f := range forms {
		spec, err := f.spec(fmt.Sprintf(" at proxy %d", i+1))
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

func (s *Server) createProxy(r *request) (answer, error) {
	var form specForm
	if err := decode(r.body, &form); err != nil {
		return answer{}, err
	}
	spec, err := form.spec("")
	if err != nil {
		return answer{}, err
	}
	p, err := s.Create(spec)
	if err != nil {
		return answer{}, err
	}
	return created(p.view())
}

// populate says which proxies there are even where not all could be made.
func (s *Server) populate(r *request) (answer, error) {
	proxies, err := s.Populate(r.body)
	views := []proxyView{}
	for _, p := range proxies {
		views = append(views, p.view())
	}
	if err != nil {
		failed := asError(err)
		return answer{failed.Status, struct {
			*Error
			Proxies []proxyView `json:"proxies"`
		}{failed, views}}, nil
	}
	return created(map[string][]proxyView{"proxies": views})
}

func (s *Server) reset(*request) (answer, error) {
	if err := s.Reset(); err != nil {
		return answer{}, err
	}
	return done()
}

func (s *Server) deleteProxy(r *request) (answer, error) {
	if err := s.Delete(r.PathValue("proxy")); err != nil {
		return answer{}, err
	}
	return done()
}

func showProxy(p *Proxy, _ *request) (answer, error) { return ok(p.view()) }

func updateProxy(p *Proxy, r *request) (answer, error) {
	if err := p.update(r.body); err != nil {
		return answer{}, err
	}
	return ok(p.view())
}

func listToxics(p *Proxy, _ *request) (answer, error) { return ok(p.view().Toxics) }

func createToxic(p *Proxy, r *request) (answer, error) {
	t, err := readToxic(r.body)
	if err != nil {
		return answer{}, err
	}
	if err := p.addToxic(t); err != nil {
		return answer{}, err
	}
	return ok(t.view())
}

func showToxic(p *Proxy, r *request) (answer, error) {
	for _, v := range p.view().Toxics {
		if v.Name == r.PathValue("toxic") {
			return ok(v)
		}
	}
	return answer{}, errToxicNotFound
}

func updateToxic(p *Proxy, r *request) (answer, error) {
	v, err := p.updateToxic(r.PathValue("toxic"), r.body)
	if err != nil {
		return answer{}, err
	}
	return ok(v)
}

func deleteToxic(p *Proxy, r *request) (answer, error) {
	if err := p.removeToxic(r.PathValue("toxic")); err != nil {
		return answer{}, err
	}
	return done()
}
