package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// library is the log of the client library, one for the process. All it has to
// say of commands comes as errors too; what it says of subscriptions does not.
type library struct{ log atomic.Pointer[slog.Logger] }

func (l *library) Printf(ctx context.Context, format string, args ...any) {
	if log := l.log.Load(); log != nil {
		log.DebugContext(ctx, "redis client", "detail", fmt.Sprintf(format, args...))
	}
}

var libraryLog = &library{}

var takeLog = sync.OnceFunc(func() { goredis.SetLogger(libraryLog) })

// Where tells which Redis it is, without passwords.
func (c Config) Where() string {
	switch {
	case c.Sentinel.Master != "":
		return "redis master " + c.Sentinel.Master
	case len(c.Cluster) > 0:
		return "redis cluster " + strings.Join(c.Cluster, ",")
	}
	if u, err := url.Parse(c.URL); err == nil {
		return u.Redacted()
	}
	return "redis"
}

// connect makes a client; it connects at the first command.
func connect(cfg Config) (goredis.UniversalClient, error) {
	takeLog()
	if cfg.Node {
		libraryLog.log.Store(cfg.Log)
	}
	secure, err := cfg.TLS.config()
	if err != nil {
		return nil, err
	}
	o := common(cfg)
	o.TLSConfig = secure
	switch {
	case cfg.Sentinel.Master != "":
		return sentinel(cfg, o)
	case len(cfg.Cluster) > 0:
		if cfg.Replicas > 0 {
			return nil, errors.New("replicas cannot be waited for with a cluster, set min-replicas-to-write there")
		}
		o.Addrs = cfg.Cluster
		c := o.Cluster()
		c.MaintNotificationsConfig = o.MaintNotificationsConfig
		return goredis.NewClusterClient(c), nil
	}
	single, err := goredis.ParseURL(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	s := o.Simple()
	s.Network, s.Addr, s.DB = single.Network, single.Addr, single.DB
	if single.Username != "" || single.Password != "" {
		s.Username, s.Password = single.Username, single.Password
	}
	if single.TLSConfig != nil && s.TLSConfig == nil {
		s.TLSConfig = single.TLSConfig
	}
	named(s.TLSConfig, cfg.TLS, s.Addr)
	return goredis.NewClient(s), nil
}

// named has the certificate checked against the address's name.
func named(c *tls.Config, t TLS, addr string) {
	if host, _, err := net.SplitHostPort(addr); c != nil && c.ServerName == "" && err == nil {
		c.ServerName = host
	}
	if c != nil && t.ServerName != "" {
		c.ServerName = t.ServerName
	}
}

// common are the settings of every kind of client. It does not repeat commands
// by itself, see batcher.
func common(cfg Config) *goredis.UniversalOptions {
	return &goredis.UniversalOptions{
		ClientName: clientName(cfg), Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, Protocol: 2,
		MaxRetries: -1, MinRetryBackoff: 5 * time.Millisecond, MaxRetryBackoff: 100 * time.Millisecond,
		DialTimeout: cfg.Timeout, DialerRetries: 1, DialerRetryTimeout: time.Millisecond,
		ReadTimeout: cfg.Timeout, WriteTimeout: cfg.Timeout, ContextTimeoutEnabled: true,
		PoolSize: cfg.Pool, MaxActiveConns: cfg.Pool, PoolTimeout: cfg.Timeout, PipelinePoolSize: -1,
		ConnMaxIdleTime: 5 * time.Minute, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func sentinel(cfg Config, o *goredis.UniversalOptions) (goredis.UniversalClient, error) {
	if len(cfg.Sentinel.Addrs) == 0 {
		return nil, errors.New("no address of a Sentinel")
	}
	o.Addrs, o.MasterName = cfg.Sentinel.Addrs, cfg.Sentinel.Master
	o.SentinelUsername, o.SentinelPassword = cfg.Sentinel.Username, cfg.Sentinel.Password
	c := goredis.NewFailoverClient(o.Failover())
	c.AddHook(newLeaver())
	return c, nil
}

// config returns nil without TLS.
func (t TLS) config() (*tls.Config, error) {
	if !t.Enabled && t.CAFile == "" && t.CertFile == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CA of redis: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA of redis: %s has no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate for redis: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// each calls fn for the server or, of a cluster, for each master.
func (s *Store) each(ctx context.Context, fn func(context.Context, *goredis.Client) error) error {
	switch c := s.client.(type) {
	case *goredis.ClusterClient:
		return c.ForEachMaster(ctx, fn)
	case *goredis.Client:
		return fn(ctx, c)
	}
	return fmt.Errorf("client is a %T", s.client)
}

// clientName is what a connection is called in CLIENT LIST.
func clientName(cfg Config) string {
	if !cfg.Node {
		return "deskline"
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(cfg.Prefix)) // never fails
	return fmt.Sprintf("deskline-node-%08x", sum.Sum32())
}
