package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"mqtthil/broker"
	"mqtthil/devices"
	"mqtthil/devices/emulator"
	"mqtthil/devices/port"
	"mqtthil/faults"
	"mqtthil/faults/transport"
	"mqtthil/harness/timeline"
)

// Bench is what a scenario works with: a device whose way to the broker leads through the fault proxy. A method of it,
// or of its DUT, that cannot do its work ends the scenario.
type Bench struct {
	DUT    *devices.DUT
	Faults *faults.Proxy
	Front  *transport.Front // the bench's end of TLS and WebSocket; nil where the run's transport has none of them
	Broker *broker.Broker
	Record *timeline.Recorder

	ctx     context.Context
	giveUp  context.CancelCauseFunc // ends the scenario from any goroutine, as a failure of the harness
	options Options
	address string   // host:port at which the device reaches the proxy
	closers []func() // in the order of opening
	closed  sync.Once
	ended   chan struct{} // closed when the scenario's body has ended
}

// open puts the bench together: broker, proxy, device. The faults that a scenario arms first are armed before the
// device connects, for the device's client is not started yet.
func (b *Bench) open() {
	network := b.network()
	listen := func(host string) net.Listener {
		l, err := network.listen(host)
		if err != nil {
			b.infrastructure("%v; is %s an address of this machine? see --listen", err, host)
		}
		return l
	}
	var err error
	if b.Broker, err = broker.New(b.Record, broker.Options{}); err != nil {
		b.harness("starting the broker: %v", err)
	}
	b.closing(func() { _ = b.Broker.Close() })
	brokerListener := listen(network.host("broker"))
	if err := b.Broker.Serve(brokerListener); err != nil {
		b.harness("starting the broker: %v", err)
	}
	proxyListener := listen(network.host(b.options.Listen))
	host, _, _ := net.SplitHostPort(proxyListener.Addr().String())
	accept, err := b.options.way.accept(b, host)
	if err != nil {
		b.harness("transport %s: %v", b.options.Transport, err)
	}
	b.Faults = faults.New(faults.Options{
		Record: b.Record,
		Accept: accept,
		Dial: func(ctx context.Context) (net.Conn, error) {
			return network.dial(ctx, "tcp", brokerListener.Addr().String())
		},
	})
	serving := make(chan struct{})
	go func() {
		defer close(serving)
		if err := b.Faults.Serve(proxyListener); err != nil {
			err = fmt.Errorf("the proxy broke down: %w", err)
			b.Record.Append(timeline.Event{Kind: timeline.KindHarness, Text: err.Error()})
			b.giveUp(err) // or the device would be blamed for what it cannot do any more
		}
	}()
	b.closing(func() { b.Faults.Close(); <-serving })
	if b.address, err = b.options.way.shield(b, host, proxyListener.Addr().String()); err != nil {
		b.infrastructure("transport %s: %v", b.options.Transport, err)
	}
	b.openDevice(network)
}

// openDevice opens the device's console and waits until the device has booted.
func (b *Bench) openDevice(network network) {
	kind, rest, _ := strings.Cut(b.options.Device, ":")
	options := devices.Options{Fail: b.deviceFailed}
	var p port.Port
	run := func() {}
	var err error
	switch kind {
	case Emulated:
		var uart io.ReadWriter
		if uart, p, err = network.console(); err != nil {
			b.infrastructure("making a console: %v", err)
		}
		app, err := emulator.AppOf(b.options.Console)
		if err != nil {
			b.harness("%v", err)
		}
		board := emulator.New(uart, emulator.Options{Dial: network.dial, Behaviour: b.options.behaviour,
			Firmware: emulator.Firmware{App: app.Name}})
		p = emulatedPort{p, board}
		ended := make(chan struct{})
		run = func() {
			go func() {
				defer close(ended)
				if err := board.Run(); err != nil {
					b.Record.Append(timeline.Event{Kind: timeline.KindHarness, Text: fmt.Sprintf("emulated board: %v", err)})
				}
			}()
		}
		b.closing(func() { closeUART(uart); <-ended })
	case "exec":
		if p, err = port.StartProcess(rest); err != nil {
			b.infrastructure("%v", err)
		}
		options.PromptOptional, options.BootTimeout = b.options.Console == "espressif", 5*time.Second
	case "serial":
		if p, err = port.OpenSerial(rest); err != nil {
			b.infrastructure("%v", err)
		}
	}
	// The console is listened to before the board starts, or the first lines would be lost.
	b.DUT = devices.Open(b.ctx, p, b.options.dialect, b.Record, options)
	b.closing(func() { _ = b.DUT.Close() })
	run()
	if kind == "serial" {
		b.DUT.Reset()
		return
	}
	b.DUT.AwaitBoot()
}

