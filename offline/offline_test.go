package offline_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/offline"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/mux"
	"github.com/deskline/deskline/xmpp/stanza"
)

var (
	alice = jid.MustParse("alice@example.com")
	desk  = jid.MustParse("alice@example.com/desk")
	phone = jid.MustParse("alice@example.com/phone")
)

type memory struct {
	mu   sync.Mutex
	last int64
	kept []offline.Message
	err  error
}

func (m *memory) Append(_ context.Context, _ jid.JID, limit int, msg offline.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if len(m.kept) >= limit {
		return offline.ErrFull
	}
	m.last++
	msg.ID = m.last
	m.kept = append(m.kept, msg)
	return nil
}

func (m *memory) Messages(_ context.Context, _ jid.JID, limit int) ([]offline.Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]offline.Message(nil), m.kept[:min(limit, len(m.kept))]...), nil
}

func (m *memory) Remove(_ context.Context, _ jid.JID, upto int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.kept) > 0 && m.kept[0].ID <= upto {
		m.kept = m.kept[1:]
	}
	return nil
}

func (m *memory) Count(context.Context, jid.JID) (int, error) { return len(m.kept), nil }

// outlet notes who got what; it refuses once a resource has room messages.
type outlet struct {
	mu   sync.Mutex
	got  map[jid.JID][]*stanza.Stanza
	room int
	here jid.JID
	slow time.Duration
}

func newOutlet() *outlet { return &outlet{got: make(map[jid.JID][]*stanza.Stanza), room: 1 << 20} }

var errBacklog = errors.New("backlog")

func (o *outlet) Deliver(_ context.Context, full jid.JID, st *stanza.Stanza) error {
	time.Sleep(o.slow) // fake time
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.got[full]) == o.room {
		return errBacklog
	}
	o.got[full] = append(o.got[full], st)
	return nil
}

func (o *outlet) Available(context.Context, jid.JID) (jid.JID, bool, error) {
	return o.here, !o.here.IsZero(), nil
}

