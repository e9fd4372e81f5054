package transcript

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"sync"
	"time"
)

// trace collects rows. All methods may be called from any goroutine.
type trace struct {
	mu    sync.Mutex
	start time.Time // zero until the client is started; what comes before is not kept
	done  bool
	rows  []Row
}

func (t *trace) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.start = time.Now()
}

// end returns the rows; nothing is kept from here on.
func (t *trace) end() []Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = true
	return t.rows
}

func (t *trace) add(r Row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.start.IsZero() || t.done {
		return
	}
	r.At = int(time.Since(t.start).Round(time.Millisecond).Milliseconds())
	t.rows = append(t.rows, r)
}

// Sizes up to which packets and lines are kept whole, and what is kept of longer ones.
const (
	wholePacket = 256
	packetHead  = 48
	wholeLine   = 300
	lineHead    = 120
)

// addPacket adds a row for a packet.
func (t *trace) addPacket(r Row, packet []byte) {
	if len(packet) <= wholePacket {
		r.Hex = hex.EncodeToString(packet)
	} else {
		r.Head, r.Length = hex.EncodeToString(packet[:packetHead]), len(packet)
		r.Sum = fmt.Sprintf("%08x", crc32.ChecksumIEEE(packet))
	}
	t.add(r)
}

// addEvent adds a row for a line of the console.
func (t *trace) addEvent(text string) {
	if characters := []rune(text); len(characters) > wholeLine {
		text = fmt.Sprintf("%s...[%d chars, crc32 %08x]", string(characters[:lineHead]), len(characters),
			crc32.ChecksumIEEE([]byte(text)))
	}
	t.add(Row{Kind: kindEvent, Text: text})
}
