package live_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

// A Redis that is away may refuse connections, or take them and say nothing.
var outages = []struct {
	name      string
	away      func(*redistest.Server)
	backAgain func(*redistest.Server)
}{
	{"killed", (*redistest.Server).Kill, (*redistest.Server).Start},
	{"frozen", (*redistest.Server).Freeze, (*redistest.Server).Thaw},
}

// What nodes tell each other waits for Redis, and is done once.
func TestWaitsForRedis(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			r := redistest.Start(t)
			l := startLive(t, r.Addr(), "n1")
			full := jid.MustParse("alice@localhost/a")
			first, second := router.NewSID(), router.NewSID()
			one, _, err := l.Bind(t.Context(), router.Binding{Full: full, SID: first, Node: "n1", Since: time.Now()})
			must(t, err)

			o.away(r)
			done := make(chan error, 1)
			go func() {
				done <- func() error {
					if err := l.Enter(t.Context(), second, full, &client{}); err != nil {
						return err
					}
					b := router.Binding{Full: full, SID: second, Node: "n1", Since: time.Now()}
					gen, replaced, err := l.Bind(t.Context(), b)
					if err != nil {
						return err
					}
					if gen <= one || replaced == nil || replaced.SID != first {
						return errors.New("bound in another way")
					}
					b.Gen, b.Priority = gen, 5
					return errors.Join(l.Update(t.Context(), b), l.Unbind(t.Context(), full, one))
				}()
			}()
			pause(t, 500*time.Millisecond)
			select {
			case err := <-done:
				t.Fatalf("done without Redis: %v", err)
			default:
			}
			o.backAgain(r)
			must(t, <-done)
			list, err := l.Lookup(t.Context(), full.Bare())
			if err != nil || len(list) != 1 || list[0].SID != second || list[0].Priority != 5 {
				t.Fatalf("%+v %v", list, err)
			}
			must(t, l.Unbind(t.Context(), full, list[0].Gen))
			must(t, l.Drop(t.Context(), second))
			if keys := r.Do("KEYS", "t:s:*"); keys != "" {
				t.Fatalf("left: %s", keys)
			}
		})
	}
}

// The answer to a Bind may be lost: asked again, it is the same.
func TestBindAgain(t *testing.T) {
	r := redistest.Start(t)
	l := startLive(t, r.Addr(), "n1")
	full := jid.MustParse("}{%alice@localhost/a")
	bind := func(sid router.SID) (uint64, router.SID) {
		gen, replaced, err := l.Bind(t.Context(), router.Binding{Full: full, SID: sid, Node: "n1", Since: time.Now()})
		must(t, err)
		if replaced == nil {
			return gen, ""
		}
		return gen, replaced.SID
	}
	a, b := router.NewSID(), router.NewSID()
	first, _ := bind(a)
	if again, replaced := bind(a); again != first || replaced != "" {
		t.Fatalf("%d after %d, replaced %q", again, first, replaced)
	}
	second, replaced := bind(b)
	if second <= first || replaced != a {
		t.Fatalf("%d after %d, replaced %q", second, first, replaced)
	}
	if again, replaced := bind(b); again != second || replaced != a {
		t.Fatalf("%d after %d, replaced %q", again, second, replaced)
	}
	// Also when all else was forgotten, the next is above.
	r.Do("FLUSHALL")
	if third, replaced := bind(a); third <= second || replaced != "" {
		t.Fatalf("%d after %d, replaced %q", third, second, replaced)
	}
}

func TestAwait(t *testing.T) {
	r := redistest.Start(t)
	l := startLive(t, r.Addr(), "n1")
	must(t, l.Await(t.Context()))
	r.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := l.Unbind(ctx, jid.MustParse("alice@localhost/a"), 1); !errors.Is(err, router.ErrAway) {
		t.Fatalf("not away: %v", err)
	}
	if err := l.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("not waited: %v", err)
	}
	r.Start()
	must(t, l.Await(t.Context()))
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
