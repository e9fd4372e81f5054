package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// freeMemory is the memory, in bytes, that the application has for a payload: no measure of a chip, but the number that
// this board goes by.
const freeMemory = 1 << 18

// idfVersion is what stands where a chip's firmware names the release of ESP-IDF that it was built with.
const idfVersion = "v6.0-emulated"

// bootLog prints what a chip prints from the reset to where the application has its network to itself: the ROM's banner
// with the cause of the reset, the second stage's and the application's log.
func (p *power) bootLog() {
	chip := p.board.options.Chip.facts()
	text := chip.rom + chip.banner(p.cause)
	if first := p.cause.number(); chip.savedPC && first != causePowerOn.number() && first != causeDeepSleep.number() {
		text += fmt.Sprintf("Saved PC:0x%08x\r\n", chip.code+0x6d4e)
	}
	p.write(text + chip.loader)
	p.log('I', "boot", "ESP-IDF "+idfVersion+" 2nd stage bootloader")
	if chip.cores > 1 {
		p.log('I', "cpu_start", "Multicore app")
	} else {
		p.log('I', "cpu_start", "Unicore app")
	}
	p.log('I', "app_init", "Project name:     "+p.board.application.project)
	p.log('I', "app_init", "ELF file SHA256:  "+p.board.elfDigits()+"...")
	p.log('I', "app_init", "ESP-IDF:          "+idfVersion)
	p.log('I', "main_task", "Calling app_main()")
	p.board.application.greet(p)
	p.log('I', extensionTag, "RESET reason="+p.cause.reason())
}

// elfDigits are the first digits of the checksum that tells one build of the firmware from another.
func (b *Board) elfDigits() string {
	sum := sha256.Sum256([]byte(b.application.project + " " + b.options.Chip.String() + " " + idfVersion))
	return hex.EncodeToString(sum[:])[:9]
}
