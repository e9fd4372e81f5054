package toxiproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Bounds of what a client of the API can make it hold or wait for.
const (
	maxBody   = 1 << 20
	maxHeader = 64 << 10

	headerTimeout  = 5 * time.Second
	requestTimeout = 15 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = time.Minute
)

func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
	}
}

// Error is an error as the API tells it, with a status of HTTP: below 500 where the request is to blame.
type Error struct {
	Message string `json:"error"`
	Status  int    `json:"status"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// The errors that Toxiproxy has, in its words, for clients compare them; and those of the API beside it.
var (
	errProxyNotFound = &Error{"proxy not found", http.StatusNotFound}
	errProxyExists   = &Error{"proxy already exists", http.StatusConflict}
	errToxicNotFound = &Error{"toxic not found", http.StatusNotFound}
	errToxicExists   = &Error{"toxic already exists", http.StatusConflict}
	errInvalidStream = &Error{"stream was invalid, can be either upstream or downstream", http.StatusBadRequest}
	errInvalidType   = &Error{"invalid toxic type", http.StatusBadRequest}

	errRuleNotFound       = &Error{"rule not found", http.StatusNotFound}
	errConditionNotFound  = &Error{"condition not found", http.StatusNotFound}
	errConnectionNotFound = &Error{"connection not found", http.StatusNotFound}
	errNoTransport        = &Error{"the proxy takes no transport off: its devices connect by plain TCP", http.StatusConflict}
	errFaultNotFound      = &Error{"transport fault not found", http.StatusNotFound}
	errTooMany            = &Error{fmt.Sprintf("a proxy has at most %d rules, and as many toxics and conditions, and transport faults",
		maxPerProxy),
		http.StatusConflict}
)

func badRequest(err error) *Error {
	return &Error{"bad request body: " + err.Error(), http.StatusBadRequest}
}

func missingField(field string) *Error {
	return &Error{"missing required field: " + field, http.StatusBadRequest}
}

// decode reads what a body begins with, as Toxiproxy does.
func decode(body []byte, into any) error {
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		return badRequest(err)
	}
	return nil
}

// request is a request whose body has been read.
type request struct {
	*http.Request
	body []byte
}

// answer is what a request comes to: a status, and what to say in JSON; nil for nothing.
type answer struct {
	status int
	body   any
}

func ok(body any) (answer, error)      { return answer{http.StatusOK, body}, nil }
func created(body any) (answer, error) { return answer{http.StatusCreated, body}, nil }
func done() (answer, error)            { return answer{http.StatusNoContent, nil}, nil }

// endpoint answers a request.
type endpoint func(*request) (answer, error)

// onProxy is an endpoint of one proxy.
func (s *Server) onProxy(e func(*Proxy, *request) (answer, error)) endpoint {
	return func(r *request) (answer, error) {
		p, err := s.Proxy(r.PathValue("proxy"))
		if err != nil {
			return answer{}, err
		}
		return e(p, r)
	}
}

// ServeHTTP implements http.Handler.
func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeError(w, &Error{fmt.Sprintf("the request has more than %d bytes", maxBody), http.StatusRequestEntityTooLarge})
		return
	case err != nil:
		writeError(w, badRequest(err))
		return
	}
	a, err := e(&request{r, body})
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, a.status, a.body)
}

// asError is an error as the API tells it; one that is none of its own is the machine's.
func asError(err error) *Error {
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{err.Error(), http.StatusInternalServerError}
	}
	return known
}

func writeError(w http.ResponseWriter, err error) {
	known := asError(err)
	writeJSON(w, known.Status, known)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	text, err := json.Marshal(body)
	if err != nil { // nothing that is written holds what JSON could not
		status, text = http.StatusInternalServerError, fmt.Appendf(nil, `{"error":%q,"status":500}`, "cannot be written as JSON")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // it fails where the client has gone
}

// Handler answers the API's requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, e := range map[string]endpoint{
		"GET /proxies":                                 s.listProxies,
		"POST /proxies":                                s.createProxy,
		"POST /populate":                               s.populate,
		"POST /reset":                                  s.reset,
		"GET /version":                                 s.version,
		"GET /proxies/{proxy}":                         s.onProxy(showProxy),
		"POST /proxies/{proxy}":                        s.onProxy(updateProxy),
		"PATCH /proxies/{proxy}":                       s.onProxy(updateProxy),
		"DELETE /proxies/{proxy}":                      s.deleteProxy,
		"GET /proxies/{proxy}/toxics":                  s.onProxy(listToxics),
		"POST /proxies/{proxy}/toxics":                 s.onProxy(createToxic),
		"GET /proxies/{proxy}/toxics/{toxic}":          s.onProxy(showToxic),
		"POST /proxies/{proxy}/toxics/{toxic}":         s.onProxy(updateToxic),
		"PATCH /proxies/{proxy}/toxics/{toxic}":        s.onProxy(updateToxic),
		"DELETE /proxies/{proxy}/toxics/{toxic}":       s.onProxy(deleteToxic),
		"GET /proxies/{proxy}/rules":                   s.onProxy(listRules),
		"POST /proxies/{proxy}/rules":                  s.onProxy(createRule),
		"GET /proxies/{proxy}/rules/{n}":               s.onProxy(showRule),
		"DELETE /proxies/{proxy}/rules/{n}":            s.onProxy(deleteRule),
		"POST /proxies/{proxy}/rules/{n}/release":      s.onProxy(releaseHeld),
		"GET /proxies/{proxy}/conditions":              s.onProxy(listConditions),
		"POST /proxies/{proxy}/conditions":             s.onProxy(createCondition),
		"GET /proxies/{proxy}/conditions/{n}":          s.onProxy(showCondition),
		"POST /proxies/{proxy}/conditions/{n}":         s.onProxy(replaceCondition),
		"PATCH /proxies/{proxy}/conditions/{n}":        s.onProxy(replaceCondition),
		"DELETE /proxies/{proxy}/conditions/{n}":       s.onProxy(deleteCondition),
		"GET /proxies/{proxy}/connections":             s.onProxy(listConnections),
		"DELETE /proxies/{proxy}/connections":          s.onProxy(endConnections),
		"DELETE /proxies/{proxy}/connections/{n}":      s.onProxy(endConnection),
		"GET /proxies/{proxy}/transport-faults":        s.onFront(listTransportFaults),
		"POST /proxies/{proxy}/transport-faults":       s.onFront(createTransportFault),
		"DELETE /proxies/{proxy}/transport-faults/{n}": s.onFront(deleteTransportFault),
		"POST /proxies/{proxy}/forge":                  s.onProxy(forge),
	} {
		mux.Handle(pattern, e)
	}
	mux.Handle("GET /metrics", s.metrics())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		switch {
		case strings.HasPrefix(r.UserAgent(), "Mozilla/"):
			// A page in a browser could send requests to this machine that its user knows nothing of.
			writeError(w, &Error{"User agent not allowed", http.StatusForbidden})
		case pattern == "":
			writeUnknown(w, r, h)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// writeUnknown says in JSON what the mux says of a path or method that it does not know.
func writeUnknown(w http.ResponseWriter, r *http.Request, h http.Handler) {
	said := &unsaid{header: http.Header{}, status: http.StatusNotFound}
	h.ServeHTTP(said, r)
	if allow := said.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		writeError(w, &Error{fmt.Sprintf("%s is not allowed here; %s", r.Method, allow), http.StatusMethodNotAllowed})
		return
	}
	writeError(w, &Error{"there is nothing at this path", http.StatusNotFound})
}

// unsaid keeps an answer but for its body.
type unsaid struct {
	header http.Header
	status int
}

func (u *unsaid) Header() http.Header         { return u.header }
func (u *unsaid) WriteHeader(status int)      { u.status = status }
func (u *unsaid) Write(b []byte) (int, error) { return len(b), nil }
