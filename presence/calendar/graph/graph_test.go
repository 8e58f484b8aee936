package graph_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/graph"
)

func TestStatuses(t *testing.T) {
	s := serve(t)
	item := func(status, from, until, zone string) string {
		return fmt.Sprintf(`{"isPrivate":false,"status":%q,"subject":"Let's go for lunch","location":"Harry's Bar","start":{"dateTime":%q,"timeZone":%q},"end":{"dateTime":%q,"timeZone":%q}}`, status, from, zone, until, zone)
	}
	s.items = "[" + strings.Join([]string{
		item("busy", "2026-03-02T13:00:00.0000000", "2026-03-02T14:00:00.0000000", "UTC"),
		item("Tentative", "2026-03-02T13:30:00.0000000", "2026-03-02T15:00:00.0000000", "UTC"),
		item("oof", "2026-03-03T00:00:00.0000000", "2026-03-04T00:00:00.0000000", "UTC"),
		item("workingElsewhere", "2026-03-04T08:00:00.0000000", "2026-03-04T10:00:00.0000000", "UTC"),
		item("free", "2026-03-04T10:00:00.0000000", "2026-03-04T11:00:00.0000000", "UTC"),
		item("unknown", "2026-03-04T11:00:00.0000000", "2026-03-04T11:30:00.0000000", "UTC"),
		item("busy", "2026-03-04T08:30:00.0000000", "2026-03-04T09:30:00.0000000", "Pacific Standard Time"),
		item("busy", "2026-03-02T11:00:00.0000000", "2026-03-02T12:30:00.0000000", "tzone://Microsoft/Utc"),
		item("busy", "2026-03-02T09:00:00.0000000", "2026-03-02T10:30:00.0000000", "UTC"), // is over
		item("busy", "2026-03-03T12:00:00.0000000", "2026-03-03T11:00:00.0000000", "UTC"), // ends before
		item("busy", "yesterday", "2026-03-03T11:00:00.0000000", "UTC"),
		item("busy", "2026-03-03T11:00:00", "2026-03-03T12:00:00", "Mars Standard Time"),
	}, ",") + "]"
	results, err := s.source(nil).FetchAll(t.Context(), asks(1))
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	want := []presence.Period{
		{From: at(2, 11, 0), Until: at(2, 12, 30), Slot: presence.SlotBusy},
		{From: at(2, 13, 0), Until: at(2, 14, 0), Slot: presence.SlotBusy},
		{From: at(2, 14, 0), Until: at(2, 15, 0), Slot: presence.SlotTentative},
		{From: at(3, 0, 0), Until: at(4, 0, 0), Slot: presence.SlotOutOfOffice},
		{From: at(4, 16, 30), Until: at(4, 17, 30), Slot: presence.SlotBusy},
	}
	if got := results[0].Answer; !slices.Equal(got.Periods, want) || got.Flaws != 3 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if posts, asked := s.take(); len(posts) != 1 || asked[0] != "u0@mail.example.com" {
		t.Errorf("%v %v", posts, asked)
	}
}

func TestBatches(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	results, err := source.FetchAll(t.Context(), asks(1010))
	if err != nil || len(results) != 1010 {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("%d: %v", i, r.Err)
		}
	}
	if posts, asked := s.take(); len(posts) != 3 || len(asked) != 51 || s.most != 20 || s.tokens != 1 {
		t.Errorf("%d requests of %d, at most %d in one, %d tokens", len(posts), len(asked), s.most, s.tokens)
	}
	named := s.source(func(c *graph.Config) { c.AskAs = "presence@mail.example.com" })
	if named.Batch() != 80 {
		t.Errorf("%d at once in the name of one", named.Batch())
	}
	if _, err := named.FetchAll(t.Context(), asks(100)); err != nil {
		t.Fatal(err)
	}
	if posts, asked := s.take(); len(posts) != 2 || len(asked) != 5 || asked[0] != "presence@mail.example.com" {
		t.Errorf("%v %v", posts, asked)
	}
}

