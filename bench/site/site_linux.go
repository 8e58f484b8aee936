package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/deskline/deskline/bench/peer"
)

// Config says what a site is made of.
type Config struct {
	Deskline string // path of the deskline binary
	HAProxy  string // path of HAProxy; "" = no client comes through one
	Nodes    int
	Users    int    // u0, u1 …, with the password of package peer
	Contacts int    // mutual contacts of each
	More     string // configuration of all nodes beside that of the cluster
}

// Site is a running cluster: nodes that share a Redis, behind HAProxy, each on
// a host of its own.
type Site struct {
	Hosts Hosts
	Redis *Store
	Nodes []*Process

	Dir string // of configurations, data and logs

	cfg   Config
	proxy *Process
}

// Hosts are the machines; several sites use them, one after the other.
type Hosts struct {
	Redis, Proxy *Host
	Nodes        []*Host
}

// BuildHosts makes a network with so many nodes. It is to be called once, by a
// program that is [Inside].
func BuildHosts(ctx context.Context, nodes int) (h Hosts, err error) {
	if err = buildBridge(ctx); err != nil {
		return h, err
	}
	if h.Redis, err = newHost(ctx, "redis", 2); err != nil {
		return h, err
	}
	if h.Proxy, err = newHost(ctx, "proxy", 3); err != nil {
		return h, err
	}
	for i := range nodes {
		n, err := newHost(ctx, fmt.Sprintf("n%d", i+1), 11+i)
		if err != nil {
			return h, err
		}
		h.Nodes = append(h.Nodes, n)
	}
	return h, nil
}

// Ports of every node.
const (
	DoorPort  = "5280"
	AdminPort = "5281"
	EvenPort  = "8280" // HAProxy, round robin
	LeastPort = "8281" // HAProxy, least connections
)

const gossipPort = "7946"

const nodeConfig = `domains: [%s]
data_dir: %s
http: {listen: ":5280", plain: any}
admin: {listen: ":5281"}
auth: {plain: any}
redis: %s
store: {kind: redis}
cluster:
  node: %s
  listen: "%s:7946"
  public_url: "http://%[5]s:5280"
  seeds: [%s]
  relogin_upper: 1s
  pairs: [%s]
%s`

// Start starts everything. Redis is one server, or with Sentinels.
func Start(ctx context.Context, cfg Config, h Hosts, dir string, sentinels bool) (*Site, error) {
	s := &Site{cfg: cfg, Dir: dir, Hosts: h}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	var err error
	if s.Redis, err = startStore(ctx, dir, h.Redis, sentinels); err != nil {
		return s, err
	}
	if err := s.writeNodes(); err != nil {
		return s, err
	}
	if err := s.seed(ctx); err != nil {
		return s, err
	}
	for _, n := range s.Nodes {
		if err := n.Start(ctx); err != nil {
			return s, err
		}
	}
	if cfg.HAProxy == "" {
		return s, nil
	}
	return s, s.startProxy(ctx)
}

func (s *Site) file(node string) string { return filepath.Join(s.Dir, node+".yaml") }

func (s *Site) writeNodes() error {
	var seeds, pairs []string
	for i, h := range s.Hosts.Nodes {
		seeds = append(seeds, fmt.Sprintf("%q", net.JoinHostPort(h.Addr, gossipPort)))
		switch {
		case i%2 == 1:
			pairs = append(pairs, fmt.Sprintf("[n%d, n%d]", i, i+1))
		case i == len(s.Hosts.Nodes)-1:
			pairs = append(pairs, "["+h.Name+"]")
		}
	}
	for _, h := range s.Hosts.Nodes {
		text := fmt.Sprintf(nodeConfig, peer.Domain, filepath.Join(s.Dir, h.Name), s.Redis.config(),
			h.Name, h.Addr, strings.Join(seeds, ", "), strings.Join(pairs, ", "), s.cfg.More)
		if err := os.WriteFile(s.file(h.Name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		s.Nodes = append(s.Nodes, NewProcess(s.Dir, h.Name, h, DoorPort, s.cfg.Deskline, "serve", "-c", s.file(h.Name)))
	}
	return nil
}

// seed writes accounts that have each other as contacts.
func (s *Site) seed(ctx context.Context) error {
	file := filepath.Join(s.Dir, "seed.db")
	if err := peer.Seed(ctx, file, peer.Options{Users: s.cfg.Users, Contacts: s.cfg.Contacts}); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.cfg.Deskline, "store", "copy", "-c", s.file("n1"), "--from", "sqlite:"+file, "--to", "redis")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("copy accounts: %w: %s", err, out)
	}
	return nil
}

// proxyConfig is what docs/cluster.md tells of HAProxy.
const proxyConfig = `global
  maxconn 5000
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 75s
  timeout check 1s
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
  default-server inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
`

const proxyListener = `frontend %[1]s
  bind %[2]s:%[3]s
  use_backend %[1]s_ready if { nbsrv(%[1]s_ready) gt 0 }
  default_backend %[1]s_any
backend %[1]s_ready
  balance %[1]s
  option httpchk GET /readyz
%[4]sbackend %[1]s_any
  balance %[1]s
%[5]s`

func (s *Site) startProxy(ctx context.Context) error {
	h := s.Hosts.Proxy
	text, ready, anyway := proxyConfig, "", ""
	for _, n := range s.Nodes {
		ready += "  server " + n.Name + " " + n.Addr + " check port " + AdminPort + "\n"
		anyway += "  server " + n.Name + " " + n.Addr + "\n"
	}
	for balance, port := range map[string]string{"roundrobin": EvenPort, "leastconn": LeastPort} {
		text += fmt.Sprintf(proxyListener, balance, h.Addr, port, ready, anyway)
	}
	file := filepath.Join(s.Dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	s.proxy = NewProcess(s.Dir, "haproxy", h, EvenPort, s.cfg.HAProxy, "-db", "-f", file)
	return s.proxy.Start(ctx)
}

// Stop ends everything, the nodes in good order.
func (s *Site) Stop() (err error) {
	for _, n := range s.Nodes {
		err = errors.Join(err, n.End(syscall.SIGTERM))
	}
	if s.proxy != nil {
		err = errors.Join(err, s.proxy.End(syscall.SIGKILL))
	}
	if s.Redis != nil {
		err = errors.Join(err, s.Redis.Stop())
	}
	return err
}

// Door is where BOSH clients go at a host.
func Door(addr, port string) string { return "http://" + net.JoinHostPort(addr, port) + "/http-bind" }

// Doors are the nodes' own, the one of a client's home first and the next one
// after it.
func (s *Site) Doors(home int) []string {
	n := len(s.Nodes)
	return []string{Door(s.Nodes[home%n].Host.Addr, DoorPort), Door(s.Nodes[(home+1)%n].Host.Addr, DoorPort)}
}

// Ready waits until a node says that it is, after a start or a partition.
func (s *Site) Ready(ctx context.Context, n *Process) error {
	ctx, cancel := context.WithTimeout(ctx, StartTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(n.Host.Addr, AdminPort)+"/readyz", http.NoBody)
		if err != nil {
			return fmt.Errorf("ask %s: %w", n.Name, err)
		}
		if res, err := client.Do(req); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not get ready: %w: %s", n.Name, ctx.Err(), n.tail())
		}
	}
}

// Others are all hosts of nodes but one.
func (s *Site) Others(n *Process) []*Host {
	return slices.DeleteFunc(slices.Clone(s.Hosts.Nodes), func(h *Host) bool { return h == n.Host })
}