func message(t *testing.T, typ, inner string) *stanza.Stanza {
	t.Helper()
	n, err := stanza.ParseFrame([]byte("<message xmlns='jabber:client' from='bob@example.com/x' to='alice@example.com' type='"+typ+"' id='m'>"+inner+"</message>"), stanza.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := n.Stanza()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func condition(err error) string {
	if e, ok := errors.AsType[*stanza.Error](err); ok {
		return e.Condition
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestStore(t *testing.T) {
	const (
		body   = "<body>hi</body>"
		active = "<active xmlns='http://jabber.org/protocol/chatstates'/>"
	)
	tests := []struct {
		name, typ, inner string
		broken           error
		kept             bool
		condition        string
	}{
		{name: "chat", typ: "chat", inner: body, kept: true},
		{name: "normal", typ: "normal", inner: body, kept: true},
		{name: "no type", inner: body, kept: true},
		{name: "unknown type is normal", typ: "odd", inner: body, kept: true},
		{name: "chat with state", typ: "chat", inner: body + active, kept: true},
		{name: "state alone", typ: "chat", inner: active + "<thread>1</thread>"},
		{name: "receipt", typ: "chat", inner: "<received xmlns='urn:xmpp:receipts' id='1'/>", kept: true},
		{name: "nothing", typ: "chat"},
		{name: "headline", typ: "headline", inner: body},
		{name: "error", typ: "error", inner: body},
		{name: "groupchat", typ: "groupchat", inner: body, condition: "service-unavailable"},
		{name: "no-store", typ: "chat", inner: body + "<no-store xmlns='urn:xmpp:hints'/>", condition: "service-unavailable"},
		{name: "no-permanent-store", typ: "chat", inner: body + "<no-permanent-store xmlns='urn:xmpp:hints'/>", condition: "service-unavailable"},
		{name: "no-store without text", typ: "chat", inner: "<x xmlns='u:x'/><no-store xmlns='urn:xmpp:hints'/>"},
		{name: "store hint", typ: "chat", inner: active + "<store xmlns='urn:xmpp:hints'/>", kept: true},
		{name: "no-copy hint alone", typ: "chat", inner: active + "<no-copy xmlns='urn:xmpp:hints'/>"},
		{name: "full", typ: "chat", inner: body, broken: offline.ErrFull, condition: "service-unavailable"},
		{name: "no account", typ: "chat", inner: body, broken: offline.ErrNotFound, condition: "service-unavailable"},
		{name: "store in trouble", typ: "chat", inner: body, broken: errors.New("torn"), condition: "keep message for alice@example.com: torn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := &memory{err: tt.broken}
			s := offline.New(offline.Config{Store: store, Outlet: newOutlet()})
			s.Register(mux.New(slog.New(slog.DiscardHandler)))
			err := s.Store(t.Context(), alice, message(t, tt.typ, tt.inner))
			if condition(err) != tt.condition || (len(store.kept) == 1) != tt.kept {
				t.Fatalf("%d kept, error %v", len(store.kept), err)
			}
		})
	}
}

func fill(t *testing.T, s *offline.Service, n int) {
	t.Helper()
	for i := range n {
		if err := s.Store(t.Context(), alice, message(t, "chat", fmt.Sprintf("<body>%d</body>", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// bodies checks that the messages are those from first on, in order.
func bodies(t *testing.T, got []*stanza.Stanza, first, n int) {
	t.Helper()
	if len(got) != n {
		t.Fatalf("%d messages, want %d", len(got), n)
	}
	for i, st := range got {
		if b := st.ChildText(stanza.NSClient, "body"); b != fmt.Sprint(first+i) {
			t.Fatalf("message %d says %q", i, b)
		}
	}
}

func TestDeliver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, out := &memory{}, newOutlet()
		s := offline.New(offline.Config{Store: store, Outlet: out})
		fill(t, s, 250)
		time.Sleep(time.Hour) // fake time
		if err := s.Deliver(t.Context(), desk); err != nil {
			t.Fatal(err)
		}
		bodies(t, out.got[desk], 0, 250)
		const want = "<message xmlns='jabber:client' from='bob@example.com/x' to='alice@example.com' type='chat' id='m'><body>0</body>" +
			"<delay xmlns='urn:xmpp:delay' from='example.com' stamp='2000-01-01T00:00:00.000Z'>Offline Storage</delay></message>"
		if got := string(out.got[desk][0].AppendXML(nil)); got != want {
			t.Fatalf("got %s", got)
		}
		if len(store.kept) != 0 {
			t.Fatalf("%d still kept", len(store.kept))
		}
	})
}

func TestRefusedMessagesStay(t *testing.T) {
	store, out := &memory{}, newOutlet()
	s := offline.New(offline.Config{Store: store, Outlet: out})
	fill(t, s, 250)
	out.room = 130
	if err := s.Deliver(t.Context(), desk); !errors.Is(err, errBacklog) {
		t.Fatal(err)
	}
	if len(store.kept) != 120 {
		t.Fatalf("%d kept", len(store.kept))
	}
	if err := s.Deliver(t.Context(), phone); err != nil {
		t.Fatal(err)
	}
	bodies(t, out.got[desk], 0, 130)
	bodies(t, out.got[phone], 130, 120)
}

func TestTwoResourcesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, out := &memory{}, newOutlet()
		s := offline.New(offline.Config{Store: store, Outlet: out})
		fill(t, s, 250)
		out.slow = time.Millisecond
		var wg sync.WaitGroup
		for _, full := range []jid.JID{desk, phone} {
			wg.Go(func() {
				if err := s.Deliver(t.Context(), full); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		first, second := out.got[desk], out.got[phone]
		if len(first) == 0 {
			first, second = second, first
		}
		bodies(t, first, 0, 250)
		bodies(t, second, 0, 0)
	})
}

func TestWaitingForTheOtherEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, out := &memory{}, newOutlet()
		s := offline.New(offline.Config{Store: store, Outlet: out})
		fill(t, s, 1)
		out.slow = time.Hour
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Deliver(t.Context(), desk) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Deliver(ctx, phone); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		wg.Wait()
	})
}

// A resource that came while the message was being written has looked too early.
func TestStoreCatchesUp(t *testing.T) {
	store, out := &memory{}, newOutlet()
	out.here = desk
	s := offline.New(offline.Config{Store: store, Outlet: out})
	fill(t, s, 3)
	bodies(t, out.got[desk], 0, 3)
}

func TestLimitAndExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, out := &memory{}, newOutlet()
		s := offline.New(offline.Config{Store: store, Outlet: out, Limits: offline.Limits{Messages: 3, Expiry: time.Hour}})
		fill(t, s, 3)
		err := s.Store(t.Context(), alice, message(t, "chat", "<body>x</body>"))
		if condition(err) != "service-unavailable" {
			t.Fatal(err)
		}
		s.SetLimits(offline.Limits{Messages: 4, Expiry: time.Hour})
		fill(t, s, 1)
		time.Sleep(2 * time.Hour) // fake time
		fill(t, s, 2)
		if err := s.Deliver(t.Context(), desk); err != nil {
			t.Fatal(err)
		}
		bodies(t, out.got[desk], 0, 2)
	})
}

func TestUnreadableMessageIsSkipped(t *testing.T) {
	store, out := &memory{}, newOutlet()
	store.kept = []offline.Message{{ID: 1, XML: []byte("<message")}}
	store.last = 1
	var log strings.Builder
	s := offline.New(offline.Config{Store: store, Outlet: out, Log: slog.New(slog.NewTextHandler(&log, nil))})
	fill(t, s, 1)
	if err := s.Deliver(t.Context(), desk); err != nil {
		t.Fatal(err)
	}
	bodies(t, out.got[desk], 0, 1)
	if !strings.Contains(log.String(), "cannot be read") {
		t.Fatalf("log: %s", log.String())
	}
}
