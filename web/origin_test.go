package web_test

import (
	"testing"

	"github.com/deskline/deskline/web"
)

func TestAllowOrigin(t *testing.T) {
	list := []string{"https://desk.example", "https://*.corp.example", "http://*.lab.example:8080", "HTTPS://Upper.Example:443/", "app://desktop"}
	cases := []struct {
		name, origin string
		list         []string
		want         string
		ok           bool
	}{
		{"no page", "", nil, "", true},
		{"listed", "https://desk.example", list, "https://desk.example", true},
		{"listed in capitals", "https://upper.example", list, "https://upper.example", true},
		{"listed with default port", "https://desk.example:443", list, "https://desk.example:443", true},
		{"program", "app://desktop", list, "app://desktop", true},
		{"other scheme", "http://desk.example", list, "", false},
		{"other port", "https://desk.example:8443", list, "", false},
		{"not listed", "https://evil.example", list, "", false},
		{"nothing listed", "https://evil.example", nil, "", false},
		{"subdomain", "https://a.corp.example", list, "https://a.corp.example", true},
		{"deep subdomain", "https://a.b.corp.example", list, "https://a.b.corp.example", true},
		{"apex of wildcard", "https://corp.example", list, "", false},
		{"dot alone", "https://.corp.example", list, "", false},
		{"ends alike", "https://evilcorp.example", list, "", false},
		{"wildcard in front", "https://a.corp.example.evil.example", list, "", false},
		{"subdomain with port", "http://a.lab.example:8080", list, "http://a.lab.example:8080", true},
		{"subdomain without port", "http://a.lab.example", list, "", false},
		{"own", "https://chat.example.com:5280", nil, "https://chat.example.com:5280", true},
		{"own behind TLS proxy", "http://chat.example.com:5280", nil, "http://chat.example.com:5280", true},
		{"own name, other port", "https://chat.example.com", nil, "", false},
		{"own public", "https://pub.example.com", nil, "https://pub.example.com", true},
		{"loopback name", "http://localhost:3000", nil, "http://localhost:3000", true},
		{"loopback subdomain", "http://desk.localhost:3000", nil, "http://desk.localhost:3000", true},
		{"loopback address", "http://127.0.0.1:8000", nil, "http://127.0.0.1:8000", true},
		{"loopback 6", "http://[::1]:8000", nil, "http://[::1]:8000", true},
		{"like loopback", "http://localhost.evil.example", nil, "", false},
		{"file", "null", list, "", false},
		{"file listed", "null", []string{"null"}, "null", true},
		{"any", "https://evil.example", []string{"*"}, "*", true},
		{"any file", "null", []string{"*"}, "*", true},
		{"nonsense", "%%", list, "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, web.Policy{PublicURL: "https://pub.example.com", CORSOrigins: c.list})
			r := request("GET", "http://chat.example.com:5280/", "127.0.0.1:1")
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if got, ok := e.AllowOrigin(r); got != c.want || ok != c.ok {
				t.Errorf("%q %v, want %q %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://desk.example", "https://*.example", "*", "null", "http://[::1]:80", "https://*.*"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, entry, origin string) {
		if web.ParseOrigins([]string{entry}) != nil {
			return
		}
		e := newEdge(t, web.Policy{CORSOrigins: []string{entry}})
		r := request("GET", "http://chat.example.com:5280/", "127.0.0.1:1")
		r.Header.Set("Origin", origin)
		got, ok := e.AllowOrigin(r)
		if ok && got != origin && got != "*" && got != "" || !ok && got != "" {
			t.Errorf("%q with %q: %q %v", origin, entry, got, ok)
		}
	})
}
