package devices

import "sync"

// typist types lines in the order in which they are given to it, on a goroutine that is there while there are any. So
// nobody who reads a console has to wait for it to take what he types, which it may do only when its output is read.
type typist struct {
	mu    sync.Mutex
	busy  bool
	lines []string
}

func (t *typist) give(line string, write func(string)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	if !t.busy {
		t.busy = true
		go t.work(write)
	}
}

func (t *typist) work(write func(string)) {
	for {
		t.mu.Lock()
		if len(t.lines) == 0 {
			t.busy = false
			t.mu.Unlock()
			return
		}
		line := t.lines[0]
		t.lines = t.lines[1:]
		t.mu.Unlock()
		write(line)
	}
}
