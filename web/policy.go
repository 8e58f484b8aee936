package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Plain says who is answered without TLS.
type Plain string

// Loopback clients, and clients of trusted proxies that say they came by
// https, are answered always.
const (
	PlainLoopback Plain = "loopback" // nobody else
	PlainTrusted  Plain = "trusted"  // also what comes from the trusted networks
	PlainAny      Plain = "any"      // everybody
)

// Policy is what can change while running.
type Policy struct {
	PublicURL      string         // https://chat.example.com; "" = as the client asked
	Plain          Plain          // "" = loopback
	TrustedProxies []netip.Prefix // whose X-Forwarded-For, -Proto and -Host are believed
	CORSOrigins    []string       // beside the own and loopback ones: https://a.example, https://*.example.com, *
}

// SetPolicy puts p in force for the requests to come. On an error nothing
// changes.
func (e *Edge) SetPolicy(p Policy) error {
	pol := &policy{Policy: p}
	switch p.Plain {
	case "":
		pol.Plain = PlainLoopback
	case PlainLoopback, PlainTrusted, PlainAny:
	default:
		return fmt.Errorf("http.plain: %q is none of loopback, trusted, any", p.Plain)
	}
	if p.PublicURL != "" {
		u, err := url.Parse(p.PublicURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return fmt.Errorf("http.public_url: %q is no address such as https://chat.example.com", p.PublicURL)
		}
		pol.PublicURL = strings.TrimSuffix(u.String(), "/")
		pol.ownHost = u.Host
	}
	var err error
	if pol.origins, err = parseOrigins(p.CORSOrigins); err != nil {
		return err
	}
	e.policy.Store(pol)
	return nil
}

// Policy returns what is in force.
func (e *Edge) Policy() Policy { return e.policy.Load().Policy }

// policy is a checked Policy.
type policy struct {
	Policy
	ownHost string // of PublicURL
	origins *origins
}

// peer is what is known of the sender of a request.
type peer struct {
	remote  netip.AddrPort // the client; port 0 behind a proxy
	trusted bool           // the connection comes from a trusted proxy
	https   bool           // the client speaks TLS, to us or to a trusted proxy
	secure  bool           // nobody between can listen
}

// forwarding are the headers that show a proxy in between.
var forwarding = [...]string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-Ip", "Via"}

// message is what the policy looks at in a request, whichever engine has read
// it.
type message interface {
	Host() string
	Values(name string) []string // of a header field, its name as in forwarding
}

// httpMessage is a request that net/http has read.
type httpMessage struct{ r *http.Request }

func (m httpMessage) Host() string                { return m.r.Host }
func (m httpMessage) Values(name string) []string { return m.r.Header[name] }

func forwarded(m message) bool {
	for _, name := range forwarding {
		if len(m.Values(name)) > 0 {
			return true
		}
	}
	return false
}

// peerOf finds out who sent r; c is nil if another server than Edge read it.
func (p *policy) peerOf(r *http.Request, c *conn) peer {
	if c != nil {
		return p.peer(httpMessage{r}, c.remote, c.isTLS())
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // unknown is neither trusted nor loopback
	return p.peer(httpMessage{r}, netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()), r.TLS != nil)
}

// peer finds out who sent m, over a connection from remote.
func (p *policy) peer(m message, remote netip.AddrPort, https bool) peer {
	out := peer{remote: remote, https: https}
	direct := !forwarded(m)
	out.trusted = p.trusts(out.remote.Addr())
	if out.trusted && !direct {
		// What the client sent to its proxy is the client's own connection.
		switch proto := last(m.Values("X-Forwarded-Proto")); strings.ToLower(proto) {
		case "https", "wss":
			out.https = true
		default:
			out.https = false
		}
		if client, ok := p.client(m.Values("X-Forwarded-For")); ok {
			out.remote = client
		}
		out.secure = out.https
		return out
	}
	out.secure = out.https || direct && out.remote.Addr().IsLoopback()
	return out
}

// answers reports whether a request of p is answered as it came.
func (p *policy) answers(from *peer) bool {
	return from.secure || p.Plain == PlainAny || p.Plain == PlainTrusted && from.trusted
}

func (p *policy) trusts(a netip.Addr) bool {
	for _, prefix := range p.TrustedProxies {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// client returns the address nearest to us that no trusted proxy has: what
// stands left of it is said by strangers.
func (p *policy) client(values []string) (netip.AddrPort, bool) {
	list := strings.Split(strings.Join(values, ","), ",")
	var found netip.AddrPort
	for i := len(list) - 1; i >= 0; i-- {
		a, ok := parseAddr(strings.TrimSpace(list[i]))
		if !ok {
			break
		}
		if found = a; !p.trusts(a.Addr()) {
			break
		}
	}
	return found, found.IsValid()
}

// parseAddr takes an address with or without a port.
func parseAddr(s string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), true
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return netip.AddrPortFrom(a.Unmap().WithZone(""), 0), err == nil
}

// last returns the last element of a list header: what the nearest proxy said.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	v := values[len(values)-1]
	return strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])
}

// Peer returns where r comes from, behind trusted proxies too, and whether
// nobody in between can listen: TLS, a client on this machine, or a trusted
// proxy that says its client speaks TLS. A proxy on this machine that is not
// trusted is not taken for a client on this machine.
func (e *Edge) Peer(r *http.Request) (remote netip.AddrPort, secure bool) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	p := e.policy.Load().peerOf(r, c)
	return p.remote, p.secure
}

// Base returns the address of this node as the client may use it, without a
// slash at its end.
func (e *Edge) Base(r *http.Request) string {
	pol := e.policy.Load()
	if pol.PublicURL != "" {
		return pol.PublicURL
	}
	c, _ := r.Context().Value(connKey{}).(*conn)
	p := pol.peerOf(r, c)
	scheme := "http"
	if p.https {
		scheme = "https"
	}
	return (&url.URL{Scheme: scheme, Host: hostOf(r, &p)}).String()
}

// secureBase is Base with https: it is on the same port.
func (p *policy) secureBase(r *http.Request, from *peer) string {
	if strings.HasPrefix(p.PublicURL, "https:") {
		return p.PublicURL
	}
	return (&url.URL{Scheme: "https", Host: hostOf(r, from)}).String()
}

// hostOf returns the host and port the client asked.
func hostOf(r *http.Request, from *peer) string {
	if from.trusted {
		if host := last(r.Header["X-Forwarded-Host"]); host != "" {
			return host
		}
	}
	if r.Host != "" {
		return r.Host
	}
	// HTTP/1.0 may leave it out.
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return a.String()
	}
	return "localhost"
}
