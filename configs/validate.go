package configs

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/deskline/deskline/xmpp/jid"
)

// Mechanisms are those that auth.mechanisms may list.
var mechanisms = []string{"SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", oauthBearer}

// reserved are the paths of the HTTP listener that no door can have.
var reserved = []string{"/", "/.well-known/host-meta", "/.well-known/host-meta.json", "/certificate", "/certificate.pem", "/certificate.cer", "/certificate.crt", "/certificate.der", "/certificate/probe", "/certificate/chain.pem", "/discovery/v1/nodes", "/presence/v1/lines", notifyPath}

// Off is the address of a listener that is not wanted.
const Off = "off"

// Validate reports every value that is out of bounds or fits badly with
// another one. The error is an *Error.
func (c Config) Validate() error {
	l := loader{cfg: c}
	l.validate()
	l.problems = sorted(l.problems)
	return l.err(nil)
}

// normalise writes domains as they are compared.
func (l *loader) normalise() {
	for i, d := range l.cfg.Domains {
		if j, err := jid.New("", d, ""); err == nil {
			l.cfg.Domains[i] = j.Domain()
		}
	}
	l.normaliseIssuers()
	for i, d := range l.cfg.LDAP.Domains {
		if j, err := jid.New("", d, ""); err == nil {
			l.cfg.LDAP.Domains[i] = j.Domain()
		}
	}
}

// validate leaves keys alone that have a problem already.
func (l *loader) validate() {
	for _, f := range fields {
		if !l.has(f.path) {
			l.checkBounds(f)
		}
	}
	l.checkDomains()
	l.checkHTTP()
	l.checkDoors()
	l.checkAuth()
	l.checkOAuth()
	l.checkGroups()
	l.checkCerts()
	l.checkLimits()
	l.checkCluster()
	l.checkRedis()
	l.checkSearch()
	l.checkLDAP()
	l.checkPresence()
	l.checkCalendars()
	l.checkSIP()
	l.checkNumbers()
	l.checkSwitches()
	l.checkInnovaphones()
}

// checkBounds compares with the tags of the field.
func (l *loader) checkBounds(f field) {
	v := f.in(&l.cfg)
	if len(f.one) > 0 && !slices.Contains(f.one, v.String()) {
		l.add(f.path, "%q is none of %s", v.String(), strings.Join(f.one, ", "))
		return
	}
	if f.min != "" {
		if v.Int() < bound(v, f.min) {
			l.add(f.path, "%v is below %s", encode(v), f.min)
		}
		if v.Int() > bound(v, f.max) {
			l.add(f.path, "%v is above %s", encode(v), f.max)
		}
	}
}

// bound reads a tag in the notation of the value; a test reads them all.
func bound(like reflect.Value, text string) int64 {
	v := reflect.New(like.Type()).Elem()
	_ = decode(v, text, true)
	return v.Int()
}

func (l *loader) checkDomains() {
	if len(l.cfg.Domains) == 0 {
		l.add("domains", "is empty, name the domain of your users")
	}
	seen := map[string]bool{}
	for _, d := range l.cfg.Domains {
		j, err := jid.New("", d, "")
		switch {
		case err != nil:
			l.add("domains", "%q is no domain", d)
		case j.Domain() != d:
			l.add("domains", "%q is to be written %q", d, j.Domain())
		case seen[d]:
			l.add("domains", "%q is there twice", d)
		}
		seen[d] = true
	}
	if l.cfg.DataDir == "" {
		l.add("data_dir", "is empty, name a folder")
	}
}

func (l *loader) checkHTTP() {
	h := l.cfg.HTTP
	l.checkListen("http.listen", h.Listen)
	if l.cfg.Admin.Listen != Off {
		l.checkListen("admin.listen", l.cfg.Admin.Listen)
		if _, port, err := net.SplitHostPort(h.Listen); err == nil && h.Listen == l.cfg.Admin.Listen && port != "0" {
			l.add("admin.listen", "%s is the address of http.listen", h.Listen)
		}
	}
	if h.PublicURL != "" {
		if u, err := url.Parse(h.PublicURL); err != nil || !isOrigin(u) || strings.TrimRight(u.Path, "/") != "" {
			l.add("http.public_url", "%q is no address such as https://chat.example.com:5280", h.PublicURL)
		}
	}
	if h.Plain == "trusted" && len(h.TrustedProxies) == 0 {
		l.add("http.plain", "trusted needs http.trusted_proxies")
	}
	for _, p := range h.TrustedProxies {
		if !p.IsValid() {
			l.add("http.trusted_proxies", "has an empty network")
		}
	}
	for _, o := range h.CORSOrigins {
		u, err := url.Parse(o)
		switch {
		case o == "*" || o == "null":
		case err != nil || !isOrigin(u) || u.Path != "" || strings.Contains(strings.TrimPrefix(u.Host, "*."), "*"):
			l.add("http.cors_origins", "%q is no origin such as https://desktop.example.com or https://*.example.com, nor *", o)
		}
	}
}