// A mailbox that is not there, in whose name is asked or not, spoils no other.
func TestMissingMailboxes(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	s.missing = map[string]bool{"u0@mail.example.com": true, "u1@mail.example.com": true, "u7@mail.example.com": true, "u25@mail.example.com": true}
	for round := range 2 {
		results, err := source.FetchAll(t.Context(), asks(60))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if gone := s.missing[fmt.Sprintf("u%d@mail.example.com", i)]; gone != (r.Err != nil) {
				t.Errorf("%d: %v", i, r.Err)
			}
			var f *calendar.Failure
			if r.Err != nil && (!errors.As(r.Err, &f) || !f.Own || !strings.Contains(r.Err.Error(), "ErrorMailRecipientNotFound")) {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
		posts, _ := s.take()
		if want := []int{3, 1}[round]; len(posts) != want { // who cannot ask is remembered
			t.Errorf("round %d: %v", round, posts)
		}
	}
	s.malform = "u33@mail.example.com"
	results, err := source.FetchAll(t.Context(), asks(60))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if gone := s.missing[fmt.Sprintf("u%d@mail.example.com", i)] || i == 33; gone != (r.Err != nil) {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
}

func TestNothingThere(t *testing.T) {
	s := serve(t)
	for i := range 20 {
		s.missing[fmt.Sprintf("u%d@mail.example.com", i)] = true
	}
	results, err := s.source(nil).FetchAll(t.Context(), asks(20))
	var f *calendar.Failure
	if err != nil || !errors.As(results[5].Err, &f) || !f.Own || !strings.Contains(f.Error(), "404 Not Found MailboxNotEnabledForRESTAPI") {
		t.Errorf("%v %+v", err, results)
	}
	if posts, _ := s.take(); len(posts) != 3 {
		t.Errorf("asked in %d names", len(posts))
	}
}

func TestTokenIsRenewedOnce(t *testing.T) {
	for _, n := range []int{5, 50} {
		s := serve(t)
		source := s.source(nil)
		if _, err := source.FetchAll(t.Context(), asks(n)); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.revoked = true
		s.mu.Unlock()
		results, err := source.FetchAll(t.Context(), asks(n))
		if err != nil || results[0].Err != nil || s.tokens != 2 {
			t.Errorf("%d: %v %+v, %d tokens", n, err, results[0], s.tokens)
		}
		s.mu.Lock()
		s.tokens = 100 // none that is given out counts
		s.mu.Unlock()
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				s.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusUnauthorized)
		})
		results, err = source.FetchAll(t.Context(), asks(n))
		if err == nil {
			err = results[0].Err
		}
		var f *calendar.Failure
		if !errors.As(err, &f) || f.Own || s.tokens != 101 {
			t.Errorf("%d: %v, %d tokens", n, err, s.tokens)
		}
	}
}

func TestThrottled(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	s.throttle["u20@mail.example.com"] = http.StatusTooManyRequests
	results, err := source.FetchAll(t.Context(), asks(60))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		var f *calendar.Failure
		switch late := i >= 20 && i < 40; {
		case late != (r.Err != nil):
			t.Errorf("%d: %v", i, r.Err)
		case late && (!errors.As(r.Err, &f) || f.Own || f.After != 30*time.Second):
			t.Errorf("%d: %+v", i, f)
		}
	}
	s.throttle["u0@mail.example.com"] = http.StatusServiceUnavailable
	results, err = source.FetchAll(t.Context(), asks(3))
	var f *calendar.Failure
	if err != nil || !errors.As(results[2].Err, &f) || f.Own || f.After != 30*time.Second {
		t.Errorf("%v %+v", err, results)
	}
}

func TestAnswersThatCannotBeRead(t *testing.T) {
	var answer atomic.Value
	s := serve(t)
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			inner.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, answer.Load().(string))
	})
	source := s.source(func(c *graph.Config) { c.Bytes = 64 << 10 })
	for name, tt := range map[string]struct {
		answer     string
		n          int
		own, fewer bool
	}{
		"no JSON":         {"<html>", 1, false, false},
		"too long":        {`{"value":[` + strings.Repeat(`{"scheduleId":"x"},`, 10_000), 1, true, false},
		"too long of 60":  {`{"responses":[` + strings.Repeat(`{"id":"x"},`, 10_000), 60, false, true},
		"of nobody":       {`{"value":[{"scheduleId":"else@example.com"},{"scheduleId":"x@example.com"}]}`, 1, true, false},
		"twice the same":  {`{"responses":[{"id":"1","status":200,"body":{}},{"id":"1","status":200,"body":{}},{"id":"3","status":200,"body":{}}]}`, 60, false, true},
		"one is missing":  {`{"responses":[{"id":"1","status":200,"body":{}},{"id":"3","status":200,"body":{}}]}`, 60, false, true},
		"no such request": {`{"responses":[{"id":"4","status":200,"body":{}}]}`, 60, false, true},
		"no body":         {`{"responses":[{"id":"1","status":200},{"id":"2","status":200},{"id":"3","status":200}]}`, 60, false, false},
	} {
		answer.Store(tt.answer)
		results, err := source.FetchAll(t.Context(), asks(tt.n))
		if err == nil {
			err = results[0].Err
		}
		var f *calendar.Failure
		if !errors.As(err, &f) || f.Own != tt.own || f.Fewer != tt.fewer {
			t.Errorf("%s: %v %+v", name, err, f)
		}
	}
}

func TestServiceHangs(t *testing.T) {
	s := serve(t)
	source := s.source(nil)
	done := make(chan struct{})
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/token") {
			inner.ServeHTTP(w, r)
			return
		}
		<-done
	})
	defer close(done)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := source.FetchAll(ctx, asks(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
