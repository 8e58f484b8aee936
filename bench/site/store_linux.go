package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Store is a Redis, alone or with two replicas and three Sentinels, all on one
// host.
type Store struct {
	host      *Host
	servers   []*Process // all but the first begin as replicas
	sentinels []*Process
}

const (
	redisPort    = 6379
	sentinelPort = 26379
	masterName   = "deskline"
	replicas     = 2
	goodReplicas = "min_slaves_good_slaves:2" // of Redis's INFO
)

func startStore(ctx context.Context, dir string, h *Host, sentinels bool) (*Store, error) {
	s := &Store{host: h}
	if err := s.server(ctx, dir, 0, sentinels); err != nil || !sentinels {
		return s, err
	}
	for i := 1; i <= replicas; i++ {
		if err := s.server(ctx, dir, i, true); err != nil {
			return s, err
		}
	}
	if err := s.await(ctx, redisPort, "wait for the replicas", goodReplicas, "INFO", "replication"); err != nil {
		return s, err
	}
	for i := range 3 {
		if err := s.sentinel(ctx, dir, i); err != nil {
			return s, err
		}
	}
	for i := range 3 { // before that they could not agree on a failover
		if err := s.await(ctx, sentinelPort+i, "wait for the Sentinels", "slaves=2,sentinels=3", "INFO", "sentinel"); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Store) server(ctx context.Context, dir string, i int, replicated bool) error {
	name, port := fmt.Sprintf("redis%d", i), strconv.Itoa(redisPort+i)
	data := filepath.Join(memory, filepath.Base(dir), name)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	args := []string{
		"redis-server", "--port", port, "--bind", s.host.Addr, "--protected-mode", "no", "--dir", data, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0",
	}
	if replicated {
		args = append(args, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
	}
	if i > 0 {
		args = append(args, "--replicaof", s.host.Addr+" "+strconv.Itoa(redisPort))
	}
	p := NewProcess(dir, name, s.host, port, args...)
	s.servers = append(s.servers, p)
	return p.Start(ctx)
}

func (s *Store) sentinel(ctx context.Context, dir string, i int) error {
	name, port := fmt.Sprintf("sentinel%d", i), strconv.Itoa(sentinelPort+i)
	text := fmt.Sprintf(`port %s
bind %s
protected-mode no
dir %s
sentinel monitor %[4]s %[2]s %[5]d 2
sentinel down-after-milliseconds %[4]s 1000
sentinel failover-timeout %[4]s 5000
`, port, s.host.Addr, dir, masterName, redisPort)
	file := filepath.Join(dir, name+".conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("start Sentinel: %w", err)
	}
	p := NewProcess(dir, name, s.host, port, "redis-server", file, "--sentinel")
	s.sentinels = append(s.sentinels, p)
	return p.Start(ctx)
}

// config is how nodes are told of it.
func (s *Store) config() string {
	if len(s.sentinels) == 0 {
		return fmt.Sprintf(`{url: "redis://%s:%d/0"}`, s.host.Addr, redisPort)
	}
	var addrs []string
	for _, p := range s.sentinels {
		addrs = append(addrs, strconv.Quote(p.Addr))
	}
	return fmt.Sprintf("{sentinel: {master: %s, addrs: [%s]}, replicas: 1}", masterName, strings.Join(addrs, ", "))
}

// await waits until the answer of a server, or of any for -1, to a command has
// a text.
func (s *Store) await(ctx context.Context, port int, what, text string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, StartTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		at := port
		if port < 0 {
			at = redisPort + turn%len(s.servers)
		}
		out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", s.host.Addr, "-p", strconv.Itoa(at)}, args...)...).CombinedOutput()
		if err == nil && strings.Contains(string(out), text) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %s", what, ctx.Err(), out)
		}
	}
}

// Restart kills the single server and starts it again after a while.
func (s *Store) Restart(ctx context.Context, away time.Duration) error {
	if err := s.servers[0].End(syscall.SIGKILL); err != nil {
		return err
	}
	Pause(ctx, away)
	if err := s.servers[0].Start(ctx); err != nil {
		return err
	}
	return s.await(ctx, redisPort, "wait for Redis", "PONG", "PING")
}

// Failover kills the master, waits until another server is it, and has the old
// one come back as a replica.
func (s *Store) Failover(ctx context.Context) error {
	at, err := s.master(ctx, -1)
	if err != nil {
		return err
	}
	if err := s.servers[at].End(syscall.SIGKILL); err != nil {
		return err
	}
	next, err := s.master(ctx, at)
	if err != nil {
		return err
	}
	// One that is back before the other replica follows the new master may take
	// writes together with that; no Redis can help it.
	if err := s.await(ctx, redisPort+next, "wait for the other replica", "state=online", "INFO", "replication"); err != nil {
		return err
	}
	if err := s.servers[at].Start(ctx); err != nil {
		return err
	}
	// On a machine that stood still for a second it may be yet another one.
	return s.await(ctx, -1, "wait for the replicas", goodReplicas, "INFO", "replication")
}

// master waits until a server other than one is the master.
func (s *Store) master(ctx context.Context, other int) (int, error) {
	for limit := time.Now().Add(StartTime); time.Now().Before(limit) && ctx.Err() == nil; Pause(ctx, 20*time.Millisecond) {
		for i := range s.servers {
			if i == other {
				continue
			}
			out, err := exec.CommandContext(ctx, "redis-cli", "-h", s.host.Addr, "-p", strconv.Itoa(redisPort+i), "ROLE").CombinedOutput()
			if err == nil && strings.HasPrefix(string(out), "master") {
				return i, nil
			}
		}
	}
	return 0, errors.New("no Redis becomes the master")
}

// Stop ends the servers.
func (s *Store) Stop() (err error) {
	for _, p := range append(s.sentinels, s.servers...) {
		err = errors.Join(err, p.End(syscall.SIGKILL))
	}
	return err
}

// Pause waits, unless the run is ended.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
