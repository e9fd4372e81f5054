package emulator

import "fmt"

// freeMemory is the memory, in bytes, that the application has for a payload: no measure of a chip, but the number that
// this board goes by.
const freeMemory = 1 << 18

// idfVersion is what stands where a chip's firmware names the release of ESP-IDF that it was built with.
const idfVersion = "v6.0-emulated"

// bootLog prints what an ESP32 prints from power-on to the application's start: the ROM's banner with the cause of the
// reset (the EN pin counts as power-on on this chip), the second stage's and the application's log.
func (p *power) bootLog() {
	p.write("ets Jul 29 2019 12:21:46\r\n\r\n" +
		"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n" +
		"configsip: 0, SPIWP:0xee\r\n" +
		"clk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,wp_drv:0x00\r\n" +
		"mode:DIO, clock div:2\r\n" +
		"load:0x3fff0030,len:6384\r\n" +
		"entry 0x400805f0\r\n")
	p.log('I', "boot", "ESP-IDF "+idfVersion+" 2nd stage bootloader")
	p.log('I', "app_init", "Project name:     mqtt_conformance")
	p.log('I', "app_init", "ESP-IDF:          "+idfVersion)
	p.log('I', "main_task", "Calling app_main()")
	p.log('I', appTag, fmt.Sprintf("[APP] Free memory: %d bytes", freeMemory))
	p.log('I', appTag, "[APP] IDF version: "+idfVersion)
	mac := p.board.options.MAC
	p.log('I', "example_connect", fmt.Sprintf("Ethernet MAC %02x:%02x:%02x:%02x:%02x:%02x, network is up",
		mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]))
}
