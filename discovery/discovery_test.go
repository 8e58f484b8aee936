package discovery_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/discovery"
	"github.com/deskline/deskline/xmpp/jid"
)

func node(name string) discovery.Node {
	base := name + ".example.com:5280"
	return discovery.Node{Name: name, BOSH: "https://" + base + "/http-bind", WebSocket: "wss://" + base + "/xmpp-websocket"}
}

// desk sends the users of one letter to one node.
type desk struct {
	epoch uint64
	alone bool
}

func (d desk) Locate(user jid.JID, base string) discovery.Answer {
	switch {
	case d.alone:
		return discovery.Answer{Epoch: d.epoch, Primary: discovery.Node{Name: "node", BOSH: base + "/http-bind"}}
	case user.Local() < "m":
		return discovery.Answer{Epoch: d.epoch, Primary: node("n1"), Secondary: node("n2")}
	}
	return discovery.Answer{Epoch: d.epoch, Primary: node("n2"), Secondary: node("n1")}
}

func handler(d desk, change func(*discovery.Config)) *discovery.Handler {
	cfg := discovery.Config{
		Directory: d, Domains: []string{"example.com", "example.org"}, TTL: 24 * time.Hour,
		Base: func(r *http.Request) string { return "http://" + r.Host },
		Peer: func(r *http.Request) (netip.AddrPort, bool) {
			a, _ := netip.ParseAddrPort(r.RemoteAddr)
			return a, true
		},
		Origin: func(r *http.Request) (string, bool) {
			o := r.Header.Get("Origin")
			return o, o == "" || o == "https://desk.example.com"
		},
		Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	return discovery.New(cfg)
}

func ask(h http.Handler, method, query string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:5280"+discovery.Path+query, nil)
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Remote" {
			r.RemoteAddr = value
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnswer(t *testing.T) {
	h := handler(desk{epoch: 17}, nil)
	w := ask(h, "GET", "?user=alice@example.com")
	want := `{"version":1,"domain":"example.com","epoch":17,"ttl":86400,` +
		`"primary":{"node":"n1","bosh":"https://n1.example.com:5280/http-bind","websocket":"wss://n1.example.com:5280/xmpp-websocket"},` +
		`"secondary":{"node":"n2","bosh":"https://n2.example.com:5280/http-bind","websocket":"wss://n2.example.com:5280/xmpp-websocket"}}` + "\n"
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "Vary": "Origin",
		"Cache-Control": "private, max-age=86400, stale-if-error=604800", "Content-Length": fmt.Sprint(w.Body.Len()),
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if w := ask(handler(desk{epoch: 1, alone: true}, nil), "GET", "?user=alice"); !strings.Contains(w.Body.String(),
		`"primary":{"node":"node","bosh":"http://localhost:5280/http-bind"},"secondary":null}`) {
		t.Errorf("alone: %s", w.Body)
	}
}

func TestUsers(t *testing.T) {
	h := handler(desk{epoch: 17}, nil)
	for _, tt := range []struct {
		name, query string
		status      int
		want        string
	}{
		{"known", "?user=alice@example.com", 200, `"primary":{"node":"n1"`},
		{"another node's", "?user=zoe@example.com", 200, `"primary":{"node":"n2"`},
		{"without a domain", "?user=alice", 200, `"domain":"example.com"`},
		{"another domain", "?user=alice@example.org", 200, `"domain":"example.org"`},
		{"capitals", "?user=ALICE@EXAMPLE.COM", 200, `"primary":{"node":"n1"`},
		{"with a resource", "?user=alice@example.com/desk", 200, `"primary":{"node":"n1"`},
		{"escaped", "?user=%c5%bc%C3%B3%C5%82%C4%87%40example.com", 200, `"secondary"`},
		{"nobody has this name", "?user=nobody-at-all@example.com", 200, `"secondary":{"node":"n1"`},
		{"no user", "", 400, `"error":"user-missing"`},
		{"empty", "?user=", 400, `"error":"user-missing"`},
		{"no local part", "?user=@example.com", 400, `"error":"user-malformed"`},
		{"markup", "?user=%3Cscript%3E@example.com", 400, `"error":"user-malformed"`},
		{"much too long", "?user=" + strings.Repeat("a", 5000), 400, `"error":"user-malformed"`},
		{"a strange domain", "?user=alice@example.net", 400, `"error":"domain-unknown"`},
	} {
		w := ask(h, "GET", tt.query)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
		if tt.status != 200 && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: a mistake is kept: %v", tt.name, w.Header())
		}
	}
}

func TestRevalidation(t *testing.T) {
	h := handler(desk{epoch: 17}, nil)
	tag := ask(h, "GET", "?user=alice").Header().Get("ETag")
	if !strings.HasPrefix(tag, `"17-`) {
		t.Fatalf("tag %s", tag)
	}
	for _, tt := range []struct {
		name   string
		h      http.Handler
		method string
		header string
		status int
	}{
		{"the same", h, "GET", tag, 304},
		{"weak, as a proxy makes it", h, "GET", `"1-0", W/` + tag, 304},
		{"any", h, "GET", "*", 304},
		{"asked for its head", h, "HEAD", tag, 304},
		{"another", h, "GET", `"16-0"`, 200},
		{"a new epoch", handler(desk{epoch: 18}, nil), "GET", tag, 200},
		{"another answer of the epoch", handler(desk{epoch: 17, alone: true}, nil), "GET", tag, 200},
	} {
		w := ask(tt.h, tt.method, "?user=alice", "If-None-Match: "+tt.header)
		if w.Code != tt.status || w.Code == 304 && (w.Body.Len() > 0 || w.Header().Get("ETag") != tag || w.Header().Get("Cache-Control") == "") {
			t.Errorf("%s: %d %s %v", tt.name, w.Code, w.Body, w.Header())
		}
	}
	if w := ask(h, "HEAD", "?user=alice"); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("ETag") != tag {
		t.Errorf("head: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "POST", "?user=alice"); w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Errorf("post: %d", w.Code)
	}
}

func TestCORS(t *testing.T) {
	for _, tt := range []struct {
		name, method, origin, allowed string
		status                        int
	}{
		{"allowed", "GET", "https://desk.example.com", "https://desk.example.com", 200},
		{"not allowed", "GET", "https://evil.example", "", 200},
		{"preflight", "OPTIONS", "https://desk.example.com", "https://desk.example.com", 204},
		{"preflight of others", "OPTIONS", "https://evil.example", "", 204},
	} {
		w := ask(handler(desk{}, nil), tt.method, "?user=alice", "Origin: "+tt.origin)
		h := w.Header()
		if w.Code != tt.status || h.Get("Access-Control-Allow-Origin") != tt.allowed || h.Get("Vary") != "Origin" ||
			(h.Get("Access-Control-Allow-Headers") != "") != (tt.status == 204 && tt.allowed != "") {
			t.Errorf("%s: %d %v", tt.name, w.Code, h)
		}
	}
	open := handler(desk{}, func(c *discovery.Config) {
		c.Origin = func(r *http.Request) (string, bool) {
			if r.Header.Get("Origin") == "" {
				return "", true
			}
			return "*", true
		}
	})
	if h := ask(open, "GET", "?user=alice", "Origin: https://any.example").Header(); h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Vary") != "" {
		t.Errorf("all origins: %v", h)
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(desk{}, func(c *discovery.Config) { c.Rate = 3 })
		want := func(remote string, status int) {
			t.Helper()
			w := ask(h, "GET", "?user=alice", "Remote: "+remote)
			if w.Code != status || (status == 429) != (w.Header().Get("Retry-After") != "") {
				t.Fatalf("%s: %d %v", remote, w.Code, w.Header())
			}
		}
		for range 3 {
			want("192.0.2.1:1", 200)
			want("[2001:db8::1]:1", 200)
		}
		want("192.0.2.1:2", 429)
		want("[::ffff:192.0.2.1]:1", 429)
		want("[2001:db8::ffff]:1", 429) // the same network
		want("[2001:db8:0:1::1]:1", 200)
		want("192.0.2.2:1", 200)
		time.Sleep(70 * time.Second)
		// The last minute counts for what is left of this one.
		want("192.0.2.1:1", 200)
		want("192.0.2.1:1", 429)
		time.Sleep(5 * time.Minute)
		want("192.0.2.1:1", 200)
	})
}

