package main

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

// process is a program on a host, which may end and be started again.
type process struct {
	name string
	host *host
	argv []string
	addr string // it runs once it listens here
	log  string // file
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// startTime is how long a program may take to listen, or to end.
const startTime = 30 * time.Second

func newProcess(dir, name string, h *host, port string, argv ...string) *process {
	return &process{
		name: name, host: h, argv: h.command(argv), addr: net.JoinHostPort(h.addr, port),
		log: filepath.Join(dir, name+".log"),
	}
}

// start returns when the program listens.
func (p *process) start(ctx context.Context) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	// Not ended with a context: signals end it.
	cmd, done := exec.Command(p.argv[0], p.argv[1:]...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that Ctrl-C is the program's own matter
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed as a rule
	}()
	return p.await(ctx)
}

func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var d net.Dialer
	for {
		if c, err := d.DialContext(ctx, "tcp", p.addr); err == nil {
			return c.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended: %s", p.name, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %s", p.name, p.tail())
		case <-tick.C:
		}
	}
}

func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// end ends the program by a signal; one that stops in good order does so with
// exit code 0.
func (p *process) end(sig syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(startTime):
		return fmt.Errorf("%s does not end", p.name)
	}
	state := p.cmd.ProcessState
	p.cmd = nil
	if sig == syscall.SIGTERM && !state.Success() {
		return fmt.Errorf("%s stopped with %s: %s", p.name, state, p.tail())
	}
	return nil
}

// tail is the end of the log.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// says counts a text in the log.
func (p *process) says(text string) int {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return 0
	}
	return strings.Count(string(b), text)
}
