package harness

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"mqtthil/devices/port"
	"mqtthil/harness/simnet"
)

// network is where a bench's connections live: in memory, or in the machine's TCP.
type network interface {
	// host is the name by which a part of the bench is reached; in memory each part is a host of its own.
	host(name string) string
	listen(host string) (net.Listener, error)
	dial(ctx context.Context, network, address string) (net.Conn, error)
	// console makes a serial line: the board's end of it, and the bench's.
	console() (uart io.ReadWriter, p port.Port, err error)
}

// network makes the network that the time mode asks for.
func (b *Bench) network() network {
	if b.options.Time == Virtual {
		return memoryNetwork{simnet.New()}
	}
	return systemNetwork{}
}

// memoryNetwork is for virtual time.
type memoryNetwork struct{ *simnet.Network }

func (n memoryNetwork) host(name string) string {
	if net.ParseIP(name) != nil {
		return "bench"
	}
	return name
}

func (n memoryNetwork) listen(host string) (net.Listener, error) {
	return n.Listen(net.JoinHostPort(host, "1883"))
}

func (n memoryNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.DialContext(ctx, network, address)
}

func (n memoryNetwork) console() (io.ReadWriter, port.Port, error) {
	l, err := n.Listen("uart:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	near, err := n.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	far, err := l.Accept()
	return memoryUART{far}, memoryPort{near}, err
}

// memoryUART is the board's end of a serial line in memory. A serial line knows nothing of a reset: it just ends.
type memoryUART struct{ net.Conn }

func (u memoryUART) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// memoryPort is the bench's end of a serial line in memory.
type memoryPort struct{ net.Conn }

func (memoryPort) String() string { return "emulated console" }

// Read ends without an error of its own when the bench closes the port.
func (p memoryPort) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if errors.Is(err, net.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

// systemNetwork is for real time: the machine's TCP, and a pseudo-terminal for a serial line.
type systemNetwork struct{}

// host is the address that a device reaches the bench by; what only the bench itself has to reach stays on loopback.
func (systemNetwork) host(name string) string {
	if net.ParseIP(name) == nil {
		return "127.0.0.1"
	}
	return name
}

func (systemNetwork) listen(host string) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(host, "0"))
}

func (systemNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (systemNetwork) console() (io.ReadWriter, port.Port, error) {
	pty, err := port.OpenPty()
	if err != nil {
		return nil, nil, err
	}
	line, err := port.OpenSerial(pty.Path())
	if err != nil {
		_ = pty.Close()
		return nil, nil, err
	}
	return pty, line, nil
}
