package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/deskline/deskline/presence/calendar"
)

// act is what is to be done about a subscription.
type act int

const (
	renew act = iota
	create
	remove
)

// life is that of a subscription afterwards.
func (a act) life() time.Duration {
	if a == create {
		return firstLife
	}
	return lifetime
}

type order struct {
	m   *sub
	act act
	id  string // of the subscription, as the order was given
	box string
}

// next picks what is to be done now, as much as a request takes: first what would be lost.
func (w *watcher) next(now time.Time) []order {
	if now.Before(w.paused) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []order
	for _, m := range w.all {
		if m.id != "" && !m.expires.After(now) {
			m.id, m.due = "", now
		}
		left := !m.gone.IsZero() && now.Sub(m.gone) >= w.t.grace
		switch {
		case m.id == "" && !m.gone.IsZero():
			if left {
				w.forget(m)
			}
		case m.due.After(now) && (!left || m.failures > 0):
		case left:
			list = append(list, order{m, remove, m.id, m.box})
		case m.id != "" && m.gone.IsZero():
			list = append(list, order{m, renew, m.id, m.box})
		case m.id == "" && !now.Before(w.quiet):
			list = append(list, order{m, create, "", m.box})
		}
	}
	slices.SortFunc(list, func(a, b order) int {
		return cmp.Or(cmp.Compare(a.act, b.act), a.m.due.Compare(b.m.due))
	})
	return list[:min(len(list), Requests)]
}

// request is the part of a batch that carries out an order.
func (w *watcher) request(o order, now time.Time) request {
	expires := now.Add(o.act.life()).UTC().Format(time.RFC3339)
	switch o.act {
	case renew:
		return request{Method: http.MethodPatch, URL: "/subscriptions/" + url.PathEscape(o.id), Headers: plain, Body: map[string]any{"expirationDateTime": expires}}
	case remove:
		return request{Method: http.MethodDelete, URL: "/subscriptions/" + url.PathEscape(o.id)}
	}
	version := "v1_2"
	if w.c.Hub.c.TLS13 {
		version = "v1_3"
	}
	return request{Method: http.MethodPost, URL: "/subscriptions", Headers: plain, Body: map[string]any{
		"changeType": "created,updated,deleted", "resource": "users/" + url.PathEscape(o.box) + "/events",
		"notificationUrl": w.c.NotifyURL, "lifecycleNotificationUrl": w.c.NotifyURL,
		"expirationDateTime": expires, "clientState": w.c.Hub.seal(o.m.tag), "latestSupportedTlsVersion": version,
	}}
}

var plain = map[string]string{"Content-Type": "application/json"}

// carryOut asks for all of a list at once, and sees to what is answered.
func (w *watcher) carryOut(ctx context.Context, list []order) {
	timed, cancel := context.WithTimeout(ctx, w.t.limit)
	defer cancel()
	began := time.Now()
	answers, err := w.ask(timed, list, began)
	if ctx.Err() != nil && err != nil {
		return
	}
	now := time.Now()
	if err != nil {
		w.fail(ctx, err, now)
		return
	}
	good := slices.ContainsFunc(answers, func(a answer) bool { return a.status/100 == 2 })
	var held error // what was answered to nobody alone
	for i, o := range list {
		a := answers[i]
		switch {
		case a.status/100 == 2, a.status == http.StatusNotFound && o.act != create, a.status == http.StatusGone && o.act != create:
			w.settle(ctx, o, a, now)
		case a.full():
			w.refuse(ctx, o, a, now)
		case a.busy():
			w.later(o.m, now, a.after)
			held = a.failure()
		default:
			w.refuse(ctx, o, a, now)
		}
	}
	switch {
	case held != nil && !good && !w.alone(list, answers[0]):
		w.fail(ctx, held, now)
	case good:
		w.pause, w.paused = 0, time.Time{}
		if w.down && now.After(w.quiet) {
			w.down = false
			w.c.Log.InfoContext(ctx, "changes of calendars are heard of again", "source", w.name)
		}
	}
}

// alone reports whether it may be that only this mailbox is in trouble, such as while it is moved.
func (w *watcher) alone(list []order, a answer) bool {
	active, _ := w.count()
	return len(list) == 1 && a.after == 0 && active > 0
}

// ask sends a list, with another token if the first is not taken.
func (w *watcher) ask(ctx context.Context, list []order, now time.Time) ([]answer, error) {
	requests := make([]request, len(list))
	for i, o := range list {
		requests[i] = w.request(o, now)
	}
	for renewed := false; ; renewed = true {
		token, err := w.s.c.Tokens.Token(ctx)
		if err != nil {
			return nil, err
		}
		answers, err := w.s.batch(ctx, token, requests)
		stale := refused(err) || err == nil && slices.ContainsFunc(answers, func(a answer) bool { return a.status == http.StatusUnauthorized })
		if !stale || renewed {
			return answers, err
		}
		w.s.c.Tokens.Refused(token)
		if err == nil && slices.ContainsFunc(answers, func(a answer) bool { return a.status != http.StatusUnauthorized }) {
			return answers, nil // what was carried out is not asked for again
		}
	}
}

