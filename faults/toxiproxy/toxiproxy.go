// Package toxiproxy runs any number of fault proxies and lets them be driven over HTTP while traffic flows. Its API is that
// of Toxiproxy 2.12, so that toxiproxy-cli and the clients that there are for many languages work with it as they are; and
// beside that one of its own, for what Toxiproxy does not know: rules that act on MQTT packets.
//
// # The API of Toxiproxy
//
//	GET    /proxies                          all proxies, by their names
//	POST   /proxies                          make one: name, listen, upstream, enabled
//	POST   /populate                         make several; those that are there already stay as they are
//	GET    /proxies/{proxy}
//	PATCH  /proxies/{proxy}                  change listen, upstream or enabled (POST does the same)
//	DELETE /proxies/{proxy}
//	GET    /proxies/{proxy}/toxics
//	POST   /proxies/{proxy}/toxics           add one: name, type, stream, toxicity, attributes
//	GET    /proxies/{proxy}/toxics/{toxic}
//	PATCH  /proxies/{proxy}/toxics/{toxic}   change toxicity or attributes (POST does the same)
//	DELETE /proxies/{proxy}/toxics/{toxic}
//	POST   /reset                            enable all proxies, and take away all that acts on them
//	GET    /version
//	GET    /metrics                          counters for Prometheus
//
// Where Toxiproxy's documentation and its behaviour differ, this follows the documentation: reset_peer resets connections
// that are idle and such that were there before the toxic, the time of timeout counts from when toxic and connection are
// both there whatever is sent, removing a timeout ends only the connections that it has befallen, and the seed decides what
// is left to chance. A half-closed connection stays half open.
//
// An address to listen on that has no host is on the loopback interface. To let other machines in, one has to say so, as
// in 0.0.0.0:1883.
//
// # The API beside it
//
// Rules and conditions are written as in rule files (see faults.ParseFile), in JSON. POST /proxies and POST /populate take
// lists of toxics, rules and conditions, too: they act before the proxy listens.
//
//	GET    /proxies/{proxy}/rules                     with how often each has matched and fired
//	POST   /proxies/{proxy}/rules                     {"on": {"to": "device", "type": "PUBACK"}, "do": ["drop"], "times": 2}
//	GET    /proxies/{proxy}/rules/{number}
//	DELETE /proxies/{proxy}/rules/{number}            packets that it holds go on
//	POST   /proxies/{proxy}/rules/{number}/release    let held packets go on: ?count=N, oldest first, or ?order=newest
//	GET    /proxies/{proxy}/conditions                toxics are among them
//	POST   /proxies/{proxy}/conditions                {"latency": "200ms"}
//	GET    /proxies/{proxy}/conditions/{number}
//	PATCH  /proxies/{proxy}/conditions/{number}       put another in its place (POST does the same)
//	DELETE /proxies/{proxy}/conditions/{number}
//	GET    /proxies/{proxy}/connections               that there are now
//	DELETE /proxies/{proxy}/connections               end all: ?with=fin, rst, half-close or silence; rst if it is left out
//	DELETE /proxies/{proxy}/connections/{number}      end one, in the same ways
//	GET    /proxies/{proxy}/transport-faults          of a proxy that takes a transport off, with how often each has fired
//	POST   /proxies/{proxy}/transport-faults          {"status": 403, "times": 2}, or "expired-certificate"
//	DELETE /proxies/{proxy}/transport-faults/{number}
//	POST   /proxies/{proxy}/forge                     {"to": "device", "packet": "PINGRESP"}, on every connection
//
// An error is {"error": text, "status": number}, with the status of HTTP.
package toxiproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"mqtthil/faults"
	"mqtthil/faults/transport"
)

// Options say how a Server makes its proxies. The zero value will do.
type Options struct {
	// Seed is where all that is left to chance comes from, in every proxy.
	Seed uint64

	// Unread and Summary are those of the proxies, see faults.Options.
	Unread, Summary bool

	// Record opens the record of a proxy that is being made; done is called when the proxy is gone. nil for no records.
	Record func(proxy, listen, upstream string) (record faults.Record, done func(), err error)

	// Notice is told what somebody at the terminal should know; nil for nobody.
	Notice func(text string)

	// Version is that of the program, for GET /version.
	Version string

	// Dial reaches an upstream, and Listen opens a listener; nil for TCP.
	Dial   func(ctx context.Context, address string) (net.Conn, error)
	Listen func(address string) (net.Listener, error)
}

// Bounds of what one Server keeps.
const (
	maxProxies  = 1000
	maxPerProxy = 1000 // toxics and conditions, rules, and faults of the transport, of one proxy
)

// Server is a set of proxies. All methods may be called from any goroutine.
type Server struct {
	options Options
	api     *http.Server
	gone    sync.WaitGroup // proxies that were deleted and may have connections that are still ending

	mu      sync.Mutex // held while proxies are made, changed and deleted
	closed  bool
	proxies map[string]*Proxy
}

