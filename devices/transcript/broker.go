package transcript

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// broker is the scripted broker: default replies, changed by the case's rules, and every packet on the trace.
type broker struct {
	script *Case
	trace  *trace
	open   func(address string) (net.Listener, error)
	tasks  sync.WaitGroup
	ended  chan struct{} // closed by close

	mu       sync.Mutex
	address  string
	listener net.Listener // nil while connections are refused
	version  byte         // of the newest CONNECT
	counts   map[string]int
	accepted int
	links    map[int]*link // that neither side has closed
	all      []*link
	err      error // the first fault of the script itself
}

func newBroker(script *Case, trace *trace, host string, open func(address string) (net.Listener, error)) (*broker, error) {
	b := &broker{script: script, trace: trace, open: open, version: 4, counts: map[string]int{}, links: map[int]*link{},
		ended: make(chan struct{})}
	l, err := open(net.JoinHostPort(host, "0")) // chooses the port, also where it is to refuse at first
	if err != nil {
		return nil, fmt.Errorf("the broker cannot listen: %w", err)
	}
	b.address = l.Addr().String()
	if script.RefuseUntil > 0 {
		return b, l.Close()
	}
	b.serveListener(l)
	return b, nil
}

// listen begins to accept connections, or refuses them from now on.
func (b *broker) listen(accept bool) {
	b.mu.Lock()
	l := b.listener
	b.listener = nil
	b.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	if !accept {
		return
	}
	l, err := b.open(b.address)
	if err != nil {
		b.fault(fmt.Errorf("the broker cannot listen again: %w", err))
		return
	}
	b.serveListener(l)
}

func (b *broker) serveListener(l net.Listener) {
	b.mu.Lock()
	b.listener = l
	b.mu.Unlock()
	b.tasks.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.accepted++
			k := &link{conn: conn, stream: conn, number: b.accepted, sending: make(chan struct{}, 1)}
			b.links[k.number] = k
			b.all = append(b.all, k)
			b.mu.Unlock()
			b.trace.add(Row{Kind: kindAccept, Conn: k.number})
			b.tasks.Go(func() { b.serve(k) })
		}
	})
}

// close ends everything and returns the first fault of the script.
func (b *broker) close() error {
	close(b.ended)
	b.listen(false)
	b.mu.Lock()
	for _, k := range b.all {
		_ = k.conn.Close()
	}
	b.mu.Unlock()
	b.tasks.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *broker) fault(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

// forget takes a link out of those that are open; it is false where it was out already.
func (b *broker) forget(k *link) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, open := b.links[k.number]
	delete(b.links, k.number)
	return open
}

// newest is the newest connection that is open, or nil.
func (b *broker) newest() *link {
	b.mu.Lock()
	defer b.mu.Unlock()
	var newest *link
	for _, k := range b.links {
		if newest == nil || k.number > newest.number {
			newest = k
		}
	}
	return newest
}

// serve reads the device's packets and answers them.
func (b *broker) serve(k *link) {
	defer k.conn.Close()
	err := func() error {
		if b.script.Transport == "ws" {
			if err := b.upgrade(k); err != nil {
				return err
			}
		}
		for {
			p, err := readPacket(readerOf(k))
			if err != nil {
				return err
			}
			if p.kind == "CONNECT" {
				b.mu.Lock()
				b.version = p.version()
				b.mu.Unlock()
			}
			b.trace.addPacket(Row{Kind: kindFromDevice, Conn: k.number, Packet: p.kind}, append(p.head, p.body...))
			b.react(k, p)
		}
	}()
	if b.forget(k) {
		kind := kindResetByDevice
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			kind = kindClosedByDevice
		}
		b.trace.add(Row{Kind: kind, Conn: k.number})
	}
}

