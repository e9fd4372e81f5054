//go:build !linux

package timerfd

import (
	"errors"
	"os"
	"time"
)

func create() (*os.File, error) { return nil, errors.ErrUnsupported }

func set(*os.File, time.Duration) {}
