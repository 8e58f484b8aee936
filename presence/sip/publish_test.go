package sip_test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

const (
	uri2001    = "sip:2001@pbx.example.com"
	isPresence = "Event: presence\r\nContent-Type: application/pidf+xml\r\n"
	isDialog   = "Event: dialog\r\nContent-Type: application/dialog-info+xml\r\n"
)

var (
	offHook = pidfHead + `<tuple id="a"><status><basic>closed</basic></status></tuple><dm:person id="p"><r:activities><r:busy/></r:activities></dm:person></presence>`
	onHook  = pidfHead + `<tuple id="a"><status><basic>open</basic></status></tuple></presence>`
)

// TestPublication is the life of one over each transport: begun, refreshed,
// changed, removed.
func TestPublication(t *testing.T) {
	for _, network := range []string{"udp", "tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			w := start(t, sip.Config{Listen: "127.0.0.1:0", UDP: true, TCP: true, TLSListen: "127.0.0.1:0", TLS: certificate(t), Trusted: loopback})
			addr := w.addr()
			if _, _, secure := w.source.Addrs(); network == "tls" {
				addr = secure.String()
			}
			p := dial(t, network, addr)
			first := p.say("PUBLISH", uri2001, isPresence+"Expires: 600\r\n", offHook)
			if first.code != 200 || first.get("SIP-ETag") == "" || first.get("Expires") != "600" {
				t.Fatalf("%+v", first)
			}
			w.await(uri2001, presence.LineInCall)
			if e := w.state(uri2001); e.Source != "sip" || e.Since.IsZero() || time.Until(e.Expires) > 10*time.Minute || time.Until(e.Expires) < 5*time.Minute {
				t.Errorf("%+v", e)
			}
			refresh := p.say("PUBLISH", uri2001, "Event: presence\r\nExpires: 1200\r\nSIP-If-Match: "+first.get("SIP-ETag")+"\r\n", "")
			if refresh.code != 200 {
				t.Fatalf("%+v", refresh)
			}
			w.until("a later end", func() bool { return time.Until(w.state(uri2001).Expires) > 11*time.Minute })
			if r := p.say("PUBLISH", uri2001, isPresence+"SIP-If-Match: "+first.get("SIP-ETag")+"\r\n", onHook); r.code != 412 {
				t.Errorf("a tag that is over: %+v", r)
			}
			changed := p.say("PUBLISH", uri2001, isPresence+"SIP-If-Match: "+refresh.get("SIP-ETag")+"\r\n", onHook)
			w.await(uri2001, presence.LineIdle)
			if r := p.say("PUBLISH", uri2001, "Event: presence\r\nExpires: 0\r\nSIP-If-Match: "+changed.get("SIP-ETag")+"\r\n", ""); r.code != 200 {
				t.Errorf("removal: %+v", r)
			}
			w.await(uri2001, presence.LineUnknown)
			if !w.state(uri2001).Expires.IsZero() {
				t.Error("not taken back")
			}
		})
	}
}

