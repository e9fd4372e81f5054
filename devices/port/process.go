package port

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Process is a program that speaks a device's console on its standard input and output: an ESP-IDF build for Linux, or
// an emulator. To cut its power is to kill it, with every process that it has started in its process group.
type Process struct {
	command string
	out     *os.File // what the program prints, one life of it after the other

	mu   sync.Mutex
	in   *os.File // the program's end of out; held, so that out has no end between two lives
	life *life    // nil while the power is off
	over error    // why there will be no more lives
}

// life is one run of the program.
type life struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	wanted  bool          // its end; guarded by Process.mu
	reaped  bool          // its process number may be another's by now; guarded by Process.mu
	ended   chan struct{} // closed at its end
}

// outputDelay is how long the output of a program that has ended is read on where a process of its own still holds it.
const outputDelay = 2 * time.Second

// StartProcess runs a shell command. Programs beside this one's own are found whatever the PATH says.
func StartProcess(command string) (*Process, error) {
	p := &Process{command: command}
	var err error
	if p.out, p.in, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	if err := p.PowerOn(context.Background()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Process) String() string { return "exec:" + p.command }

// PowerOn starts the program. It does nothing where it runs, and fails where it has ended by itself.
func (p *Process) PowerOn(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over != nil || p.life != nil {
		return p.over
	}
	l := &life{command: exec.Command("sh", "-c", p.command), ended: make(chan struct{})}
	l.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	l.command.Env = environment()
	l.command.Stdout, l.command.Stderr = p.in, p.in
	var err error
	if l.stdin, err = l.command.StdinPipe(); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	if err := l.command.Start(); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	p.life = l
	go p.watch(l)
	return nil
}

// environment is this program's own, with its folder at the end of the PATH.
func environment() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	path := filepath.Dir(self)
	if others := os.Getenv("PATH"); others != "" {
		path = others + string(os.PathListSeparator) + path
	}
	return append(os.Environ(), "PATH="+path)
}

// watch waits for the end of the program. One that nobody asked for is the end of the port.
func (p *Process) watch(l *life) {
	defer close(l.ended)
	_ = l.command.Wait() // the state says what the error does, and success too
	p.mu.Lock()
	defer p.mu.Unlock()
	// What it has started must not outlive it. The number still is this group's: only just has it become free.
	_ = syscall.Kill(-l.command.Process.Pid, syscall.SIGKILL)
	l.reaped = true
	if !l.wanted {
		p.end(fmt.Errorf("%s ended by itself: %s", p, l.command.ProcessState))
	}
}

// end is the end of the port. The caller holds mu.
func (p *Process) end(why error) {
	if p.over != nil {
		return
	}
	p.over = why
	_ = p.in.Close()
	_ = p.out.SetReadDeadline(time.Now().Add(outputDelay))
}

// PowerOff kills the program and returns when it has ended.
func (p *Process) PowerOff(context.Context) error {
	p.mu.Lock()
	l := p.life
	p.life = nil
	if l == nil {
		p.mu.Unlock()
		return nil
	}
	l.wanted = true
	if !l.reaped {
		_ = syscall.Kill(-l.command.Process.Pid, syscall.SIGKILL)
	}
	p.mu.Unlock()
	<-l.ended
	return nil
}

// Reset kills the program and starts it again.
func (p *Process) Reset(ctx context.Context) error {
	return errors.Join(p.PowerOff(ctx), p.PowerOn(ctx))
}

// Read reads what the program prints. When that has ended by itself, the error tells its exit status.
func (p *Process) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if err != nil {
		err = p.because(err)
	}
	return n, err
}

// Write writes to the program's standard input. Without power it is lost, as on a board.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	l, over := p.life, p.over
	p.mu.Unlock()
	switch {
	case over != nil:
		return 0, over
	case l == nil:
		return len(b), nil
	}
	n, err := l.stdin.Write(b)
	if err != nil {
		select {
		case <-l.ended: // a program that takes no more input mostly has ended, and its status says more
		case <-time.After(outputDelay):
		}
		err = p.because(err)
	}
	return n, err
}

// because is why the port is lost, rather than how that shows.
func (p *Process) because(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over != nil {
		return p.over
	}
	return fmt.Errorf("%s: %w", p, err)
}

// Close kills the program and ends the port.
func (p *Process) Close() error {
	p.mu.Lock()
	p.end(fmt.Errorf("%s: %w", p, os.ErrClosed))
	p.mu.Unlock()
	return errors.Join(p.PowerOff(context.Background()), p.out.Close())
}
