package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// Report is what Inspect found.
type Report struct {
	Server  string // "Redis 7.0.15", "Redis 7.0.15, 3 masters"
	Warning string // how data may be lost; "" = they are kept
}

// Inspect asks each server for its version and how it keeps data. The error is
// ErrUnfit for one that evicts keys when its memory is full, and for one too old.
func (s *Store) Inspect(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	var mu sync.Mutex // guards below: a cluster's servers are asked side by side
	var r Report
	var errs []error
	servers := 0
	err := s.each(ctx, func(ctx context.Context, c *goredis.Client) error {
		text, err := c.Do(ctx, "INFO").Text()
		if err != nil {
			return err
		}
		// A user without the right to ask is no reason to fail.
		config, _ := c.ConfigGet(ctx, "appendfsync").Result()
		mu.Lock()
		defer mu.Unlock()
		servers++
		info := parseInfo(text)
		info["appendfsync"] = config["appendfsync"]
		r.Server = "Redis " + info["redis_version"]
		if w := persistence(info); w != "" {
			r.Warning = c.Options().Addr + " " + w
		}
		if err := fit(info); err != nil {
			errs = append(errs, fmt.Errorf("%w: %s %w", ErrUnfit, c.Options().Addr, err))
		}
		return nil
	})
	if err != nil {
		return r, classify(err)
	}
	if servers > 1 {
		r.Server = fmt.Sprintf("%s, %d masters", r.Server, servers)
	}
	return r, errors.Join(errs...)
}

// parseInfo reads the lines of INFO.
func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[key] = value
		}
	}
	return info
}

func fit(info map[string]string) error {
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		return fmt.Errorf("throws keys away when its memory is full (maxmemory-policy %s); set maxmemory-policy noeviction", policy)
	}
	major, rest, _ := strings.Cut(info["redis_version"], ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if errA == nil && errB == nil && (a < 6 || a == 6 && b < 2) {
		return fmt.Errorf("has version %s, 6.2 is needed", info["redis_version"])
	}
	return nil
}

// persistence returns how data may be lost, or "".
func persistence(info map[string]string) string {
	switch {
	case info["aof_enabled"] == "0":
		return "keeps no append-only file, so a crash loses what came after its last snapshot; set appendonly yes"
	case info["aof_last_write_status"] == "err":
		return "cannot write its append-only file"
	case info["appendfsync"] == "everysec" || info["appendfsync"] == "no":
		return "answers before its append-only file is written, so a crash may lose the last seconds; set appendfsync always"
	}
	return ""
}

// InUse reports whether nodes with this prefix are connected. Redis may refuse to
// tell, which is an error.
func (s *Store) InUse(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	node := s.cfg
	node.Node = true
	name := "name=" + clientName(node)
	var found atomic.Bool
	err := s.each(ctx, func(ctx context.Context, c *goredis.Client) error {
		list, err := c.Do(ctx, "CLIENT", "LIST").Text()
		for line := range strings.Lines(list) {
			fields := strings.Fields(line)
			if slices.Contains(fields, name) && (len(s.cfg.Cluster) > 0 || slices.Contains(fields, "db="+strconv.Itoa(c.Options().DB))) {
				found.Store(true)
			}
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list the clients of redis: %w", classify(err))
	}
	return found.Load(), nil
}
