package emulator

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Fault is what an application has done wrong when it panics.
type Fault int

// The faults.
const (
	BadLoad        Fault = iota // reads where no memory is
	BadStore                    // writes where no memory is
	BadInstruction              // runs what is no code
	Abort                       // calls abort
	FailedAssert                // assert
	StackOverflow               // of a task

	interruptTimeout // what the interrupt watchdog ends
	faults           // how many there are
)

// exception is a fault as the processor reports it: its name and number on Xtensa and on RISC-V.
type exception struct {
	word         string // by which it is asked for
	xtensa       string
	xtensaNumber uint32
	riscv        string
	riscvNumber  uint32
}

var exceptions = [faults]exception{
	BadLoad:          {"load", "LoadProhibited", 0x1c, "Load access fault", 5},
	BadStore:         {"store", "StoreProhibited", 0x1d, "Store access fault", 7},
	BadInstruction:   {"instruction", "IllegalInstruction", 0, "Illegal instruction", 2},
	Abort:            {word: "abort", riscvNumber: 2},
	FailedAssert:     {word: "assert", riscvNumber: 2},
	StackOverflow:    {word: "stack", riscvNumber: 2},
	interruptTimeout: {"", "Interrupt wdt timeout on CPU0", 5, "Interrupt wdt timeout on CPU0", 0x18},
}

// ParseFault finds a fault by its name: load, store, instruction, abort, assert or stack.
func ParseFault(name string) (Fault, error) {
	var known []string
	for f, e := range exceptions {
		switch {
		case e.word == "": // it has no name
		case e.word == name:
			return Fault(f), nil
		default:
			known = append(known, e.word)
		}
	}
	return 0, fmt.Errorf("unknown fault %q; it is one of %s", name, strings.Join(known, ", "))
}

// String is the fault's name.
func (f Fault) String() string {
	if f < 0 || f >= faults || exceptions[f].word == "" {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return exceptions[f].word
}

// dump is what the panic handler prints, from the cause to the end of the old life. Registers and addresses are made up,
// but lie where such things lie on the chip.
func (p *power) dump(f Fault) string {
	if f < 0 || f >= faults {
		f = Abort
	}
	chip := p.board.options.Chip.facts()
	d := dump{chip: chip, random: p.random, exception: exceptions[f]}
	d.pc, d.sp = d.codeAddress(), d.stackAddress()
	switch f {
	case Abort:
		d.printf("\r\nabort() was called at PC 0x%08x on core 0\r\n", d.pc)
	case FailedAssert:
		d.printf("\r\nassert failed: app_step app_main.c:42 (step < STEPS)\r\n")
	case StackOverflow:
		d.printf("\r\n***ERROR*** A stack overflow in task mqtt_task has been detected.\r\n")
	case interruptTimeout:
		d.printf("Guru Meditation Error: Core  0 panic'ed (%s). \r\n", d.name())
	default:
		d.printf("Guru Meditation Error: Core  0 panic'ed (%s). Exception was unhandled.\r\n", d.name())
	}
	d.printf("\r\n")
	switch {
	case chip.riscv:
		d.riscvState()
	case d.name() != "": // after a call of abort the handler leaves the registers out
		d.xtensaState(0)
		if f == interruptTimeout && chip.cores > 1 {
			d.xtensaState(1)
		}
	default:
		d.backtrace()
	}
	d.printf("\r\n\r\nELF file SHA256: %s\r\n\r\nRebooting...\r\n", p.board.elfDigits())
	return d.String()
}

// taskWatchdogDump is what the task watchdog prints, and the panic that it ends in.
func (p *power) taskWatchdogDump() string {
	lines := []string{
		"Task watchdog got triggered. The following tasks/users did not reset the watchdog in time:",
		" - IDLE0 (CPU 0)",
		"Tasks currently running:",
		"CPU 0: mqtt_task",
	}
	if p.board.options.Chip.facts().cores > 1 {
		lines = append(lines, "CPU 1: IDLE1")
	}
	var text strings.Builder
	for _, line := range append(lines, "Aborting.") {
		text.WriteString(p.logLine('E', "task_wdt", line))
	}
	return text.String() + p.dump(Abort)
}

// dump is the text of a panic, while it is written.
type dump struct {
	strings.Builder
	chip      chipFacts
	exception exception
	random    *rand.Rand
	pc, sp    uint32
}

func (d *dump) printf(format string, arguments ...any) { fmt.Fprintf(d, format, arguments...) }

// name is what the processor calls the exception; empty where the application itself gave up.
func (d *dump) name() string {
	if d.chip.riscv {
		return d.exception.riscv
	}
	return d.exception.xtensa
}

func (d *dump) codeAddress() uint32 { return d.chip.code + 0x5000 + 2*d.random.Uint32N(0x10000) }

func (d *dump) stackAddress() uint32 { return d.chip.stack + 16*d.random.Uint32N(0x200) }

// value is what a register may hold.
func (d *dump) value() uint32 {
	switch d.random.IntN(4) {
	case 0:
		return 0
	case 1:
		return d.random.Uint32N(0x100)
	case 2:
		return d.codeAddress()
	}
	return d.stackAddress()
}

// registers prints registers, four to a line. Those without a given value get any.
func (d *dump) registers(names string, given map[string]uint32) {
	for i, name := range strings.Fields(names) {
		value, ok := given[name]
		if !ok {
			value = d.value()
		}
		d.printf("%-8s: 0x%08x  ", name, value)
		if i%4 == 3 {
			d.printf("\r\n")
		}
	}
}

func (d *dump) xtensaState(core int) {
	d.printf("Core  %d register dump:\r\n", core)
	d.registers("PC PS A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A11 A12 A13 A14 A15 SAR EXCCAUSE EXCVADDR LBEG LEND LCOUNT",
		map[string]uint32{"PC": d.pc, "PS": 0x00060930, "A0": 0x80000000 | d.codeAddress()&0x3fffffff, "A1": d.sp, "SAR": 0x1e,
			"EXCCAUSE": d.exception.xtensaNumber, "EXCVADDR": 0, "LCOUNT": 0})
	d.printf("\r\n\r\n")
	d.backtrace()
}

// backtrace prints where the functions were that had been called, innermost first.
func (d *dump) backtrace() {
	d.printf("Backtrace:")
	for pc, sp, i := d.pc, d.sp, 0; i < 6; i++ {
		d.printf(" 0x%08x:0x%08x", pc, sp)
		pc, sp = d.codeAddress(), sp+0x20*(1+d.random.Uint32N(4))
	}
	d.printf("\r\n")
}

// riscvState prints the registers and a piece of the stack, in which the host finds the calls by itself.
func (d *dump) riscvState() {
	d.printf("Core  0 register dump:\r\n")
	d.registers("MEPC RA SP GP TP T0 T1 T2 S0/FP S1 A0 A1 A2 A3 A4 A5 A6 A7 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 T3 T4 T5 T6 "+
		"MSTATUS MTVEC MCAUSE MTVAL MHARTID",
		map[string]uint32{"MEPC": d.pc, "RA": d.codeAddress(), "SP": d.sp, "MSTATUS": 0x1881, "MTVEC": 0x40380001,
			"MCAUSE": d.exception.riscvNumber, "MTVAL": 0, "MHARTID": 0})
	d.printf("\r\n\r\nStack memory:\r\n")
	for line := range uint32(16) {
		d.printf("%08x:", d.sp+32*line)
		for range 8 {
			d.printf(" 0x%08x", d.value())
		}
		d.printf("\r\n")
	}
}
