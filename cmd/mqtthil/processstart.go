package main

import (
	"fmt"
	"os"
	"time"
)

// processStart is when this process began: before now by as long as its main thread has run and has waited for a
// processor. A board that is a process has had power since then, so that what a script does to it meets the same ticks of
// its clock however long the program takes to load.
func processStart() time.Time {
	now := time.Now()
	text, err := os.ReadFile("/proc/self/schedstat") // where there is none, the board gets power now
	var ran, waited time.Duration
	if _, scanned := fmt.Sscan(string(text), &ran, &waited); err != nil || scanned != nil {
		return now
	}
	return now.Add(-ran - waited)
}
