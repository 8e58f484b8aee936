// Package peer starts the servers that the benchmark compares: Deskline alone and
// as nodes of a cluster with Redis, the bare relay, and Prosody and ejabberd
// where they are installed. Each runs from
// a temporary directory with a configuration made for the run: loopback only, a
// free port, BOSH, stored accounts and rosters, limits off, log level warn.
package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/deskline/deskline/bench/load"
)

// Kind is one of the servers.
type Kind string

// The servers that can be started.
const (
	Relay    Kind = "relay"
	Deskline Kind = "deskline"
	Cluster  Kind = "cluster" // Deskline as a node n1, n2 … of Options.Cluster
	Redis    Kind = "redis"
	Prosody  Kind = "prosody"
	Ejabberd Kind = "ejabberd"
)

// What all servers are set up with.
const (
	Domain   = "localhost"
	Prefix   = "u" // users are u0, u1, …
	Password = "bench-password"
)

// Options say what to start.
type Options struct {
	Users    int
	Contacts int    // mutual contacts of each user
	Deskline string // path of the deskline binary
	Relay    string // path of the relay binary
	Cluster  *Group // whose next node a Cluster server is
	Fsync    string // of Redis: always, as the documentation advises, or everysec
	Profile  string // not empty: file for a CPU profile of Deskline
}

// Server is a running server.
type Server struct {
	Kind  Kind
	URL   string
	Admin string // URL of Deskline's admin listener, else ""

	cmd  *exec.Cmd
	dir  string
	out  *os.File
	done chan error
}

// plan is how to start one kind of server.
type plan struct {
	argv  []string
	env   []string
	as    string // user to run as when started by root
	url   string
	admin string
}

// Start prepares the files of a server, runs it and waits until it listens.
func Start(ctx context.Context, kind Kind, o Options) (*Server, error) {
	dir, err := os.MkdirTemp("", "deskline-bench-"+string(kind)+"-")
	if err != nil {
		return nil, fmt.Errorf("make directory: %w", err)
	}
	s := &Server{Kind: kind, dir: dir, done: make(chan error, 1)}
	port, err := freePort()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	prepare := map[Kind]func(context.Context, string, int, Options) (plan, error){
		Relay: relayPlan, Deskline: desklinePlan, Cluster: nodePlan, Redis: redisPlan, Prosody: prosodyPlan, Ejabberd: ejabberdPlan,
	}[kind]
	if prepare == nil {
		return nil, errors.Join(fmt.Errorf("no such server: %s", kind), os.RemoveAll(dir))
	}
	p, err := prepare(ctx, dir, port, o)
	if err == nil {
		err = s.run(p)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", kind, err), os.RemoveAll(dir))
	}
	s.URL, s.Admin = p.url, p.admin
	if err := s.await(ctx, port); err != nil {
		log := s.log()
		return nil, errors.Join(fmt.Errorf("start %s: %w\n%s", kind, err, log), s.Stop())
	}
	return s, nil
}

func (s *Server) run(p plan) error {
	out, err := os.Create(filepath.Join(s.dir, "output.log"))
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	s.out = out
	s.cmd = exec.Command(p.argv[0], p.argv[1:]...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, out, out
	s.cmd.Env = append(os.Environ(), p.env...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.as != "" && os.Getuid() == 0 {
		if s.cmd.SysProcAttr.Credential, err = credential(p.as, s.dir); err != nil {
			return err
		}
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", p.argv[0], err)
	}
	go func() { s.done <- s.cmd.Wait() }() // ends with the process, awaited in Stop
	return nil
}

// credential makes everything in dir the user's own and returns its ids.
func credential(name, dir string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("look up user: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, fmt.Errorf("user id: %w", err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, fmt.Errorf("group id: %w", err)
	}
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
	if err != nil {
		return nil, fmt.Errorf("hand over directory: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// await returns when the port is open and, for ejabberd, the users are loaded.
func (s *Server) await(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for ticker := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case err := <-s.done:
			s.done <- err
			return fmt.Errorf("it ended at once: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", ctx.Err())
		case <-ticker.C:
		}
		if s.Kind == Ejabberd && !strings.Contains(s.log(), "bench seeded") {
			continue
		}
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			ticker.Stop()
			return c.Close()
		}
	}
}

func (s *Server) log() string {
	b, err := os.ReadFile(s.out.Name())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// Process is the server's process, for its use of processor and memory.
func (s *Server) Process() load.Process { return load.Process(s.cmd.Process.Pid) }

// Kill ends the server as kill -9 does; Stop is still to be called.
func (s *Server) Kill() error { return syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

// Stop kills the server and removes its files.
func (s *Server) Stop() error {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	if err := <-s.done; err != nil && s.cmd.ProcessState == nil {
		return fmt.Errorf("wait for %s: %w", s.Kind, err)
	}
	return errors.Join(s.out.Close(), os.RemoveAll(s.dir))
}

// freePort asks the system for a port; nothing else is likely to take it
// before the server does.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func relayPlan(_ context.Context, _ string, port int, o Options) (plan, error) {
	addr := "127.0.0.1:" + strconv.Itoa(port)
	return plan{argv: []string{o.Relay, "-listen", addr}, url: "http://" + addr + "/http-bind"}, nil
}

// Installed lists the peers that this machine has.
func Installed() []Kind {
	var kinds []Kind
	if _, err := exec.LookPath("redis-server"); err == nil {
		kinds = append(kinds, Cluster)
	}
	if _, err := exec.LookPath("prosody"); err == nil {
		kinds = append(kinds, Prosody)
	}
	if ejabberdLib() != "" {
		kinds = append(kinds, Ejabberd)
	}
	return kinds
}

// Version names a server as the report's column does.
func Version(ctx context.Context, kind Kind, o Options) string {
	switch kind {
	case Relay:
		return "bare net/http relay"
	case Deskline:
		return strings.TrimSpace("Deskline " + output(ctx, o.Deskline, "version"))
	case Cluster:
		return "clustered, with Redis"
	case Prosody:
		for line := range strings.Lines(output(ctx, "prosodyctl", "about")) {
			if strings.HasPrefix(line, "Prosody") {
				return strings.TrimSpace(line)
			}
		}
	case Ejabberd:
		return "ejabberd " + strings.TrimPrefix(filepath.Base(ejabberdLib()), "ejabberd-")
	}
	return string(kind)
}

func output(ctx context.Context, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = io.Discard
	b, err := cmd.Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if name == "prosodyctl" {
		line = string(b)
	}
	return strings.TrimPrefix(strings.TrimPrefix(line, "deskline"), " ")
}
