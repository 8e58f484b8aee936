package live_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/store/redis/live"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// taker remembers the stanzas it got.
type taker struct {
	mu  sync.Mutex
	got []*stanza.Stanza
}

func (k *taker) DeliverNumbered(st *stanza.Stanza, frame []byte, _ uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if string(frame) == string(st.AppendXML(nil)) {
		k.got = append(k.got, st)
	}
	return nil
}

func (k *taker) list() []*stanza.Stanza {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.got)
}

// A session on another node, and whoever takes it up, knows which others have a
// message and that it was kept.
func TestRemarksGoWithTheStanza(t *testing.T) {
	r := redistest.Start(t)
	one, two := startLive(t, r.Addr(), "n1"), startLive(t, r.Addr(), "n2")
	alice := &taker{}
	sid := router.NewSID()
	must(t, one.Enter(t.Context(), sid, jid.MustParse("alice@localhost/a"), alice))
	m := message("m")
	m.Also, m.Kept = []string{string(sid), "other"}, true
	for _, l := range []*live.Shared{one, two} {
		must(t, l.Post(t.Context(), []router.SID{sid}, m))
	}
	must(t, two.Post(t.Context(), []router.SID{sid}, message("plain")))
	eventually(t, "messages", func() bool { return len(alice.list()) == 3 })
	taken, ok, err := two.Adopt(t.Context(), sid, one.Me())
	if err != nil || !ok || len(taken.Box) != 3 {
		t.Fatalf("adopted %+v %v %v", taken, ok, err)
	}
	got := alice.list()
	for _, sealed := range taken.Box {
		st, _, err := live.Unseal(sealed)
		must(t, err)
		got = append(got, st)
	}
	for i, st := range got {
		want := m
		if i%3 == 2 {
			want = message("plain")
		}
		if st.ID != want.ID || st.Kept != want.Kept || !slices.Equal(st.Also, want.Also) {
			t.Errorf("%d: %+v", i, st)
		}
	}
}
