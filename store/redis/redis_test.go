package redis_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/store/storetest"
	"github.com/deskline/deskline/xmpp/jid"
)

var alice = jid.MustParse("alice@example.com")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// prefixes gives each test keys of its own in a server they share.
var prefixes atomic.Int64

func prefix() string { return fmt.Sprintf("test%d:", prefixes.Add(1)) }

// open opens a store that is closed with the test.
func open(t testing.TB, cfg redis.Config) *redis.Store {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second // the machine may be busy
	}
	s, err := redis.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// begin opens an empty store with the account alice.
func begin(t testing.TB, r *redistest.Server) (*redis.Store, redis.Config) {
	t.Helper()
	cfg := redis.Config{URL: r.URL(), Prefix: prefix()}
	s := open(t, cfg)
	must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: alice}}, nil))
	return s, cfg
}

func TestStore(t *testing.T) {
	t.Run("single server", func(t *testing.T) {
		r := redistest.Start(t)
		storetest.Run(t, func(t *testing.T) (storetest.Store, func() storetest.Store) {
			cfg := redis.Config{URL: r.URL(), Prefix: prefix()}
			s := open(t, cfg)
			return s, func() storetest.Store {
				must(t, s.Close())
				r.Kill()
				r.Start()
				return open(t, cfg)
			}
		})
	})
	t.Run("cluster", func(t *testing.T) {
		servers := redistest.StartCluster(t, 3)
		storetest.Run(t, func(t *testing.T) (storetest.Store, func() storetest.Store) {
			cfg := redis.Config{Cluster: []string{servers[0].Addr()}, Prefix: prefix()}
			s := open(t, cfg)
			return s, func() storetest.Store {
				must(t, s.Close())
				return open(t, cfg)
			}
		})
	})
}
