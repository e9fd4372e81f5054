package emulator

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBoardResets has everything happen to a board of each chip that ends one life and begins another.
func TestBoardResets(t *testing.T) {
	t.Parallel()
	happenings := []struct {
		name   string
		do     func(b *Board) error
		number string
		texts  []string // by chip
		reason string
		words  string // what is printed before, as a regular expression
	}{
		{"reset", (*Board).Reset, "0x1", []string{"POWERON_RESET", "POWERON", "POWERON", "POWERON", "POWERON"}, "POWERON", `^$`},
		{"USB reset", (*Board).USBReset, "0x15",
			[]string{"", "", "USB_UART_CHIP_RESET", "USB_UART_CHIP_RESET", "USB_UART_HPSYS"}, "USB", `^$`},
		{"restart", (*Board).Restart, "0xc",
			[]string{"SW_CPU_RESET", "RTC_SW_CPU_RST", "RTC_SW_CPU_RST", "RTC_SW_CPU_RST", "SW_CPU"}, "SW", `^$`},
		{"brownout", (*Board).Brownout, "0x3",
			[]string{"SW_RESET", "RTC_SW_SYS_RST", "RTC_SW_SYS_RST", "RTC_SW_SYS_RST", "LP_SW_HPSYS"}, "BROWNOUT",
			`^E BOD: Brownout detector was triggered\r\n\r\n$`},
		{"panic", func(b *Board) error { return b.Panic(BadLoad) }, "0xc", nil, "PANIC",
			`(?s)^Guru Meditation Error: Core  0 panic'ed \(Load.*\)\. Exception was unhandled\.\r\n\r\nCore  0 register dump:\r\n`},
		{"abort", func(b *Board) error { return b.Panic(Abort) }, "0xc", nil, "PANIC",
			`(?s)^\r\nabort\(\) was called at PC 0x[0-9a-f]{8} on core 0\r\n`},
		{"assert", func(b *Board) error { return b.Panic(FailedAssert) }, "0xc", nil, "PANIC",
			`(?s)^\r\nassert failed: \S+ \S+:\d+ \(.*\)\r\n`},
		{"stack overflow", func(b *Board) error { return b.Panic(StackOverflow) }, "0xc", nil, "PANIC",
			`(?s)^\r\n\*\*\*ERROR\*\*\* A stack overflow in task mqtt_task has been detected`},
		{"task watchdog", (*Board).TaskWatchdog, "0xc", nil, "TASK_WDT",
			`(?s)^E \(\d+\) task_wdt: Task watchdog got triggered\. The following tasks/users did not reset the watchdog in time:\r\n` +
				`E \(\d+\) task_wdt:  - IDLE0 \(CPU 0\)\r\n.*abort\(\) was called`},
		{"interrupt watchdog", (*Board).InterruptWatchdog, "0xc", nil, "INT_WDT",
			`(?s)^Guru Meditation Error: Core  0 panic'ed \(Interrupt wdt timeout on CPU0\)`},
		{"deep sleep", func(b *Board) error { return b.DeepSleep(5 * time.Second) }, "0x5",
			[]string{"DEEPSLEEP_RESET", "DSLEEP", "DSLEEP", "DSLEEP", "SLEEP_WAKEUP"}, "DEEPSLEEP", `^$`},
		{"power", func(b *Board) error { b.PowerOff(); b.PowerOn(); return nil }, "0x1",
			[]string{"POWERON_RESET", "POWERON", "POWERON", "POWERON", "POWERON"}, "POWERON", `^$`},
	}
	banner := regexp.MustCompile(`^rst:(0x[0-9a-f]+) \((\w+)\),boot:0x[0-9a-f]+ \(SPI_FAST_FLASH_BOOT\)$`)
	for _, chip := range Chips() {
		for _, h := range happenings {
			t.Run(chip.String()+" "+h.name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					b := run(t, Options{Chip: chip, Seed: 1})
					b.expect(prompt)
					conn := b.connects()
					synctest.Wait()
					b.drain()
					err := h.do(b.Board)
					if h.name == "USB reset" && !chip.facts().usb {
						if !errors.Is(err, ErrNoUSB) {
							t.Errorf("%v", err)
						}
						b.command("outbox") // it runs on
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					before := b.expect(chip.facts().rom)
					if !regexp.MustCompile(h.words).MatchString(before) {
						t.Errorf("its last words are %q", before)
					}
					log := b.expect(prompt)
					line, _, _ := strings.Cut(log, "\r\n")
					m := banner.FindStringSubmatch(line)
					if m == nil || m[1] != h.number || h.texts != nil && m[2] != h.texts[chip] {
						t.Errorf("the banner is %q", line)
					}
					if !strings.Contains(log, " mqtthil: RESET reason="+h.reason+"\r\n") {
						t.Errorf("the application gives another reason in %q", log)
					}
					saved := chip != ESP32 && h.number != "0x1" && h.number != "0x5"
					if strings.Contains(log, "Saved PC:0x4") != saved {
						t.Errorf("the ROM shows the program counter, or does not, in %q", log)
					}
					b.sends(conn, 0xd0, 0)
					b.refused(conn)
					if got := b.command("start"); !strings.Contains(got, "not initialized") {
						t.Errorf("start: %q", got)
					}
					b.connects()
				})
			})
		}
	}
}

