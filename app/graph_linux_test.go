package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/graphtest"
	"github.com/deskline/deskline/internal/redistest"
)

// TestGraphOnPair has a meeting begin in a mailbox of Microsoft 365, of which the service
// tells the node that does not ask for that calendar, as a balancer may have it.
func TestGraphOnPair(t *testing.T) {
	t.Parallel()
	cloud := graphtest.Start(t)
	const box = "alice@example.com"
	cloud.Do(func() { cloud.Plain, cloud.Mailboxes[box] = true, nil })
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(graphtest.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	var told atomic.Pointer[url.URL]
	balancer := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(told.Load()) }})
	defer balancer.Close()
	cfg, err := configs.Parse(fmt.Appendf(nil, `domains: [%s]
presence: {calendars: [{name: cloud, kind: graph, url: '%s', token_url: '%s', client_id: app, client_secret_file: %s, plain: true, watch: true, notify_url: '%s/presence/v1/graph'}]}`,
		domain, cloud.Address(), cloud.TokenURL(), file, balancer.URL))
	if err != nil {
		t.Fatal(err)
	}
	r := redistest.Start(t, "--appendfsync", "no")
	pair := newPair(t, &txtar.Archive{}, filledStore(t, begin{contacts: "alice bob\n"}), r, t.Name()+":")
	bobs, err := url.Parse(pair[slices.Index(people, "bob")%len(pair)].cfg.Cluster.PublicURL)
	if err != nil {
		t.Fatal(err)
	}
	told.Store(bobs)
	meet := func(ctx context.Context, order string) error {
		for len(cloud.Subscriptions()) == 0 {
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		cloud.Do(func() {
			cloud.Mailboxes[box] = nil
			if order == "begins" {
				now := time.Now().UTC()
				cloud.Mailboxes[box] = []graphtest.Event{{From: now.Add(2 * time.Second), Until: now.Add(time.Hour), Status: "busy"}}
			}
		})
		for _, status := range cloud.Change(box) {
			if status != http.StatusAccepted {
				return fmt.Errorf("a notification is answered by %d", status)
			}
		}
		return nil
	}
	playMeetingOn(t, pair, "cloud", cfg.Presence.Calendars, meet)
	if left := cloud.Subscriptions(); slices.ContainsFunc(left, func(s graphtest.Subscription) bool { return s.Box == box }) {
		t.Errorf("left behind: %v", left)
	}
}
