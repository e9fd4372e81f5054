package timerfd

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// create makes a file that can be read whenever the time is over that it was set to: see timerfd_create(2).
func create() (*os.File, error) {
	descriptor, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return os.NewFile(uintptr(descriptor), "timerfd"), nil
}

// set has the file end its wait after d, which is more than 0. A file that is closed stays so.
func set(file *os.File, d time.Duration) {
	control, err := file.SyscallConn()
	if err != nil {
		return
	}
	setting := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	_ = control.Control(func(descriptor uintptr) { _ = unix.TimerfdSettime(int(descriptor), 0, &setting, nil) })
}