// drain forgets what was printed.
func (b *bench) drain() {
	synctest.Wait()
	for b.unread = ""; len(b.printed) > 0; {
		<-b.printed
	}
}

func TestPanicDump(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		chip  Chip
		fault Fault
		parts []string // regular expressions, in this order
	}{
		{ESP32, BadStore, []string{`\(StoreProhibited\)`, `PC      : 0x400[def]`, `EXCCAUSE: 0x0000001d`, `LCOUNT  : 0x`,
			`\r\nBacktrace:( 0x[0-9a-f]{8}:0x[0-9a-f]{8})+\r\n`}},
		{ESP32, Abort, []string{`abort\(\) was called`, `\r\nBacktrace:( 0x[0-9a-f]{8}:0x[0-9a-f]{8})+\r\n`}},
		{ESP32S2, BadInstruction, []string{`\(IllegalInstruction\)`, `EXCCAUSE: 0x00000000`, `Backtrace: 0x`}},
		{ESP32S3, BadLoad, []string{`\(LoadProhibited\)`, `PC      : 0x42`, `Backtrace: 0x42`}},
		{ESP32S3, interruptTimeout, []string{`Core  0 register dump:`, `Backtrace:`, `Core  1 register dump:`, `Backtrace:`}},
		{ESP32C3, BadStore, []string{`\(Store access fault\)`, `MEPC    : 0x42`, `MCAUSE  : 0x00000007`,
			`\r\nStack memory:\r\n3fc9[0-9a-f]{4}:( 0x[0-9a-f]{8}){8}\r\n`}},
		{ESP32C6, Abort, []string{`abort\(\) was called`, `Core  0 register dump:`, `MEPC`, `Stack memory:\r\n4081`}},
		{ESP32, Fault(77), []string{`abort\(\) was called`}},
	} {
		inBubbleOf(t, test.chip.String()+" "+test.fault.String(), func(t *testing.T) {
			b := run(t, Options{Chip: test.chip, Seed: 1})
			boot := b.expect(prompt)
			if err := b.Panic(test.fault); err != nil {
				t.Fatal(err)
			}
			dump := b.expect("\r\nRebooting...\r\n")
			at := 0
			for _, part := range append(test.parts, `\r\n\r\n\r\nELF file SHA256: [0-9a-f]{9}\r\n$`) {
				i := regexp.MustCompile(part).FindStringIndex(dump[at:])
				if i == nil {
					t.Fatalf("no %s where it belongs in\n%s", part, dump)
				}
				at += i[1] - 2
			}
			_, sum, _ := strings.Cut(dump, "ELF file SHA256: ")
			if !strings.Contains(boot, "ELF file SHA256:  "+strings.TrimSpace(sum)+"...\r\n") {
				t.Errorf("the checksum is another one in the boot log: %q", boot)
			}
			again := run(t, Options{Chip: test.chip, Seed: 1})
			again.expect(prompt)
			_ = again.Panic(test.fault)
			if second := again.expect("\r\nRebooting...\r\n"); second != dump {
				t.Errorf("the same seed gives another dump:\n%s", second)
			}
		})
	}
}

