package main

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// pollable is a pipe opened anew, for Go's poller to wait for it as for the sockets: a board then hears of what is typed
// and of what comes over the network in the order in which they came. A pipe that this process inherited is read by a
// thread of its own, which is always faster than the network. What is no pipe, or cannot be opened anew, stays as
// it is: a file has a place where it is read, and a terminal is slow. With a socket the network is behind.
func pollable(inherited *os.File) *os.File {
	info, err := inherited.Stat()
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return inherited
	}
	own, err := os.OpenFile(fmt.Sprintf("/dev/fd/%d", inherited.Fd()), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return inherited
	}
	return own
}
