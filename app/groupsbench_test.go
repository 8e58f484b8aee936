package app_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"

	source "github.com/deskline/deskline/people"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/roster"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

// emptyRosters is a store in which nobody has made a contact by hand.
type emptyRosters struct{ roster.Store }

func (emptyRosters) Roster(context.Context, jid.JID) (roster.Roster, error) {
	return roster.Roster{}, nil
}

type everyone struct{}

func (everyone) Exists(context.Context, jid.JID) (bool, error) { return true, nil }

// sink is a session that counts what it is given.
type sink struct {
	full     jid.JID
	sid      router.SID
	interest router.Interest
	got      atomic.Int64
}

func (s *sink) SID() router.SID                          { return s.sid }
func (s *sink) JID() jid.JID                             { return s.full }
func (s *sink) Interest() *router.Interest               { return &s.interest }
func (s *sink) End(string, string)                       {}
func (s *sink) Deliver(_ *stanza.Stanza, _ []byte) error { s.got.Add(1); return nil }

type pictures struct{ *source.Groups }

func (p pictures) Picture() roster.Picture { return p.View() }

// crowdOf is n people online, each other's automatic contacts by one group.
func crowdOf(b *testing.B, n int) (*presence.Service, *roster.Service, []*sink) {
	b.Helper()
	groups := source.NewGroups(source.GroupsConfig{})
	groups.Authorise([]source.Authorisation{{Name: "All"}})
	var sinks []*sink
	table, registry := router.NewTable(), router.NewMemory()
	for i := range n {
		s := &sink{full: jid.MustParse(fmt.Sprintf("person%04d@example.com/desk", i)), sid: router.NewSID()}
		s.interest.SetRoster(true)
		b1 := router.Binding{Full: s.full, SID: s.sid, Presence: stanza.New(stanza.KindPresence, "", nil)}
		if _, _, err := registry.Bind(b.Context(), b1); err != nil {
			b.Fatal(err)
		}
		table.Add(s)
		sinks = append(sinks, s)
	}
	log := slog.New(slog.DiscardHandler)
	r := router.New(router.Config{
		Domains: []jid.JID{jid.MustParse("example.com")}, Registry: registry, Mailboxes: router.Local{Table: table}, Table: table,
		Mux: mux.New(log), Accounts: everyone{}, Log: log,
	})
	rosters := roster.New(roster.Config{Store: emptyRosters{}, Router: r, Accounts: everyone{}, Automatic: pictures{groups}, Log: log})
	p := presence.New(presence.Config{Router: r, Contacts: rosters, Log: log})
	rosters.Join(p)
	r.Join(p, nil, nil)
	err := groups.Source("bench").Replace(b.Context(), iter.Seq2[source.Person, error](func(yield func(source.Person, error) bool) {
		for i, s := range sinks {
			if !yield(source.Person{JID: s.full.Bare(), Name: fmt.Sprint("Person ", i), Groups: []string{"All"}, Enabled: true}, nil) {
				return
			}
		}
	}))
	if err != nil {
		b.Fatal(err)
	}
	return p, rosters, sinks
}

// BenchmarkAutomatic_1000x1000 has a change of presence go to 999 automatic
// contacts, and tells what rosters in use cost a user beside the shared list.
func BenchmarkAutomatic_1000x1000(b *testing.B) {
	p, rosters, sinks := crowdOf(b, 1000)
	before := used()
	for _, s := range sinks { // each has been asked for
		if _, more, err := rosters.Subscribers(b.Context(), s.full.Bare()); err != nil || more == nil {
			b.Fatal(err)
		}
	}
	perUser := float64(used()-before) / float64(len(sinks))
	st, err := stanza.Decode([]byte("<presence xmlns='jabber:client'><show>away</show><status>Lunch</status></presence>"))
	if err != nil {
		b.Fatal(err)
	}
	st.From = sinks[0].full
	n := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.HandleStanza(b.Context(), st); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if got := sinks[7].got.Load(); got != n {
		b.Fatalf("%d of %d", got, n)
	}
	b.ReportMetric(perUser, "B/user")
	runtime.KeepAlive(rosters)
}

func used() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
