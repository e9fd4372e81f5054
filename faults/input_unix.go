//go:build unix

package faults

import "syscall"

// canAttempt says that the system's connections can be read without waiting.
const canAttempt = true

// readFD is the system call, for which the net package keeps the descriptor in non-blocking mode.
func readFD(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), b)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
