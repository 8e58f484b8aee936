package web_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/deskline/deskline/web"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func site() web.Site {
	return web.Site{Version: "1.2.3", Domains: []string{"example.com"}, BOSH: "/http-bind", WebSocket: "/xmpp-websocket"}
}

func newEdge(t testing.TB, p web.Policy) *web.Edge {
	t.Helper()
	e, err := web.New(web.Config{Policy: p, Site: site(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// request builds a request; headers are "Name: value".
func request(method, target, remote string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = remote
	r.TLS = nil
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "TLS" {
			r.TLS = &tls.ConnectionState{}
			continue
		}
		r.Header.Add(name, value)
	}
	return r
}

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestPeer(t *testing.T) {
	cases := []struct {
		name    string
		remote  string
		headers []string
		proxies []netip.Prefix
		want    string
		secure  bool
	}{
		{"loopback", "127.0.0.1:1000", nil, nil, "127.0.0.1:1000", true},
		{"loopback 6", "[::1]:1000", nil, nil, "[::1]:1000", true},
		{"loopback mapped", "[::ffff:127.0.0.1]:1000", nil, nil, "127.0.0.1:1000", true},
		{"stranger", "192.0.2.1:1000", nil, proxies, "192.0.2.1:1000", false},
		{"stranger with TLS", "192.0.2.1:1000", []string{"TLS: "}, proxies, "192.0.2.1:1000", true},
		{"stranger claims", "192.0.2.1:1000", []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https"}, proxies, "192.0.2.1:1000", false},
		{"proxy on loopback not listed", "127.0.0.1:1000", []string{"X-Forwarded-For: 192.0.2.9"}, proxies, "127.0.0.1:1000", false},
		{"proxy on loopback says https, not listed", "127.0.0.1:1000", []string{"X-Forwarded-Proto: https"}, proxies, "127.0.0.1:1000", false},
		{"proxy on loopback with Forwarded", "127.0.0.1:1000", []string{"Forwarded: for=192.0.2.9;proto=https"}, proxies, "127.0.0.1:1000", false},
		{"proxy on loopback with Via", "127.0.0.1:1000", []string{"Via: 1.1 gate"}, proxies, "127.0.0.1:1000", false},
		{"listed loopback proxy", "127.0.0.1:1000", []string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"}, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, "192.0.2.9:0", true},
		{"proxy", "10.1.1.1:1000", []string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"}, proxies, "192.0.2.9:0", true},
		{"proxy of websockets", "10.1.1.1:1000", []string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: WSS"}, proxies, "192.0.2.9:0", true},
		{"proxy 6", "[fd00::1]:1000", []string{"X-Forwarded-For: [2001:db8::9]:4000", "X-Forwarded-Proto: https"}, proxies, "[2001:db8::9]:4000", true},
		{"proxy says http", "10.1.1.1:1000", []string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: http"}, proxies, "192.0.2.9:0", false},
		{"proxy says http over TLS", "10.1.1.1:1000", []string{"TLS: ", "X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: http"}, proxies, "192.0.2.9:0", false},
		{"proxy says nothing of TLS", "10.1.1.1:1000", []string{"X-Forwarded-For: 192.0.2.9"}, proxies, "192.0.2.9:0", false},
		{"proxy says nothing", "10.1.1.1:1000", nil, proxies, "10.1.1.1:1000", false},
		{"proxy of loopback client", "10.1.1.1:1000", []string{"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http"}, proxies, "127.0.0.1:0", false},
		{"client adds an address", "10.1.1.1:1000", []string{"X-Forwarded-For: 198.51.100.1, 192.0.2.9", "X-Forwarded-Proto: https"}, proxies, "192.0.2.9:0", true},
		{"client adds a line", "10.1.1.1:1000", []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"}, proxies, "192.0.2.9:0", true},
		{"client adds https", "10.1.1.1:1000", []string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https, http"}, proxies, "192.0.2.9:0", false},
		{"two proxies", "10.1.1.1:1000", []string{"X-Forwarded-For: 192.0.2.9, 10.2.2.2", "X-Forwarded-Proto: https"}, proxies, "192.0.2.9:0", true},
		{"nonsense", "10.1.1.1:1000", []string{"X-Forwarded-For: unknown", "X-Forwarded-Proto: https"}, proxies, "10.1.1.1:1000", true},
		{"nonsense in the middle", "10.1.1.1:1000", []string{"X-Forwarded-For: 192.0.2.9, unknown, 10.2.2.2", "X-Forwarded-Proto: https"}, proxies, "10.2.2.2:0", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, web.Policy{TrustedProxies: c.proxies})
			remote, secure := e.Peer(request("GET", "/", c.remote, c.headers...))
			if remote.String() != c.want || secure != c.secure {
				t.Errorf("%s secure %v, want %s secure %v", remote, secure, c.want, c.secure)
			}
		})
	}
}

func TestPlainHTTP(t *testing.T) {
	const stranger, gate = "192.0.2.1:1000", "10.1.1.1:1000"
	viaHTTPS := []string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https"}
	viaHTTP := []string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: http"}
	cases := []struct {
		name           string
		plain          web.Plain
		method, remote string
		headers        []string
		public         string
		status         int
		text           string // in Location or body
	}{
		{"loopback", "", "POST", "127.0.0.1:1", nil, "", 200, ""},
		{"page", "", "GET", stranger, nil, "", 308, "https://chat.example.com:5280/door?a=b"},
		{"page, public address", "", "GET", stranger, nil, "https://pub.example.com/x/", 308, "https://pub.example.com/x/door?a=b"},
		{"page, plain public address", "", "GET", stranger, nil, "http://pub.example.com", 308, "https://chat.example.com:5280/door?a=b"},
		{"request", "", "POST", stranger, nil, "", 403, "https://chat.example.com:5280/door?a=b"},
		{"preflight", "", "OPTIONS", stranger, nil, "", 403, "https://"},
		{"socket", "", "GET", stranger, []string{"Upgrade: websocket"}, "", 403, "wss://chat.example.com:5280/door?a=b"},
		{"TLS", "", "POST", stranger, []string{"TLS: "}, "", 200, ""},
		{"proxy with https", "", "POST", gate, viaHTTPS, "", 200, ""},
		{"proxy with http", "", "POST", gate, viaHTTP, "", 403, "https://"},
		{"proxy with http, trusted", web.PlainTrusted, "POST", gate, viaHTTP, "", 200, ""},
		{"trusted network", web.PlainTrusted, "POST", gate, nil, "", 200, ""},
		{"stranger, trusted", web.PlainTrusted, "POST", stranger, nil, "", 403, "https://"},
		{"stranger, any", web.PlainAny, "POST", stranger, nil, "", 200, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, web.Policy{Plain: c.plain, PublicURL: c.public, TrustedProxies: proxies})
			e.Handle("/door", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			w := httptest.NewRecorder()
			e.ServeHTTP(w, request(c.method, "http://chat.example.com:5280/door?a=b", c.remote, c.headers...))
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			if got := w.Header().Get("Location"); c.status == 308 && got != c.text {
				t.Errorf("location %s, want %s", got, c.text)
			}
			if !strings.Contains(w.Body.String(), c.text) {
				t.Errorf("body %q lacks %q", w.Body, c.text)
			}
		})
	}
}

func TestPlainRefusalIsReadable(t *testing.T) {
	e := newEdge(t, web.Policy{CORSOrigins: []string{"https://desk.example"}})
	w := httptest.NewRecorder()
	e.ServeHTTP(w, request("POST", "/http-bind", "192.0.2.1:1", "Origin: https://desk.example"))
	if got := w.Header().Values("Access-Control-Allow-Origin"); w.Code != 403 || len(got) != 1 || got[0] != "https://desk.example" {
		t.Errorf("status %d, allowed %v", w.Code, got)
	}
}

func TestBadPolicy(t *testing.T) {
	cases := map[string]web.Policy{
		"http.plain":        {Plain: "sometimes"},
		"http.public_url":   {PublicURL: "chat.example.com"},
		"http.cors_origins": {CORSOrigins: []string{"https://*"}},
	}
	for key, p := range cases {
		if _, err := web.New(web.Config{Policy: p, Site: site(), Log: quiet()}); err == nil || !strings.HasPrefix(err.Error(), key) {
			t.Errorf("%s: error %v", key, err)
		}
	}
	e := newEdge(t, web.Policy{Plain: web.PlainAny})
	if err := e.SetPolicy(web.Policy{Plain: "sometimes"}); err == nil {
		t.Error("accepted while running")
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, request("GET", "/", "192.0.2.1:1"))
	if w.Code != 200 {
		t.Errorf("policy changed by a bad one: %d", w.Code)
	}
}

// FuzzPeer shows that headers alone make nobody secure.
func FuzzPeer(f *testing.F) {
	f.Add("192.0.2.1:1000", "127.0.0.1", "https", "for=127.0.0.1;proto=https")
	f.Add("10.1.1.1:1000", "192.0.2.9, 10.2.2.2", "https, http", "")
	f.Add("127.0.0.1:1", "[::1]:9, unknown", "wss", "")
	f.Fuzz(func(t *testing.T, remote, forwardedFor, proto, std string) {
		e := newEdge(t, web.Policy{TrustedProxies: proxies})
		r := request("GET", "/", remote, "X-Forwarded-For: "+forwardedFor, "X-Forwarded-Proto: "+proto, "Forwarded: "+std)
		at, secure := e.Peer(r)
		from, _ := netip.ParseAddrPort(remote)
		trusted := proxies[0].Contains(from.Addr().Unmap()) || proxies[1].Contains(from.Addr().Unmap())
		if secure && !trusted {
			t.Errorf("%s is secure", remote)
		}
		if !trusted && at.Addr() != from.Addr().Unmap() {
			t.Errorf("%s is taken for %s", remote, at)
		}
	})
}
