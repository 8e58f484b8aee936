package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/calendar/graph"
)

// The check asks at the address as the service would, and a node that is not there yet is
// no error.
func TestCheckNotify(t *testing.T) {
	hub := graph.NewHub(graph.HubConfig{Key: []byte("x"), Log: slog.New(slog.DiscardHandler), Peer: func(*http.Request) netip.Addr { return netip.Addr{} }})
	for name, tt := range map[string]struct {
		handler http.Handler
		warning string
	}{
		"a node":  {hub, ""},
		"nothing": {http.NotFoundHandler(), "404 Not Found"},
		"a page":  {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }), "something else answers"},
		"another": {http.RedirectHandler("/login", http.StatusFound), "302 Found"},
	} {
		s := httptest.NewServer(tt.handler)
		r := checkNotify(t.Context(), "presence.calendars[0].notify_url", configs.Calendar{NotifyURL: s.URL + graph.Path})
		s.Close()
		if r.Err != nil || (r.Warning == "") != (tt.warning == "") || !strings.Contains(r.Warning, tt.warning) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := checkNotify(t.Context(), "", configs.Calendar{NotifyURL: "http://127.0.0.1:1" + graph.Path}); !strings.Contains(r.Warning, "refused") || strings.Contains(r.Warning, "Probe") {
		t.Errorf("%+v", r)
	}
}
