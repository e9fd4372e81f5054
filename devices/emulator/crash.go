package emulator

import (
	"errors"
	"fmt"
	"time"
)

// ErrNoUSB is for a reset over USB where the chip has no unit for that.
var ErrNoUSB = errors.New("the chip has no USB-Serial/JTAG unit")

// Reset is a press on the reset button, or a host that pulls the EN pin: the board loses what it knows and boots again.
func (b *Board) Reset() error { return b.pin(causePin) }

// USBReset is a host that resets the chip over its USB-Serial/JTAG unit.
func (b *Board) USBReset() error {
	if chip := b.options.Chip; !chip.facts().usb {
		return fmt.Errorf("reset over USB: %v: %w", chip, ErrNoUSB)
	}
	return b.pin(causeUSB)
}

// pin is a reset from outside, which works in deep sleep too.
func (b *Board) pin(why cause) error {
	defer b.lock()()
	if b.state() == ErrOff {
		return ErrOff
	}
	b.halt()
	b.uart.powerOff()
	b.boot(why)
	return nil
}

// Restart is a call of esp_restart by the application.
func (b *Board) Restart() error {
	return b.crash(causeRestart, func(*power) string { return "" })
}

// Brownout is a supply that breaks down for a moment: the chip's detector notices it, and the application resets.
func (b *Board) Brownout() error {
	return b.crash(causeBrownout, func(*power) string { return "E BOD: Brownout detector was triggered\r\n\r\n" })
}

// Panic is a fault of the application that ends in the panic handler.
func (b *Board) Panic(fault Fault) error {
	return b.crash(causePanic, func(p *power) string { return p.dump(fault) })
}

// TaskWatchdog is a task that does not let others run, on a build where that ends in a panic.
func (b *Board) TaskWatchdog() error {
	return b.crash(causeTaskWatchdog, (*power).taskWatchdogDump)
}

// InterruptWatchdog is code that keeps interrupts off for too long.
func (b *Board) InterruptWatchdog() error {
	return b.crash(causeInterruptWatchdog, func(p *power) string { return p.dump(interruptTimeout) })
}

// crash ends what runs, without closing a connection, prints last words, and boots again.
func (b *Board) crash(why cause, lastWords func(*power) string) error {
	defer b.lock()()
	if err := b.state(); err != nil {
		return err
	}
	b.fall(b.running(), why, lastWords)
	return nil
}

// fall ends a life with last words and begins the next. To be called by who holds switching.
func (b *Board) fall(p *power, why cause, lastWords func(*power) string) {
	b.halt()
	if text := lastWords(p); text != "" {
		b.uart.print(text, nil)
	}
	b.boot(why)
}

// panic is a fault of something that runs on the board and so cannot wait until nothing does.
func (p *power) panic(fault Fault) {
	p.ends(func(b *Board) { b.fall(p, causePanic, func(p *power) string { return p.dump(fault) }) })
}

func (b *Board) running() *power {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.power
}

// DeepSleep switches off all of the chip but its clock, for a time; connections are left as they are. It returns when
// nothing runs any more. The board wakes by a reset, or when the time is over; without power it does not wake.
func (b *Board) DeepSleep(d time.Duration) error {
	defer b.lock()()
	if err := b.state(); err != nil {
		return err
	}
	b.halt()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return nil
	}
	disturbed := make(chan struct{})
	b.sleep = disturbed
	b.tasks.Go(func() {
		enough := time.NewTimer(d)
		defer enough.Stop()
		select {
		case <-enough.C:
			b.wake(disturbed)
		case <-disturbed:
		}
	})
	return nil
}

// wake ends a deep sleep that nothing else has ended.
func (b *Board) wake(disturbed chan struct{}) {
	defer b.lock()()
	b.mu.Lock()
	asleep := b.sleep == disturbed
	if asleep {
		b.sleep = nil
	}
	b.mu.Unlock()
	if asleep {
		b.boot(causeDeepSleep)
	}
}

// PowerCutAfter takes the board's power away in the middle of what it sends: as soon as it has put n more bytes on the
// network, over whichever connections. With 0 the next thing that it sends finds it without power. A negative n takes
// that back.
func (b *Board) PowerCutAfter(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fuse = n
}

// spend says how many of n bytes the board may send, and whether its power goes behind them.
func (b *Board) spend(n int) (allowed int, burns bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fuse < 0 {
		return n, false
	}
	allowed = min(n, b.fuse)
	b.fuse -= allowed
	return allowed, b.fuse == 0
}

// giveBack takes back bytes that were not sent.
func (b *Board) giveBack(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fuse >= 0 {
		b.fuse += n
	}
}

// later has something done to the board that ends this life, which asks for it from within and so cannot wait for it.
func (p *power) later(do func(*Board) error) {
	b := p.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.power != p || b.ended {
		return
	}
	b.tasks.Go(func() {
		if b.running() == p {
			_ = do(b)
		}
	})
}

// cut takes the power away from within something that runs on the board and so cannot wait until nothing does.
func (p *power) cut() {
	p.die()
	b := p.board
	b.mu.Lock()
	b.fuse = -1
	b.mu.Unlock()
	p.ends(func(b *Board) {
		b.halt()
		b.uart.powerOff()
	})
}

// ends lets nothing on the board go on, and does something about it when it holds switching, unless somebody else has.
func (p *power) ends(do func(*Board)) {
	p.die()
	b := p.board
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.power != p || b.ended {
		return
	}
	b.tasks.Go(func() {
		defer b.lock()()
		if b.running() == p {
			do(b)
		}
	})
}
