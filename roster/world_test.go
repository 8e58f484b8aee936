package roster_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// memStore is a Store in memory.
type memStore struct {
	mu        sync.Mutex // guards all below
	m         map[jid.JID]roster.Roster
	reads     int
	conflicts int // fail so many saves
}

func (s *memStore) Roster(_ context.Context, owner jid.JID) (roster.Roster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	r := s.m[owner]
	r.Items = slices.Clone(r.Items)
	return r, nil
}

func (s *memStore) Save(_ context.Context, owner jid.JID, ver uint64, put []roster.Item, del []jid.JID) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.m[owner]
	if r.Ver != ver || s.conflicts > 0 {
		s.conflicts = max(0, s.conflicts-1)
		return 0, roster.ErrConflict
	}
	r.Items = slices.DeleteFunc(slices.Clone(r.Items), func(it roster.Item) bool {
		return slices.Contains(del, it.JID) || slices.ContainsFunc(put, func(p roster.Item) bool { return p.JID == it.JID })
	})
	r.Items = append(r.Items, put...)
	slices.SortFunc(r.Items, func(a, b roster.Item) int { return a.JID.Compare(b.JID) })
	r.Ver++
	s.m[owner] = r
	return r.Ver, nil
}

func (s *memStore) Since(context.Context, jid.JID, uint64) ([]roster.Item, []jid.JID, uint64, bool, error) {
	return nil, nil, 0, false, nil
}

// fakeSession collects what its client gets.
type fakeSession struct {
	full     jid.JID
	sid      router.SID
	interest router.Interest
	mu       sync.Mutex // guards got
	got      []*stanza.Stanza
}

func (f *fakeSession) SID() router.SID            { return f.sid }
func (f *fakeSession) JID() jid.JID               { return f.full }
func (f *fakeSession) Interest() *router.Interest { return &f.interest }
func (f *fakeSession) End(string, string)         {}
func (f *fakeSession) Deliver(st *stanza.Stanza, _ []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got = append(f.got, st)
	return nil
}

// take returns what came since the last call, in short.
func (f *fakeSession) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, st := range f.got {
		lines = append(lines, brief(st))
	}
	f.got = nil
	return lines
}

func brief(st *stanza.Stanza) string {
	inner := string(st.Inner)
	if st.Kind == stanza.KindPresence {
		if c, ok := st.Child(stanza.NSClient, "error"); ok {
			inner = string(st.ChildBytes(c))
		}
		return strings.TrimSpace(st.Type + " " + st.From.String() + " " + condition(inner))
	}
	if st.Type == "error" {
		return "error " + condition(inner)
	}
	_, inner, _ = strings.Cut(inner, ">")
	return strings.TrimSpace(st.Type + " " + strings.TrimSuffix(inner, "</query>"))
}

func condition(s string) string {
	for _, c := range []string{
		"bad-request", "not-acceptable", "not-allowed", "item-not-found", "jid-malformed", "resource-constraint",
		"remote-server-not-found", "service-unavailable", "internal-server-error",
	} {
		if strings.Contains(s, "<"+c) {
			return c
		}
	}
	return ""
}

// fakePresence notes who is told what.
type fakePresence struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (p *fakePresence) note(what string, owner, contact jid.JID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, what+" "+owner.Local()+">"+contact.Local())
	return nil
}

func (p *fakePresence) SendCurrent(_ context.Context, o, c jid.JID) error {
	return p.note("current", o, c)
}

func (p *fakePresence) SendUnavailable(_ context.Context, o, c jid.JID) error {
	return p.note("unavailable", o, c)
}

func (p *fakePresence) Introduce(_ context.Context, to []router.Binding, came, left []jid.JID) error {
	for _, c := range came {
		_ = p.note("came", to[0].Full, c)
	}
	for _, c := range left {
		_ = p.note("left", to[0].Full, c)
	}
	return nil
}

func (p *fakePresence) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lines
	p.lines = nil
	return l
}

type fakeAccounts map[jid.JID]bool

func (a fakeAccounts) Exists(_ context.Context, j jid.JID) (bool, error) { return a[j], nil }

// world is a node with the accounts alice, bob and carol of example.com.
type world struct {
	t        *testing.T
	store    *memStore
	svc      *roster.Service
	router   *router.Router
	presence *fakePresence
}

func newWorld(t *testing.T, cfg roster.Config) *world {
	t.Helper()
	w := &world{t: t, store: &memStore{m: map[jid.JID]roster.Roster{}}, presence: &fakePresence{}}
	accounts := fakeAccounts{}
	for _, n := range []string{"alice", "bob", "carol"} {
		accounts[who(n)] = true
	}
	m, table := mux.New(slog.New(slog.DiscardHandler)), router.NewTable()
	w.router = router.New(router.Config{
		Domains: []jid.JID{jid.MustParse("example.com")}, Registry: router.NewMemory(), Table: table,
		Mailboxes: router.Local{Table: table}, Mux: m, Accounts: accounts,
	})
	cfg.Store, cfg.Router, cfg.Accounts = w.store, w.router, accounts
	w.svc = roster.New(cfg)
	w.svc.Join(w.presence)
	w.svc.Register(m)
	return w
}

func who(local string) jid.JID { return jid.MustParse(local + "@example.com") }

// login binds a resource; it is available and, with roster, interested.
func (w *world) login(full string, available, interested bool) *fakeSession {
	w.t.Helper()
	f := &fakeSession{full: jid.MustParse(full), sid: router.NewSID()}
	b := router.Binding{Full: f.full, SID: f.sid}
	if available {
		b.Presence = stanza.New(stanza.KindPresence, "", nil)
	}
	if _, _, err := w.router.Registry().Bind(w.t.Context(), b); err != nil {
		w.t.Fatal(err)
	}
	w.router.Table().Add(f)
	f.interest.SetRoster(interested)
	return f
}

// iq sends a roster request and returns all that the session got.
func (w *world) iq(f *fakeSession, typ, query string) []string {
	w.t.Helper()
	w.iqRaw(f, typ, query)
	return f.take()
}

func (w *world) iqRaw(f *fakeSession, typ, query string) {
	w.t.Helper()
	st := stanza.New(stanza.KindIQ, typ, []byte(query))
	st.From, st.ID = f.full, "q1"
	if err := w.router.HandleStanza(w.t.Context(), st); err != nil {
		w.t.Fatal(err)
	}
}

// say sends a subscription stanza.
func (w *world) say(f *fakeSession, typ, to string) {
	w.t.Helper()
	st := stanza.New(stanza.KindPresence, typ, []byte(`<status>please</status>`))
	st.From, st.To = f.full, jid.MustParse(to)
	if err := w.svc.HandleSubscription(w.t.Context(), st); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) state(owner, contact string) string {
	r, _ := w.store.Roster(w.t.Context(), who(owner))
	for i := range r.Items {
		if r.Items[i].JID == who(contact) {
			return roster.StateOf(&r.Items[i]).String()
		}
	}
	return "absent"
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}
