package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/deskline/deskline/auth"
	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/store"
	"github.com/deskline/deskline/store/redis"
	"github.com/deskline/deskline/store/sqlite"
	"github.com/deskline/deskline/store/storetest"
	"github.com/deskline/deskline/xmpp/jid"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func embedded(t *testing.T) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "deskline.db")})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func shared(t *testing.T, cfg redis.Config) *redis.Store {
	t.Helper()
	cfg.Timeout = 10 * time.Second
	s, err := redis.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func sums(t *testing.T, s store.Source) []store.Sum {
	t.Helper()
	all, err := store.Sums(t.Context(), s, func(int) {})
	must(t, err)
	return all
}

func user(i int) jid.JID { return jid.MustParse(fmt.Sprintf("user%05d@example.net", i)) }

// crowd adds accounts so that there are several pages.
func crowd(t *testing.T, s storetest.Store, n int) {
	t.Helper()
	list := make([]auth.Account, n)
	for i := range list {
		list[i] = auth.Account{JID: user(i), Name: fmt.Sprint(i)}
	}
	must(t, s.CreateAccounts(t.Context(), list, nil))
}

// TestThereAndBack moves an installation from SQLite to Redis, single and
// Cluster, and back; nothing of it changes on the way.
func TestThereAndBack(t *testing.T) {
	first := embedded(t)
	storetest.Fill(t, first)
	crowd(t, first, 330)
	want := sums(t, first)
	for _, tc := range []struct {
		name string
		open func(t *testing.T) redis.Config
	}{
		{"single server", func(t *testing.T) redis.Config { return redis.Config{URL: redistest.Start(t).URL()} }},
		{"cluster", func(t *testing.T) redis.Config {
			return redis.Config{Cluster: []string{redistest.StartCluster(t, 3)[0].Addr()}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			middle, last := shared(t, tc.open(t)), embedded(t)
			for _, step := range []struct {
				name     string
				from, to store.Target
			}{{"there", first, middle}, {"back", middle, last}} {
				said, verified := 0, 0
				got, err := store.Copy(t.Context(), step.from, step.to, store.Options{From: step.name, Progress: func(done, total int, verify bool) {
					if total != 334 || done > total {
						t.Errorf("%d of %d", done, total)
					}
					if verify {
						verified = done
					} else {
						said = done
					}
				}})
				must(t, err)
				if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(sums(t, step.to), want) {
					t.Fatalf("%s:\n%+v, want\n%+v", step.name, got, want)
				}
				if said != 334 || verified != 334 {
					t.Errorf("last progress %d, %d", said, verified)
				}
				must(t, store.Unfinished(t.Context(), step.to))
			}
		})
	}
}

// weak is a store that breaks after some writes, and counts them.
type weak struct {
	store.Target
	breakAt, restored int
}

var errBroken = errors.New("broken")

func (w *weak) Restore(ctx context.Context, records []store.Record) error {
	if w.breakAt == 0 {
		return errBroken
	}
	w.breakAt--
	w.restored += len(records)
	return w.Target.Restore(ctx, records)
}

func TestResume(t *testing.T) {
	from, to := embedded(t), embedded(t)
	crowd(t, from, 230)
	w := &weak{Target: to, breakAt: 3}
	o := store.Options{From: "a"}
	if _, err := store.Copy(t.Context(), from, w, o); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	if err := store.Unfinished(t.Context(), to); !errors.Is(err, store.ErrUnfinished) {
		t.Fatal(err)
	}
	if _, err := store.Copy(t.Context(), from, w, store.Options{From: "b"}); !errors.Is(err, store.ErrOccupied) {
		t.Fatalf("taken up from another source: %v", err)
	}
	// What the source changed meanwhile is copied again, what it did not is not.
	_, err := from.Save(t.Context(), user(7), rosterVer(t, from, user(7)), []roster.Item{{JID: user(8)}}, nil)
	must(t, err)
	w.breakAt, w.restored = -1, 0
	_, err = store.Copy(t.Context(), from, w, o)
	must(t, err)
	if w.restored != 230-150+1 {
		t.Errorf("%d accounts were written the second time", w.restored)
	}
	if !reflect.DeepEqual(sums(t, to), sums(t, from)) {
		t.Error("not the same")
	}
	must(t, store.Unfinished(t.Context(), to))
}

func rosterVer(t *testing.T, s *sqlite.Store, owner jid.JID) uint64 {
	t.Helper()
	r, err := s.Roster(t.Context(), owner)
	must(t, err)
	return r.Ver
}

func TestOccupied(t *testing.T) {
	from, to := embedded(t), embedded(t)
	crowd(t, from, 3)
	storetest.Fill(t, to)
	before := sums(t, to)
	if _, err := store.Copy(t.Context(), from, to, store.Options{From: "a"}); !errors.Is(err, store.ErrOccupied) {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(sums(t, to), before) {
		t.Fatal("a target that was refused has changed")
	}
	must(t, store.Unfinished(t.Context(), to))
	to = embedded(t)
	crowd(t, to, 200)
	_, err := store.Copy(t.Context(), from, to, store.Options{From: "a", Replace: true})
	must(t, err)
	if got := sums(t, to); got[0].Count != 3 {
		t.Fatalf("%+v", got)
	}
	// One that has ended is a store like any other.
	if _, err := store.Copy(t.Context(), from, to, store.Options{From: "a"}); !errors.Is(err, store.ErrOccupied) {
		t.Fatal(err)
	}
}

func TestSame(t *testing.T) {
	s := embedded(t)
	storetest.Fill(t, s)
	before := sums(t, s)
	if _, err := store.Copy(t.Context(), s, s, store.Options{From: "a", Replace: true}); !errors.Is(err, store.ErrSame) {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(sums(t, s), before) {
		t.Fatal("it was changed")
	}
	must(t, store.Unfinished(t.Context(), s))
}

// writer changes its source while it is copied.
type writer struct {
	store.Target
	write func()
}

func (w *writer) SaveSessions(ctx context.Context, list []store.Snapshot) error {
	w.write()
	return w.Target.SaveSessions(ctx, list)
}

func TestDiffers(t *testing.T) {
	from, to := embedded(t), embedded(t)
	crowd(t, from, 3)
	w := &writer{to, func() { must(t, from.SetVCard(t.Context(), user(1), []byte("<vCard/>"))) }}
	got, err := store.Copy(t.Context(), from, w, store.Options{From: "a"})
	if !errors.Is(err, store.ErrDiffers) || err.Error() != store.ErrDiffers.Error()+": vCards (1, copied 0)" || got[0].Count != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := store.Unfinished(t.Context(), to); !errors.Is(err, store.ErrUnfinished) {
		t.Fatal(err)
	}
	_, err = store.Copy(t.Context(), from, to, store.Options{From: "a"})
	must(t, err)
}

func TestWithdrawn(t *testing.T) {
	from, to := embedded(t), embedded(t)
	crowd(t, from, 120)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := store.Copy(ctx, from, to, store.Options{From: "a", Progress: func(int, int, bool) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
