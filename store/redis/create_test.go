package redis_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/xmpp/jid"
)

func people(n int) []auth.Account {
	list := make([]auth.Account, n)
	for i := range list {
		list[i].JID = jid.MustParse(fmt.Sprintf("user%05d@example.com", i))
	}
	return list
}

func names(t *testing.T, s *redis.Store) (all []string) {
	t.Helper()
	list, err := s.ListAccounts(t.Context(), "example.com", "", 1<<20)
	must(t, err)
	for _, a := range list {
		all = append(all, a.JID.Local())
	}
	return all
}

func wantNames(t *testing.T, s *redis.Store, want ...string) {
	t.Helper()
	if got := names(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("listed %v, want %v", got, want)
	}
}

// TestImportDies looks at what an import leaves that died at its worst moments.
func TestImportDies(t *testing.T) {
	r := redistest.Start(t)
	pair := []auth.Account{{JID: jid.MustParse("bob@example.com"), Name: "first"}, {JID: jid.MustParse("carol@example.com")}}
	bob, carol := pair[0].JID, pair[1].JID
	absent := func(t *testing.T, s *redis.Store) {
		t.Helper()
		if _, err := s.Account(t.Context(), bob); !errors.Is(err, auth.ErrNotFound) {
			t.Fatalf("account: %v", err)
		}
		if err := s.Append(t.Context(), carol, 10, offline.Message{}); !errors.Is(err, offline.ErrNotFound) {
			t.Fatalf("append: %v", err)
		}
		if ro, err := s.Roster(t.Context(), bob); err != nil || ro.Ver != 0 {
			t.Fatalf("roster: %+v, %v", ro, err)
		}
		wantNames(t, s, "alice")
	}
	t.Run("before the commit", func(t *testing.T) {
		s, _ := begin(t, r)
		batch, err := s.Prepare(t.Context(), "t1", false, pair...)
		must(t, err)
		absent(t, s)
		err = s.CreateAccounts(t.Context(), pair[:1], nil)
		if !errors.Is(err, auth.ErrExists) {
			t.Fatalf("creation beside an import: %v", err)
		}
		r.Do("DEL", batch) // its lease has run out
		absent(t, s)
		if state, err := s.Commit(t.Context(), "t1"); err != nil || state != "failed" {
			t.Fatalf("commit after the lease: %s, %v", state, err)
		}
		must(t, s.CreateAccounts(t.Context(), pair, nil))
		wantNames(t, s, "alice", "bob", "carol")
	})
	t.Run("its name is taken by one account", func(t *testing.T) {
		s, _ := begin(t, r)
		batch, err := s.Prepare(t.Context(), "t2", false, pair...)
		must(t, err)
		r.Do("DEL", batch)
		must(t, s.CreateAccounts(t.Context(), pair[:1], nil))
		wantNames(t, s, "alice", "bob")
	})
	t.Run("after the commit", func(t *testing.T) {
		s, _ := begin(t, r)
		_, err := s.Prepare(t.Context(), "t3", true, pair...)
		must(t, err)
		must(t, s.Append(t.Context(), carol, 10, offline.Message{XML: []byte("<message/>")}))
		a, err := s.Account(t.Context(), bob)
		must(t, err)
		if a.Name != "first" {
			t.Fatalf("account %+v", a)
		}
		wantNames(t, s, "alice", "bob", "carol")
		if err := s.CreateAccounts(t.Context(), pair, nil); !errors.Is(err, auth.ErrExists) {
			t.Fatalf("again: %v", err)
		}
		wantNames(t, s, "alice", "bob", "carol")
		must(t, s.DeleteAccount(t.Context(), bob))
		wantNames(t, s, "alice", "carol")
	})
	t.Run("an entry without an account", func(t *testing.T) {
		s, _ := begin(t, r)
		r.Do("EVAL", `return redis.call('ZADD', KEYS[1], 0, 'aaron\0007')`, "1", s.Key("users:{example.com}"))
		wantNames(t, s, "alice")
	})
}

// TestImportsCollide lets two imports with one name in common run at a time,
// again and again: one of them or none succeeds, and never by halves.
func TestImportsCollide(t *testing.T) {
	r := redistest.Start(t)
	s, _ := begin(t, r)
	for round := range 20 {
		list := people(80)
		for i := range list {
			list[i].JID = jid.MustParse(fmt.Sprintf("r%d-%05d@example.com", round, i))
		}
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, part := range [][]auth.Account{list[:41], list[40:]} {
			wg.Go(func() { errs[i] = s.CreateAccounts(t.Context(), part, nil) })
		}
		wg.Wait()
		want := 0
		for i, err := range errs {
			switch {
			case err == nil:
				want += 41 - i
			case !errors.Is(err, auth.ErrExists):
				t.Fatal(err)
			}
		}
		if want > 41 {
			t.Fatal("both imports have the name")
		}
		got := 0
		for _, a := range list {
			if _, err := s.Account(t.Context(), a.JID); err == nil {
				got++
			}
		}
		listed, err := s.ListAccounts(t.Context(), "example.com", fmt.Sprintf("r%d-", round), len(list))
		must(t, err)
		n := 0
		for _, a := range listed {
			if a.JID.Local() < fmt.Sprintf("r%d.", round) {
				n++
			}
		}
		if got != want || n != want {
			t.Fatalf("round %d: %v made %d accounts and listed %d, want %d", round, errs, got, n, want)
		}
	}
}

// TestImportKilled kills Redis in the middle of imports; what an import said
// holds afterwards, and one that said nothing is all there or not at all.
func TestImportKilled(t *testing.T) {
	const size = 1000
	r := redistest.Start(t)
	list := people(size)
	for _, at := range []int{size / 10, size / 2, size - 300, size} {
		t.Run(fmt.Sprintf("at %d", at), func(t *testing.T) {
			s := open(t, redis.Config{URL: r.URL(), Prefix: prefix()})
			killed := false
			err := s.CreateAccounts(t.Context(), list, func(done int) {
				if done >= at && !killed {
					killed = true
					r.Kill()
					r.Start()
				}
			})
			if !killed {
				t.Fatal("never killed")
			}
			got := len(names(t, s))
			if err == nil && got != size || err != nil && got != 0 && got != size {
				t.Fatalf("%d accounts after %v", got, err)
			}
		})
	}
}

// TestBraces has users whose names look like hash tags.
func TestBraces(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	s := open(t, redis.Config{Cluster: []string{servers[0].Addr()}, Prefix: prefix()})
	for _, local := range []string{"}", "{", "a}b", "{a}", "%7d", "{}", "}}{{"} {
		t.Run(local, func(t *testing.T) {
			j, err := jid.New(local, "example.com", "")
			must(t, err)
			must(t, s.CreateAccounts(t.Context(), []auth.Account{{JID: j, Name: local}}, nil))
			must(t, s.Append(t.Context(), j, 10, offline.Message{XML: []byte("x")}))
			must(t, s.SetVCard(t.Context(), j, []byte("<vCard/>")))
			a, err := s.Account(t.Context(), j)
			must(t, err)
			if a.Name != local {
				t.Fatalf("account %+v", a)
			}
			slot := ""
			for _, key := range s.AccountKeys(j) {
				got := servers[0].Do("CLUSTER", "KEYSLOT", key)
				if slot != "" && got != slot {
					t.Fatalf("%s is in slot %s, others in %s", key, got, slot)
				}
				slot = got
			}
		})
	}
}
