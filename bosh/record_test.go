package bosh_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/jid"
	"github.com/deskline/deskline/xmpp/stream"
)

// What is written down of a session, and what becomes of it.
func TestRecord(t *testing.T) {
	const wait = 20 * time.Second
	type world struct {
		*pair
		c   *client
		at  atomic.Pointer[node]
		one *node
		two *node
	}
	for _, tc := range []struct {
		name string
		test func(t *testing.T, w *world)
	}{
		{"a held request is cut off and held there", func(t *testing.T, w *world) {
			held := make(chan string, 1)
			go func() { held <- w.c.ask("", "") }()
			synctest.Wait()
			w.move(w.one, w.two)
			w.at.Store(w.two)
			pass(time.Second)
			w.tell(w.one, "b0")
			want(t, "held request", fmt.Sprint(idsIn(<-held)), "[b0]")
			want(t, "next request", w.c.ask("", ""), nothing)
		}},
		{"what waits goes along", func(t *testing.T, w *world) {
			w.tell(w.one, "b0")
			w.move(w.one, w.two)
			w.tell(w.one, "b1")
			w.at.Store(w.two)
			want(t, "next request", fmt.Sprint(idsIn(w.c.ask("", ""))), "[b0 b1]")
		}},
		{"a repeated rid is replayed", func(t *testing.T, w *world) {
			w.tell(w.one, "b0")
			first := w.c.ask("", chat("carol@example.com", "a0"))
			w.move(w.one, w.two)
			w.at.Store(w.two)
			w.c.rid--
			want(t, "repeat", w.c.ask("", chat("carol@example.com", "a0")), first)
			want(t, "kept for carol", fmt.Sprint(w.keptFor("carol")), "[a0]")
		}},
		{"a held request whose client has gone can be repeated", func(t *testing.T, w *world) {
			ctx, cancel := context.WithCancel(t.Context())
			w.c.rid++
			body := fmt.Sprintf("<body rid='%d' sid='%s' %s>%s</body>", w.c.rid, w.c.sid, ns, chat("carol@example.com", "a0"))
			gone := make(chan struct{})
			go func() {
				w.one.h.Load().Serve(ctx, &bosh.Request{Body: []byte(body), Secure: true})
				close(gone)
			}()
			synctest.Wait()
			cancel()
			<-gone
			w.move(w.one, w.two)
			w.at.Store(w.two)
			w.tell(w.two, "b0")
			want(t, "repeat", fmt.Sprint(idsIn(w.c.send(body))), "[b0]")
			want(t, "kept for carol", fmt.Sprint(w.keptFor("carol")), "[a0]")
		}},
		{"what came too early is to come again", func(t *testing.T, w *world) {
			early := fmt.Sprintf("<body rid='%d' sid='%s' %s>%s</body>", w.c.rid+2, w.c.sid, ns, chat("carol@example.com", "a1"))
			answered := make(chan bool, 1)
			go func() {
				_, ok := w.one.h.Load().Serve(t.Context(), &bosh.Request{Body: []byte(early), Secure: true})
				answered <- ok
			}()
			synctest.Wait()
			w.move(w.one, w.two)
			if <-answered {
				t.Fatal("it was answered")
			}
			w.at.Store(w.two)
			w.c.ask("", chat("carol@example.com", "a0"))
			w.tell(w.two, "b0")
			want(t, "early request", fmt.Sprint(idsIn(w.c.send(early))), "[b0]")
			want(t, "kept for carol", fmt.Sprint(w.keptFor("carol")), "[a0 a1]")
		}},
		{"who still comes to the old node is cut off", func(t *testing.T, w *world) {
			w.move(w.one, w.two)
			if status, body := w.c.post(fmt.Sprintf("<body rid='%d' sid='%s' %s/>", w.c.rid+1, w.c.sid, ns)); status != 0 {
				t.Fatalf("%d %s", status, body)
			}
		}},
		{"back to where it was", func(t *testing.T, w *world) {
			w.move(w.one, w.two)
			w.move(w.two, w.one)
			w.tell(w.two, "b0")
			want(t, "next request", fmt.Sprint(idsIn(w.c.ask("", ""))), "[b0]")
		}},
		{"inactivity counts from then on", func(t *testing.T, w *world) {
			pass(50 * time.Second)
			w.move(w.one, w.two)
			w.at.Store(w.two)
			pass(50 * time.Second)
			want(t, "next request", w.c.ask("", ""), nothing)
			pass(62 * time.Second)
			wantIn(t, "too late", w.c.ask("", ""), "item-not-found", "inactivity")
		}},
		{"a pause goes on", func(t *testing.T, w *world) {
			w.c.ask("pause='200'", "")
			w.move(w.one, w.two)
			w.at.Store(w.two)
			pass(190 * time.Second)
			want(t, "next request", w.c.ask("", ""), nothing)
		}},
		{"what nothing proves to have arrived is rescued there", func(t *testing.T, w *world) {
			w.tell(w.one, "b0")
			want(t, "response", fmt.Sprint(idsIn(w.c.ask("", ""))), "[b0]")
			w.move(w.one, w.two)
			pass(62 * time.Second)
			want(t, "kept for alice", fmt.Sprint(w.keptFor("alice")), "[b0]")
		}},
		{"what the session is just doing is finished before", func(t *testing.T, w *world) {
			open := w.shut()
			answer := make(chan string, 1)
			go func() { answer <- w.c.ask("", chat("carol@example.com", "a0")) }()
			synctest.Wait()
			moved := make(chan struct{})
			go func() {
				w.move(w.one, w.two)
				close(moved)
			}()
			pass(time.Second)
			open()
			<-moved
			w.at.Store(w.two)
			w.tell(w.two, "b0")
			want(t, "response", fmt.Sprint(idsIn(<-answer)), "[b0]")
			want(t, "kept for carol", fmt.Sprint(w.keptFor("carol")), "[a0]")
		}},
		{"what takes too long ends with its node", func(t *testing.T, w *world) {
			open := w.shut()
			answer := make(chan string, 1)
			go func() { answer <- w.c.ask("", chat("carol@example.com", "a0")) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if records := w.one.h.Load().WriteDown(ctx); len(records) != 0 {
				t.Fatal("written down in the middle of work")
			}
			open()
			synctest.Wait()
			if err := w.one.h.Load().Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantIn(t, "response", <-answer, "system-shutdown")
			want(t, "kept for carol", fmt.Sprint(w.keptFor("carol")), "[a0]")
		}},
		{"an end comes first", func(t *testing.T, w *world) {
			open := w.shut()
			answer := make(chan string, 1)
			go func() { answer <- w.c.ask("", chat("carol@example.com", "a0")) }()
			synctest.Wait()
			records := make(chan int, 1)
			go func() { records <- len(w.one.h.Load().WriteDown(t.Context())) }()
			pass(time.Second)
			if err := w.one.sessions.EndAccount(t.Context(), jid.MustParse("alice@example.com"), "not-authorized", "cancelled"); err != nil {
				t.Error(err)
			}
			open()
			if n := <-records; n != 0 {
				t.Fatal("written down though it has ended")
			}
			wantIn(t, "response", <-answer, "<not-authorized", "cancelled")
			synctest.Wait()
			if w.one.sessions.Len() != 0 {
				t.Fatal("the session has not ended")
			}
		}},
		{"nothing is left behind", func(t *testing.T, w *world) {
			w.tell(w.one, "b0")
			w.c.ask("", "")
			w.tell(w.one, "b1")
			w.move(w.one, w.two)
			if s := w.one.h.Load().Stats(); s != (bosh.Stats{}) || w.one.sessions.Len() != 0 || w.one.table.Len() != 0 {
				t.Fatalf("%+v", s)
			}
			if s := w.two.h.Load().Stats(); s.Sessions != 1 || s.Queued != 1 || s.KeptBytes == 0 {
				t.Fatalf("%+v", s)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{pair: newPair(t, bosh.Config{Wait: wait})}
				w.one, w.two = w.nodes[0], w.nodes[1]
				w.at.Store(w.one)
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				for _, n := range w.nodes {
					running.Go(func() { _ = n.run(ctx) })
				}
				w.c = &client{t: t, rid: 100, post: func(body string) (int, string) {
					r, _ := w.at.Load().h.Load().Serve(t.Context(), &bosh.Request{Body: []byte(body), Secure: true})
					return r.Status, string(r.Body)
				}}
				defer func() {
					cancel()
					running.Wait()
					w.stop()
					pass(time.Minute)
				}()
				w.c.login("alice")
				tc.test(t, w)
			})
		})
	}
}