// react answers a packet by the first rule that fits, or by default.
func (b *broker) react(k *link, p received) {
	b.mu.Lock()
	b.counts[p.kind]++
	count, version := b.counts[p.kind], b.version
	b.mu.Unlock()
	for _, r := range b.script.Rules {
		if r.On != p.kind || r.Nth != 0 && r.Nth != count || r.Conn != 0 && r.Conn != k.number ||
			count < r.From || r.To != 0 && count > r.To {
			continue
		}
		waits := false
		for _, a := range r.Do {
			waits = waits || a.Wait > 0
		}
		if waits {
			b.tasks.Go(func() { b.act(k, p, r.Do...) })
		} else {
			b.act(k, p, r.Do...)
		}
		return
	}
	b.send(k, p.defaultReply(version), 0, 0)
}

// act does what the script says; p is the packet that it answers, or none.
func (b *broker) act(k *link, p received, actions ...Action) {
	for _, a := range actions {
		if !b.wait(time.Duration(a.Wait) * time.Millisecond) {
			return
		}
		b.mu.Lock()
		version := b.version
		b.mu.Unlock()
		if a.Send != "" {
			data, err := hex.DecodeString(strings.ReplaceAll(a.Send, "{id}", fmt.Sprintf("%04x", p.id())))
			if err != nil {
				b.fault(fmt.Errorf("send %q: %w", a.Send, err))
				return
			}
			b.send(k, data, a.Chunk, a.Gap)
		}
		if a.Publish != nil {
			data, err := a.Publish.bytes(version)
			if err != nil {
				b.fault(err)
				return
			}
			b.send(k, data, a.Chunk, a.Gap)
		}
		if a.Frame != nil {
			data, err := hex.DecodeString(a.Hex)
			if err != nil {
				b.fault(fmt.Errorf("frame %q: %w", a.Hex, err))
				return
			}
			b.sendFrame(k, byte(*a.Frame), data)
		}
		if a.Reply == "default" {
			b.send(k, p.defaultReply(version), 0, 0)
		}
		if a.Close != "" {
			b.forget(k)
			b.trace.add(Row{Kind: kindClosedByBroker, Conn: k.number, How: a.Close})
			k.end(a.Close)
		}
		if a.Listen != nil {
			b.listen(*a.Listen)
		}
	}
}

// wait lets time pass; it is false where the play has ended meanwhile.
func (b *broker) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-b.ended:
		return false
	}
}

// send sends a packet, whole or in chunks; other packets wait until the last chunk is out.
func (b *broker) send(k *link, data []byte, chunk, gap int) {
	if len(data) == 0 {
		return
	}
	k.sending <- struct{}{}
	defer func() { <-k.sending }()
	b.trace.addPacket(Row{Kind: kindToDevice, Conn: k.number}, data)
	if chunk <= 0 {
		_, _ = k.stream.Write(data) // to a device that has gone
		return
	}
	for len(data) > 0 {
		n := min(chunk, len(data))
		if _, err := k.stream.Write(data[:n]); err != nil {
			return
		}
		data = data[n:]
		if !b.wait(time.Duration(gap) * time.Millisecond) {
			return
		}
	}
}

// link is a connection as the broker has it.
type link struct {
	conn    net.Conn
	stream  io.ReadWriter // conn, or the WebSocket on it
	number  int
	sending chan struct{} // a lock: full while a packet goes out

	mu      sync.Mutex
	reading bool // a Read is under way
	ended   bool // the broker has closed
}

// end closes the connection. As with a system's socket, a Read that is under way keeps it from being torn down: a reset
// goes out only when that Read returns, and until then the device notices nothing. Recordings show it.
func (k *link) end(how string) {
	switch how {
	case "rst":
		if c, ok := k.conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
	default:
		if c, ok := k.conn.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
	}
	if how == "half" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	if !k.reading {
		_ = k.conn.Close()
	}
}

// Read reads from the connection underneath.
func (k *link) Read(p []byte) (int, error) {
	k.mu.Lock()
	if k.ended {
		k.mu.Unlock()
		return 0, net.ErrClosed
	}
	k.reading = true
	k.mu.Unlock()
	n, err := k.conn.Read(p)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reading = false
	if k.ended {
		_ = k.conn.Close()
	}
	return n, err
}

func (k *link) Write(p []byte) (int, error) { return k.conn.Write(p) }

// readerOf is where the link's MQTT packets come from.
func readerOf(k *link) io.Reader {
	if k.stream != k.conn {
		return k.stream
	}
	return k
}
