// Package emulator is an ESP32 as it is seen from outside: a serial console and a network. The board boots with the
// banner of its ROM and the log of ESP-IDF, and runs Espressif's MQTT conformance application, whose console commands
// drive the model of esp-mqtt, or one of ESP-IDF's examples of MQTT. What happens to boards can happen to it: resets of
// every cause, panics, watchdogs, brownouts, deep sleep, a loss of power at any moment or at any byte, and the loss of
// its Wi-Fi.
package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"mqtthil/devices/espmqtt"
)

// Options say which board it is. The zero value of each field has a default.
type Options struct {
	Chip      Chip              // default ESP32
	MAC       [6]byte           // default 24:0a:c4:12:34:56
	Kconfig   *espmqtt.Kconfig  // default: as the application is built
	Behaviour espmqtt.Behaviour // in what the MQTT client is another than the real one
	Quirks    []Quirk           // of the conformance application; default: none
	Seed      uint64            // of the board's random numbers; 0 takes one from the time
	Heap      int               // bytes of memory for what is queued to be sent; 0: as the chip has, negative: no limit
	Baud      int               // speed of the console; 0: what is printed or typed takes no time
	Powered   time.Time         // since when it has had power, as its clock will show; default: PowerOn or Run
	Firmware                    // what is in its flash
	// NewOutbox makes the outbox of the application's clients, in a build with MQTT_CUSTOM_OUTBOX. The default is what the
	// application brings. One that gives the same outbox every time is one that lasts: over the end of a client, or over a
	// reset.
	NewOutbox func() espmqtt.Outbox
	// NewTimer makes a timer that does not run yet, for what the board's processor and the task of an MQTT client wait for.
	// The default is one of Go's; but on Linux those are late by up to a millisecond, which is much for a board in real
	// time.
	NewTimer func() espmqtt.Timer
	// Dial is the board's network: it opens a TCP connection. The default is net.Dialer.DialContext, without keep-alive probes.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultKconfig returns the build options of the conformance application: those of an untouched build, with MQTT 5.0 and
// with deleted messages reported.
func DefaultKconfig() espmqtt.Kconfig {
	return new(Firmware).DefaultKconfig()
}

// Why something cannot be done to a board.
var (
	ErrOff    = errors.New("the board has no power")
	ErrAsleep = errors.New("the board is in deep sleep")
)

// Board is an emulated ESP32. Its methods may be called from any goroutine.
type Board struct {
	options     Options
	application *application
	firmware    error // what is wrong with it
	uart        *uart

	switching chan struct{}  // held while the power changes; a channel, so that a wait for it is one that virtual time can see
	tasks     sync.WaitGroup // what will hold switching in a while

	mu      sync.Mutex
	power   *power        // nil while nothing runs
	sleep   chan struct{} // closed when somebody ends the deep sleep; nil while the board is not in it
	ended   bool          // the power stays off
	wifi    chan struct{} // closed while the access point can be heard
	fuse    int           // bytes that the board may send until its power goes; negative: without limit
	unheard []*stray      // connections of earlier lives; for who holds switching, and for the life that runs
}

// power is the board's life from one start of the chip to the moment when nothing runs any more.
type power struct {
	board    *Board
	cause    cause // of the start
	on       time.Time
	typed    *typed
	off      chan struct{}
	tasks    sync.WaitGroup
	app      program
	random   *rand.Rand
	heap     heap
	waking   chan struct{} // held by the task that the processor switches to
	taken    time.Time     // until then, by the task that ran last; for who holds waking
	switched espmqtt.Timer // ends when the next one runs; likewise

	mu    sync.Mutex
	conns map[*networkConn]struct{}
}

// New makes a board whose console is at line. It is without power until Run or PowerOn; once it had power, Run must be
// called to end it.
func New(line io.ReadWriter, options Options) *Board {
	if options.MAC == [6]byte{} {
		options.MAC = [6]byte{0x24, 0x0a, 0xc4, 0x12, 0x34, 0x56}
	}
	if options.Kconfig == nil {
		kconfig := options.DefaultKconfig()
		options.Kconfig = &kconfig
	}
	if options.Seed == 0 {
		options.Seed = uint64(time.Now().UnixNano())
	}
	if options.NewTimer == nil {
		options.NewTimer = espmqtt.NewTimer
	}
	if options.Heap == 0 {
		options.Heap = options.Chip.facts().heap
	}
	if options.Dial == nil {
		options.Dial = (&net.Dialer{KeepAlive: -1}).DialContext // off, as in lwIP, until a program asks for it
	}
	b := &Board{options: options, uart: newUART(line, options.Baud), switching: make(chan struct{}, 1),
		wifi: make(chan struct{}), fuse: -1}
	close(b.wifi)
	b.firmware = b.options.Validate()
	if b.application, _ = options.application(); b.firmware != nil {
		b.ended = true
	}
	return b
}

// Run gives the board power and runs it until its console ends, then switches it off for good. The end of the console
// is no error. It is called once.
func (b *Board) Run() error {
	if b.firmware != nil {
		return b.firmware
	}
	stop := b.uart.start()
	b.PowerOn()
	err := b.listen()
	b.end()
	stop()
	return err
}

// listen hands what is typed on the console to the board.
func (b *Board) listen() error {
	buffer := make([]byte, min(b.uart.chunk(), 512))
	for {
		n, err := b.uart.line.Read(buffer)
		if b.uart.baud > 0 {
			time.Sleep(b.uart.takes(n))
		}
		runtime.Gosched() // to what a packet has woken that came just before: it has one more step to go
		b.mu.Lock()
		if b.power != nil { // without power it is lost
			b.power.typed.add(buffer[:n])
		}
		b.mu.Unlock()
		runtime.Gosched() // to the console's task, which a Read that blocks a thread would keep waiting
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

// end switches the board off for good, and closes what its lives have left behind.
func (b *Board) end() {
	unlock := b.lock()
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.halt()
	for _, s := range b.unheard {
		_ = s.conn.Close()
	}
	b.unheard = nil
	unlock()
	b.tasks.Wait()
}

// PowerOn boots the board. It does nothing where the board has power, or where Run has ended.
func (b *Board) PowerOn() {
	defer b.lock()()
	if b.state() == ErrOff {
		b.halt() // where the power has gone by itself, not everything may have ended
		b.boot(causePowerOn)
	}
}

// PowerOff takes the board's power away. Its connections are not closed until Run ends: for the other side they have
// gone silent. It returns when nothing on the board runs any more. What had been printed still goes out, but for what a
// UART with a speed holds.
func (b *Board) PowerOff() {
	defer b.lock()()
	b.halt()
	b.uart.powerOff()
}

func (b *Board) lock() (unlock func()) {
	b.switching <- struct{}{}
	return func() { <-b.switching }
}

// state is nil where the board runs.
func (b *Board) state() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.power != nil && !b.power.dead():
		return nil
	case b.sleep != nil:
		return ErrAsleep
	}
	return ErrOff
}

// boot starts the chip. To be called while nothing runs, by who holds switching.
func (b *Board) boot(why cause) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	p := &power{
		board:    b,
		cause:    why,
		on:       cmp.Or(b.options.Powered, time.Now()),
		typed:    newTyped(b.options.Baud),
		off:      make(chan struct{}),
		random:   rand.New(rand.NewPCG(b.options.Seed, uint64(b.options.MAC[5]))),
		heap:     heap{size: b.options.Heap},
		waking:   make(chan struct{}, 1),
		switched: b.options.NewTimer(),
		conns:    map[*networkConn]struct{}{},
	}
	b.options.Powered = time.Time{} // that was the first time
	b.options.Seed++                // another boot, other random numbers
	p.app = b.application.program(p, b.application)
	b.power = p
	p.tasks.Go(p.main)
}

