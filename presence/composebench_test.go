package presence_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stanza"
)

// counter is a session that counts what it is given, all sessions together.
type counter struct {
	full     jid.JID
	sid      router.SID
	interest router.Interest
	got      *atomic.Int64
}

func (c *counter) SID() router.SID                          { return c.sid }
func (c *counter) JID() jid.JID                             { return c.full }
func (c *counter) Interest() *router.Interest               { return &c.interest }
func (c *counter) End(string, string)                       {}
func (c *counter) Deliver(_ *stanza.Stanza, _ []byte) error { c.got.Add(1); return nil }

// circle has everybody seen by the next ones.
type circle struct {
	presence.Contacts // of which only Subscribers is asked
	by                map[jid.JID][]jid.JID
}

func (c circle) Subscribers(_ context.Context, owner jid.JID) ([]jid.JID, iter.Seq[jid.JID], error) {
	return c.by[owner], nil, nil
}

// switchboard is people with a line each, whom watchers others see.
func switchboard(b *testing.B, people, watchers int) (*presence.Service, []jid.JID, *atomic.Int64) {
	b.Helper()
	got, table, registry := new(atomic.Int64), router.NewTable(), router.NewMemory()
	users := make([]jid.JID, people)
	for i := range users {
		users[i] = person(fmt.Sprintf("agent%05d", i))
		full, err := users[i].WithResource("desk")
		if err != nil {
			b.Fatal(err)
		}
		s := &counter{full: full, sid: router.NewSID(), got: got}
		st := stanza.New(stanza.KindPresence, "", nil)
		st.From = full
		_, _, err = registry.Bind(b.Context(), router.Binding{Full: full, SID: s.sid, Presence: st, Since: time.Now()})
		if err != nil {
			b.Fatal(err)
		}
		table.Add(s)
	}
	c := circle{by: make(map[jid.JID][]jid.JID, people)}
	for i, u := range users {
		for k := range watchers {
			c.by[u] = append(c.by[u], users[(i+k+1)%people])
		}
	}
	log := slog.New(slog.DiscardHandler)
	r := router.New(router.Config{Domains: []jid.JID{exampleCom}, Registry: registry, Mailboxes: router.Local{Table: table}, Table: table, Log: log})
	p := presence.New(presence.Config{Router: r, Contacts: c, Settings: presence.Settings{Texts: presence.Texts("en")}, Log: log})
	r.Join(p, nil, nil)
	return p, users, got
}

func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// benchmarkLines has each line go off the hook, and on again, in turn; everybody who
// sees its user is told.
func benchmarkLines(b *testing.B, people, watchers int) {
	p, users, got := switchboard(b, people, watchers)
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { _ = p.Run(ctx); close(done) }()
	before, seq := heap(), uint64(0)
	round := func(l presence.Line) {
		want := got.Load() + int64(people*(watchers+1)) // the own resource is told, too
		for _, u := range users {
			seq++
			if err := p.Observe(presence.Evidence{User: u, Source: "sip", Item: "1", Line: l, Seq: seq, Expires: time.Now().Add(time.Hour)}); err != nil {
				b.Fatal(err)
			}
		}
		for got.Load() < want {
			runtime.Gosched()
			time.Sleep(100 * time.Microsecond) //nolint:forbidigo // it would use what is measured
		}
	}
	for _, l := range []presence.Line{presence.LineInCall, presence.LineIdle} { // the first time makes entries
		round(l)
	}
	after := heap()
	cpu, n := used(b), 0
	for b.Loop() {
		round([]presence.Line{presence.LineInCall, presence.LineIdle}[n%2])
		n++
	}
	cpu = used(b) - cpu
	stop()
	<-done
	changes := float64(n * people)
	b.ReportMetric(float64(cpu.Nanoseconds())/changes, "cpu-ns/change")
	b.ReportMetric(float64(cpu.Nanoseconds())/changes/float64(watchers+1), "cpu-ns/told")
	b.ReportMetric((after-before)/float64(people), "B/line")
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err == nil {
		b.ReportMetric(float64(u.Maxrss)/1024, "MB-peak-RSS")
	}
}

func BenchmarkLines_1000Lines1Watcher(b *testing.B)    { benchmarkLines(b, 1000, 1) }
func BenchmarkLines_1000Lines10Watchers(b *testing.B)  { benchmarkLines(b, 1000, 10) }
func BenchmarkLines_10000Lines50Watchers(b *testing.B) { benchmarkLines(b, 10000, 50) }
