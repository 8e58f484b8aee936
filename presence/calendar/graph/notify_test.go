package graph_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/deskline/deskline/presence/calendar/graph"
)

func post(h http.Handler, method, query, body string) *http.Response {
	r := httptest.NewRequest(method, graph.Path+query, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestValidation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	long := strings.Repeat("x", 2048)
	for name, tt := range map[string]struct {
		query  string
		status int
		body   string
	}{
		"as documented": {"?validationToken=Validation%3A+Testing+client%2Bapplication%26x", 200, "Validation: Testing client+application&x"},
		"beside others": {"?a=b&validationToken=x%20y", 200, "x y"},
		"the longest":   {"?validationToken=" + long, 200, long},
		"too long":      {"?validationToken=" + long + "x", 400, ""},
		"empty":         {"?validationToken=", 400, ""},
		"twice":         {"?validationToken=a&validationToken=b", 400, ""},
		"a page":        {"?validationToken=%3Cscript%3E", 400, ""},
		"lines":         {"?validationToken=a%0D%0Ab", 400, ""},
		"no UTF-8":      {"?validationToken=%ff", 400, ""},
		"no query":      {"?validationToken=%zz", 400, ""},
		"separators":    {"?validationToken=a;b", 400, ""},
	} {
		resp := post(w.hub, http.MethodPost, tt.query, "")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != tt.status || tt.body != "" && string(body) != tt.body {
			t.Errorf("%s: %s %q", name, resp.Status, body)
		}
		if h := resp.Header; h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %v", name, h)
		}
	}
	if resp := post(w.hub, http.MethodGet, "?validationToken=x", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Error(resp.Status)
	}
}

func TestForgedNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.watch()
	w.subscribed(1)
	wait(t, "it is looked at once more", func() bool { return w.take()["u0"] > 0 })
	sub := w.Subscriptions()[0]
	one := func(id, state, event string) string {
		return fmt.Sprintf(`{"subscriptionId":%q,"clientState":%q,"lifecycleEvent":%q}`, id, state, event)
	}
	swap := "A"
	if sub.State[20] == 'A' {
		swap = "B"
	}
	forged := []string{"", "secretClientValue", sub.State[1:], sub.State + "A", sub.State[:20] + swap + sub.State[21:], strings.Repeat("A", 59), strings.Repeat("é", 29) + "x"}
	for _, state := range forged {
		for _, event := range []string{"", "subscriptionRemoved", "reauthorizationRequired"} {
			if resp := post(w.hub, http.MethodPost, "", `{"value":[`+one(sub.ID, state, event)+`]}`); resp.StatusCode != http.StatusAccepted {
				t.Errorf("%q: %s", state, resp.Status)
			}
		}
	}
	if got := w.take(); len(got) > 0 {
		t.Errorf("looked at %v", got)
	}
	if c := w.hub.Counts(); c.Forged != uint64(3*len(forged)) || c.Taken > 0 {
		t.Errorf("%+v", c)
	}
	// A true one among them counts, and by an event of another subscription nothing is lost.
	body := `{"validationTokens":[{"x":[1,"]}"]}],"value":[` + one(sub.ID, "forged", "") + "," + one("another", sub.State, "subscriptionRemoved") + `],"value":7,"more":{}}`
	if resp := post(w.hub, http.MethodPost, "?x=y", body); resp.StatusCode != http.StatusAccepted {
		t.Error(resp.Status)
	}
	if got := w.take(); got["u0"] != 1 {
		t.Errorf("looked at %v", got)
	}
	w.subscribed(1)
	if w.Subscriptions()[0] != sub {
		t.Error("another one was made")
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	for body, status := range map[string]int{
		"":                              400,
		"null":                          400,
		"[]":                            400,
		"{}":                            400,
		`{"value":null}`:                400,
		`{"value":{}}`:                  400,
		`{"value":[1]}`:                 400,
		`{"value":[{"clientState":1}]}`: 400,
		`{"value":[]`:                   400,
		`{"value":[]} x`:                400,
		`{"value":[]}`:                  202,
		`{"value":[{}, null]}`:          202,
		`{"value":[{"clientState":"` + strings.Repeat("x", 1<<20) + `"}]}`:                      413,
		`{"value":[{}` + strings.Repeat(",{}", graph.MaxNotices) + `]}`:                         400,
		`{"value":[{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}]}`: 400,
	} {
		if resp := post(w.hub, http.MethodPost, "", body); resp.StatusCode != status {
			t.Errorf("%.60s: %s", body, resp.Status)
		}
	}
	// Whoever goes on like that is not listened to any more.
	for range 400 {
		post(w.hub, http.MethodPost, "", "x")
	}
	resp := post(w.hub, http.MethodPost, "", `{"value":[]}`)
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Error(resp.Status)
	}
	if resp := post(w.hub, http.MethodPost, "?validationToken="+url.QueryEscape("x y"), ""); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}

// Whatever is sent is read within its limits.
func FuzzNotices(f *testing.F) {
	f.Add(`{"value":[{"id":"x","subscriptionId":"7f105c7d","subscriptionExpirationDateTime":"2016-03-19T22:11:09.952Z","clientState":"s","changeType":"created","resource":"users/a/events/b","tenantId":"8","resourceData":{"@odata.type":"#Microsoft.Graph.Event","id":"b"}}]}`)
	f.Add(`{"validationTokens":["x"],"value":[{"subscriptionId":"1","lifecycleEvent":"missed","clientState":null}]}`)
	f.Add(`{"value":[[{}]],"value":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		n, err := graph.Notices(text)
		if n > graph.MaxNotices || err != nil && len(err.Error()) > 300 {
			t.Fatalf("%d notices, %v", n, err)
		}
	})
}
