package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/session"
)

// Until implements sasl.Limited: temp is let in for an hour.
func (e *exchange) Until() time.Time {
	if e.who.Local() != "temp" {
		return time.Time{}
	}
	return time.Now().Add(time.Hour)
}

// A session whose time is up ends, also on another node that took it up.
func TestLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watched := func(c *session.Config) { c.PingAfter, c.PingWait = 24*time.Hour, time.Minute }
		here, there := newWorld(t, watched), newWorld(t, watched)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for _, w := range []*world{here, there} {
			go func() { done <- w.m.Run(ctx) }()
		}
		always, temp, moves := here.bound("alice@example.com/1"), here.bound("temp@example.com/1"), here.bound("temp@example.com/2")
		snap, _, err := moves.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		data, _ := snap.AppendBinary(nil)
		moves.Freeze()
		var back session.Snapshot
		if err := back.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		moved := &conn{}
		if _, err := there.m.Resume(t.Context(), moved, back); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		wants(t, "before the time", temp.conn.condition()+moved.condition(), "")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		wants(t, "after it", temp.conn.condition(), "not-authorized")
		wants(t, "after it, elsewhere", moved.condition(), "not-authorized")
		wants(t, "one that may stay", always.conn.condition(), "")
		cancel()
		<-done
		<-done
	})
}
