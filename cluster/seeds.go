package cluster

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// seeds are where a node looks for others, for as long as it runs.
type seeds struct {
	list []string
	file string
	log  *slog.Logger

	failing bool // told already; only the rejoin loop looks
}

const (
	lookupTime  = 2 * time.Second
	firstRejoin = 500 * time.Millisecond
	joinsAtOnce = 4
	maxSeeds    = 1000
)

// names returns the seeds of the list and of the file as it is now.
func (s *seeds) names() ([]string, error) {
	all := slices.Clone(s.list)
	if s.file == "" {
		return all, nil
	}
	f, err := os.Open(s.file)
	if err != nil {
		return all, fmt.Errorf("read seeds: %w", err)
	}
	defer f.Close() // read only
	for lines := bufio.NewScanner(f); lines.Scan() && len(all) < maxSeeds; {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all, nil
}

// addresses looks the seeds up: a name may stand for many nodes.
func (s *seeds) addresses(ctx context.Context) (found []netip.AddrPort) {
	names, err := s.names()
	errs := []error{err}
	for _, name := range names {
		host, port := SplitSeed(name)
		lookup, cancel := context.WithTimeout(ctx, lookupTime)
		ips, err := net.DefaultResolver.LookupNetIP(lookup, "ip", host)
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("look up seed %s: %w", name, err))
		}
		for _, ip := range ips {
			found = append(found, netip.AddrPortFrom(ip.Unmap(), port))
		}
	}
	s.tell(ctx, errs)
	slices.SortFunc(found, netip.AddrPort.Compare)
	return slices.Compact(found)
}

// tell logs a failure when it begins.
func (s *seeds) tell(ctx context.Context, errs []error) {
	failing := false
	for _, err := range errs {
		if err == nil || ctx.Err() != nil {
			continue
		}
		failing = true
		if !s.failing {
			s.log.WarnContext(ctx, "seed", "err", err)
		}
	}
	s.failing = failing
}

// SplitSeed takes a seed, HOST or HOST:PORT, apart.
func SplitSeed(seed string) (host string, port uint16) {
	host, text, err := net.SplitHostPort(seed)
	if err != nil {
		return strings.Trim(seed, "[]"), DefaultPort
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return host, DefaultPort
	}
	return host, uint16(n)
}

// rejoin calls on the seeds that are not among the living members, for ever:
// gossip forgets the dead, so that two halves of a cluster that was cut in two
// would not find together again. Members that were lost are called on as well.
func (m *Members) rejoin(ctx context.Context) {
	wait, before := firstRejoin, []netip.AddrPort(nil)
	for {
		missing := m.missing(ctx)
		m.join(ctx, missing)
		switch {
		case len(missing) == 0:
			wait = m.cfg.Rejoin
		case slices.Equal(missing, before):
			wait = min(2*wait, m.cfg.Rejoin)
		default:
			wait = min(firstRejoin, m.cfg.Rejoin)
		}
		before = missing
		// Nodes that were cut off together do not call all at the same moment.
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// missing returns the addresses to call on.
func (m *Members) missing(ctx context.Context) (list []netip.AddrPort) {
	list = m.seeds.addresses(ctx)
	var present []netip.AddrPort
	m.mu.Lock()
	for _, k := range m.nodes {
		switch {
		case k.State == Alive || k.ID == m.cfg.Node:
			present = append(present, k.Addr)
		case k.State != Left:
			list = append(list, k.Addr)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(list, netip.AddrPort.Compare)
	return slices.DeleteFunc(slices.Compact(list), func(a netip.AddrPort) bool { return slices.Contains(present, a) })
}

// join calls on each address.
func (m *Members) join(ctx context.Context, list []netip.AddrPort) {
	var g errgroup.Group
	g.SetLimit(joinsAtOnce)
	for _, addr := range list {
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			if _, err := m.list.Join([]string{addr.String()}); err != nil {
				m.cfg.Log.DebugContext(ctx, "seed does not answer", "addr", addr.String(), "err", err)
			}
			return nil
		})
	}
	_ = g.Wait() // each error is told above
}