func TestRefused(t *testing.T) {
	w := start(t, sip.Config{Trusted: loopback, Domains: []string{"pbx.example.com"}, MaxPublications: 2})
	for _, tt := range []struct {
		name, method, uri, headers, body string
		code                             int
		header, value                    string
	}{
		{"another event", "PUBLISH", uri2001, "Event: message-summary\r\nContent-Type: text/plain\r\n", "x", 489, "Allow-Events", "presence, dialog"},
		{"no event", "PUBLISH", uri2001, "", onHook, 489, "", ""},
		{"another type", "PUBLISH", uri2001, "Event: presence\r\nContent-Type: application/dialog-info+xml\r\n", onHook, 415, "Accept", "application/pidf+xml"},
		{"packed", "PUBLISH", uri2001, isDialog + "Content-Encoding: gzip\r\n", onHook, 415, "Accept", "application/dialog-info+xml"},
		{"too brief", "PUBLISH", uri2001, isPresence + "Expires: 1\r\n", onHook, 423, "Min-Expires", "60"},
		{"no number", "PUBLISH", uri2001, isPresence + "Expires: soon\r\n", onHook, 400, "", ""},
		{"too long is shortened", "PUBLISH", uri2001, isPresence + "Expires: 4000000000\r\n", onHook, 200, "Expires", "3600"},
		{"no lifetime", "PUBLISH", uri2001, isPresence, onHook, 200, "Expires", "3600"},
		{"too many", "PUBLISH", uri2001, isPresence, onHook, 503, "Retry-After", "30"},
		{"a tag nobody gave", "PUBLISH", uri2001, "Event: presence\r\nSIP-If-Match: x\r\n", "", 412, "", ""},
		{"nothing at all", "PUBLISH", uri2001, "Event: presence\r\n", "", 400, "", ""},
		{"malformed", "PUBLISH", uri2001, isPresence + "Expires: 0\r\n", "<presence", 400, "", ""},
		{"another domain", "PUBLISH", "sip:2001@elsewhere", isPresence, onHook, 404, "", ""},
		{"an extension", "PUBLISH", uri2001, isPresence + "Require: magic\r\n", onHook, 420, "Unsupported", "magic"},
		{"options", "OPTIONS", "sip:pbx.example.com", "", "", 200, "Allow", "PUBLISH, NOTIFY, OPTIONS"},
		{"register", "REGISTER", uri2001, "", "", 405, "Allow", "PUBLISH, NOTIFY, OPTIONS"},
		{"invite", "INVITE", uri2001, "Contact: <sip:a@127.0.0.1>\r\n", "", 405, "Allow", "PUBLISH, NOTIFY, OPTIONS"},
		{"notify nobody asked for", "NOTIFY", uri2001, isDialog + "Subscription-State: active\r\n", info("0", "full", ""), 481, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := dial(t, "tcp", w.addr()).say(tt.method, tt.uri, tt.headers, tt.body)
			if r.code != tt.code || tt.header != "" && r.get(tt.header) != tt.value {
				t.Errorf("%d %q, want %d %q", r.code, r.get(tt.header), tt.code, tt.value)
			}
		})
	}
}

// TestSharedLine has two telephones tell of one line.
func TestSharedLine(t *testing.T) {
	w := start(t, sip.Config{Trusted: loopback})
	p := dial(t, "tcp", w.addr())
	one := p.say("PUBLISH", uri2001, isPresence, offHook)
	w.await(uri2001, presence.LineInCall)
	two := p.say("PUBLISH", uri2001, isDialog, strings.ReplaceAll(info("0", "full", ""), "sip:2001@pbx", uri2001))
	p.say("PUBLISH", "sip:2002@pbx.example.com", isDialog, strings.ReplaceAll(info("0", "full", ""), "sip:2001@pbx", "sip:2002@pbx.example.com"))
	w.await("sip:2002@pbx.example.com", presence.LineIdle)
	if got := w.state(uri2001).Line; got != presence.LineInCall {
		t.Errorf("the idle telephone hides the call: %v", got)
	}
	p.say("PUBLISH", uri2001, "Event: presence\r\nExpires: 0\r\nSIP-If-Match: "+one.get("SIP-ETag")+"\r\n", "")
	w.await(uri2001, presence.LineIdle)
	p.say("PUBLISH", uri2001, "Event: dialog\r\nExpires: 0\r\nSIP-If-Match: "+two.get("SIP-ETag")+"\r\n", "")
	w.await(uri2001, presence.LineUnknown)
}

// TestPublicationExpires has a publisher die.
func TestPublicationExpires(t *testing.T) {
	w := start(t, sip.Config{Trusted: loopback, MinExpires: time.Second})
	dial(t, "udp", w.addr()).say("PUBLISH", uri2001, isPresence+"Expires: 1\r\n", offHook)
	w.until("busy, then nothing", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		h := w.history["u2001@example.com "+uri2001]
		return len(h) >= 2 && h[0] == presence.LineInCall && h[len(h)-1] == presence.LineUnknown
	})
}

