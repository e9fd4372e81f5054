package emulator

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestUARTUnread: a board that prints without end, and is not read, waits once and no longer; what there is room for is
// kept, in whole lines, and when it is read again nothing more is lost.
func TestUARTUnread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe() // has no buffer of its own
		u := newUART(far, 0)
		stop := u.start()
		off := make(chan struct{})
		start := time.Now()
		for i := range 10_000 {
			u.print(fmt.Sprintf("line %5d of the first part\r\n", i), off)
		}
		if took := time.Since(start); took != patience {
			t.Errorf("printing without a reader took %v", took)
		}
		if held := u.pending.Len(); held > 2*uartBuffer {
			t.Errorf("holds %d bytes", held)
		}
		text := make(chan string)
		go func() { data, _ := io.ReadAll(near); text <- string(data) }()
		synctest.Wait()
		for i := range 10_000 {
			u.print(fmt.Sprintf("line %5d of the second part\r\n", i), off)
		}
		if took := time.Since(start); took != patience {
			t.Errorf("printing with a reader took %v", took-patience)
		}
		stop()
		_ = far.Close()
		lines := strings.Split(strings.TrimSuffix(<-text, "\r\n"), "\r\n")
		first := len(lines) - 10_000
		for i, line := range lines {
			want := fmt.Sprintf("line %5d of the first part", i)
			if i >= first {
				want = fmt.Sprintf("line %5d of the second part", i-first)
			}
			if line != want {
				t.Fatalf("line %d is %q", i, line)
			}
		}
		if first < uartBuffer/32 || first == 10_000 {
			t.Errorf("of the first part %d lines were kept", first)
		}
	})
}

// TestUARTSlowReader: as long as it reads at all, nothing is lost.
func TestUARTSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		u := newUART(far, 0)
		stop := u.start()
		const lines = 5000
		ended := make(chan int)
		go func() {
			read := 0
			for buffer := make([]byte, 100); ; time.Sleep(patience / 100) {
				n, err := near.Read(buffer)
				read += n
				if err != nil {
					ended <- read
					return
				}
			}
		}()
		for range lines {
			u.print("a line of exactly thirty char\r\n", make(chan struct{}))
		}
		stop()
		_ = far.Close()
		if read := <-ended; read != lines*31 {
			t.Errorf("%d of %d bytes arrived", read, lines*31)
		}
	})
}

// TestUARTPowerOff: a print that waits for room ends with the power.
func TestUARTPowerOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := newUART(nil, 0) // and nothing is sent
		off := make(chan struct{})
		u.print(strings.Repeat("x", uartBuffer), off)
		start := time.Now()
		ended := make(chan struct{})
		for range 3 { // one waits for room, the others for it
			go func() { u.print("more", off); ended <- struct{}{} }()
		}
		synctest.Wait()
		close(off)
		for range 3 {
			<-ended
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestTyped(t *testing.T) {
	t.Parallel()
	b := newTyped(0)
	for range 1000 {
		b.add(make([]byte, 100))
	}
	if n := len(b.take()); n != typedLimit {
		t.Errorf("%d bytes are held", n)
	}
	b.add([]byte("x"))
	<-b.arrived
	if got := string(b.take()); got != "x" {
		t.Errorf("took %q", got)
	}
}