// Another client may take the resource just when a session is taken up.
func TestTakeUpLosesResource(t *testing.T) {
	p := newPair(t, bosh.Config{})
	t.Cleanup(p.stop)
	c := &client{t: t, rid: 100, post: func(body string) (int, string) {
		r, _ := p.nodes[0].h.Load().Serve(t.Context(), &bosh.Request{Body: []byte(body), Secure: true})
		return r.Status, string(r.Body)
	}}
	c.login("alice")
	p.tell(p.nodes[0], "b0")
	data := p.nodes[0].h.Load().WriteDown(t.Context())[c.sid]
	record := func() *bosh.Record {
		t.Helper()
		rec, err := bosh.ReadRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	f, h := &fake{sid: c.sid, ended: make(chan string, 1)}, bosh.New(bosh.Config{})
	err := h.TakeUp(record(), 0, func(c session.Conn, _ session.Snapshot) (bosh.Session, error) {
		return f, c.Close(stream.NewError(stream.Conflict, "taken"))
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "log", <-f.ended, "conflict: taken")
	if len(f.lost) != 1 || f.lost[0].Stanza.ID != "b0" {
		t.Fatalf("handed back %v", f.lost)
	}
	r, _ := h.Serve(t.Context(), &bosh.Request{Body: []byte(f.body(110, "", "")), Secure: true})
	wantIn(t, "late request", string(r.Body), "<conflict")
	if s := h.Stats(); s != (bosh.Stats{}) {
		t.Fatalf("left behind: %+v", s)
	}
	broken := errors.New("no registry")
	h = bosh.New(bosh.Config{})
	err = h.TakeUp(record(), 0, func(session.Conn, session.Snapshot) (bosh.Session, error) { return nil, broken })
	if !errors.Is(err, broken) || h.Stats() != (bosh.Stats{}) {
		t.Fatalf("%v, left behind: %+v", err, h.Stats())
	}
}

// What is not a record is refused, wherever it was cut off.
func TestBrokenRecord(t *testing.T) {
	p := newPair(t, bosh.Config{})
	t.Cleanup(p.stop)
	c := &client{t: t, rid: 100, post: func(body string) (int, string) {
		r, _ := p.nodes[0].h.Load().Serve(t.Context(), &bosh.Request{Body: []byte(body), Secure: true})
		return r.Status, string(r.Body)
	}}
	c.login("alice")
	p.tell(p.nodes[0], "b0")
	data := p.nodes[0].h.Load().WriteDown(t.Context())[c.sid]
	for i := range data {
		if _, err := bosh.ReadRecord(data[:i]); err == nil {
			t.Fatalf("%d of %d bytes were enough", i, len(data))
		}
	}
}
