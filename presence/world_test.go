package presence_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// desk is a session that keeps what it is given.
type desk struct {
	sid      router.SID
	full     jid.JID
	interest router.Interest

	mu    sync.Mutex // guards all below
	got   []string
	count int
}

// take returns what came, and forgets it.
func (d *desk) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	got := d.got
	d.got = []string{}
	return got
}

func (d *desk) SID() router.SID            { return d.sid }
func (d *desk) JID() jid.JID               { return d.full }
func (d *desk) Interest() *router.Interest { return &d.interest }
func (d *desk) End(string, string)         {}

func (d *desk) Deliver(_ *stanza.Stanza, frame []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count++
	if d.got != nil {
		d.got = append(d.got, string(frame))
	}
	return nil
}

// world is two handfuls of people. Who sees whom is listed as "alice<bob": bob
// sees alice. All fakes are asked from one goroutine.
type world struct {
	t        testing.TB
	p        *presence.Service
	router   *router.Router
	registry *router.Memory
	table    *router.Table
	desks    map[string]*desk

	sees   []string
	known  []jid.JID         // subscribers, if they need not be found
	more   iter.Seq[jid.JID] // automatic ones
	broken bool              // the roster cannot be read
	calls  []string
}

var exampleCom = jid.MustParse("example.com")

func newWorld(t testing.TB, sees ...string) *world {
	return newWorldWith(t, func(*presence.Config) {}, sees...)
}

func newWorldWith(t testing.TB, change func(*presence.Config), sees ...string) *world {
	w := &world{t: t, registry: router.NewMemory(), table: router.NewTable(), desks: make(map[string]*desk), sees: sees}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.router = router.New(router.Config{
		Domains: []jid.JID{exampleCom}, Registry: w.registry, Mailboxes: router.Local{Table: w.table}, Table: w.table, Log: log,
	})
	cfg := presence.Config{Router: w.router, Contacts: w, Kept: kept{w}, Seen: w, Log: log}
	change(&cfg)
	w.p = presence.New(cfg)
	w.router.Join(w.p, nil, nil)
	return w
}

func person(name string) jid.JID { return jid.MustParse(name + "@example.com") }

func (w *world) list(pick func(seen, sees string) (string, bool)) ([]jid.JID, error) {
	if w.broken {
		return nil, errors.New("the store is away")
	}
	var found []jid.JID
	for _, s := range w.sees {
		seen, sees, _ := strings.Cut(s, "<")
		if name, ok := pick(seen, sees); ok {
			found = append(found, person(name))
		}
	}
	return found, nil
}

func (w *world) Subscribers(_ context.Context, owner jid.JID) ([]jid.JID, iter.Seq[jid.JID], error) {
	if w.known != nil {
		return w.known, w.more, nil
	}
	list, err := w.list(func(seen, sees string) (string, bool) { return sees, seen == owner.Local() })
	return list, w.more, err
}

func (w *world) Subscriptions(_ context.Context, owner jid.JID) ([]jid.JID, iter.Seq[jid.JID], error) {
	list, err := w.list(func(seen, sees string) (string, bool) { return seen, sees == owner.Local() })
	return list, w.more, err
}

func (w *world) MaySee(ctx context.Context, owner, contact jid.JID) (bool, error) {
	list, _, err := w.Subscribers(ctx, owner)
	return slices.Contains(list, contact), err
}

func (w *world) HandleSubscription(_ context.Context, st *stanza.Stanza) error {
	w.calls = append(w.calls, st.Type+" "+st.To.String())
	return nil
}

func (w *world) Redeliver(_ context.Context, full jid.JID) error {
	w.calls = append(w.calls, "requests "+full.String())
	return nil
}

func (w *world) Left(_ context.Context, owner jid.JID, status string) error {
	w.calls = append(w.calls, strings.TrimSpace("left "+owner.String()+" "+status))
	return nil
}

type kept struct{ w *world }

func (k kept) Deliver(_ context.Context, full jid.JID) error {
	k.w.calls = append(k.w.calls, "messages "+full.String())
	return nil
}

// bind enters a session, such as "alice/desk".
func (w *world) bind(names ...string) {
	w.t.Helper()
	for _, name := range names {
		user, resource, _ := strings.Cut(name, "/")
		full, err := person(user).WithResource(resource)
		if err != nil {
			w.t.Fatal(err)
		}
		d := &desk{sid: router.NewSID(), full: full, got: []string{}}
		if _, _, err := w.registry.Bind(w.t.Context(), router.Binding{Full: full, SID: d.sid}); err != nil {
			w.t.Fatal(err)
		}
		w.table.Add(d)
		w.desks[name] = d
	}
}

// online binds sessions and makes them available.
func (w *world) online(names ...string) {
	w.t.Helper()
	w.bind(names...)
	for _, name := range names {
		w.says(name, "<presence/>")
	}
	w.quiet()
}

// quiet forgets what was said so far.
func (w *world) quiet() {
	for _, d := range w.desks {
		d.take()
	}
	w.calls = nil
}

// says has a session send presence.
func (w *world) says(name, xml string) {
	w.t.Helper()
	if err := w.try(name, xml); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) try(name, xml string) error {
	w.t.Helper()
	st, err := stanza.Decode([]byte(strings.Replace(xml, "<presence", "<presence xmlns='jabber:client'", 1)))
	if err != nil {
		w.t.Fatal(err)
	}
	st.From = w.desks[name].full
	return w.p.HandleStanza(w.t.Context(), st)
}

// leave takes a session out of the tables, as its end does.
func (w *world) leave(name string) {
	w.t.Helper()
	d := w.desks[name]
	b := w.binding(name)
	w.table.Remove(d)
	if err := w.registry.Unbind(w.t.Context(), d.full, b.Gen); err != nil {
		w.t.Fatal(err)
	}
	w.p.SessionEnded(w.t.Context(), b, &d.interest)
}

func (w *world) binding(name string) router.Binding {
	w.t.Helper()
	d := w.desks[name]
	list, err := w.registry.Lookup(w.t.Context(), d.full.Bare())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range list {
		if b.Full == d.full {
			return b
		}
	}
	return router.Binding{}
}

// heard holds what everybody got against what they should have: session,
// sender, type and content, in the order of each. A session that is not listed
// got nothing.
func (w *world) heard(want ...string) {
	w.t.Helper()
	var got []string
	for name, d := range w.desks {
		for _, frame := range d.take() {
			st, err := stanza.Decode([]byte(frame))
			if err != nil {
				w.t.Fatalf("%v: %s", err, frame)
			}
			if !st.To.IsZero() && st.To != d.full && st.To != d.full.Bare() {
				w.t.Errorf("%s got what is for %s", name, st.To)
			}
			from := strings.Replace(st.From.String(), "@example.com", "", 1)
			got = append(got, strings.TrimSpace(name+": "+from+" "+st.Type+string(st.Inner)))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Fatalf("heard\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// called holds what the others were asked for against what they should be.
func (w *world) called(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.calls, want) {
		w.t.Fatalf("called %q, want %q", w.calls, want)
	}
	w.calls = nil
}
