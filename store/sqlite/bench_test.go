package sqlite_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store/sqlite"
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

func benchStore(b *testing.B, accounts int) *sqlite.Store {
	b.Helper()
	s, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "deskline.db")})
	must(b, err)
	b.Cleanup(func() { must(b, s.Close()) })
	must(b, s.CreateAccounts(b.Context(), benchAccounts(accounts), nil))
	return s
}

// BenchmarkWrite is one durable write at a time for each of n writers: what a
// group commit gains is the difference between the cases.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("%dWriters", writers), func(b *testing.B) {
			s := benchStore(b, writers)
			b.ReportAllocs()
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for w := range writers {
				owner := benchUser(w)
				wg.Go(func() {
					xml := make([]byte, 400)
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						binary.PutVarint(xml, i) // SQLite skips a write that changes nothing
						if err := s.SetVCard(context.Background(), owner, xml); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

// BenchmarkAppend keeps and removes a message for an owner who has 1,000.
func BenchmarkAppend(b *testing.B) {
	s := benchStore(b, 1)
	m := offline.Message{XML: make([]byte, 400)}
	for range 1000 {
		must(b, s.Append(b.Context(), benchUser(0), 1000, m))
	}
	b.ReportAllocs()
	for b.Loop() {
		first, err := s.Messages(context.Background(), benchUser(0), 1)
		must(b, err)
		must(b, s.Remove(context.Background(), benchUser(0), first[0].ID))
		must(b, s.Append(context.Background(), benchUser(0), 1000, m))
	}
}

func BenchmarkRoster(b *testing.B) {
	for _, n := range []int{0, 10, 100, 1000} {
		b.Run(fmt.Sprintf("%dItems", n), func(b *testing.B) {
			s := benchStore(b, 1)
			var items []roster.Item
			for i := range n {
				items = append(items, roster.Item{JID: benchUser(i), Name: "A Name", Groups: []string{"Team"}, Subscription: roster.Both})
			}
			r, err := s.Roster(b.Context(), benchUser(0))
			must(b, err)
			_, err = s.Save(b.Context(), benchUser(0), r.Ver, items, nil)
			must(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if r, err := s.Roster(context.Background(), benchUser(0)); err != nil || len(r.Items) != n {
					b.Fatal(len(r.Items), err)
				}
			}
		})
	}
}

func BenchmarkRosterSave(b *testing.B) {
	s := benchStore(b, 1)
	r, err := s.Roster(b.Context(), benchUser(0))
	must(b, err)
	b.ReportAllocs()
	for ver := r.Ver; b.Loop(); ver++ {
		_, err := s.Save(context.Background(), benchUser(0), ver, []roster.Item{{JID: benchUser(int(ver % 1000))}}, nil)
		must(b, err)
	}
}

func BenchmarkAccount(b *testing.B) {
	s := benchStore(b, 1000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := s.Account(context.Background(), benchUser(i%1000)); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkCreateAccounts_10000(b *testing.B) {
	list := benchAccounts(10_000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := benchStore(b, 0)
		b.StartTimer()
		must(b, s.CreateAccounts(context.Background(), list, func(int) {}))
	}
}
