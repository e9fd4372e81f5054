package port

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Pty is the board's end of a pseudo-terminal; its other end is opened like a serial line.
type Pty struct {
	master, terminal *os.File
}

// OpenPty makes a pseudo-terminal in raw mode.
func OpenPty() (*Pty, error) {
	master, terminal, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("opening a pseudo-terminal: %w", err)
	}
	if _, err := term.MakeRaw(int(terminal.Fd())); err != nil {
		_, _ = master.Close(), terminal.Close()
		return nil, fmt.Errorf("setting %s to raw mode: %w", terminal.Name(), err)
	}
	pollable, err := nonblocking(master)
	_ = master.Close()
	if err != nil {
		_ = terminal.Close()
		return nil, fmt.Errorf("preparing %s: %w", terminal.Name(), err)
	}
	return &Pty{master: pollable, terminal: terminal}, nil
}

// nonblocking is a copy of a file whose Close ends a Read or Write that waits, which a file in blocking mode does not
// do.
func nonblocking(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Path is the file to open at the other end, such as /dev/pts/3.
func (p *Pty) Path() string { return p.terminal.Name() }

// Read reads what was written to the other end. The end of the terminal is io.EOF.
func (p *Pty) Read(b []byte) (int, error) {
	n, err := p.master.Read(b)
	if errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.EIO) {
		err = io.EOF
	}
	return n, err
}

// Write writes to the other end. It waits where nobody reads there: the system holds some kilobytes.
func (p *Pty) Write(b []byte) (int, error) { return p.master.Write(b) }

// Close ends the terminal, for both ends. The file at Path is held open until then, so that the other end can be opened
// and closed again and again.
func (p *Pty) Close() error { return errors.Join(p.master.Close(), p.terminal.Close()) }
