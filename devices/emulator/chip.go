package emulator

import (
	"fmt"
	"strings"
)

// Chip is a chip of the ESP32 family.
type Chip int

// The chips.
const (
	ESP32 Chip = iota
	ESP32S2
	ESP32S3
	ESP32C3
	ESP32C6
)

// Chips are all the chips that a board may have.
func Chips() []Chip { return []Chip{ESP32, ESP32S2, ESP32S3, ESP32C3, ESP32C6} }

// ParseChip finds a chip by its name, written with or without a hyphen and in either case.
func ParseChip(name string) (Chip, error) {
	var known []string
	for _, c := range Chips() {
		if strings.EqualFold(strings.ReplaceAll(name, "-", ""), strings.ReplaceAll(c.String(), "-", "")) {
			return c, nil
		}
		known = append(known, c.String())
	}
	return 0, fmt.Errorf("unknown chip %q; it is one of %s", name, strings.Join(known, ", "))
}

// String is the chip's name, such as ESP32-C3.
func (c Chip) String() string {
	if c < 0 || int(c) >= len(chips) {
		return fmt.Sprintf("Chip(%d)", int(c))
	}
	return chips[c].name
}

func (c Chip) facts() chipFacts { return chips[c] }

// chipFacts are what can be seen of a chip from outside.
type chipFacts struct {
	name   string
	rom    string         // what the ROM prints before the cause of the reset
	boot   string         // the boot mode: the strapping pins of a board that boots from its flash
	loader string         // what the ROM prints while it loads the second stage
	causes map[int]string // by number, as the ROM writes them
	riscv  bool
	cores  int
	usb    bool // has the USB-Serial/JTAG unit, by which a host can reset it
	// savedPC says that the ROM prints where the processor was before the reset.
	savedPC bool
	code    uint32 // where the application's code is mapped
	stack   uint32 // where the stacks of its tasks are
	heap    int    // bytes that are free when the application begins, roughly
}

// cause is why a chip starts.
type cause int

const (
	causePowerOn cause = iota
	causePin           // EN pin; for each of these chips the same as power-on
	causeRestart       // esp_restart
	causePanic
	causeTaskWatchdog
	causeInterruptWatchdog
	causeBrownout
	causeDeepSleep
	causeUSB
)

// number is the cause as the ROM counts it. A panic, and the watchdogs that lead to one, end in the same reset of the
// processor as esp_restart; brownout is noticed by the application, which then resets the whole system.
func (c cause) number() int {
	switch c {
	case causePowerOn, causePin:
		return 0x1
	case causeBrownout:
		return 0x3
	case causeDeepSleep:
		return 0x5
	case causeUSB:
		return 0x15
	}
	return 0xc
}

// reason is what esp_reset_reason tells the application, without ESP_RST_: more than the ROM knows, because the panic
// handler leaves a hint.
func (c cause) reason() string {
	return [...]string{"POWERON", "POWERON", "SW", "PANIC", "TASK_WDT", "INT_WDT", "BROWNOUT", "DEEPSLEEP", "USB"}[c]
}

// banner is the line with the cause of the reset.
func (f chipFacts) banner(c cause) string {
	return fmt.Sprintf("rst:0x%x (%s),boot:%s (SPI_FAST_FLASH_BOOT)\r\n", c.number(), f.causes[c.number()], f.boot)
}

var chips = [...]chipFacts{
	ESP32: {
		name: "ESP32",
		rom:  "ets Jul 29 2019 12:21:46\r\n\r\n",
		boot: "0x13",
		loader: "configsip: 0, SPIWP:0xee\r\n" +
			"clk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,wp_drv:0x00\r\n" +
			"mode:DIO, clock div:2\r\n" +
			"load:0x3fff0030,len:6384\r\n" +
			"entry 0x400805f0\r\n",
		causes: map[int]string{0x1: "POWERON_RESET", 0x3: "SW_RESET", 0x5: "DEEPSLEEP_RESET",
			0xc: "SW_CPU_RESET"},
		cores: 2, code: 0x400d0000, stack: 0x3ffb5000, heap: freeMemory,
	},
	ESP32S2: {
		name: "ESP32-S2",
		rom:  "ESP-ROM:esp32s2-rc4-20191025\r\nBuild:Oct 25 2019\r\n",
		boot: "0x8",
		loader: "SPIWP:0xee\r\nmode:DIO, clock div:1\r\n" +
			"load:0x3ffe6108,len:0x17ac\r\nload:0x4004c000,len:0xacc\r\nload:0x40050000,len:0x2f2c\r\n" +
			"entry 0x4004c18c\r\n",
		causes: map[int]string{0x1: "POWERON", 0x3: "RTC_SW_SYS_RST", 0x5: "DSLEEP",
			0xc: "RTC_SW_CPU_RST"},
		cores: 1, savedPC: true, code: 0x40080000, stack: 0x3ffc8000, heap: 192 << 10,
	},
	ESP32S3: {
		name: "ESP32-S3",
		rom:  "ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\n",
		boot: "0x8",
		loader: "SPIWP:0xee\r\nmode:DIO, clock div:1\r\n" +
			"load:0x3fce3810,len:0x178c\r\nload:0x403c9700,len:0x4\r\nload:0x403c9704,len:0xcb8\r\nload:0x403cc700,len:0x2d9c\r\n" +
			"entry 0x403c9914\r\n",
		causes: map[int]string{0x1: "POWERON", 0x3: "RTC_SW_SYS_RST", 0x5: "DSLEEP",
			0xc: "RTC_SW_CPU_RST", 0x15: "USB_UART_CHIP_RESET"},
		cores: 2, usb: true, savedPC: true, code: 0x42000000, stack: 0x3fc98000, heap: 320 << 10,
	},
	ESP32C3: {
		name: "ESP32-C3",
		rom:  "ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\n",
		boot: "0xc",
		loader: "SPIWP:0xee\r\nmode:DIO, clock div:1\r\n" +
			"load:0x3fcd5820,len:0x1708\r\nload:0x403cc710,len:0x968\r\nload:0x403ce710,len:0x2f9c\r\n" +
			"entry 0x403cc710\r\n",
		causes: map[int]string{0x1: "POWERON", 0x3: "RTC_SW_SYS_RST", 0x5: "DSLEEP",
			0xc: "RTC_SW_CPU_RST", 0x15: "USB_UART_CHIP_RESET"},
		riscv: true, cores: 1, usb: true, savedPC: true, code: 0x42000000, stack: 0x3fc91000, heap: 256 << 10,
	},
	ESP32C6: {
		name: "ESP32-C6",
		rom:  "ESP-ROM:esp32c6-20220919\r\nBuild:Sep 19 2022\r\n",
		boot: "0xc",
		loader: "SPIWP:0xee\r\nmode:DIO, clock div:2\r\n" +
			"load:0x40875730,len:0x1804\r\nload:0x4086c410,len:0xd14\r\nload:0x4086e610,len:0x2e8c\r\n" +
			"entry 0x4086c41a\r\n",
		causes: map[int]string{0x1: "POWERON", 0x3: "LP_SW_HPSYS", 0x5: "SLEEP_WAKEUP",
			0xc: "SW_CPU", 0x15: "USB_UART_HPSYS"},
		riscv: true, cores: 1, usb: true, savedPC: true, code: 0x42000000, stack: 0x4081a000, heap: 360 << 10,
	},
}