// settle keeps what was answered to an order that was carried out.
func (w *watcher) settle(ctx context.Context, o order, a answer, now time.Time) {
	var has struct {
		ID      string    `json:"id"`
		Expires time.Time `json:"expirationDateTime"`
	}
	err := json.Unmarshal(a.body, &has)
	if o.act == create && (err != nil || has.ID == "" || len(has.ID) > maxText) {
		w.refuse(ctx, o, answer{status: http.StatusBadGateway, body: json.RawMessage(`{"error":{"code":"` + unclear + `"}}`)}, now)
		return
	}
	m := o.m
	w.mu.Lock()
	switch {
	case o.act == remove:
		w.forget(m)
	case o.act == renew && m.id != o.id: // it was removed meanwhile
	case a.status/100 != 2: // it is not there any more
		m.id, m.due, m.failures = "", now, 0
	default:
		life := o.act.life()
		if err == nil && !has.Expires.IsZero() { // the service may make it shorter
			life = max(w.t.again, min(has.Expires.Sub(now), lifetime))
		}
		m.failures, m.renewed, m.expires = 0, now, now.Add(life)
		m.due = now.Add(max(w.t.again, jitter(life*3/4)))
		if o.act == create {
			m.id = has.ID
		}
	}
	w.mu.Unlock()
	if o.act == create {
		w.refused, w.hush = 0, 0
	}
	if o.act == create || a.status/100 != 2 { // something may have been missed before
		w.changed(m.user)
	}
}

// failure is what an answer that is no success means.
func (a answer) failure() error { return a.reply().failure() }

// busy reports whether the service, not the mailbox, is why an order was not carried out.
func (a answer) busy() bool {
	return a.status/100 == 5 || a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout ||
		a.status == http.StatusUnauthorized || a.status == http.StatusConflict || a.status == http.StatusFailedDependency
}

// full reports whether the mailbox has all the subscriptions that it may have: then the
// service does not say when to come again, or that it is in the year 9999.
func (a answer) full() bool {
	return a.status == http.StatusTooManyRequests && (a.after == 0 || a.after > 24*time.Hour)
}

// later has an order tried again.
func (w *watcher) later(m *sub, now time.Time, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.failures++
	m.due = now.Add(max(jitter(min(maxPause, w.t.first<<min(m.failures-1, 16))), min(after, time.Hour)))
}

// refuse remembers that a mailbox cannot be subscribed to, for a while.
func (w *watcher) refuse(ctx context.Context, o order, a answer, now time.Time) {
	err, m := a.failure(), o.m
	if o.act == create && a.status == http.StatusBadRequest {
		err = fmt.Errorf("%w; it has to reach %s over the internet", err, w.c.NotifyURL)
	}
	w.mu.Lock()
	m.failures++
	pause := min(maxRefused, w.t.first<<min(m.failures-1, 16))
	if a.status == http.StatusForbidden || a.status == http.StatusNotFound {
		pause = min(maxOwn, w.t.first<<min(m.failures+5, 16))
	}
	m.due = now.Add(jitter(pause))
	lost := o.act == renew && m.id == o.id
	if lost {
		m.id = ""
	}
	failures := m.failures
	if o.act == remove && failures > 3 { // it expires
		w.forget(m)
	}
	w.mu.Unlock()
	if lost {
		w.changed(m.user)
	}
	if failures == 1 {
		w.warned++
		level := slog.LevelWarn
		if w.warned > maxWarned { // many may have no mailbox there
			level = slog.LevelDebug
		}
		w.c.Log.Log(ctx, level, "changes of a calendar are not heard of, they are looked for", "source", w.name, "jid", m.user.String(), "err", err)
	}
	if w.refused++; o.act != create || w.refused < refusals || now.Before(w.quiet) {
		return
	}
	if active, _ := w.count(); active > 0 {
		return
	}
	w.hush = min(maxRefused, max(12*w.t.first, 2*w.hush))
	w.quiet = now.Add(jitter(w.hush))
	w.tell(ctx, err)
}

// fail has the service left alone for a while.
func (w *watcher) fail(ctx context.Context, err error, now time.Time) {
	w.pause = min(maxPause, max(w.t.first, 2*w.pause))
	wait := jitter(w.pause)
	if f := (*calendar.Failure)(nil); errors.As(err, &f) {
		wait = max(wait, min(f.After, time.Hour))
	}
	w.paused = now.Add(wait)
	w.tell(ctx, err)
}

func (w *watcher) tell(ctx context.Context, err error) {
	if !w.down {
		w.down = true
		w.c.Log.WarnContext(ctx, "changes of calendars are not heard of, they are looked for", "source", w.name, "err", err)
	}
}

// end deletes the subscriptions, as far as that can be had quickly; the others expire.
func (w *watcher) end(ctx context.Context) {
	var list []order
	w.mu.Lock()
	for _, m := range w.all {
		if m.id != "" {
			list = append(list, order{m, remove, m.id, m.box})
		}
	}
	clear(w.all)
	w.mu.Unlock()
	w.c.Hub.quit(w)
	timed, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.t.bye)
	defer cancel()
	for part := range slices.Chunk(list, Requests) {
		if _, err := w.ask(timed, part, time.Now()); err != nil {
			w.c.Log.DebugContext(ctx, "subscriptions are left to expire", "source", w.name, "count", len(list), "err", err)
			return
		}
	}
}
