//go:build !unix

package faults

import "errors"

// canAttempt says that the system's connections can be read without waiting.
const canAttempt = false

func readFD(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
