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
// an emulator. To cut its power is to kill it.
type Process struct {
	command string
	out     *io.PipeReader
	in      *io.PipeWriter // of out: what the processes print, one after the other

	mu    sync.Mutex
	stdin io.WriteCloser
	life  *life
}

// life is one run of the program.
type life struct {
	command *exec.Cmd
	ended   chan struct{}
	wanted  bool // the end of it
}

// StartProcess runs a shell command. Programs beside this one's own are found whatever the PATH says.
func StartProcess(command string) (*Process, error) {
	p := &Process{command: command}
	p.out, p.in = io.Pipe()
	if err := p.PowerOn(context.Background()); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Process) String() string { return "exec:" + p.command }

// PowerOn starts the program. It does nothing where it runs.
func (p *Process) PowerOn(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil {
		return nil
	}
	command := exec.Command("sh", "-c", p.command)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	if self, err := os.Executable(); err == nil {
		command.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+string(os.PathListSeparator)+filepath.Dir(self))
	}
	stdin, err := command.StdinPipe()
	if err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	command.Stdout, command.Stderr = p.in, p.in
	command.WaitDelay = time.Second // for output that a child of the child still holds
	if err := command.Start(); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	l := &life{command: command, ended: make(chan struct{})}
	p.life, p.stdin = l, stdin
	go func() {
		err := command.Wait()
		close(l.ended)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !l.wanted {
			if err == nil {
				err = errors.New("exit status 0")
			}
			p.in.CloseWithError(fmt.Errorf("%s ended by itself: %w", p, err))
		}
	}()
	return nil
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
	_ = syscall.Kill(-l.command.Process.Pid, syscall.SIGKILL)
	p.mu.Unlock()
	<-l.ended
	return nil
}

// Reset kills the program and starts it again.
func (p *Process) Reset(ctx context.Context) error {
	return errors.Join(p.PowerOff(ctx), p.PowerOn(ctx))
}

// Read reads what the program prints. It fails with the program's exit status when that ends by itself.
func (p *Process) Read(b []byte) (int, error) { return p.out.Read(b) }

// Write writes to the program's standard input.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	stdin := p.stdin
	p.mu.Unlock()
	return stdin.Write(b)
}

// Close kills the program and ends the port.
func (p *Process) Close() error {
	_ = p.out.Close() // first, so that a program that prints without end is not waited for
	return p.PowerOff(context.Background())
}
