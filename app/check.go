package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/store/sqlite"
)

// CheckResult is one line of a check.
type CheckResult struct {
	Name    string
	Detail  string
	Warning string // it works, but not as it should; "" = nothing
	Err     error
}

// Check tries what the configuration names without running a node: the
// certificate, the store, the addresses.
func Check(ctx context.Context, cfg configs.Config) []CheckResult {
	results := slices.Concat(checkCerts(ctx, cfg), []CheckResult{checkStore(ctx, cfg)}, checkIssuers(ctx, cfg), checkLDAP(ctx, cfg), checkSources(ctx, cfg), trySwitches(ctx, cfg))
	if cfg.Groups.Required {
		results = append(results, checkGroups(ctx, cfg))
	}
	listeners := []struct{ name, addr string }{{"http.listen", cfg.HTTP.Listen}, {"admin.listen", cfg.Admin.Listen}}
	if cfg.Cluster.Node != "" {
		listeners = append(listeners, struct{ name, addr string }{"cluster.listen", cfg.Cluster.Listen})
	}
	for _, l := range listeners {
		if l.addr == "" || l.addr == "off" {
			continue
		}
		results = append(results, checkListen(ctx, l.name, l.addr))
	}
	return results
}

func checkStore(ctx context.Context, cfg configs.Config) CheckResult {
	if cfg.Store.Kind == "redis" {
		return checkRedis(ctx, cfg)
	}
	r := CheckResult{Name: "store", Detail: cfg.StorePath()}
	if StoreMissing(cfg) != nil {
		r.Detail += ", made at the first start"
		return r
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: cfg.StorePath()})
	if err != nil {
		r.Err = err
		return r
	}
	r.Err = errors.Join(s.Ping(ctx), s.Close())
	return r
}

func checkRedis(ctx context.Context, cfg configs.Config) CheckResult {
	rc := redisConfig(cfg, discard())
	r := CheckResult{Name: "store", Detail: rc.Where()}
	s, err := redis.Open(ctx, rc)
	if err != nil {
		r.Err = err
		return r
	}
	report, err := s.Inspect(ctx)
	r.Detail, r.Warning = fmt.Sprintf("%s, %s", rc.Where(), report.Server), report.Warning
	r.Err = errors.Join(err, s.Ping(ctx), s.Close())
	return r
}

// checkGroups warns of a node that nobody could sign in to.
func checkGroups(ctx context.Context, cfg configs.Config) CheckResult {
	r := CheckResult{Name: "groups"}
	n := len(cfg.Groups.Authorised)
	if cfg.Store.Kind == "redis" || StoreMissing(cfg) == nil {
		s, err := OpenStore(ctx, cfg, discard())
		if err != nil {
			r.Err = err
			return r
		}
		records, err := s.GroupRecords(ctx)
		if r.Err = errors.Join(err, s.Close()); r.Err != nil {
			return r
		}
		n = len(people.Authorisations(records, cfg.Groups.Authorised...))
	}
	r.Detail = fmt.Sprintf("%d authorised", n)
	if n == 0 {
		r.Warning = "groups.required is on and no group is authorised, so nobody can sign in: deskline group authorise GROUP"
	}
	return r
}

func checkListen(ctx context.Context, name, addr string) CheckResult {
	r := CheckResult{Name: name, Detail: addr}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		r.Err = err
		return r
	}
	r.Err = l.Close()
	return r
}
