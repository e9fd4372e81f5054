package emulator

import (
	"fmt"
	"time"
)

// Times of a station that looks for its access point: how long it asks for it before it gives up a connection, and how
// long one attempt to join takes.
const (
	probing  = 2500 * time.Millisecond
	scanning = 2400 * time.Millisecond
)

// WiFi says whether the board hears its access point, which at first it does. While it does not, nothing goes in or out
// on its connections, and no new ones can be made; afterwards they go on where they were. It belongs to the air around
// the board, and outlasts resets.
func (b *Board) WiFi(up bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if up == isClosed(b.wifi) {
		return
	}
	if up {
		close(b.wifi)
		return
	}
	b.wifi = make(chan struct{})
	if p := b.power; p != nil && p.begin() {
		air := b.wifi
		go func() {
			defer p.tasks.Done()
			p.loseWiFi(air)
		}()
	}
}

// air is closed while the access point can be heard.
func (b *Board) air() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wifi
}

// joinWiFi is the application's first wait for its network. It is false where the power goes before.
func (p *power) joinWiFi() bool {
	mac := p.board.options.MAC
	p.wifiLog(fmt.Sprintf("mode : sta (%02x:%02x:%02x:%02x:%02x:%02x)", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]))
	p.log('I', "example_connect", "Connecting to "+ssid+"...")
	air := p.board.air()
	if !isClosed(air) && !p.scan(air, noAccessPoint) {
		return false
	}
	p.joined()
	p.log('I', "example_common", "Connected to example_netif_sta")
	return true
}

// loseWiFi is what the station does from the loss of its access point to its return.
func (p *power) loseWiFi(air <-chan struct{}) {
	p.wifiLog("bcn_timeout,ap_probe_send_start")
	probed := time.NewTimer(probing)
	defer probed.Stop()
	select {
	case <-p.off:
		return
	case <-air: // it answers, and nothing was lost
	case <-probed.C:
		p.wifiLog("ap_probe_send over, resett wifi status to disassoc")
		p.wifiLog("state: run -> init (0xc800)")
		if !p.scan(air, beaconTimeout) {
			return
		}
		p.joined()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		p.tasks.Go(c.catchUp)
	}
}

// Reasons for a disconnection, by their numbers in esp_wifi_types.h.
const (
	beaconTimeout = 200
	noAccessPoint = 201
)

// scan tries to join until the access point is there. It is false where the power goes before.
func (p *power) scan(air <-chan struct{}, reason int) bool {
	for {
		p.log('I', "example_connect", fmt.Sprintf("Wi-Fi disconnected %d, trying to reconnect...", reason))
		reason = noAccessPoint
		again := time.NewTimer(scanning)
		select {
		case <-p.off:
			again.Stop()
			return false
		case <-air:
			again.Stop()
			return true
		case <-again.C:
		}
	}
}

// ssid is the name of the network that the board joins.
const ssid = "mqtthil"

// joined tells of the connection to the access point and of the address that came with it.
func (p *power) joined() {
	p.wifiLog("state: init -> auth (0xb0)")
	p.wifiLog("state: auth -> assoc (0x0)")
	p.wifiLog("state: assoc -> run (0x10)")
	p.wifiLog("connected with " + ssid + ", aid = 1, channel 6, BW20, bssid = 02:00:00:00:00:01")
	p.log('I', "example_connect", `Got IPv4 event: Interface "example_netif_sta" address: 192.168.4.2`)
}

// wifiLog writes a line of the Wi-Fi driver, which puts no blank behind its tag.
func (p *power) wifiLog(text string) {
	p.write(fmt.Sprintf("I (%d) wifi:%s\r\n", time.Since(p.on).Milliseconds(), text))
}
