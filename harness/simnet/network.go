// Package simnet is a network in memory with TCP's manners: bounded buffers and backpressure, FIN and half-close, RST,
// deadlines, refused connections, unknown hosts. Device, proxy and broker of a scenario talk over it where real
// sockets cannot be used, which is inside a testing/synctest bubble; it works in real time just as well.
//
// Its model is TCP on Linux as the net package shows it, over a link that delivers at once and loses nothing. Errors
// are those of the net package, down to the system call's error number. It runs no goroutines, and everything that
// waits in it is durably blocked in the sense of synctest, so that virtual time moves on.
package simnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// Network is a set of hosts that reach each other. A host exists from the first time that something listens on it, and
// "dialer", which all connections come from, always does.
// All methods may be called from any goroutine.
type Network struct {
	mu    sync.Mutex
	hosts map[string]bool
	bound map[addr]*listener // addresses in use; nil for a dialer's
	last  int                // the last port that was chosen
}

// The ports to choose from where the caller names none, and the host that dialers are on.
const (
	firstPort  = 49152
	lastPort   = 65535
	dialerHost = "dialer"
)

// New returns a network on which nothing listens yet.
func New() *Network {
	return &Network{hosts: map[string]bool{dialerHost: true}, bound: make(map[addr]*listener), last: lastPort}
}

// Listen listens on host:port. The host is any name or IP address and comes to exist by this; port 0 chooses a free
// port.
func (n *Network) Listen(address string) (net.Listener, error) {
	host, port, err := split(address)
	if err == nil && host == "" {
		err = &net.AddrError{Err: "host is missing: a simulated network has no wildcard address", Addr: address}
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: err}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a, err := n.bind(host, port)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: a, Err: os.NewSyscallError("bind", err)}
	}
	l := &listener{address: a, queue: make(chan *Conn, backlog), closed: make(chan struct{})}
	l.release = func() { n.unbind(a) }
	n.hosts[host] = true
	n.bound[a] = l
	return l, nil
}

// DialContext connects to host:port, as the method of net.Dialer does. The connection stands as soon as it is in the
// listener's queue, before it is accepted; where the queue is full, DialContext waits for room or for the end of ctx.
// Nobody listening gives ECONNREFUSED, a host that never existed a *net.DNSError.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.UnknownNetworkError(network)}
	}
	host, port, err := split(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	remote := join(host, port)
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: remote, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}

	n.mu.Lock()
	if !n.hosts[host] && net.ParseIP(host) == nil {
		n.mu.Unlock()
		err := &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	l := n.bound[remote]
	if l == nil {
		n.mu.Unlock()
		return fail(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	local, err := n.bind(dialerHost, 0)
	n.mu.Unlock()
	if err != nil {
		return fail(os.NewSyscallError("connect", err))
	}

	dialed, accepted := newPair(local, remote, func() { n.unbind(local) })
	if err := l.enqueue(ctx, accepted); err != nil {
		n.unbind(local)
		return fail(err)
	}
	return dialed, nil
}

// bind takes an address and returns it; port 0 stands for any that is free on the host.
func (n *Network) bind(host string, port int) (addr, error) {
	if port != 0 {
		a := join(host, port)
		if _, taken := n.bound[a]; taken {
			return a, syscall.EADDRINUSE
		}
		n.bound[a] = nil
		return a, nil
	}
	for range lastPort - firstPort + 1 {
		if n.last++; n.last > lastPort {
			n.last = firstPort
		}
		a := join(host, n.last)
		if _, taken := n.bound[a]; !taken {
			n.bound[a] = nil
			return a, nil
		}
	}
	return join(host, 0), syscall.EADDRNOTAVAIL
}

func (n *Network) unbind(a addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.bound, a)
}

// addr is host:port, in the one way of writing it that join has.
type addr string

func (addr) Network() string  { return "tcp" }
func (a addr) String() string { return string(a) }

func join(host string, port int) addr {
	return addr(net.JoinHostPort(host, strconv.Itoa(port)))
}

func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, &net.AddrError{Err: fmt.Sprintf("port %q is not a number from 0 to 65535", text), Addr: address}
	}
	return host, int(number), nil
}
