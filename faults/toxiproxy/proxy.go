package toxiproxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"

	"mqtthil/faults"
	"mqtthil/faults/transport"
)

// Proxy is a fault proxy with a name, a listener of its own that comes and goes, and toxics.
type Proxy struct {
	server *Server
	name   string
	faults *faults.Proxy
	front  *transport.Front // nil: plain TCP
	reach  func(ctx context.Context, address string) (net.Conn, error)
	done   func() // closes the record

	mu       sync.Mutex
	asked    string // address to listen on
	listen   string // the same, with the port that the system has picked
	upstream string
	toxics   []*toxic
	leave    context.CancelFunc // ends the listener; nil after that
	left     chan struct{}      // closed when it has ended, by itself, too
}

func newProxy(s *Server, spec Spec) (*Proxy, error) {
	p := &Proxy{server: s, name: spec.Name, upstream: spec.Upstream, reach: spec.Dial, done: func() {}}
	if p.reach == nil {
		p.reach = s.options.Dial
	}
	var err error
	if p.asked, err = ListenAddress(spec.Listen); err != nil {
		return nil, err
	}
	p.listen = p.asked
	options := faults.Options{
		Dial:    p.dial,
		Listen:  s.options.Listen,
		Seed:    s.options.Seed,
		Unread:  s.options.Unread,
		Summary: s.options.Summary,
	}
	if s.options.Record != nil {
		if options.Record, p.done, err = s.options.Record(p.name, p.asked, p.upstream); err != nil {
			return nil, fmt.Errorf("the record of proxy %s: %w", p.name, err)
		}
	}
	if spec.Front != nil {
		if p.front, err = spec.Front(options.Record); err != nil {
			p.done()
			return nil, fmt.Errorf("proxy %s: %w", p.name, err)
		}
	}
	if p.front != nil {
		options.Accept = func(ctx context.Context, number int, conn net.Conn) (net.Conn, error) {
			return p.front.Accept(transport.WithConnection(ctx, number), conn)
		}
	}
	p.faults = faults.New(options)
	for _, c := range spec.Conditions {
		p.faults.Impose(c)
	}
	for _, r := range spec.Rules {
		p.faults.Add(r)
	}
	for _, t := range spec.toxics {
		if err := p.addToxic(t); err != nil {
			p.end()
			return nil, err
		}
	}
	return p, nil
}

// Name is the proxy's name.
func (p *Proxy) Name() string { return p.name }

// Faults is the proxy itself.
func (p *Proxy) Faults() *faults.Proxy { return p.faults }

// Front is what takes the transport off on the device's side, nil where that is plain TCP.
func (p *Proxy) Front() *transport.Front { return p.front }

// Listen is the address that it listens on, or will when it is enabled.
func (p *Proxy) Listen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.listen
}

// Upstream is the address that it connects to.
func (p *Proxy) Upstream() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upstream
}

func (p *Proxy) dial(ctx context.Context) (net.Conn, error) {
	return p.reach(ctx, p.Upstream())
}

// start has the proxy listen, unless it does already.
func (p *Proxy) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.startLocked()
}

// listens says whether the proxy listens, or will as soon as no condition refuses connections. The caller holds mu.
func (p *Proxy) listens() bool {
	if p.leave == nil {
		return false
	}
	select {
	case <-p.left:
		return false
	default:
		return true
	}
}

func (p *Proxy) startLocked() error {
	if p.listens() {
		return nil
	}
	p.stopLocked() // what has ended by itself
	l, err := p.server.options.Listen(p.listen)
	if err != nil {
		return fmt.Errorf("proxy %s: %w; name another address, or end what listens there", p.name, err)
	}
	p.listen = l.Addr().String()
	if OpenToOthers(l.Addr()) {
		p.server.options.Notice(fmt.Sprintf("proxy %s listens on %s, where everybody who reaches this machine can use it", p.name, p.listen))
	}
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan struct{})
	p.leave, p.left = leave, left
	watched := newListener(l, func(err error) {
		p.server.options.Notice(fmt.Sprintf("proxy %s: %v; connections wait until there is room again", p.name, err))
	})
	go func() {
		defer close(left)
		if err := p.faults.ServeUntil(ctx, watched); err != nil {
			p.server.options.Notice(fmt.Sprintf("proxy %s: %v; disable and enable it to try again", p.name, err))
		}
	}()
	<-watched.taken
	return nil
}

// stop closes the listener, and has the connections end.
func (p *Proxy) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopLocked()
}

