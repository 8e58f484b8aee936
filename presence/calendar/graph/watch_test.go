package graph_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence/calendar/graph"
)

func TestWatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 50)
	w.grace = 0
	stop := w.watch()
	w.subscribed(50)
	w.Do(func() {
		if slices.Max(w.Batches) != 20 || len(w.Batches) > 6 {
			t.Errorf("batches of %v", w.Batches)
		}
	})
	wait(t, "all are looked at once more", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.heard) == 50 })
	w.take()
	accepted(t, w.Change(box(7)))
	accepted(t, w.Change(box(49)))
	if got := w.take(); !maps.Equal(got, map[string]int{"u7": 1, "u49": 1}) {
		t.Errorf("heard %v", got)
	}
	accepted(t, w.Tell(box(3), "missed"))
	if got := w.take(); !maps.Equal(got, map[string]int{"u3": 1}) {
		t.Errorf("missed: %v", got)
	}
	before := w.done("PATCH 200")
	accepted(t, w.Tell(box(4), "reauthorizationRequired"))
	wait(t, "it is authorised again", func() bool { return w.done("PATCH 200") > before })
	old := w.Subscriptions()[0]
	accepted(t, w.Tell(old.Box, "subscriptionRemoved"))
	w.subscribed(50)
	if is := w.Subscriptions(); slices.Contains(is, old) {
		t.Error("there is the one still that was removed")
	}
	w.setUsers(10) // the others sign out
	w.subscribed(10)
	stop()
	if left := w.Subscriptions(); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
	if c := w.hub.Counts(); c.Taken != 5 || c.Forged+c.Unknown+c.Passed != 0 {
		t.Errorf("%+v", c)
	}
}

// Subscriptions are renewed before they end, and made again when they are lost.
func TestRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.Life = 2 * time.Second
	w.watch()
	w.subscribed(3)
	wait(t, "each is renewed twice", func() bool { return w.done("PATCH 200") >= 6 })
	w.take()
	made := w.done("POST 201")
	w.Forget()
	wait(t, "they are made again", func() bool { return w.done("POST 201") >= made+3 && len(w.Subscriptions()) == 3 })
	wait(t, "all are looked at", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.heard) == 3 })
	w.Do(func() { w.Broken = true })
	wait(t, "they have ended", func() bool { return len(w.Subscriptions()) == 0 })
	made = w.done("POST 201")
	w.Do(func() { w.Broken = false })
	wait(t, "they are made again", func() bool { return w.done("POST 201") >= made+3 && len(w.Subscriptions()) == 3 })
}

// A mailbox that cannot be subscribed to spoils no other and is left alone; one whose
// owner comes back is not subscribed to anew.
func TestRefusedMailboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	w.Denied[box(2)] = http.StatusForbidden
	delete(w.Mailboxes, box(5))
	w.watch()
	w.subscribed(28)
	w.setUsers(10)
	wait(t, "it is told", func() bool { return strings.Count(w.logged(), "level=WARN") == 2 })
	if text := w.logged(); !strings.Contains(text, "jid=u2@example.com") || !strings.Contains(text, "404 Not Found ResourceNotFound") {
		t.Error(text)
	}
	w.setUsers(30)
	w.hub.Subscriptions(func(_ string, active, refused int) {
		if active != 28 || refused != 2 {
			t.Errorf("%d subscriptions, %d refused", active, refused)
		}
	})
	if made := w.done("POST 201"); made != 28 {
		t.Errorf("%d were made", made)
	}
}

// A mailbox to which others have subscribed a thousand times holds up nobody.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30)
	w.Fill(box(3))
	w.watch()
	count := func(is, not int) func() bool {
		return func() (ok bool) {
			w.hub.Subscriptions(func(_ string, active, refused int) { ok = active == is && refused == not })
			return ok
		}
	}
	wait(t, "all others are subscribed to", count(29, 1))
	failed := w.done("POST 429")
	wait(t, "it is tried again", func() bool { return w.done("POST 429") > failed+2 })
	w.Do(func() { w.Mailboxes[box(30)] = nil })
	w.setUsers(31)
	wait(t, "another one comes", count(30, 1))
	if text := w.logged(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "jid=u3@example.com") {
		t.Error(text)
	}
}

