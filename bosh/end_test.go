package bosh_test

import (
	"testing"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/xmpp/stream"
)

// XEP-0124 §13, §17.2: how sessions end, what each request then waiting is
// told, what a late one is told, and what the log says.
func TestEndings(t *testing.T) {
	const begin = "<body " + ns + " type='terminate'"
	invalidFrom := "<stream:error " + nsStream + "><invalid-from xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>no</text></stream:error></body>"
	for _, tc := range []struct {
		name, attrs, payload        string
		oldest, other, late, reason string
	}{
		{
			"by the client", "type='terminate'", note("bye"),
			closed, nothing, closed, "closed by the client",
		},
		{
			"by the client, with an answer", "type='terminate'", echo("bye"),
			begin + "><message id='bye'/></body>", nothing, closed, "closed by the client",
		},
		{
			"by a stream error", "", "<x type='fatal'/>",
			begin + " condition='remote-stream-error' " + nsStream + "><message id='before'/>" + invalidFrom,
			begin + " condition='other-request'></body>",
			begin + " condition='remote-stream-error' " + nsStream + ">" + invalidFrom, "invalid-from: no",
		},
		{
			"sent elsewhere", "", "<x type='moved'/>",
			begin + " condition='see-other-uri'><uri>https://n2.example.com/http-bind?a&amp;b</uri></body>",
			begin + " condition='other-request'></body>",
			begin + " condition='see-other-uri'><uri>https://n2.example.com/http-bind?a&amp;b</uri></body>", "see-other-uri",
		},
		{
			"by a stop of the server", "", "<x type='shutdown'/>",
			begin + " condition='system-shutdown'><text xmlns='urn:deskline:bosh:1' xml:lang='en'>the node is shutting down</text></body>",
			begin + " condition='other-request'></body>",
			begin + " condition='system-shutdown'><text xmlns='urn:deskline:bosh:1' xml:lang='en'>the node is shutting down</text></body>", "system-shutdown: the node is shutting down",
		},
		{
			"by a fault of the server", "", "<x type='broken'/>",
			begin + " condition='internal-server-error'><text xmlns='urn:deskline:bosh:1' xml:lang='en'>internal error</text></body>",
			begin + " condition='other-request'></body>",
			begin + " condition='internal-server-error'><text xmlns='urn:deskline:bosh:1' xml:lang='en'>internal error</text></body>", "internal-server-error: internal error",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{Hold: 2})
			f := b.create("wait='30' hold='2'")
			oldest := b.hold(1, f.body(101, "", ""))
			other := b.later(t.Context(), f.body(102, tc.attrs, tc.payload))
			want(t, "oldest request", <-oldest, tc.oldest)
			want(t, "other request", <-other, tc.other)
			want(t, "late request", b.mustPost(f.body(103, "", "")), tc.late)
			want(t, "log", <-f.ended, tc.reason)
			if s := b.h.Stats(); s != (bosh.Stats{}) {
				t.Fatalf("left behind: %+v", s)
			}
		})
	}
	wantIn(t, "the cause is in the log", func() string {
		b := newBench(t, bosh.Config{})
		b.mustPost(b.create("").body(101, "", "<x type='broken'/>"))
		return b.log.String()
	}(), "disk on fire")
}

// The server ends a session by itself: the held request says it, after what was
// to be said before.
func TestClose(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reason *stream.Error
		want   string
	}{
		{"in order", nil, closed},
		{"conflict", stream.NewError(stream.Conflict, "another client took the resource"), "<conflict "},
		{"stop", stream.NewError(stream.SystemShutdown, ""), "condition='system-shutdown'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, bosh.Config{})
			f := b.create("")
			held := b.hold(1, f.body(101, "", ""))
			if err := f.conn.Close(tc.reason); err != nil {
				t.Fatal(err)
			}
			wantIn(t, "held request", <-held, tc.want)
			wantIn(t, "late request", b.mustPost(f.body(102, "", "")), "type='terminate'")
			if err := f.conn.Write(message("late")); err == nil {
				t.Fatal("a session that ended took a message")
			}
		})
	}
	t.Run("between two requests", func(t *testing.T) {
		b := newBench(t, bosh.Config{})
		f := b.create("")
		if err := f.conn.Close(stream.NewError(stream.Conflict, "")); err != nil {
			t.Fatal(err)
		}
		wantIn(t, "next request", b.mustPost(f.body(101, "", "")), "condition='remote-stream-error'", "<conflict ")
	})
}

func TestShutdown(t *testing.T) {
	b := newBench(t, bosh.Config{})
	held := make([]<-chan string, 3)
	for i := range held {
		held[i] = b.hold(int64(i)+1, b.create("").body(101, "", ""))
	}
	if err := b.h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, ch := range held {
		wantIn(t, "held request", <-ch, "condition='system-shutdown'")
	}
	_, body := b.post(t.Context(), "<body rid='1' to='example.com' ver='1.11' "+ns+"/>")
	wantIn(t, "a new session", body, "type='terminate' condition='system-shutdown'")
}
