package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/web"
)

func fullSite(t *testing.T) web.Site {
	t.Helper()
	certPEM, _, err := certs.SelfSigned([]string{"example.com"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := site()
	s.DemoUsers = []string{"alice", "bob"}
	block, _ := pem.Decode(certPEM)
	s.Certificate = func(string) web.Certificate {
		return web.Certificate{
			PEM: certPEM, Fingerprint: "AB:CD", NotAfter: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC),
			Names: []string{"example.com"}, SelfSigned: true, Anchor: block.Bytes, Root: true, AnchorFingerprint: "EF:01",
		}
	}
	return s
}

func TestPages(t *testing.T) {
	e, err := web.New(web.Config{Site: fullSite(t), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		method, path string
		status       int
		kind         string
		text         []string
	}{
		{"GET", "/", 200, "text/html", []string{
			"1.2.3", "<code>example.com</code>", "http://chat.example.com:5280/http-bind", "ws://chat.example.com:5280/xmpp-websocket",
			"alice@example.com", "bob@example.com", `bosh_service_url: 'http://chat.example.com:5280/http-bind'`, "2 January 2030",
		}},
		{"HEAD", "/", 200, "text/html", nil},
		{"POST", "/", 405, "text/plain", nil},
		{"GET", "/certificate", 200, "text/html", []string{"AB:CD", "EF:01", "Firefox", "self-signed", "not for the name chat.example.com", "without encryption", "https://chat.example.com:5280/certificate"}},
		{"GET", "/certificate.pem", 200, "application/x-pem-file", []string{"BEGIN CERTIFICATE"}},
		{"GET", "/certificate.cer", 200, "application/pkix-cert", nil},
		{"GET", "/certificate.crt", 200, "application/pkix-cert", nil},
		{"GET", "/certificate.der", 200, "application/pkix-cert", nil},
		{"GET", "/certificate/chain.pem", 200, "application/x-pem-file", []string{"BEGIN CERTIFICATE"}},
		{"GET", "/none", 404, "text/plain", []string{"nothing here"}},
	}
	for _, c := range cases {
		t.Run(c.method+c.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, request(c.method, "http://chat.example.com:5280"+c.path, "127.0.0.1:1"))
			h := w.Header()
			if w.Code != c.status || !strings.HasPrefix(h.Get("Content-Type"), c.kind) || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("status %d, headers %v", w.Code, h)
			}
			for _, text := range c.text {
				if !strings.Contains(w.Body.String(), text) {
					t.Errorf("no %q in %s", text, w.Body)
				}
			}
			if c.kind == "text/html" && c.method == "GET" {
				checkPolicy(t, h.Get("Content-Security-Policy"), w.Body.String())
			}
		})
	}
}

// checkPolicy proves that the page is allowed its one style and needs no more.
func checkPolicy(t *testing.T, csp, page string) {
	t.Helper()
	_, rest, _ := strings.Cut(page, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(csp, want) {
		t.Errorf("policy %s does not allow the style, %s", csp, want)
	}
	for _, bad := range []string{"<script", " style=", " src=", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("page has %q", bad)
		}
	}
}

func TestPagesWithLittle(t *testing.T) {
	e, err := web.New(web.Config{Site: web.Site{Domains: []string{"a.example", "b.example"}}, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/": 200, "/certificate": 404, "/certificate.pem": 404} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, request("GET", path, "127.0.0.1:1"))
		if w.Code != want || strings.Contains(w.Body.String(), "demo") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestHostMeta(t *testing.T) {
	cases := []struct {
		name    string
		public  string
		headers []string
		site    web.Site
		bosh    string
		socket  string
	}{
		{"plain loopback", "", nil, site(), "http://chat.example.com:5280/http-bind", "ws://chat.example.com:5280/xmpp-websocket"},
		{"TLS", "", []string{"TLS: "}, site(), "https://chat.example.com:5280/http-bind", "wss://chat.example.com:5280/xmpp-websocket"},
		{"public address", "https://pub.example.com/x", nil, site(), "https://pub.example.com/x/http-bind", "wss://pub.example.com/x/xmpp-websocket"},
		{
			"proxy", "",
			[]string{"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: front.example.com"},
			site(), "https://front.example.com/http-bind", "wss://front.example.com/xmpp-websocket",
		},
		{"no WebSocket", "", nil, web.Site{Domains: []string{"a"}, BOSH: "/b"}, "http://chat.example.com:5280/b", ""},
		{"no doors", "", nil, web.Site{Domains: []string{"a"}}, "", ""},
	}
	type link struct {
		Rel  string `xml:"rel,attr"`
		Href string `xml:"href,attr"`
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := web.Policy{PublicURL: c.public}
			if c.name == "proxy" {
				p.TrustedProxies = proxies
			}
			e, err := web.New(web.Config{Policy: p, Site: c.site, Log: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			remote := "127.0.0.1:1"
			if c.name == "proxy" {
				remote = "10.0.0.1:1"
			}
			for _, path := range []string{"/.well-known/host-meta", "/.well-known/host-meta.json"} {
				w := httptest.NewRecorder()
				e.ServeHTTP(w, request("GET", "http://chat.example.com:5280"+path, remote, c.headers...))
				var doc struct {
					XMLName xml.Name `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD" json:"-"`
					Links   []link   `xml:"Link"`
				}
				if strings.HasSuffix(path, "json") {
					err = json.Unmarshal(w.Body.Bytes(), &doc)
				} else {
					err = xml.Unmarshal(w.Body.Bytes(), &doc)
				}
				if err != nil || w.Header().Get("Access-Control-Allow-Origin") != "*" {
					t.Fatalf("%v, headers %v, %s", err, w.Header(), w.Body)
				}
				got := map[string]string{}
				for _, l := range doc.Links {
					got[l.Rel] = l.Href
				}
				if got["urn:xmpp:alt-connections:xbosh"] != c.bosh || got["urn:xmpp:alt-connections:websocket"] != c.socket {
					t.Errorf("%s: %v", path, got)
				}
			}
		})
	}
}

// TestHostMetaMates shows that a client finds its way should this node not
// answer later; its own doors come first.
func TestHostMetaMates(t *testing.T) {
	s := site()
	s.Mates = func() []web.Doors {
		return []web.Doors{{BOSH: "https://n2.example.com/http-bind", WebSocket: "wss://n2.example.com/xmpp-websocket"}, {WebSocket: "wss://n3.example.com/ws"}}
	}
	e, err := web.New(web.Config{Site: s, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, request("GET", "http://chat.example.com:5280/.well-known/host-meta.json", "127.0.0.1:1"))
	var doc struct{ Links []struct{ Rel, Href string } }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range doc.Links {
		got = append(got, strings.TrimPrefix(l.Rel, "urn:xmpp:alt-connections:")+" "+l.Href)
	}
	want := []string{
		"websocket ws://chat.example.com:5280/xmpp-websocket", "xbosh http://chat.example.com:5280/http-bind",
		"websocket wss://n2.example.com/xmpp-websocket", "xbosh https://n2.example.com/http-bind", "websocket wss://n3.example.com/ws",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestHostMetaPreflight(t *testing.T) {
	w := httptest.NewRecorder()
	newEdge(t, web.Policy{}).ServeHTTP(w, request("OPTIONS", "/.well-known/host-meta", "127.0.0.1:1", "Origin: https://x.example"))
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