func TestDigest(t *testing.T) {
	md := md5.Sum([]byte("cucm:desk:secret"))
	sha := sha256.Sum256([]byte("new:desk:secret"))
	w := start(t, sip.Config{Realm: "desk", Users: sip.Users{"cucm": hex.EncodeToString(md[:]), "new": hex.EncodeToString(sha[:])}})
	p := dial(t, "tcp", w.addr())
	for _, tt := range []struct {
		name, user, password, algorithm, uri string
		code                                 int
	}{
		{"MD5", "cucm", "secret", "MD5", uri2001, 200},
		{"SHA-256", "new", "secret", "SHA-256", uri2001, 200},
		{"wrong", "cucm", "guess", "MD5", uri2001, 401},
		{"nobody", "root", "secret", "MD5", uri2001, 401},
		{"for another resource", "cucm", "secret", "MD5", "sip:2002@pbx", 401},
		{"a key of another algorithm", "new", "secret", "MD5", uri2001, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := p.say("PUBLISH", uri2001, isPresence, onHook)
			if r.code != 401 || len(r.headers["www-authenticate"]) != 2 {
				t.Fatalf("%+v", r)
			}
			auth := answer(t, r, tt.user, tt.password, tt.algorithm, tt.uri)
			if r = p.say("PUBLISH", uri2001, isPresence+auth, onHook); r.code != tt.code {
				t.Fatalf("%+v", r)
			}
			if tt.code != 200 {
				return
			}
			if r = p.say("PUBLISH", uri2001, isPresence+auth, onHook); r.code != 401 || !strings.Contains(r.get("WWW-Authenticate"), "stale=true") {
				t.Errorf("said again: %+v", r)
			}
		})
	}
}

func answer(t *testing.T, r response, user, password, algorithm, uri string) string {
	t.Helper()
	for _, text := range r.headers["www-authenticate"] {
		c, err := digest.ParseChallenge(text)
		if err != nil {
			t.Fatal(err)
		}
		if c.Algorithm != algorithm {
			continue
		}
		cred, err := digest.Digest(c, digest.Options{Method: "PUBLISH", URI: uri, Count: 1, Username: user, Password: password})
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: " + cred.String() + "\r\n"
	}
	t.Fatalf("no %s in %+v", algorithm, r)
	return ""
}

// TestStrangers are not listened to when nobody may sign in.
func TestStrangers(t *testing.T) {
	w := start(t, sip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	p := dial(t, "tcp", w.addr())
	_ = p.conn.SetDeadline(time.Now().Add(patience))
	if _, err := p.r.ReadByte(); err == nil {
		t.Error("a stranger is served")
	}
}

// TestFlood has one address send more than its rate.
func TestFlood(t *testing.T) {
	w := start(t, sip.Config{Trusted: loopback, Rate: 5})
	p := dial(t, "tcp", w.addr())
	refused := 0
	for range 20 {
		if r := p.say("PUBLISH", uri2001, isPresence, onHook); r.code == 503 {
			refused++
		}
	}
	if refused == 0 {
		t.Error("nothing refused")
	}
}

// TestConnections has one address come and go more often than it may be there.
func TestConnections(t *testing.T) {
	w := start(t, sip.Config{Trusted: loopback})
	for range 150 {
		p := dial(t, "tcp", w.addr())
		if r := p.say("OPTIONS", "sip:pbx.example.com", "", ""); r.code != 200 {
			t.Fatalf("%+v", r)
		}
		_ = p.conn.Close()
	}
}

// TestEndless sends a message that has no end: the connection has one.
func TestEndless(t *testing.T) {
	for name, text := range map[string]struct{ begin, more string }{
		"line":   {"", strings.Repeat("a", 1<<16)},
		"header": {"OPTIONS sip:a@b SIP/2.0\r\n", strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 64)},
		"body":   {"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4000000000\r\n\r\n", strings.Repeat("a", 1<<16)},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, sip.Config{Trusted: loopback})
			p := dial(t, "tcp", w.addr())
			more := []byte(text.begin)
			for range 1000 {
				more = append(more, text.more...)
				if _, err := p.conn.Write(more); err != nil {
					return
				}
				more = more[:0]
			}
			t.Error("64 MiB were read")
		})
	}
}
