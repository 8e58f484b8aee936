// Package redistest runs real Redis servers for tests: single ones, with a
// replica and Sentinels, or a cluster, each on a free port of this machine with
// its data in a temporary folder. They end with the test.
//
//	r := redistest.Start(t)
//	open(r.Addr())
//	r.Kill()  // as kill -9
//	r.Start() // with what the append-only file kept
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to start or stop.
const patience = 20 * time.Second

// Server is one redis-server, which may be stopped and started again.
type Server struct {
	t    testing.TB
	dir  string
	port int
	args []string
	cmd  *exec.Cmd     // nil while it does not run
	done chan struct{} // closed when cmd has ended
}

// Start starts a server that keeps an append-only file. More arguments are
// options of redis-server, such as "--maxmemory", "10mb".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t)}
	s.args = append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", // everysec puts writes off for up to 2 s, which a kill would lose
		"--logfile", filepath.Join(s.dir, "log"), "--repl-diskless-sync-delay", "0",
	}, args...)
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// Addr is the server's address.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is the server's address as configurations have it.
func (s *Server) URL() string { return "redis://" + s.Addr() + "/0" }

// Start starts a server that has ended, with its data.
func (s *Server) Start() {
	s.t.Helper()
	s.begin("redis-server", s.args...)
	s.Await("PONG", "PING")
}

func (s *Server) begin(name string, args ...string) {
	s.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		s.t.Fatalf("%s is missing: run scripts/install.sh, or apt-get install redis-server", name)
	}
	// Not ended with a context: the test's ends before its cleanups.
	s.cmd = exec.Command(path, args...) //nolint:noctx // ended by Kill
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed as a rule
	}()
}

// Kill ends the server as kill -9 does. One that has ended stays so.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in good order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Freeze halts the server: it takes connections and answers nothing.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig) // it may have ended
	}
}

func (s *Server) end(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	s.signal(sig)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Errorf("redis-server on port %d does not end", s.port)
	}
	// A child that writes a snapshot would do so in a folder that is gone.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 200 { // one that is dead but not buried counts as there
		if syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) != nil {
			break
		}
		<-tick.C
	}
	<-s.done
	s.cmd = nil
}

// Do carries out one command and returns what redis-cli prints of the answer.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	out, err := s.cli(args...)
	if err != nil {
		s.t.Fatalf("redis-cli %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (s *Server) cli(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "redis-cli", append([]string{"-p", strconv.Itoa(s.port)}, args...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Await waits until the answer to a command contains a text.
func (s *Server) Await(text string, args ...string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		out, _ := s.cli(args...)
		if strings.Contains(out, text) {
			return
		}
		select {
		case <-tick.C:
		case <-s.done:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis-server has ended: %s", log)
		case <-limit:
			s.t.Fatalf("redis-server on port %d: %s has no %q: %s", s.port, strings.Join(args, " "), text, out)
		}
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// StartReplica starts a server that follows another one, and waits until it has
// the data.
func StartReplica(t testing.TB, of *Server, args ...string) *Server {
	t.Helper()
	r := Start(t, append([]string{"--replicaof", "127.0.0.1 " + strconv.Itoa(of.port)}, args...)...)
	r.Await("master_link_status:up", "INFO", "replication")
	return r
}

// StartSentinel starts a Sentinel that watches a server under a name and fails
// over, by itself alone, after half a second.
func StartSentinel(t testing.TB, name string, master *Server) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t)}
	file := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf(`port %d
bind 127.0.0.1
dir %s
logfile %s
sentinel monitor %s 127.0.0.1 %d 1
sentinel down-after-milliseconds %s 500
sentinel failover-timeout %s 3000
`, s.port, s.dir, filepath.Join(s.dir, "log"), name, master.port, name, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.begin("redis-server", file, "--sentinel")
	t.Cleanup(s.Kill)
	s.Await("PONG", "PING")
	return s
}

// StartCluster starts a cluster of servers without replicas.
func StartCluster(t testing.TB, servers int) []*Server {
	t.Helper()
	all := make([]*Server, servers)
	args := []string{"--cluster", "create"}
	for i := range all {
		all[i] = Start(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)), "--cluster-node-timeout", "2000")
		args = append(args, all[i].Addr())
	}
	all[0].Do(append(args, "--cluster-yes")...)
	for _, s := range all {
		s.Await("cluster_state:ok", "CLUSTER", "INFO")
	}
	return all
}
