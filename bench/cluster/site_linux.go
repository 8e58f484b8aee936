package main

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

// site is a running cluster: nodes that share a Redis, behind HAProxy, each on
// a host of its own.
type site struct {
	cfg   config
	dir   string
	hosts hosts
	redis *store
	nodes []*process
	proxy *process
}

// hosts are the machines; several sites use them, one after the other.
type hosts struct {
	redis, proxy *host
	nodes        []*host
}

func buildHosts(ctx context.Context, nodes int) (h hosts, err error) {
	if err = buildBridge(ctx); err != nil {
		return h, err
	}
	if h.redis, err = newHost(ctx, "redis", 2); err != nil {
		return h, err
	}
	if h.proxy, err = newHost(ctx, "proxy", 3); err != nil {
		return h, err
	}
	for i := range nodes {
		n, err := newHost(ctx, fmt.Sprintf("n%d", i+1), 11+i)
		if err != nil {
			return h, err
		}
		h.nodes = append(h.nodes, n)
	}
	return h, nil
}

const (
	doorPort   = "5280"
	adminPort  = "5281"
	gossipPort = "7946"
	evenPort   = "8280" // HAProxy, round robin
	leastPort  = "8281" // HAProxy, least connections
)

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
`

// startSite starts everything. Redis is one server, or with Sentinels.
func startSite(ctx context.Context, cfg config, h hosts, dir string, sentinels bool) (*site, error) {
	s := &site{cfg: cfg, dir: dir, hosts: h}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	var err error
	if s.redis, err = startStore(ctx, dir, h.redis, sentinels); err != nil {
		return s, err
	}
	if err := s.writeNodes(); err != nil {
		return s, err
	}
	if err := s.seed(ctx); err != nil {
		return s, err
	}
	for _, n := range s.nodes {
		if err := n.start(ctx); err != nil {
			return s, err
		}
	}
	return s, s.startProxy(ctx)
}

func (s *site) file(node string) string { return filepath.Join(s.dir, node+".yaml") }

func (s *site) writeNodes() error {
	var seeds, pairs []string
	for i, h := range s.hosts.nodes {
		seeds = append(seeds, fmt.Sprintf("%q", net.JoinHostPort(h.addr, gossipPort)))
		switch {
		case i%2 == 1:
			pairs = append(pairs, fmt.Sprintf("[n%d, n%d]", i, i+1))
		case i == len(s.hosts.nodes)-1:
			pairs = append(pairs, "["+h.name+"]")
		}
	}
	for _, h := range s.hosts.nodes {
		text := fmt.Sprintf(nodeConfig, peer.Domain, filepath.Join(s.dir, h.name), s.redis.config(),
			h.name, h.addr, strings.Join(seeds, ", "), strings.Join(pairs, ", "))
		if err := os.WriteFile(s.file(h.name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
		s.nodes = append(s.nodes, newProcess(s.dir, h.name, h, doorPort, s.cfg.Deskline, "serve", "-c", s.file(h.name)))
	}
	return nil
}

// seed writes accounts that have each other as contacts.
func (s *site) seed(ctx context.Context) error {
	file := filepath.Join(s.dir, "seed.db")
	if err := peer.Seed(ctx, file, peer.Options{Users: s.cfg.Sessions, Contacts: min(6, s.cfg.Sessions-1)}); err != nil {
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

func (s *site) startProxy(ctx context.Context) error {
	h := s.hosts.proxy
	text, ready, anyway := proxyConfig, "", ""
	for _, n := range s.nodes {
		ready += "  server " + n.name + " " + n.addr + " check port " + adminPort + "\n"
		anyway += "  server " + n.name + " " + n.addr + "\n"
	}
	for balance, port := range map[string]string{"roundrobin": evenPort, "leastconn": leastPort} {
		text += fmt.Sprintf(proxyListener, balance, h.addr, port, ready, anyway)
	}
	file := filepath.Join(s.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	s.proxy = newProcess(s.dir, "haproxy", h, evenPort, s.cfg.HAProxy, "-db", "-f", file)
	return s.proxy.start(ctx)
}

// stop ends everything, the nodes in good order.
func (s *site) stop() (err error) {
	for _, n := range s.nodes {
		err = errors.Join(err, n.end(syscall.SIGTERM))
	}
	if s.proxy != nil {
		err = errors.Join(err, s.proxy.end(syscall.SIGKILL))
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.stop())
	}
	return err
}

// doors are the addresses a client has, in its order. Half of them come through
// HAProxy, the others have a primary and a secondary node.
func (s *site) doors(i int) []string {
	url := func(addr string) string { return "http://" + addr + "/http-bind" }
	switch i / 2 % 4 {
	case 0:
		return []string{url(net.JoinHostPort(s.hosts.proxy.addr, evenPort))}
	case 2:
		return []string{url(net.JoinHostPort(s.hosts.proxy.addr, leastPort))}
	}
	n := len(s.nodes)
	home := (i/4 + i) % n // the two of a pair have different homes
	return []string{url(s.nodes[home].addr), url(s.nodes[(home+1)%n].addr)}
}

// ready waits until a node says that it is, after a start or a partition.
func (s *site) ready(ctx context.Context, n *process) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(n.host.addr, adminPort)+"/readyz", http.NoBody)
		if err != nil {
			return fmt.Errorf("ask %s: %w", n.name, err)
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
			return fmt.Errorf("%s does not get ready: %w: %s", n.name, ctx.Err(), n.tail())
		}
	}
}

// others are all hosts of nodes but one.
func (s *site) others(n *process) []*host {
	return slices.DeleteFunc(slices.Clone(s.hosts.nodes), func(h *host) bool { return h == n.host })
}
