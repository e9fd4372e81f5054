package main

import (
	"syscall"
	"time"
)

// timerSlack is by how much later than asked for Linux wakes a thread.
const timerSlack = 50 * time.Microsecond

// exactBoards is how many boards may at most have a thread each to wait exactly.
const exactBoards = 8

// pause waits for a millisecond or less, which Go's own timers cannot. It takes a thread as long.
func pause(d time.Duration) {
	rest := syscall.NsecToTimespec(max(0, d-timerSlack).Nanoseconds())
	_ = syscall.Nanosleep(&rest, nil) // one that a signal cuts short is good enough
}
