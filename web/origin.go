package web

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// origins are the origins of http.cors_origins.
type origins struct {
	any   bool
	exact map[string]bool
	wild  []*url.URL // Host begins with "*."
}

func parseOrigins(list []string) (*origins, error) {
	o := &origins{exact: map[string]bool{}}
	for _, entry := range list {
		switch {
		case entry == "*":
			o.any = true
			continue
		case entry == "null": // pages from files and sandboxed frames
			o.exact[entry] = true
			continue
		}
		u, err := url.Parse(strings.ToLower(entry))
		if err != nil || u.Scheme == "" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return nil, fmt.Errorf("http.cors_origins: %q is no origin such as https://desk.example.com or https://*.example.com", entry)
		}
		u.Host = withoutDefaultPort(u.Scheme, u.Host)
		rest, wild := strings.CutPrefix(u.Host, "*.")
		if strings.Contains(rest, "*") || wild && rest == "" {
			return nil, fmt.Errorf("http.cors_origins: %q: a * stands for the first labels of a name only, as in https://*.example.com", entry)
		}
		if wild {
			o.wild = append(o.wild, u)
		} else {
			o.exact[u.Scheme+"://"+u.Host] = true
		}
	}
	return o, nil
}

func withoutDefaultPort(scheme, host string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// AllowOrigin decides about the origin of the page that sent r. Without one it
// returns "" and true. Else origin is the value for Access-Control-Allow-Origin;
// if it is not "*", the response varies with the header Origin.
func (e *Edge) AllowOrigin(r *http.Request) (origin string, ok bool) {
	return e.policy.Load().allowOrigin(r.Header.Get("Origin"), r.Host)
}

// allowOrigin decides about a page that asked host.
func (p *policy) allowOrigin(given, asked string) (origin string, ok bool) {
	if given == "" {
		return "", true
	}
	if p.origins.any {
		return "*", true
	}
	if p.origins.exact[given] {
		return given, true
	}
	u, err := url.Parse(strings.ToLower(given))
	if err != nil || u.Host == "" {
		return "", false
	}
	host := withoutDefaultPort(u.Scheme, u.Host)
	switch {
	case p.origins.exact[u.Scheme+"://"+host],
		p.origins.matches(u.Scheme, host),
		isLoopback(u.Hostname()),
		p.isOwn(u.Scheme, host, asked):
		return given, true
	}
	return "", false
}

func (o *origins) matches(scheme, host string) bool {
	for _, w := range o.wild {
		if suffix := w.Host[1:]; scheme == w.Scheme && len(host) > len(suffix) && strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// isOwn compares the host only: a proxy may have taken the TLS away.
func (p *policy) isOwn(scheme, host, asked string) bool {
	same := func(own string) bool {
		return own != "" && host == withoutDefaultPort(scheme, strings.ToLower(own))
	}
	return same(asked) || same(p.ownHost)
}

// isLoopback is about names as browsers resolve them (RFC 6761 §6.3).
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
