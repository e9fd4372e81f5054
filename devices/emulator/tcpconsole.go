package emulator

import (
	"io"
	"net"
	"sync"
)

// TCPConsole is a console line as a TCP port: a board's end of it, for New. It has one client at a time. Without one,
// what the board prints is lost, as it is on a serial line that nobody listens to.
type TCPConsole struct {
	listener  net.Listener
	came      chan struct{} // a client has come
	closed    chan struct{}
	closing   sync.Once
	accepting sync.WaitGroup

	mu     sync.Mutex
	client net.Conn // nil while there is none
	typed  bool     // the client has ended what it types; it may still read
}

// inUse is what a client is told that comes while there is another one.
const inUse = "the console is in use\r\n"

// NewTCPConsole begins to wait for clients on l, which it closes in the end.
func NewTCPConsole(l net.Listener) *TCPConsole {
	c := &TCPConsole{listener: l, came: make(chan struct{}, 1), closed: make(chan struct{})}
	c.accepting.Go(c.accept)
	return c
}

func (c *TCPConsole) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		if !c.connect(conn) {
			_, _ = io.WriteString(conn, inUse)
			_ = conn.Close()
		}
	}
}

// connect makes conn the client, where there is none that still types.
func (c *TCPConsole) connect(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isClosed(c.closed) || c.client != nil && !c.typed {
		return false
	}
	if c.client != nil {
		_ = c.client.Close()
	}
	c.client, c.typed = conn, false
	signal(c.came)
	return true
}

// reader is the client that types, or nil.
func (c *TCPConsole) reader() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.typed {
		return nil
	}
	return c.client
}

// Read reads what the client types, and waits for a client where there is none. It ends with io.EOF at Close.
func (c *TCPConsole) Read(p []byte) (int, error) {
	for {
		if isClosed(c.closed) {
			return 0, io.EOF
		}
		client := c.reader()
		if client == nil {
			select {
			case <-c.came:
			case <-c.closed:
			}
			continue
		}
		n, err := client.Read(p)
		if err != nil {
			c.ended(client, err == io.EOF)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Write shows p to the client, if there is one.
func (c *TCPConsole) Write(p []byte) (int, error) {
	c.mu.Lock()
	client := c.client
	c.mu.Unlock()
	if client != nil {
		if _, err := client.Write(p); err != nil {
			c.ended(client, false)
		}
	}
	return len(p), nil
}

// ended notes that a client types no more, or that it has gone.
func (c *TCPConsole) ended(client net.Conn, stillReads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client != client {
		return
	}
	c.typed = true
	if !stillReads {
		c.client, c.typed = nil, false
		_ = client.Close()
	}
}

// Close ends the line.
func (c *TCPConsole) Close() error {
	var err error
	c.closing.Do(func() {
		c.mu.Lock()
		close(c.closed)
		client := c.client
		c.client = nil
		c.mu.Unlock()
		err = c.listener.Close()
		if client != nil {
			_ = client.Close()
		}
		c.accepting.Wait()
	})
	return err
}
