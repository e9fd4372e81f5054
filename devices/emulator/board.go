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
	"os"
	"sync"
	"syscall"
	"time"

	"mqtthil/devices/espmqtt"
)

// Options say which board it is. The zero value of each field has a default.
type Options struct {
	MAC     [6]byte          // default 24:0a:c4:12:34:56
	Kconfig *espmqtt.Kconfig // default espmqtt.DefaultKconfig, with deleted messages reported
	Defects []espmqtt.Defect // planted faults of the MQTT client
	Seed    uint64           // of the board's random numbers; 0 takes one from the time
	// Dial is the board's network: it opens a TCP connection. The default is net.Dialer.DialContext.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Board is an emulated ESP32. Its methods may be called from any goroutine.
type Board struct {
	options Options
	uart    *uart

	switching chan struct{} // held while the power changes; a channel, so that a wait for it is one that virtual time can see

	mu    sync.Mutex
	power *power // nil while the board is off
	ended bool   // the power stays off

	lost []*networkConn // connections that a power cut left behind; for who holds switching
}

// power is the board's life from one power-on to the next power-off.
type power struct {
	board  *Board
	on     time.Time
	typed  *typed
	off    chan struct{}
	tasks  sync.WaitGroup
	app    *conformance
	random *rand.Rand

	mu    sync.Mutex
	conns map[*networkConn]struct{}
}

// New makes a board whose console is at line. It is without power until Run.
func New(line io.ReadWriter, options Options) *Board {
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
	if options.Dial == nil {
		options.Dial = new(net.Dialer).DialContext
	}
	return &Board{options: options, uart: newUART(line), switching: make(chan struct{}, 1)}
}

// Run gives the board power and runs it until its console ends, then switches it off for good. The end of the console
// is no error. It is called once.
func (b *Board) Run() error {
	stop := b.uart.start()
	b.PowerOn()
	err := b.listen()
	b.end()
	stop()
	return err
}

// listen hands what is typed on the console to the board.
func (b *Board) listen() error {
	buffer := make([]byte, 4096)
	for {
		n, err := b.uart.line.Read(buffer)
		b.mu.Lock()
		if b.power != nil { // without power it is lost
			b.power.typed.add(buffer[:n])
		}
		b.mu.Unlock()
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrClosed),
			errors.Is(err, syscall.ECONNRESET): // the other side went without having read everything
			return nil
		default:
			return fmt.Errorf("reading the console: %w", err)
		}
	}
}

// end switches the board off for good, and closes what power cuts have left behind.
func (b *Board) end() {
	defer b.lock()()
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.powerOff()
	for _, conn := range b.lost {
		_ = conn.Conn.Close()
	}
	b.lost = nil
}

// PowerOn boots the board. It does nothing where the board has power, or where Run has ended.
func (b *Board) PowerOn() {
	defer b.lock()()
	b.powerOn()
}

// PowerOff takes the board's power away. Its connections are not closed until Run ends: for the other side they have
// gone silent. It returns when nothing on the board runs any more. What had been printed still goes out.
func (b *Board) PowerOff() {
	defer b.lock()()
	b.powerOff()
}

// Reset is a press on the reset button: the board loses what it knows and boots again.
func (b *Board) Reset() {
	defer b.lock()()
	b.powerOff()
	b.powerOn()
}

func (b *Board) lock() (unlock func()) {
	b.switching <- struct{}{}
	return func() { <-b.switching }
}

func (b *Board) powerOn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.power != nil || b.ended {
		return
	}
	p := &power{
		board:  b,
		on:     time.Now(),
		typed:  newTyped(),
		off:    make(chan struct{}),
		random: rand.New(rand.NewPCG(b.options.Seed, uint64(b.options.MAC[5]))),
		conns:  map[*networkConn]struct{}{},
	}
	b.options.Seed++ // another boot, other random numbers
	p.app = &conformance{power: p}
	b.power = p
	p.tasks.Go(p.main)
}

func (b *Board) powerOff() {
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
	for conn := range p.conns {
		b.lost = append(b.lost, conn)
	}
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
	if text != "" && !p.dead() {
		p.board.uart.print(text, p.off)
	}
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
