package app_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/internal/xmpptest"
)

// TestRedisAwayFromPair takes Redis away from two nodes: whoever signs in
// meanwhile waits or is refused as a whole, and sessions that end meanwhile are
// gone for all when it is back.
func TestRedisAwayFromPair(t *testing.T) {
	for _, o := range []struct {
		name string
		away func(*redistest.Server)
		back func(*redistest.Server)
	}{
		{"killed", (*redistest.Server).Kill, (*redistest.Server).Start},
		{"frozen", (*redistest.Server).Freeze, (*redistest.Server).Thaw},
	} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			r := redistest.Start(t)
			pair := newPair(t, &txtar.Archive{}, filledStore(t, begin{contacts: "alice bob carol\n"}), r, "away:")
			for _, s := range pair {
				s.cfg.Redis.Timeout = 500 * time.Millisecond
				s.cfg.Admin.Listen = "127.0.0.1:0"
			}
			defer pair.stop()
			if err := pair.start(); err != nil {
				t.Fatal(err)
			}
			play := func(text string, door xmpptest.Door, wait time.Duration) error {
				script, err := xmpptest.Parse(t.Name(), text)
				if err != nil {
					t.Fatal(err)
				}
				return xmpptest.Play(t.Context(), xmpptest.Config{Domain: domain, Password: secret, Door: door, URL: pair.apart, Wait: wait}, script)
			}
			// Carol goes while Redis is away, by both doors; bob sees it.
			during := make(chan error, 1)
			ready := make(chan struct{})
			go func() {
				<-ready
				// Nobody can sign in; what comes is an error, or nothing until it is back.
				during <- play("bob/late comes online", xmpptest.WebSocket, 2*time.Second)
			}()
			for _, door := range []xmpptest.Door{xmpptest.WebSocket, xmpptest.BOSH} {
				if err := play("carol/one comes online\ncarol/one closes", door, 0); err != nil {
					t.Fatal(err)
				}
			}
			if err := play("carol/two comes online\nalice/one comes online\nalice/one gets <presence from='carol@example.com/two'/>\ncarol/two gets <presence from='alice@example.com/one'/>", xmpptest.WebSocket, 0); err != nil {
				t.Fatal(err) // both are cut off at the end, which nodes notice by and by
			}
			o.away(r)
			close(ready)
			if err := <-during; err == nil {
				t.Error("signed in without Redis")
			}
			for _, s := range pair {
				if status := readyStatus(t, s); status != http.StatusServiceUnavailable {
					t.Errorf("ready: %d", status)
				}
			}
			o.back(r)
			eventually(t, "ready again", func() bool {
				return readyStatus(t, pair[0]) == http.StatusOK && readyStatus(t, pair[1]) == http.StatusOK
			})
			eventually(t, "nothing is left", func() bool {
				return r.Do("--scan", "--pattern", "away:s:*") == "" && len(bindings(r)) == 0
			})
			if err := play("bob/late comes online\nalice/one comes online\nalice/one gets <presence from='bob@example.com/late'/>\nbob/late gets <presence from='alice@example.com/one'/>", xmpptest.BOSH, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

// bindings returns the accounts with a bound resource.
func bindings(r *redistest.Server) (list []string) {
	for _, name := range people {
		key := "away:r:{" + name + "@" + domain + "}"
		if n := r.Do("HLEN", key); n != "0" && n != "1" { // the generation stays
			list = append(list, name)
		}
	}
	return list
}

func readyStatus(t *testing.T, s *stage) int {
	t.Helper()
	s.mu.Lock()
	addr := s.ops
	s.mu.Unlock()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+addr.String()+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