// New returns a Server without proxies.
func New(options Options) *Server {
	if options.Dial == nil {
		var dialer net.Dialer
		options.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}
	}
	if options.Listen == nil {
		options.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if options.Notice == nil {
		options.Notice = func(string) {}
	}
	s := &Server{options: options, proxies: make(map[string]*Proxy)}
	s.api = newHTTPServer(s.Handler())
	return s
}

// Spec is a proxy to be made.
type Spec struct {
	Name     string
	Listen   string // address; without a host it is on the loopback interface, and without a port on any that is free
	Upstream string // address
	Disabled bool

	Conditions []faults.Condition
	Rules      []faults.Rule
	toxics     []*toxic

	// Front makes what takes the transport off on the device's side, whose faults are to be in this record. Nil stands for
	// plain TCP, and so does a Front that is nil.
	Front func(record faults.Record) (*transport.Front, error)
	// Dial reaches the upstream; nil for that of the Options.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Create makes a proxy. All that is to act on it does so before it listens.
func (s *Server) Create(spec Spec) (*Proxy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proxies[spec.Name] != nil {
		return nil, errProxyExists
	}
	return s.create(spec)
}

// create is for who holds mu.
func (s *Server) create(spec Spec) (*Proxy, error) {
	switch {
	case s.closed:
		return nil, &Error{"the server is shutting down", http.StatusServiceUnavailable}
	case len(s.proxies) >= maxProxies:
		return nil, &Error{fmt.Sprintf("there are %d proxies already; delete some", maxProxies), http.StatusConflict}
	case len(spec.Conditions)+len(spec.toxics) > maxPerProxy || len(spec.Rules) > maxPerProxy:
		return nil, errTooMany
	}
	p, err := newProxy(s, spec)
	if err != nil {
		return nil, err
	}
	if !spec.Disabled {
		if err := p.start(); err != nil {
			p.end()
			return nil, err
		}
	}
	s.proxies[spec.Name] = p
	return p, nil
}

// Populate makes the proxies of a configuration, as POST /populate and Toxiproxy's -config take it: a list in JSON. It
// returns those of the list that are there in the end.
func (s *Server) Populate(config []byte) ([]*Proxy, error) {
	specs, err := readSpecs(config)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var populated []*Proxy
	for _, spec := range specs {
		p, err := s.createOrReplace(spec)
		if err != nil {
			return populated, err
		}
		populated = append(populated, p)
	}
	return populated, nil
}

// createOrReplace leaves a proxy as it is that has the addresses already. The caller holds mu.
func (s *Server) createOrReplace(spec Spec) (*Proxy, error) {
	if p := s.proxies[spec.Name]; p != nil {
		differs, err := p.differs(spec.Listen, spec.Upstream)
		if err != nil {
			return nil, err
		}
		if !differs {
			return p, nil
		}
		s.remove(p)
	}
	return s.create(spec)
}

// Proxies returns all proxies, in the order of their names.
func (s *Server) Proxies() []*Proxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.proxies), func(a, b *Proxy) int { return strings.Compare(a.name, b.name) })
}

// Proxy returns the proxy of that name.
func (s *Server) Proxy(name string) (*Proxy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.proxies[name]; p != nil {
		return p, nil
	}
	return nil, errProxyNotFound
}

// Delete ends a proxy and its connections.
func (s *Server) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.proxies[name]
	if p == nil {
		return errProxyNotFound
	}
	s.remove(p)
	return nil
}

// remove is for who holds mu.
func (s *Server) remove(p *Proxy) {
	delete(s.proxies, p.name)
	p.stop()
	s.gone.Go(p.end)
}

// Reset enables all proxies and takes away all that acts on them: toxics, rules and conditions.
func (s *Server) Reset() error {
	for _, p := range s.Proxies() {
		if err := p.start(); err != nil {
			return err
		}
		p.clear()
	}
	return nil
}

// Serve answers the API on a listener until Close, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.api.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the API on %s: %w", l.Addr(), err)
	}
	return nil
}

// Close ends the API, and all proxies and connections in order. It waits some seconds at the most for peers that do not end
// theirs.
func (s *Server) Close() {
	_ = s.api.Close() // its errors are those of listeners, which are gone all the same
	s.mu.Lock()
	s.closed = true
	for _, p := range s.proxies {
		s.remove(p)
	}
	s.mu.Unlock()
	s.gone.Wait()
}

// ListenAddress is an address to listen on as the user writes it, [HOST:]PORT, with the loopback interface in the place of
// a host that is missing.
func ListenAddress(text string) (string, error) {
	if text == "" {
		text = "0"
	}
	if !strings.Contains(text, ":") {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", fmt.Errorf("%q is no address such as 127.0.0.1:1883: %w", text, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// OpenToOthers says whether other machines can connect to a listener.
func OpenToOthers(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && !tcp.IP.IsLoopback()
}
