package main

import (
	"fmt"
	"os"
	"time"
)

// processStart is about when this process began: before now by as long as its main thread has run and has waited for a
// processor, though not for a disk. A board that is a process has had power since then, so that what a script does to it
// meets the same ticks of its clock, however busy the machine is that loads the program. A shell that becomes the program
// (exec) counts as a part of it.
func processStart() time.Time {
	now := time.Now()
	text, err := os.ReadFile("/proc/self/schedstat") // where there is none, the board gets power now
	var ran, waited time.Duration
	if _, scanned := fmt.Sscan(string(text), &ran, &waited); err != nil || scanned != nil {
		return now
	}
	return now.Add(-ran - waited)
}
