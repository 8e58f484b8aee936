package redis_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/xmpp/jid"
)

func benchUser(i int) jid.JID { return jid.MustParse(fmt.Sprintf("user%05d@example.com", i)) }

func benchAccounts(n int) []auth.Account {
	list := make([]auth.Account, n)
	for i := range list {
		k := auth.Keys{Salt: make([]byte, 16), Iterations: 10000, StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}
		list[i] = auth.Account{
			JID: benchUser(i), Name: "A Name", Groups: []string{"Team"},
			Keys: map[string]auth.Keys{"SCRAM-SHA-1": k, "SCRAM-SHA-256": k, "SCRAM-SHA-512": k},
		}
	}
	return list
}

// cpu is the processor time used so far, by this process and by Redis.
func cpu(b *testing.B, r *redistest.Server) (own, redis time.Duration) {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	own = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	for line := range strings.Lines(r.Do("INFO", "cpu")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			seconds, err := strconv.ParseFloat(value, 64)
			must(b, err)
			redis += time.Duration(seconds * float64(time.Second))
		}
	}
	return own, redis
}

// parallel has callers do b.N things, each waiting for its own.
func parallel(b *testing.B, r *redistest.Server, callers int, do func(caller int) error) {
	b.Helper()
	b.ReportAllocs()
	own, redis := cpu(b, r)
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if err := do(c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	ownAfter, redisAfter := cpu(b, r)
	b.ReportMetric(float64(ownAfter-own)/float64(b.N), "ownCPU-ns/op")
	b.ReportMetric(float64(redisAfter-redis)/float64(b.N), "redisCPU-ns/op")
}

// BenchmarkAppend keeps messages, for each of n callers one at a time: through
// the store, and by the same script through what the client library has.
func BenchmarkAppend(b *testing.B) {
	const limit = 1 << 30
	xml := make([]byte, 400)
	for _, fsync := range []string{"always", "everysec"} {
		r := redistest.Start(b, "--appendfsync", fsync)
		cfg := redis.Config{URL: r.URL(), Prefix: prefix()}
		s := open(b, cfg)
		must(b, s.CreateAccounts(b.Context(), benchAccounts(256), nil))
		o, err := goredis.ParseURL(r.URL())
		must(b, err)
		o.Protocol, o.PoolSize, o.DisableIdentity = 2, 256, true
		client := goredis.NewClient(o)
		b.Cleanup(func() { must(b, client.Close()) })
		auto, err := client.AutoPipeline()
		must(b, err)
		b.Cleanup(func() { must(b, auto.Close()) })
		commands := make([][]any, 256)
		for i := range commands {
			commands[i] = s.AppendCommand(benchUser(i), limit, xml)
		}
		for _, callers := range []int{1, 8, 64, 256} {
			r.Do("FLUSHALL")
			must(b, s.CreateAccounts(b.Context(), benchAccounts(256), nil))
			b.Run(fmt.Sprintf("%s/batcher/%dCallers", fsync, callers), func(b *testing.B) {
				parallel(b, r, callers, func(c int) error {
					return s.Append(context.Background(), benchUser(c), limit, offline.Message{XML: xml})
				})
			})
			b.Run(fmt.Sprintf("%s/autopipeline/%dCallers", fsync, callers), func(b *testing.B) {
				parallel(b, r, callers, func(c int) error { return auto.Do(context.Background(), commands[c]...).Err() })
			})
			b.Run(fmt.Sprintf("%s/connections/%dCallers", fsync, callers), func(b *testing.B) {
				parallel(b, r, callers, func(c int) error { return client.Do(context.Background(), commands[c]...).Err() })
			})
		}
	}
}

func BenchmarkRoster(b *testing.B) {
	r := redistest.Start(b)
	for _, n := range []int{0, 10, 100, 1000} {
		b.Run(fmt.Sprintf("%dItems", n), func(b *testing.B) {
			s := open(b, redis.Config{URL: r.URL(), Prefix: prefix()})
			must(b, s.CreateAccounts(b.Context(), benchAccounts(1), nil))
			var items []roster.Item
			for i := range n {
				items = append(items, roster.Item{JID: benchUser(i), Name: "A Name", Groups: []string{"Team"}, Subscription: roster.Both})
			}
			ro, err := s.Roster(b.Context(), benchUser(0))
			must(b, err)
			_, err = s.Save(b.Context(), benchUser(0), ro.Ver, items, nil)
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if ro, err := s.Roster(context.Background(), benchUser(0)); err != nil || len(ro.Items) != n {
					b.Fatal(len(ro.Items), err)
				}
			}
		})
	}
}

func BenchmarkCreateAccounts_10000(b *testing.B) {
	r := redistest.Start(b)
	list := benchAccounts(10_000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := open(b, redis.Config{URL: r.URL(), Prefix: prefix()})
		b.StartTimer()
		must(b, s.CreateAccounts(context.Background(), list, func(int) {}))
	}
}