func TestHostnames(t *testing.T) {
	got := string(discovery.Hostnames{Directory: desk{}}.AppendHints([]byte("<x>"), jid.MustParse("zoe@example.com/desk")))
	if want := "<x><hostname>n2.example.com</hostname><hostname>n1.example.com</hostname>"; got != want {
		t.Error(got)
	}
	// A node that stands alone sends nobody elsewhere.
	alone := discovery.Hostnames{Directory: desk{alone: true}}
	if got := alone.AppendHints(nil, jid.MustParse("zoe@example.com")); len(got) > 0 {
		t.Errorf("%s", got)
	}
}

func BenchmarkAnswer(b *testing.B) {
	h := handler(desk{epoch: 17}, func(c *discovery.Config) { c.Rate = 1 << 40 })
	r := httptest.NewRequest("GET", discovery.Path+"?user=alice@example.com", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(discard{http.Header{}}, r)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// BenchmarkServed asks over connections that are kept, as many as processors.
func BenchmarkServed(b *testing.B) {
	s := httptest.NewServer(handler(desk{epoch: 17}, nil))
	b.Cleanup(s.Close)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := s.Client().Get(s.URL + discovery.Path + "?user=alice@example.com")
			if err != nil || res.StatusCode != 200 {
				b.Error(res, err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
