package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence"
)

// reloading is a node whose file can be changed.
type reloading struct {
	*node
	file string
	log  *bytes.Buffer
}

func newReloading(t *testing.T) (*reloading, configs.Config) {
	t.Helper()
	dir := t.TempDir()
	cfg := configs.Default()
	cfg.DataDir, cfg.HTTP.Listen, cfg.Admin.Listen = dir, "127.0.0.1:0", configs.Off
	cfg.BOSH.Requests = 4 // room for another hold
	cfg.SIP.Listen, cfg.SIP.TLSListen, cfg.SIP.Trusted = "127.0.0.1:0", "127.0.0.1:0", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.LDAP.URLs, cfg.LDAP.Base, cfg.LDAP.Enabled.Attribute = []string{"ldap://127.0.0.1:1"}, "dc=example,dc=com", "chat"
	r := &reloading{file: filepath.Join(dir, "deskline.yaml"), log: new(bytes.Buffer)}
	r.write(t, cfg)
	level := new(slog.LevelVar)
	n, err := build(t.Context(), Options{Config: cfg, File: r.file, Log: slog.New(slog.NewJSONHandler(r.log, nil)), Level: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	if err := n.listenSIP(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if phones := n.composing.phones.now(); phones != nil {
			phones.Close()
		}
	})
	r.node = n
	return r, cfg
}

func (r *reloading) write(t *testing.T, cfg configs.Config) {
	t.Helper()
	var text bytes.Buffer
	if err := cfg.Print(&text); err != nil {
		t.Fatal(err)
	}
	// A secret is not printed, and *** would not do for a key.
	file := strings.Replace(text.String(), "  key: '***'", "  key: "+cfg.Cluster.Key.Reveal(), 1)
	file = strings.Replace(file, "    token: '***'", "    token: "+cfg.Presence.HTTP.Token.Reveal(), 1)
	if err := os.WriteFile(r.file, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
}

// said is what the log says of a reload.
type said struct {
	Msg     string   `json:"msg"`
	Err     string   `json:"err"`
	Changed []string `json:"changed"`
	Restart []string `json:"needs_restart"`
}

func (r *reloading) reloadWith(t *testing.T, cfg configs.Config) said {
	t.Helper()
	r.write(t, cfg)
	r.log.Reset()
	r.reload(context.Background())
	lines := bytes.Split(bytes.TrimSpace(r.log.Bytes()), []byte("\n"))
	var s said
	if err := json.Unmarshal(lines[len(lines)-1], &s); err != nil {
		t.Fatalf("%v: %s", err, r.log)
	}
	return s
}

// probes tell what is in force for each key that changes while running, as the
// parts know it.
var probes = map[string]func(n *node) any{
	"log.level":                     func(n *node) any { return n.level.Level() },
	"http.public_url":               func(n *node) any { return n.edge.Policy().PublicURL },
	"http.plain":                    func(n *node) any { return n.edge.Policy().Plain },
	"http.trusted_proxies":          func(n *node) any { return n.edge.Policy().TrustedProxies },
	"http.cors_origins":             func(n *node) any { return n.edge.Policy().CORSOrigins },
	"bosh.wait":                     func(n *node) any { return n.bosh.Config().Wait },
	"bosh.hold":                     func(n *node) any { return n.bosh.Config().Hold },
	"bosh.requests":                 func(n *node) any { return n.bosh.Config().Requests },
	"bosh.inactivity":               func(n *node) any { return n.bosh.Config().Inactivity },
	"bosh.polling":                  func(n *node) any { return n.bosh.Config().Polling },
	"bosh.maxpause":                 func(n *node) any { return n.bosh.Config().MaxPause },
	"bosh.compress":                 func(n *node) any { return n.bosh.Config().Compress },
	"websocket.ping":                func(n *node) any { return n.websocket.Limits().Ping },
	"auth.mechanisms":               func(n *node) any { return n.accounts.Config().Mechanisms },
	"auth.plain":                    func(n *node) any { return n.accounts.Config().PlainInsecure },
	"auth.iterations":               func(n *node) any { return n.accounts.Config().Iterations },
	"auth.failed_logins_per_minute": func(n *node) any { return n.accounts.Config().FailuresPerMinute },
	"auth.max_delay":                func(n *node) any { return n.accounts.Config().MaxDelay },
	"auth.verified_ttl":             func(n *node) any { return n.accounts.Config().VerifiedTTL },
	"auth.oauth":                    func(n *node) any { return n.oauth.Issuers() },
	"ldap.filter":                   func(n *node) any { return n.directory.Settings().Filter },
	"ldap.group_filter":             func(n *node) any { return n.directory.Settings().GroupFilter },
	"ldap.enabled.filter":           func(n *node) any { return n.directory.Settings().Enabled.Filter },
	"ldap.enabled.attribute":        func(n *node) any { return n.directory.Settings().Enabled.Attribute },
	"ldap.enabled.value":            func(n *node) any { return n.directory.Settings().Enabled.Value },
	"ldap.enabled.groups":           func(n *node) any { return n.directory.Settings().Enabled.Groups },
	"ldap.enabled.depth":            func(n *node) any { return n.directory.Settings().Enabled.Depth },
	"ldap.timeout":                  func(n *node) any { return n.directory.Settings().Timeout },
	"ldap.read_timeout":             func(n *node) any { return n.directory.Settings().ReadTimeout },
	"ldap.refresh":                  func(n *node) any { return n.directory.Settings().Refresh },
	"ldap.page_size":                func(n *node) any { return n.directory.Settings().PageSize },
	"ldap.login_cache":              func(n *node) any { return n.accounts.Config().LoginCache },
	"groups.required":               func(n *node) any { return n.wish.Load().Required },
	"groups.authorised":             func(n *node) any { return slices.Clone(n.wish.Load().Authorised) },
	"presence.policy":               func(n *node) any { return n.presence.Settings().Policy.Order },
	"presence.ringing_is_busy":      func(n *node) any { return n.presence.Settings().Policy.RingingIsBusy },
	"presence.phone_only":           func(n *node) any { return n.presence.Settings().Policy.PhoneOnly },
	"presence.idle_after":           func(n *node) any { return n.presence.Settings().Policy.IdleAfter },
	"presence.gather":               func(n *node) any { return n.presence.Settings().Gather },
	"presence.history":              func(n *node) any { return n.presence.Keep() },
	"presence.shows.phone":          func(n *node) any { return n.presence.Settings().Policy.PhoneShow },
	"presence.shows.meeting":        func(n *node) any { return n.presence.Settings().Policy.MeetingShow },
	"presence.shows.out_of_office":  func(n *node) any { return n.presence.Settings().Policy.OutShow },
	"presence.language":             func(n *node) any { return n.presence.Settings().Texts[presence.Away] },
	"presence.texts":                func(n *node) any { return n.presence.Settings().Texts[presence.Available] },
	"presence.supervisors":          func(n *node) any { return slices.Clone(n.composing.teams.Rules()) },
	"presence.lines":                func(n *node) any { return len(n.composing.lineMap.Users("2001")) },
	"presence.lines_file":           func(n *node) any { return len(n.composing.lineMap.Users("2002")) },
	"presence.http.token":           func(n *node) any { return n.composing.lines.Settings().Token },
	"presence.http.ttl":             func(n *node) any { return n.composing.lines.Settings().TTL },
	"certs.cert_file":               func(n *node) any { return n.certs.Fingerprint() },
	"certs.key_file":                func(n *node) any { return n.certs.Fingerprint() },
	"certs.dir":                     func(n *node) any { return n.certs.Fingerprint() },
	"certs.hosts":                   func(n *node) any { return n.certs.Fingerprint() },
	"limits.body":                   func(n *node) any { return n.bosh.Config().Limits.Bytes },
	"limits.stanza": func(n *node) any {
		return both{n.bosh.Config().Limits.StanzaBytes, n.websocket.Limits().Stanza.StanzaBytes}
	},
	"limits.depth":      func(n *node) any { return both{n.bosh.Config().Limits.Depth, n.websocket.Limits().Stanza.Depth} },
	"limits.attributes": func(n *node) any { return both{n.bosh.Config().Limits.Attrs, n.websocket.Limits().Stanza.Attrs} },
	"limits.children": func(n *node) any {
		return both{n.bosh.Config().Limits.Children, n.websocket.Limits().Stanza.Children}
	},
	"search.max_results":      func(n *node) any { return n.people.search.Limits().Most },
	"search.min_length":       func(n *node) any { return n.people.search.Limits().MinLength },
	"search.unit":             func(n *node) any { return n.people.search.Limits().Unit },
	"search.rate":             func(n *node) any { return n.people.search.Limits().Rate },
	"limits.contacts":         func(n *node) any { return n.rosters.MaxContacts() },
	"limits.offline":          func(n *node) any { return n.offline.Limits().Messages },
	"limits.offline_expiry":   func(n *node) any { return n.offline.Limits().Expiry },
	"limits.private":          func(n *node) any { return n.xml.Limits().Bytes },
	"limits.private_elements": func(n *node) any { return n.xml.Limits().Elements },
	"limits.vcard":            func(n *node) any { return n.cards.MaxBytes() },
	"limits.resources":        func(n *node) any { return n.sessions.Limits().Resources },
	"limits.unauthenticated": func(n *node) any {
		return both{n.bosh.Config().Unauthenticated, n.websocket.Limits().Unauthenticated}
	},
	"limits.sessions":    func(n *node) any { return n.sessions.Limits().Sessions },
	"limits.queue":       func(n *node) any { return both{n.bosh.Config().Queue, n.websocket.Limits().Queue} },
	"limits.queue_bytes": func(n *node) any { return both{n.bosh.Config().QueueBytes, n.websocket.Limits().QueueBytes} },
	"limits.memory":      func(n *node) any { return n.bosh.Config().Memory },
}

// both are the values of two parts, which have to change together.
type both [2]any

func look(n *node) map[string]any {
	seen := map[string]any{}
	for path, probe := range probes {
		seen[path] = probe(n)
	}
	return seen
}

// key is one of the configuration.
type key struct {
	path  string
	live  bool
	field []int
	one   []string
}

func allKeys(t reflect.Type, prefix string, index []int) (all []key) {
	for f := range t.Fields() {
		path, at := prefix+f.Tag.Get("key"), append(slices.Clone(index), f.Index...)
		if f.Type.Kind() == reflect.Struct {
			all = append(all, allKeys(f.Type, path+".", at)...)
			continue
		}
		all = append(all, key{path, f.Tag.Get("live") == "yes", at, strings.Fields(f.Tag.Get("one"))})
	}
	return all
}

// changed returns cfg with another value of a key that is still valid, with
// other keys where it cannot change alone.
func (k key) changed(t *testing.T, cfg configs.Config, certFile, keyFile string) configs.Config {
	t.Helper()
	v := reflect.ValueOf(&cfg).Elem().FieldByIndex(k.field)
	texts := map[string]string{
		"certs.acme.directory": "https://acme.example.com/directory", "certs.acme.email": "a@example.com", "certs.acme.ca_file": "ca.pem",
		"data_dir": t.TempDir(), "http.public_url": "https://chat.example.com", "http.listen": "127.0.0.1:1",
		"admin.listen": "127.0.0.1:2", "websocket.path": "/ws", "demo.password": "secret",
		"cluster.node": "n1", "cluster.listen": ":1", "cluster.advertise": "192.0.2.1", "cluster.public_url": "https://n1.example.com",
		"cluster.internal_url": "http://192.0.2.1", "cluster.key": "MDEyMzQ1Njc4OWFiY2RlZg==", "cluster.seeds_file": "seeds",
		"redis.url": "redis://redis.example.com", "redis.password": "secret", "redis.prefix": "other:", "redis.tls.ca_file": "ca.pem",
		"search.unit": "OU=Agents", "redis.tls.server_name": "redis.example.com", "redis.sentinel.username": "a", "redis.sentinel.password": "secret",
		"users.jid":    "{login}-x",
		"ldap.ca_file": "ca.pem", "ldap.server_name": "ldap.example.com", "ldap.bind_password": "secret", "ldap.base": "dc=example,dc=net",
		"ldap.group_base": "ou=groups,dc=example,dc=com", "ldap.filter": "(uid=*)", "ldap.group_filter": "(cn=*)",
		"ldap.enabled.filter": "(o=x)", "ldap.enabled.attribute": "agent", "ldap.enabled.value": "yes",
		"sip.listen": "localhost:0", "sip.tls_listen": "localhost:0", "sip.realm": "pbx", "sip.users_file": filepath.Join(t.TempDir(), "users"), "sip.ca_file": "ca.pem",
		"presence.numbers.country": "49", "presence.numbers.trunk": "8", "presence.numbers.international": "011",
		"presence.http.token": "0123456789abcdef", "presence.lines_file": filepath.Join(t.TempDir(), "lines"),
	}
	if err := os.WriteFile(texts["presence.lines_file"], []byte("# whose\n2002=alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(texts["sip.users_file"], []byte("cucm:deskline:0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lists := map[string]string{
		"sip.domains":          "pbx.example.com",
		"presence.supervisors": "Supervisors > Agents",
		"presence.lines":       "2001=alice", "presence.texts": "available=Here",
		"presence.numbers.rules": "7(.*)=$1",
		"domains":                "example.com", "http.cors_origins": "https://a.example", "bosh.paths": "/b", "auth.mechanisms": "PLAIN",
		"certs.hosts": "a.example", "certs.acme.hosts": "a.example",
		"ldap.urls": "ldap://127.0.0.1:2", "ldap.domains": "localhost", "ldap.enabled.groups": "cn=chat,dc=example,dc=com",
		"cluster.seeds": "n2.example.com", "redis.cluster.addrs": "redis.example.com:6379",
		"groups.authorised": "Agents",
	}
	if strings.HasPrefix(k.path, "cluster.") { // a node has a name, an address and a pair
		cfg.Cluster.Node, cfg.Cluster.PublicURL = texts["cluster.node"], texts["cluster.public_url"]
		cfg.Cluster.Pairs = []configs.Pair{{"n1", "n2"}}
	}
	switch {
	case k.path == "cluster.pairs":
	case k.path == "auth.oauth":
		next, err := configs.Parse([]byte("auth: {oauth: [{issuer: 'http://127.0.0.1:1', audience: [deskline]}]}"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Auth.OAuth = next.Auth.OAuth
	case k.path == "presence.calendars":
		next, err := configs.Parse([]byte("presence: {calendars: [{name: work, url: 'https://cal.example.com/{user}/'}]}"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Presence.Calendars = next.Presence.Calendars
	case strings.HasPrefix(k.path, "presence.") && v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		v.Set(switchOf(t, k.path))
	case k.path == "scope.tenants":
		cfg.Scope.Tenants = [][]string{{cfg.Domains[0]}}
	case k.path == "certs.cert_file" || k.path == "certs.key_file":
		cfg.Certs.CertFile, cfg.Certs.KeyFile = certFile, keyFile
	case k.path == "certs.acme.enabled":
		cfg.HTTP.Listen = texts["http.listen"] // a port that the authority can be told
		cfg.Certs.ACME.Enabled, cfg.Certs.ACME.Agree, cfg.Certs.ACME.Hosts = true, true, []string{"a.example"}
	case k.path == "certs.dir":
		v.SetString(filepath.Dir(certFile))
	case k.path == "sip.subscribe":
		next, err := configs.Parse([]byte("sip: {subscribe: [{server: 'sip:pbx.example.com', lines: ['2001']}]}"))
		if err != nil {
			t.Fatal(err)
		}
		cfg.SIP.Subscribe = next.SIP.Subscribe
	case k.path == "sip.transports":
		cfg.SIP.Transports = []string{"udp", "tls"}
	case k.path == "http.trusted_proxies" || k.path == "sip.trusted":
		v.SetZero() // not what the first list is in
		if err := json.Unmarshal([]byte(`["192.0.2.0/24"]`), v.Addr().Interface()); err != nil {
			t.Fatal(err)
		}
	case k.path == "redis.username":
		cfg.Redis.Username, cfg.Redis.Password = "a", "secret"
	case k.path == "redis.sentinel.master" || k.path == "redis.sentinel.addrs":
		cfg.Redis.Sentinel.Master, cfg.Redis.Sentinel.Addrs = "m", []string{"redis.example.com:26379"}
	case k.path == "redis.tls.cert_file" || k.path == "redis.tls.key_file":
		cfg.Redis.TLS.CertFile, cfg.Redis.TLS.KeyFile = certFile, keyFile
	case k.path == "demo.enabled":
		cfg.Demo.Enabled, cfg.Domains, cfg.LDAP.Domains = true, []string{"localhost", "example.com"}, []string{"example.com"}
	case k.path == "ldap.start_tls":
		cfg.LDAP.StartTLS = true
	case k.path == "ldap.bind_dn":
		cfg.LDAP.BindDN, cfg.LDAP.BindPassword = "cn=reader", "secret"
	case k.path == "ldap.cert_file" || k.path == "ldap.key_file":
		cfg.LDAP.CertFile, cfg.LDAP.KeyFile = certFile, keyFile
	case k.path == "ldap.attributes.phones" || k.path == "ldap.attributes.lines":
		v.Set(reflect.ValueOf([]string{"ipPhone"}))
	case strings.HasPrefix(k.path, "ldap.attributes."):
		v.SetString("other")
	case k.path == "http.plain":
		v.SetString("any")
	case len(k.one) > 1:
		v.SetString(k.one[(slices.Index(k.one, v.String())+1)%len(k.one)])
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf([]string{lists[k.path]}))
	case v.Kind() == reflect.String:
		v.SetString(texts[k.path])
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(v.Int() + int64(time.Second))
	default:
		v.SetInt(v.Int() + 1)
	}
	return cfg
}

func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	cert, key, err := certs.SelfSigned([]string{"other.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := errors.Join(os.WriteFile(certFile, cert, 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile
}

// TestReloadEachKey changes every key there is: one that may change while
// running is in force after a reload in each part that it is for, and no other
// is; any other is named as one that needs a restart, and nothing changes.
func TestReloadEachKey(t *testing.T) {
	r, base := newReloading(t)
	certFile, keyFile := certificate(t)
	keys := allKeys(reflect.TypeFor[configs.Config](), "", nil)
	for _, k := range keys {
		t.Run(k.path, func(t *testing.T) {
			before := look(r.node)
			next := k.changed(t, base, certFile, keyFile)
			live, restart := configs.Diff(base, next)
			said := r.reloadWith(t, next)
			if said.Msg != "reloaded" || !slices.Equal(said.Changed, live) || !slices.Equal(said.Restart, restart) {
				t.Fatalf("log says %+v, want live %v, restart %v", said, live, restart)
			}
			if k.live != slices.Contains(said.Changed, k.path) || k.live == slices.Contains(said.Restart, k.path) {
				t.Errorf("log says %+v", said)
			}
			after := look(r.node)
			if k.live && probes[k.path] == nil {
				t.Fatal("nothing tells whether it is in force")
			}
			for path, was := range before {
				same := reflect.DeepEqual(was, after[path])
				if path == k.path && same {
					t.Errorf("%v is still in force", was)
				}
				if pair, ok := after[path].(both); ok && !reflect.DeepEqual(pair[0], pair[1]) {
					t.Errorf("%s is %v in one part and %v in another", path, pair[0], pair[1])
				}
				if sameProbe := strings.HasPrefix(k.path, "certs.") && strings.HasPrefix(path, "certs."); path != k.path && !same && !sameProbe {
					t.Errorf("%s changed from %v to %v", path, was, after[path])
				}
			}
			if said := r.reloadWith(t, base); k.live && said.Msg != "reloaded" {
				t.Fatalf("back again: %+v", said)
			}
		})
	}
	for path := range probes {
		if !slices.ContainsFunc(keys, func(k key) bool { return k.path == path && k.live }) {
			t.Errorf("%s is in force at once and not marked so", path)
		}
	}
}

// A file that cannot be used changes nothing, not even what is right in it.
func TestReloadRefused(t *testing.T) {
	r, base := newReloading(t)
	before := look(r.node)
	missing, bad := base, base
	missing.Limits.Sessions, missing.HTTP.Plain, missing.Log.Level = 7, "any", "debug"
	missing.Certs.CertFile, missing.Certs.KeyFile = "/nonexistent/cert.pem", "/nonexistent/key.pem"
	bad.Limits.Sessions, bad.BOSH.Wait = 7, time.Hour
	for name, tt := range map[string]struct {
		cfg  configs.Config
		want string
	}{
		"no certificate": {missing, "certs.cert_file"},
		"bad value":      {bad, "bosh.wait: 1h is above 10m"},
	} {
		t.Run(name, func(t *testing.T) {
			said := r.reloadWith(t, tt.cfg)
			if said.Msg != "reload: the configuration stays as it is" || !strings.Contains(said.Err, tt.want) {
				t.Errorf("log says %+v", said)
			}
			if after := look(r.node); !maps.EqualFunc(before, after, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("before\n%v\nafter\n%v", before, after)
			}
		})
	}
	if said := r.reloadWith(t, base); said.Msg != "reloaded" || len(said.Changed)+len(said.Restart) != 0 {
		t.Errorf("the right one again: %+v", said)
	}
}
