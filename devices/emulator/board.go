// Package emulator is an ESP32 as it is seen from outside: a serial console and a network. The board boots with the
// banner of its ROM and the log of ESP-IDF, and runs Espressif's MQTT conformance application, whose console commands
// drive the model of esp-mqtt. It can be reset and can lose its power at any moment.
package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"mqtthil/devices/espmqtt"
)

// Options say which board it is. The zero value of each field but Dial has a default.
type Options struct {
	MAC     [6]byte          // default 24:0a:c4:12:34:56
	Kconfig *espmqtt.Kconfig // default espmqtt.DefaultKconfig, with deleted messages reported
	Defects []espmqtt.Defect // planted faults of the MQTT client
	Seed    uint64           // of the board's random numbers; 0 takes one from the time
	// Dial is the board's network: it opens a TCP connection, as net.Dialer.DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Board is an emulated ESP32.
type Board struct {
	options Options
	uart    io.ReadWriter

	writing sync.Mutex // one line on the console at a time

	mu    sync.Mutex
	power *power         // nil while the board is off
	lost  []*networkConn // connections that a power cut left behind
}

// power is the board's life from one power-on to the next power-off.
type power struct {
	board  *Board
	on     time.Time
	input  chan []byte // from the UART to the console task
	off    chan struct{}
	tasks  sync.WaitGroup
	app    *conformance
	random *rand.Rand

	mu    sync.Mutex
	conns map[*networkConn]struct{}
}

// New makes a board whose console is at uart. It is without power until Run.
func New(uart io.ReadWriter, options Options) *Board {
	if options.MAC == [6]byte{} {
		options.MAC = [6]byte{0x24, 0x0a, 0xc4, 0x12, 0x34, 0x56}
	}
	if options.Kconfig == nil {
		kconfig := espmqtt.DefaultKconfig()
		kconfig.ReportDeletedMessages = true
		options.Kconfig = &kconfig
	}
	if options.Seed == 0 {
		options.Seed = uint64(time.Now().UnixNano())
	}
	return &Board{options: options, uart: uart}
}

// Run gives the board power and runs it until its console ends, then switches it off. The end of the console is no
// error.
func (b *Board) Run() error {
	b.PowerOn()
	defer b.release()
	defer b.PowerOff()
	buffer := make([]byte, 256)
	for {
		n, err := b.uart.Read(buffer)
		if n > 0 {
			b.typed(append([]byte(nil), buffer[:n]...))
		}
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
				return nil
			}
			return fmt.Errorf("reading the console: %w", err)
		}
	}
}

// typed hands bytes from the UART to the console task. Without power they are lost; so are they when nobody has read
// the console for long, as in a UART's ring buffer.
func (b *Board) typed(data []byte) {
	b.mu.Lock()
	power := b.power
	b.mu.Unlock()
	if power == nil {
		return
	}
	select {
	case power.input <- data:
	default:
	}
}

// uartChunks bounds how many chunks of typed bytes wait for the console task.
const uartChunks = 256

// PowerOn boots the board. It does nothing where the board has power.
func (b *Board) PowerOn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.power != nil {
		return
	}
	p := &power{
		board:  b,
		on:     time.Now(),
		input:  make(chan []byte, uartChunks),
		off:    make(chan struct{}),
		random: rand.New(rand.NewPCG(b.options.Seed, uint64(b.options.MAC[5]))),
		conns:  map[*networkConn]struct{}{},
	}
	b.options.Seed++ // another boot, other random numbers
	p.app = &conformance{power: p}
	b.power = p
	p.tasks.Go(p.main)
}

// PowerOff takes the board's power away. Its connections are not closed: for the other side they have gone silent. It
// returns when nothing on the board runs any more.
func (b *Board) PowerOff() {
	b.mu.Lock()
	p := b.power
	b.power = nil
	b.mu.Unlock()
	if p == nil {
		return
	}
	close(p.off)
	p.app.powerOff()
	p.tasks.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for conn := range p.conns {
		b.lost = append(b.lost, conn)
	}
}

// Reset is a press on the reset button: the board loses what it knows and boots again.
func (b *Board) Reset() {
	b.PowerOff()
	b.PowerOn()
}

// release closes what power cuts have left behind.
func (b *Board) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.lost {
		_ = conn.Conn.Close()
	}
	b.lost = nil
}

// main is the board's program.
func (p *power) main() {
	p.bootLog()
	p.repl()
}

func (p *power) dead() bool {
	select {
	case <-p.off:
		return true
	default:
		return false
	}
}

// write puts text on the console, unless the power is gone.
func (p *power) write(text string) {
	if p.dead() {
		return
	}
	p.board.writing.Lock()
	defer p.board.writing.Unlock()
	_, _ = io.WriteString(p.board.uart, text) // a UART does not know whether anybody listens
}

// log writes a log line as ESP-IDF does: level, milliseconds since boot, tag and text.
func (p *power) log(level byte, tag, text string) {
	p.write(fmt.Sprintf("%c (%d) %s: %s\r\n", level, time.Since(p.on).Milliseconds(), tag, text))
}

// dial opens a connection over the board's network.
func (p *power) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := p.board.options.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &networkConn{Conn: conn, power: p}
	p.mu.Lock()
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	return c, nil
}

// networkConn is a connection of the board, known to it so that a power cut can leave it behind.
type networkConn struct {
	net.Conn
	power *power
}

// Close closes the connection. Without power nothing is closed.
func (c *networkConn) Close() error {
	if c.power.dead() {
		return nil
	}
	c.power.mu.Lock()
	delete(c.power.conns, c)
	c.power.mu.Unlock()
	return c.Conn.Close()
}