// closeUART closes the board's end of the console, which switches the board off.
func closeUART(uart io.ReadWriter) {
	if c, ok := uart.(io.Closer); ok {
		_ = c.Close()
	}
}

// emulatedPort is the console of an emulated board, with the board's reset button and power switch.
type emulatedPort struct {
	port.Port
	board *emulator.Board
}

func (p emulatedPort) Reset(context.Context) error    { p.board.Reset(); return nil }
func (p emulatedPort) PowerOff(context.Context) error { p.board.PowerOff(); return nil }
func (p emulatedPort) PowerOn(context.Context) error  { p.board.PowerOn(); return nil }

// deviceFailed ends the scenario with an error of the DUT; whose fault it is, the error says.
func (b *Bench) deviceFailed(err error) {
	owner := timeline.OwnerHarness
	switch {
	case b.ctx.Err() != nil:
		b.over()
	case errors.Is(err, devices.ErrPort):
		owner = timeline.OwnerInfrastructure
	case errors.Is(err, devices.ErrNoAnswer), errors.Is(err, devices.ErrRefused):
		owner = timeline.OwnerDevice
	}
	b.fail(owner, err.Error(), b.lastPacket(len(b.Record.Events())))
}

// over ends a scenario whose context has ended.
func (b *Bench) over() {
	cause := context.Cause(b.ctx)
	switch {
	case errors.Is(cause, errInterrupted):
		panic(failure{status: timeline.Interrupted, message: cause.Error()})
	case errors.Is(cause, errBudget):
		b.harness("%v: %v", cause, b.options.Budget)
	}
	b.harness("%v", cause)
}

func (b *Bench) fail(owner timeline.Owner, message string, events []int) {
	panic(failure{timeline.Failed, owner, message, events})
}

func (b *Bench) harness(format string, arguments ...any) {
	b.fail(timeline.OwnerHarness, fmt.Sprintf(format, arguments...), nil)
}

func (b *Bench) infrastructure(format string, arguments ...any) {
	b.fail(timeline.OwnerInfrastructure, fmt.Sprintf(format, arguments...), nil)
}

// closing adds what has to be done when the scenario ends.
func (b *Bench) closing(f func()) { b.closers = append(b.closers, f) }

// close takes the bench down, last opened first. Only the first call does.
func (b *Bench) close() {
	b.closed.Do(func() {
		for i := len(b.closers) - 1; i >= 0; i-- {
			b.closers[i]()
		}
	})
}

// settle waits until the record has been still for a moment: what the device did last may still be on its way over the
// console, and the judges are to see it.
func (b *Bench) settle() {
	const still, most = 100 * time.Millisecond, 2 * time.Second
	end := time.NewTimer(most)
	defer end.Stop()
	for {
		changed := b.Record.Changed()
		quiet := time.NewTimer(still)
		select {
		case <-changed:
			quiet.Stop()
		case <-quiet.C:
			return
		case <-end.C:
			quiet.Stop()
			return
		case <-b.ctx.Done():
			quiet.Stop()
			b.over()
		}
	}
}

// checkFaults fails a scenario whose fault never struck: what it seems to prove, it did not try.
func (b *Bench) checkFaults() {
	for _, rule := range b.Faults.Rules() {
		if rule.Fired() == 0 {
			b.harness("the fault never struck: %s", rule)
		}
	}
}