func (p *Proxy) stopLocked() {
	if p.leave == nil {
		return
	}
	p.leave()
	<-p.left
	p.leave = nil
}

// end waits until all connections have ended. The proxy has stopped, and is not started again.
func (p *Proxy) end() {
	p.faults.Shutdown()
	p.done()
}

// change is what a request wants to be otherwise.
type change struct {
	Listen   string `json:"listen"`
	Upstream string `json:"upstream"`
	Enabled  bool   `json:"enabled"`
}

// update makes of the proxy what a request's body wants: with other addresses, for which it stops, or listening or not.
func (p *Proxy) update(body []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := change{p.listen, p.upstream, p.listens()}
	if err := decode(body, &c); err != nil {
		return err
	}
	differs, err := p.differsLocked(c.Listen, c.Upstream)
	if err != nil {
		return err
	}
	if differs {
		address, err := ListenAddress(c.Listen)
		if err != nil {
			return err
		}
		p.stopLocked()
		p.asked, p.listen, p.upstream = address, address, c.Upstream
	}
	if !c.Enabled {
		p.stopLocked()
		return nil
	}
	return p.startLocked()
}

// differs says whether the proxy has other addresses than these.
func (p *Proxy) differs(listen, upstream string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.differsLocked(listen, upstream)
}

func (p *Proxy) differsLocked(listen, upstream string) (bool, error) {
	address, err := ListenAddress(listen)
	switch {
	case err != nil:
		return false, err
	case p.upstream != upstream:
		return true, nil
	case address == p.asked || address == p.listen:
		return false, nil
	}
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return false, fmt.Errorf("proxy %s: %w", p.name, err)
	}
	return resolved.String() != p.listen, nil
}

// clear takes away all that acts on the proxy.
func (p *Proxy) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.toxics {
		t.remove()
	}
	p.toxics = nil
	for _, i := range p.faults.Conditions() {
		i.Remove()
	}
	for _, a := range p.faults.Rules() {
		removeRule(a)
	}
	if p.front != nil {
		for _, a := range p.front.Faults() {
			a.Remove()
		}
	}
}

// addToxic gives the proxy a toxic.
func (p *Proxy) addToxic(t *toxic) error {
	condition, err := t.condition()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.toxic(t.name) != nil:
		return errToxicExists
	case len(p.faults.Conditions()) >= maxPerProxy:
		return errTooMany
	}
	t.imposed = p.faults.Impose(condition)
	p.toxics = append(p.toxics, t)
	return nil
}

// toxic is the toxic of that name, nil where there is none. The caller holds mu.
func (p *Proxy) toxic(name string) *toxic {
	if at := p.indexOfToxic(name); at >= 0 {
		return p.toxics[at]
	}
	return nil
}

func (p *Proxy) indexOfToxic(name string) int {
	return slices.IndexFunc(p.toxics, func(t *toxic) bool { return t.name == name })
}

// updateToxic changes a toxic as a request's body says.
func (p *Proxy) updateToxic(name string, body []byte) (toxicView, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.indexOfToxic(name)
	if at < 0 {
		return toxicView{}, errToxicNotFound
	}
	changed, err := p.toxics[at].changed(body)
	if err != nil {
		return toxicView{}, err
	}
	condition, err := changed.condition()
	if err != nil {
		return toxicView{}, err
	}
	changed.imposed.Replace(condition)
	p.toxics[at] = changed
	return changed.view(), nil
}

// removeToxic takes a toxic away.
func (p *Proxy) removeToxic(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.indexOfToxic(name)
	if at < 0 {
		return errToxicNotFound
	}
	p.toxics[at].remove()
	p.toxics = slices.Delete(p.toxics, at, at+1)
	return nil
}

// proxyView is a proxy as JSON has it.
type proxyView struct {
	Name     string      `json:"name"`
	Listen   string      `json:"listen"`
	Upstream string      `json:"upstream"`
	Enabled  bool        `json:"enabled"`
	Toxics   []toxicView `json:"toxics"`
}

func (p *Proxy) view() proxyView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return proxyView{p.name, p.listen, p.upstream, p.listens(), p.toxicViews()}
}

// toxicViews are those toward the upstream first, each in the order in which they act. The caller holds mu.
func (p *Proxy) toxicViews() []toxicView {
	views := []toxicView{}
	for _, direction := range []faults.Direction{faults.DeviceToBroker, faults.BrokerToDevice} {
		for _, t := range p.toxics {
			if t.direction == direction {
				views = append(views, t.view())
			}
		}
	}
	return views
}