// An address that the service cannot reach is told of once, and tried again gently.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"no TLS": func(w *world) { w.Plain = false },
		"nobody": func(w *world) { w.door.Config.Handler = http.NotFoundHandler() },
		"garbage": func(w *world) {
			w.door.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "<html>welcome") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 30)
			spoil(w)
			w.watch()
			wait(t, "it is told", func() bool { return strings.Contains(w.logged(), "source=cloud err=") })
			if text := w.logged(); !strings.Contains(text, "400 Bad Request") || !strings.Contains(text, "it has to reach "+w.door.URL) {
				t.Error(text)
			}
		})
	}
}

// While the service is in trouble subscriptions stay, and notifications count.
func TestServiceInTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 45)
	w.Busy = 30
	w.watch()
	w.subscribed(45)
	add := func(n int) {
		w.Do(func() { w.Mailboxes[box(n-1)] = nil })
		w.setUsers(n)
	}
	w.Revoke()
	add(46)
	w.subscribed(46)
	w.Do(func() { w.Broken = true })
	add(47)
	wait(t, "it is told", func() bool { return strings.Contains(w.logged(), "503") })
	accepted(t, w.Change(box(1)))
	w.Do(func() { w.Broken = false })
	w.subscribed(47)
	wait(t, "it is told", func() bool { return strings.Contains(w.logged(), "heard of again") })
	w.Do(func() { w.Hangs = true })
	add(48)
	w.take()
	accepted(t, w.Change(box(2)))
	if w.take()["u2"] == 0 {
		t.Error("not heard of while the service hangs")
	}
	w.Release()
	w.subscribed(48)
}

// A node that is started again, or takes over from another one, hears by the
// subscriptions that were there before, too.
func TestStartedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	stop := w.watch()
	w.subscribed(1)
	w.Do(func() { w.Broken = true })
	stop() // and nothing is deleted
	w.take()
	w.Do(func() { w.Broken = false })
	old := w.Subscriptions()
	next := w.newHub(nil)
	w.mu.Lock()
	w.hub = next
	w.mu.Unlock()
	accepted(t, w.Change(box(0)))
	if c := next.Counts(); c.Unknown != 1 || c.Taken+c.Forged > 0 {
		t.Errorf("before anybody is there: %+v", c)
	}
	w.watch()
	wait(t, "another is made", func() bool { return len(w.Subscriptions()) == 2 && w.take()["u0"] > 0 })
	accepted(t, w.Change(box(0)))
	if c := next.Counts(); len(old) != 1 || c.Taken != 2 || w.take()["u0"] != 2 {
		t.Errorf("%+v", c)
	}
}

// A change is known at whatever node it is told of, also by a subscription of a node
// that is gone.
func TestPassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.watch()
	w.subscribed(2)
	wait(t, "all are looked at once more", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.heard) == 2 })
	w.take()
	own := w.hub
	other := w.newHub(func(_ context.Context, list []string) error { own.Hear(list); return nil })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- other.Run(ctx) }()
	defer func() { cancel(); <-done }()
	door := httptest.NewServer(other)
	defer door.Close()
	sub := w.Subscriptions()[0]
	body := fmt.Sprintf(`{"value":[{"subscriptionId":"of a node that is gone","clientState":%q,"changeType":"created"}]}`, sub.State)
	for range 3 {
		resp, err := http.Post(door.URL+graph.Path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Error(resp.Status)
		}
	}
	wait(t, "it is passed on", func() bool { return w.take()["u0"] > 0 })
	if c := other.Counts(); c.Passed != 3 || c.Taken+c.Forged != 0 {
		t.Errorf("%+v", c)
	}
	if c := own.Counts(); c.Taken == 0 || c.Passed+c.Unknown != 0 {
		t.Errorf("%+v", c)
	}
}
