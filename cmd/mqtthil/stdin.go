package main

import (
	"io"
	"syscall"
)

// pollerDelay is by how much later this program hears of what comes over a socket, through Go's network poller, than of
// what comes through a pipe, on which a thread of its own waits: some 50 to 150 microseconds on Linux, in nanoseconds.
const pollerDelay = 120_000

// stdinConsole is standard input as the console of a board. What is typed is held back by pollerDelay, so that a board
// whose script sends a packet and types a line at once hears of them in that order. The thread waits that waited for the
// input: a timer of Go's takes a whole millisecond.
type stdinConsole struct{ io.Reader }

func (c stdinConsole) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	delay := syscall.NsecToTimespec(pollerDelay)
	_ = syscall.Nanosleep(&delay, nil) // one that a signal cuts short is as good
	return n, err
}
