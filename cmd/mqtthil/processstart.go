package main

import (
	"syscall"
	"time"
)

// processStart is when this process began, to a millisecond or two: before now by what it has used of the processor. A
// board that is a process has had power since then, so that what a script does to it meets the same ticks of its clock
// however long the program takes to load.
func processStart() time.Time {
	now := time.Now()
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return now
	}
	return now.Add(-time.Duration(used.Utime.Nano() + used.Stime.Nano()))
}