func isOrigin(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

func (l *loader) checkListen(key, addr string) {
	if err := checkAddr(addr); err != nil && !l.has(key) {
		l.add(key, "%q is no address: %v; write :5280 or 127.0.0.1:5280", addr, err)
	}
}

func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return errors.New("a port behind : is expected")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("the port is a number from 0 to 65535")
	}
	if host != "" && !isHost(host) {
		return errors.New("the host is neither a name nor an IP address")
	}
	return nil
}

func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return len(host) <= 253 && !strings.ContainsFunc(host, func(r rune) bool {
		return r <= ' ' || strings.ContainsRune(`/\:@?#[]{}"'<>`, r)
	})
}

func (l *loader) checkDoors() {
	b, ws := l.cfg.BOSH, l.cfg.WebSocket
	if !b.Enabled && !ws.Enabled {
		l.add("bosh.enabled", "bosh and websocket are both off, no client could connect")
	}
	if b.Enabled && len(b.Paths) == 0 {
		l.add("bosh.paths", "is empty, write [/http-bind]")
	}
	for i, p := range b.Paths {
		l.checkPath("bosh.paths", p)
		if slices.Contains(b.Paths[:i], p) {
			l.add("bosh.paths", "%s is there twice", p)
		}
	}
	l.checkPath("websocket.path", ws.Path)
	if slices.Contains(b.Paths, ws.Path) {
		l.add("websocket.path", "%s is in bosh.paths already", ws.Path)
	}
	if b.Requests <= b.Hold && !l.has("bosh.requests") && !l.has("bosh.hold") {
		l.add("bosh.requests", "%d must be above bosh.hold, %d", b.Requests, b.Hold)
	}
}

func (l *loader) checkPath(key, p string) {
	switch {
	case !strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.ContainsAny(p, " {}?#%\t\r\n"):
		l.add(key, "%q is no path such as /http-bind", p)
	case slices.Contains(reserved, p):
		l.add(key, "%s is taken", p)
	}
}

func (l *loader) checkAuth() {
	if len(l.cfg.Auth.Mechanisms) == 0 {
		l.add("auth.mechanisms", "is empty, nobody could sign in")
	}
	for i, m := range l.cfg.Auth.Mechanisms {
		switch {
		case !slices.Contains(mechanisms, m):
			l.add("auth.mechanisms", "%q is none of %s", m, strings.Join(mechanisms, ", "))
		case slices.Contains(l.cfg.Auth.Mechanisms[:i], m):
			l.add("auth.mechanisms", "%s is there twice", m)
		}
	}
}

func (l *loader) checkCerts() {
	c := l.cfg.Certs
	if (c.CertFile == "") != (c.KeyFile == "") {
		missing := "certs.key_file"
		if c.CertFile == "" {
			missing = "certs.cert_file"
		}
		l.add(missing, "is missing, certs.cert_file and certs.key_file go together")
	}
	l.checkACME()
	for _, h := range c.Hosts {
		if h == "" || !isHost(h) {
			l.add("certs.hosts", "%q is neither a name nor an IP address", h)
		}
	}
}

func (l *loader) checkACME() {
	a := l.cfg.Certs.ACME
	u, err := url.Parse(a.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		l.add("certs.acme.directory", "%q is no https address", a.Directory)
	}
	if a.Email != "" && !strings.Contains(a.Email, "@") {
		l.add("certs.acme.email", "%q is no address of mail", a.Email)
	}
	for _, h := range a.Hosts {
		if _, err := netip.ParseAddr(h); err == nil || h == "localhost" || strings.HasPrefix(h, "*.") || !isHost(h) {
			l.add("certs.acme.hosts", "%q is no name that an authority can ask for", h)
		}
	}
	if !a.Enabled {
		return
	}
	if !a.Agree {
		l.add("certs.acme.agree", "has to be true: the authority asks for agreement to its terms")
	}
	if _, port, err := net.SplitHostPort(l.cfg.HTTP.Listen); err == nil && port == "0" {
		l.add("certs.acme.enabled", "needs a port of its own in http.listen, not 0")
	}
	if len(a.Hosts) == 0 {
		l.add("certs.acme.hosts", "is empty, name those that lead to this node")
	}
}

func (l *loader) checkLimits() {
	m := l.cfg.Limits
	l.checkFits("limits.stanza", m.Stanza, "limits.body", m.Body)
	l.checkFits("limits.stanza", m.Stanza, "limits.queue_bytes", m.QueueBytes)
	l.checkFits("limits.queue_bytes", m.QueueBytes, "limits.memory", m.Memory)
}

func (l *loader) checkFits(key string, small Size, than string, large Size) {
	if cmp.Compare(small, large) > 0 && !l.has(key) && !l.has(than) {
		l.add(key, "%s is above %s, %s", small, than, large)
	}
}
