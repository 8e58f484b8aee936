package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a program on a host, which may end and be started again.
type Process struct {
	Name string
	Host *Host
	Addr string // it runs once it listens here
	argv []string
	log  string // file
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// StartTime is how long a program may take to listen, or to end.
const StartTime = 30 * time.Second

// NewProcess prepares a program that listens on a port of a host.
func NewProcess(dir, name string, h *Host, port string, argv ...string) *Process {
	return &Process{
		Name: name, Host: h, argv: h.command(argv), Addr: net.JoinHostPort(h.Addr, port),
		log: filepath.Join(dir, name+".log"),
	}
}

// Start returns when the program listens.
func (p *Process) Start(ctx context.Context) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer log.Close()
	// Not ended with a context: signals end it.
	cmd, done := exec.Command(p.argv[0], p.argv[1:]...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that Ctrl-C is the program's own matter
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed as a rule
	}()
	return p.await(ctx)
}

func (p *Process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var d net.Dialer
	for {
		if c, err := d.DialContext(ctx, "tcp", p.Addr); err == nil {
			return c.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended: %s", p.Name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %s", p.Name, p.tail())
		case <-tick.C:
		}
	}
}

// Signal sends a signal.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// End ends the program by a signal; one that stops in good order does so with
// exit code 0.
func (p *Process) End(sig syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(StartTime):
		return fmt.Errorf("%s does not end", p.Name)
	}
	state := p.cmd.ProcessState
	p.cmd = nil
	if sig == syscall.SIGTERM && !state.Success() {
		return fmt.Errorf("%s stopped with %s: %s", p.Name, state, p.tail())
	}
	return nil
}

// tail is the end of the log.
func (p *Process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// Says counts a text in the log.
func (p *Process) Says(text string) int {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return 0
	}
	return strings.Count(string(b), text)
}
