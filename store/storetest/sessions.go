package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// snapshot is the type that a [SessionStore] speaks of.
type snapshot = struct {
	SID  string
	Kind string
	Data []byte
}

// Sessions is the contract of a [SessionStore]; stores that are none skip it.
func Sessions(t *testing.T, open Opener) {
	base, reopen := open(t)
	s, ok := base.(SessionStore)
	if !ok {
		t.Skip("keeps no sessions")
	}
	take := func(s SessionStore, want ...snapshot) {
		t.Helper()
		got := get[[]snapshot](t)(s.TakeSessions(t.Context()))
		if len(got) != len(want) {
			t.Fatalf("%d sessions, want %d", len(got), len(want))
		}
		for i, x := range got {
			if x.SID != want[i].SID || x.Kind != want[i].Kind {
				t.Fatalf("session %d is %s %s", i, x.Kind, x.SID)
			}
			wantBytes(t, x.Data, string(want[i].Data))
		}
	}
	a := snapshot{"zz", "bosh", []byte("{}")}
	b := snapshot{"aa", "websocket", []byte(strings.Repeat("\x00\xff", 1<<19))}
	c := snapshot{"mm", "bosh", nil}
	take(s)
	must(t, s.SaveSessions(t.Context(), nil))
	must(t, s.SaveSessions(t.Context(), []snapshot{a, b}))
	must(t, s.SaveSessions(t.Context(), []snapshot{c}))
	take(s, a, b, c)
	take(s)
	must(t, s.SaveSessions(t.Context(), []snapshot{b, a}))
	b.Data = []byte("again")
	must(t, s.SaveSessions(t.Context(), []snapshot{b}))
	if reopen != nil {
		s, _ = reopen().(SessionStore)
	}
	// Two that start at once share the sessions, they do not double them.
	ctx := context.WithoutCancel(t.Context())
	taken := make([][]snapshot, 4)
	must(t, errors.Join(parallel(len(taken), func(i int) (err error) {
		taken[i], err = s.TakeSessions(ctx)
		return err
	})...))
	n := 0
	for _, list := range taken {
		n += len(list)
	}
	if n != 2 {
		t.Fatalf("2 sessions were taken %d times", n)
	}
}

// Meta is the contract of a [MetaStore]; stores that are none skip it.
func Meta(t *testing.T, open Opener) {
	base, reopen := open(t)
	s, ok := base.(MetaStore)
	if !ok {
		t.Skip("keeps no values")
	}
	if v := get[[]byte](t)(s.Meta(t.Context(), "secret")); v != nil {
		t.Fatalf("got %q, want none", v)
	}
	must(t, s.SetMeta(t.Context(), "other", []byte("x")))
	for name, text := range tricky {
		must(t, s.SetMeta(t.Context(), "secret", []byte(text)))
		t.Run(name, func(t *testing.T) { wantBytes(t, get[[]byte](t)(s.Meta(t.Context(), "secret")), text) })
	}
	ctx := context.WithoutCancel(t.Context())
	must(t, errors.Join(parallel(30, func(i int) error { return s.SetMeta(ctx, fmt.Sprint("k", i), fmt.Append(nil, i)) })...))
	if reopen != nil {
		s, _ = reopen().(MetaStore)
	}
	for i := range 30 {
		wantBytes(t, get[[]byte](t)(s.Meta(ctx, fmt.Sprint("k", i))), fmt.Sprint(i))
	}
	initMeta(t, s)
}

// initMeta lets several begin at once: all get the value of one of them.
func initMeta(t *testing.T, s MetaStore) {
	ctx := context.WithoutCancel(t.Context())
	values := make([][]byte, 20)
	must(t, errors.Join(parallel(len(values), func(i int) (err error) {
		values[i], err = s.InitMeta(ctx, "init", fmt.Append(nil, "value ", i))
		return err
	})...))
	kept := get[[]byte](t)(s.Meta(ctx, "init"))
	if len(kept) == 0 {
		t.Fatal("nothing is kept")
	}
	for _, v := range values {
		wantBytes(t, v, string(kept))
	}
	must(t, s.SetMeta(ctx, "init", []byte("later")))
	wantBytes(t, get[[]byte](t)(s.InitMeta(ctx, "init", []byte("x"))), "later")
}