func inBubbleOf(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { inBubble(t, test) })
}

// TestBoardAsleep: a sleeping board does nothing, and wakes when it should.
func TestBoardAsleep(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := run(t, Options{})
		b.expect(prompt)
		for _, d := range []time.Duration{5 * time.Second, time.Hour} {
			conn := b.connects()
			start := time.Now()
			if err := b.DeepSleep(d); err != nil {
				t.Fatal(err)
			}
			for name, do := range map[string]func() error{"Restart": b.Restart, "Brownout": b.Brownout,
				"TaskWatchdog": b.TaskWatchdog, "InterruptWatchdog": b.InterruptWatchdog,
				"Panic":     func() error { return b.Panic(Abort) },
				"DeepSleep": func() error { return b.DeepSleep(1) }} {
				if err := do(); err != ErrAsleep {
					t.Errorf("%s in deep sleep: %v", name, err)
				}
			}
			b.PowerOn() // it has power
			b.drain()
			b.sends(conn, 0xd0, 0)
			time.Sleep(d - time.Second)
			b.drainInto(func(text string) {
				if text != "" {
					t.Errorf("it talks in its sleep: %q", text)
				}
			})
			b.expect("rst:0x5 (DEEPSLEEP_RESET)")
			if took := time.Since(start); took != d {
				t.Errorf("woke after %v", took)
			}
			b.expect(prompt)
			b.refused(conn)
		}
		cycle := func() error { b.PowerOff(); b.PowerOn(); return nil }
		for name, wake := range map[string]func() error{"Reset": b.Reset, "power": cycle} {
			if err := b.DeepSleep(time.Hour); err != nil {
				t.Fatal(err)
			}
			b.drain()
			if err := wake(); err != nil {
				t.Fatal(err)
			}
			b.expect("rst:0x1 ")
			b.expect(prompt)
			time.Sleep(2 * time.Hour)
			b.drain()
			if got := b.command("outbox"); !strings.Contains(got, "not initialized") {
				t.Errorf("after %s: %q", name, got)
			}
		}
		_ = b.DeepSleep(time.Hour)
		b.PowerOff()
		time.Sleep(2 * time.Hour)
		for name, do := range map[string]func() error{"Reset": b.Reset, "Restart": b.Restart,
			"DeepSleep": func() error { return b.DeepSleep(1) }} {
			if err := do(); err != ErrOff {
				t.Errorf("%s without power: %v", name, err)
			}
		}
		b.PowerOn()
		b.expect("rst:0x1 ")
		_ = b.DeepSleep(time.Hour) // and it ends with the console, asleep
	})
}

// TestBoardMishaps lets everything happen at once, in virtual and in real time.
func TestBoardMishaps(t *testing.T) {
	t.Parallel()
	play := func(t *testing.T) {
		b := run(t, Options{})
		serving := make(chan struct{})
		go func() {
			defer close(serving)
			for {
				conn, err := b.broker.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte{0x20, 2, 0, 0})
				defer conn.Close()
			}
		}()
		reading := make(chan struct{})
		go func() {
			defer close(reading)
			for range b.printed {
			}
		}()
		done := make(chan struct{})
		mishaps := []func(){
			b.PowerOff, b.PowerOn,
			func() { _ = b.Reset() }, func() { _ = b.Restart() }, func() { _ = b.Panic(BadLoad) },
			func() { _ = b.DeepSleep(time.Millisecond) }, func() { b.PowerCutAfter(30) }, b.PowerOn,
			func() { b.WiFi(false) }, func() { b.WiFi(true) },
			func() { b.types(initCommand + "\nstart\npublish a b 1 1 0 0\nstop\n") },
		}
		for _, do := range mishaps {
			go func() {
				defer func() { done <- struct{}{} }()
				for range 20 {
					do()
					time.Sleep(time.Millisecond)
				}
			}()
		}
		for range mishaps {
			<-done
		}
		_ = b.console.Close()
		<-reading
		b.close()
		_ = b.broker.Close()
		<-serving
	}
	t.Run("virtual", func(t *testing.T) { inBubble(t, play) })
	t.Run("real", func(t *testing.T) { t.Parallel(); play(t) })
}