// halt ends whatever runs, deep sleep included. Connections are left as they are. To be called by who holds switching.
func (b *Board) halt() {
	b.mu.Lock()
	p := b.power
	b.power = nil
	if b.sleep != nil {
		close(b.sleep)
		b.sleep = nil
	}
	b.mu.Unlock()
	if p == nil {
		return
	}
	p.die()
	for _, s := range b.unheard {
		s.endWait()
	}
	p.app.powerOff()
	p.tasks.Wait()
	b.leaveBehind(p)
}

// main is the board's program.
func (p *power) main() {
	p.bootLog()
	if !p.joinWiFi() {
		return
	}
	p.refuseUnheard()
	p.app.run()
}

// die takes the power away: from now on nothing is printed or sent, and what waits for the network waits no longer.
func (p *power) die() {
	p.mu.Lock()
	if !p.dead() {
		close(p.off)
	}
	conns := make([]*networkConn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		c.endWait()
	}
}

func (p *power) dead() bool {
	select {
	case <-p.off:
		return true
	default:
		return false
	}
}

// begin begins something that has to end before the board counts as off. It is false where the power is gone.
func (p *power) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead() {
		return false
	}
	p.tasks.Add(1)
	return true
}

// write puts text on the console, unless the power is gone.
func (p *power) write(text string) {
	if text != "" && !p.dead() {
		p.board.uart.print(text, p.off)
	}
}

// log writes a log line as ESP-IDF does: level, milliseconds since boot, tag and text.
func (p *power) log(level byte, tag, text string) {
	p.write(p.logLine(level, tag, text))
}

func (p *power) logLine(level byte, tag, text string) string {
	return fmt.Sprintf("%c (%d) %s: %s\r\n", level, time.Since(p.on).Milliseconds(), tag,
		strings.ReplaceAll(text, "\n", "\r\n"))
}
