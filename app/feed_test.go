package app_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/deskline/deskline/configs"
)

// TestFeed has a sender tell of lines over WebSocket, at the port of all doors: contacts see
// it, and a node that stops says so to the sender.
func TestFeed(t *testing.T) {
	t.Parallel()
	const token = "made-up-for-the-feed-of-this-test"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	answers, end := make(chan string, 10), make(chan error, 1)
	t.Run("life", func(t *testing.T) {
		s := start(t, func(c *configs.Config) {
			c.Presence.Lines, c.Presence.HTTP.Token = []string{"2001=alice"}, token
		})
		_, bob := s.watching()
		header := http.Header{"Authorization": {"Bearer " + token}, "Origin": {"https://evil.example"}}
		address := "ws://" + s.addr + "/presence/v1/lines"
		if _, resp, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPHeader: header}); err == nil || resp.StatusCode != http.StatusForbidden {
			t.Fatalf("a page of others: %v", err)
		}
		header.Del("Origin")
		ws, _, err := websocket.Dial(ctx, address, &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		go func() { // ends with the connection
			for {
				_, text, err := ws.Read(ctx)
				if err != nil {
					end <- err
					return
				}
				answers <- string(text)
			}
		}()
		say := func(text, answer string) {
			t.Helper()
			if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-answers:
				if !strings.Contains(got, answer) {
					t.Errorf("%s: %s", text, got)
				}
			case <-ctx.Done():
				t.Fatal("no answer")
			}
		}
		say(`{"line":"2001","state":"in-call","seq":2}`, `"taken":1`)
		bob.sees(onThePhone)
		say(`{"line":"2001","state":"idle","seq":1}`, `"stale":1,"failed":0,"rows":[{"row":1,"line":"2001","seq":1,"result":"stale","known":{"line":"2001","state":"in-call"`)
		say(`{"ask":"lines"}`, `"lines":[{"line":"2001","state":"in-call",`)
		say(`{"line":"2001","state":"idle","seq":3}`, `"taken":1`)
		bob.sees(free)
		if !strings.Contains(get(t, "http://"+s.ops+"/metrics"), "deskline_presence_feeds 1") {
			t.Error("the feed is not counted")
		}
	})
	select {
	case err := <-end:
		if websocket.CloseStatus(err) != websocket.StatusGoingAway || !strings.Contains(err.Error(), "the node stops") {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("the feed outlives its node")
	}
}
