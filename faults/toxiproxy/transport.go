package toxiproxy

import (
	"net/http"
	"slices"

	"mqtthil/faults/transport"
)

// onFront is an endpoint of what takes the transport off.
func (s *Server) onFront(e func(*transport.Front, *request) (answer, error)) endpoint {
	return s.onProxy(func(p *Proxy, r *request) (answer, error) {
		if p.front == nil {
			return answer{}, errNoTransport
		}
		return e(p.front, r)
	})
}

// transportFaultView is a fault of the transport as JSON has it.
type transportFaultView struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
	Fired  int    `json:"fired"` // connections that it has struck
}

func viewTransportFault(a *transport.Armed) transportFaultView {
	return transportFaultView{a.Number(), a.String(), a.Fired()}
}

func listTransportFaults(f *transport.Front, _ *request) (answer, error) {
	views := []transportFaultView{}
	for _, a := range f.Faults() {
		views = append(views, viewTransportFault(a))
	}
	return ok(views)
}

func createTransportFault(f *transport.Front, r *request) (answer, error) {
	text, err := compact(r.body)
	if err != nil {
		return answer{}, badRequest(err)
	}
	fault, err := transport.ParseFault(text)
	if err != nil {
		return answer{}, badRequest(oneLine(err))
	}
	if len(f.Faults()) >= maxPerProxy {
		return answer{}, errTooMany
	}
	a, err := f.Add(fault)
	if err != nil { // it is none of this transport
		return answer{}, &Error{err.Error(), http.StatusConflict}
	}
	return created(viewTransportFault(a))
}

func deleteTransportFault(f *transport.Front, r *request) (answer, error) {
	all, n := f.Faults(), number(r)
	at := slices.IndexFunc(all, func(a *transport.Armed) bool { return a.Number() == n })
	if at < 0 {
		return answer{}, errFaultNotFound
	}
	all[at].Remove()
	return done()
}
