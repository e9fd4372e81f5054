package espmqtt

import "fmt"

// errnoInProgress is EINPROGRESS. The client connects with a call that does not wait, and no call that succeeds takes it
// back, so that this is what a log line shows where nothing has failed since.
const errnoInProgress = 119

// Strerror is the text that the chip's C library (newlib) has for an errno with lwIP's numbers, for those that the
// client can see.
func Strerror(errno int) string {
	text, known := map[int]string{
		0: "Success", 9: "Bad file number", 11: "No more processes", 32: "Broken pipe", 104: "Connection reset by peer",
		111: "Connection refused", 113: "Software caused connection abort", 114: "Network is unreachable",
		116: "Connection timed out", 118: "Host is unreachable", 119: "Connection already in progress",
		128: "Socket is not connected",
	}[errno]
	if !known {
		return fmt.Sprintf("error %d", errno)
	}
	return text
}
