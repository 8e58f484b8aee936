package sip_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// becomes has a source go by another configuration, as change makes it of the present one.
func (w *world) becomes(change func(*sip.Config)) {
	w.t.Helper()
	cfg := *w.source.Config()
	change(&cfg)
	c, err := w.source.Prepare(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	c.Commit()
}

const line = "sip:2001@pbx.example.com"

// TestChangeOfPorts moves a source to other ports. Publications go on there under their tags.
func TestChangeOfPorts(t *testing.T) {
	t.Parallel()
	w := start(t, sip.Config{Trusted: loopback})
	p := dial(t, "tcp", w.addr())
	first := p.say("PUBLISH", uri2001, isPresence+"Expires: 600\r\n", offHook)
	w.await(line, presence.LineInCall)
	was := w.addr()
	w.becomes(func(c *sip.Config) { c.Listen = "localhost:0" })
	if w.addr() == was {
		t.Fatal("the port is the same")
	}
	if _, err := net.Dial("tcp", was); err == nil {
		t.Error("the old port is open")
	}
	if _, err := p.r.ReadByte(); err == nil {
		t.Error("the old connection is open")
	}
	p = dial(t, "udp", w.addr())
	if r := p.say("PUBLISH", uri2001, isPresence+"SIP-If-Match: "+first.get("SIP-ETag")+"\r\n", onHook); r.code != 200 {
		t.Errorf("at the new port: %+v", r)
	}
	w.await(line, presence.LineIdle)

	w.becomes(func(c *sip.Config) { c.TLSListen, c.TLS = "127.0.0.1:0", certificate(t) })
	udp, tcp, secure := w.source.Addrs()
	if r := dial(t, "tls", secure.String()).say("OPTIONS", uri2001, "", ""); r.code != 200 {
		t.Errorf("%+v", r)
	}
	w.becomes(func(c *sip.Config) { c.UDP, c.TLSListen = false, "" })
	if u, same, s := w.source.Addrs(); u != nil || same.String() != tcp.String() || s != nil {
		t.Errorf("%v, %v, %v are open", u, same, s)
	}
	if c, err := net.ListenPacket("udp", udp.String()); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
}

// TestChangeRefused leaves all as it is.
func TestChangeRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := start(t, sip.Config{Trusted: loopback})
	p := dial(t, "tcp", w.addr())
	tag := p.say("PUBLISH", uri2001, isPresence, offHook).get("SIP-ETag")
	for name, tt := range map[string]struct {
		change func(*sip.Config)
		want   error
		text   string
	}{
		"port":          {func(c *sip.Config) { c.Listen, c.UDP = taken.Addr().String(), false }, sip.ErrPort, "in use"},
		"port of TLS":   {func(c *sip.Config) { c.TLSListen, c.TLS = taken.Addr().String(), certificate(t) }, sip.ErrTLSPort, "in use"},
		"own port":      {func(c *sip.Config) { _, port, _ := net.SplitHostPort(w.addr()); c.Listen = ":" + port }, sip.ErrPort, "needs a restart"},
		"no lines":      {func(c *sip.Config) { c.Subscribe = []sip.Subscription{{Server: "sip:pbx", Event: "cats"}} }, nil, "event"},
		"aborted":       {nil, nil, ""},
		"aborted twice": {nil, nil, ""},
	} {
		cfg := *w.source.Config()
		if tt.change == nil {
			cfg.Listen, cfg.TLSListen, cfg.TLS, cfg.Trusted = "127.0.0.1:0", "127.0.0.2:0", certificate(t), nil
			c, err := w.source.Prepare(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			c.Abort()
			continue
		}
		tt.change(&cfg)
		if _, err := w.source.Prepare(t.Context(), cfg); err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := p.say("PUBLISH", uri2001, isPresence+"SIP-If-Match: "+tag+"\r\n", onHook); r.code != 200 {
		t.Errorf("%+v", r)
	}
}

// TestChangeOfTrust changes who may publish. What those said who may not any more is taken back.
func TestChangeOfTrust(t *testing.T) {
	t.Parallel()
	users := sip.Users{"cucm": strings.Repeat("0", 32)}
	w := start(t, sip.Config{Trusted: loopback, MaxPublications: 10})
	p := dial(t, "tcp", w.addr())
	tag := p.say("PUBLISH", uri2001, isPresence, offHook).get("SIP-ETag")
	w.await(line, presence.LineInCall)
	w.becomes(func(c *sip.Config) { c.MaxPublications, c.MinExpires, c.MaxExpires = 1, 2*time.Minute, 3*time.Minute })
	if r := p.say("PUBLISH", uri2001, "Event: presence\r\nExpires: 60\r\nSIP-If-Match: "+tag+"\r\n", ""); r.code != 423 || r.get("Min-Expires") != "120" {
		t.Errorf("%+v", r)
	}
	r := p.say("PUBLISH", uri2001, "Event: presence\r\nExpires: 600\r\nSIP-If-Match: "+tag+"\r\n", "")
	if tag = r.get("SIP-ETag"); r.code != 200 || r.get("Expires") != "180" {
		t.Errorf("%+v", r)
	}
	if r := p.say("PUBLISH", uri2001, isPresence, offHook); r.code != 503 {
		t.Errorf("above the limit: %+v", r)
	}
	w.becomes(func(c *sip.Config) { c.Domains = []string{"other.example.com"} })
	w.await(line, presence.LineUnknown)
	w.becomes(func(c *sip.Config) { c.Domains = nil })
	if r := p.say("PUBLISH", uri2001, "Event: presence\r\nSIP-If-Match: "+tag+"\r\n", ""); r.code != 412 {
		t.Errorf("after it was forgotten: %+v", r)
	}
	p.say("PUBLISH", uri2001, isPresence, offHook)
	w.await(line, presence.LineInCall)
	w.becomes(func(c *sip.Config) {
		c.Trusted, c.Users, c.Realm = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, users, "desk"
	})
	w.await(line, presence.LineUnknown)
	if r := p.say("PUBLISH", uri2001, isPresence, offHook); r.code != 401 || !strings.Contains(r.get("WWW-Authenticate"), `realm="desk"`) {
		t.Errorf("without trust: %+v", r)
	}
	w.becomes(func(c *sip.Config) { c.Users = nil })
	if r := p.say("PUBLISH", uri2001, isPresence, offHook); r.code != 403 {
		t.Errorf("without users: %+v", r)
	}
}

// asked takes the SUBSCRIBEs that come to a PBX until so many have come, grants them and says that the lines are in
// calls. It returns the requests by line.
func (p *pbx) asked(n int) map[string]request {
	p.t.Helper()
	all := map[string]request{}
	for len(all) < n {
		r := p.next()
		p.answer(r, 200, granted)
		p.notify(r, "active", info("0", "full", call("a", "confirmed")))
		all[lineOf(r)] = r
	}
	return all
}

func lineOf(r request) string {
	_, user, _ := strings.Cut(r.headers["to"], ":")
	user, _, _ = strings.Cut(user, "@")
	return user
}

func (p *pbx) spec(lines ...string) sip.Subscription {
	return sip.Subscription{Server: "sip:" + p.conn.LocalAddr().String(), Event: "dialog", Lines: lines, Expires: time.Hour}
}

// silent checks that nothing was asked for.
func (p *pbx) silent() {
	p.t.Helper()
	select {
	case r := <-p.requests:
		p.t.Errorf("%s, expires %s", r.headers["to"], r.headers["expires"])
	default:
	}
}

// TestChangeOfSubscriptions changes what is subscribed to. What stays is not asked for again.
func TestChangeOfSubscriptions(t *testing.T) {
	t.Parallel()
	a, b := newPBX(t), newPBX(t)
	w := start(t, sip.Config{Subscribe: []sip.Subscription{a.spec("3000-3009", "3001")}})
	if got := a.asked(10); len(got) != 10 {
		t.Fatal(got)
	}
	for n := range 10 {
		w.await(fmt.Sprintf("sip:30%02d@127.0.0.1", n), presence.LineInCall)
	}

	// Another server, and nothing for the first one.
	w.becomes(func(c *sip.Config) { c.Subscribe = append(c.Subscribe, b.spec("4001")) })
	b.asked(1)
	w.await("sip:4001@127.0.0.1", presence.LineInCall)
	a.silent()

	// A line more, and one less.
	w.becomes(func(c *sip.Config) { c.Subscribe = []sip.Subscription{a.spec("3001-3010"), b.spec("4001")} })
	seen := map[string]string{}
	for len(seen) < 2 {
		r := a.next()
		a.answer(r, 200, granted)
		if seen[lineOf(r)] = r.headers["expires"]; r.headers["expires"] != "0" {
			a.notify(r, "active", info("0", "full", call("a", "confirmed")))
		}
	}
	if !maps.Equal(seen, map[string]string{"3000": "0", "3010": "3600"}) {
		t.Errorf("%v", seen)
	}
	w.await("sip:3000@127.0.0.1", presence.LineUnknown)
	w.await("sip:3010@127.0.0.1", presence.LineInCall)
	w.await("sip:3001@127.0.0.1", presence.LineInCall)

	// Another password has the whole server asked anew. What it said counts meanwhile.
	w.becomes(func(c *sip.Config) {
		one := a.spec("3001-3010")
		one.User, one.Password = "desk", "secret"
		c.Subscribe = []sip.Subscription{one, b.spec("4001")}
	})
	seen = map[string]string{}
	for len(seen) < 20 {
		r := a.next()
		a.answer(r, 200, granted)
		seen[lineOf(r)+" "+r.headers["call-id"]] = r.headers["expires"]
	}
	if ends := slices.Sorted(maps.Values(seen)); ends[9] != "0" || ends[10] != "3600" {
		t.Errorf("%v", seen)
	}
	w.await("sip:3001@127.0.0.1", presence.LineInCall)
	b.silent()

	// The server goes. What it said is forgotten.
	w.becomes(func(c *sip.Config) { c.Subscribe = []sip.Subscription{b.spec("4001")} })
	w.await("sip:3001@127.0.0.1", presence.LineUnknown)
	w.await("sip:4001@127.0.0.1", presence.LineInCall)
	b.silent()

	// At another port it has to be said where to tell.
	w.becomes(func(c *sip.Config) { c.Listen = "localhost:0" })
	for range 2 {
		r := b.next()
		b.answer(r, 200, granted)
		if r.headers["expires"] == "0" {
			continue
		}
		if udp, _, _ := w.source.Addrs(); !strings.Contains(r.headers["contact"], udp.String()) || r.from.String() != udp.String() {
			t.Errorf("%s from %s", r.headers["contact"], r.from)
		}
		b.notify(r, "active", info("0", "full", ""))
	}
	w.await("sip:4001@127.0.0.1", presence.LineIdle)
}

// TestChangesAtOnce changes ports, lines and servers while all of them are at work, and leaves nothing behind.
func TestChangesAtOnce(t *testing.T) {
	pbxes := []*pbx{newPBX(t), newPBX(t)}
	for _, p := range pbxes {
		go func() {
			for {
				select {
				case r := <-p.requests:
					p.answer(r, 200, granted)
				case <-t.Context().Done():
					return
				}
			}
		}()
	}
	t.Run("life", func(t *testing.T) {
		w := start(t, sip.Config{Trusted: loopback})
		for i := range 100 {
			var all []sip.Subscription
			for k, p := range pbxes {
				if (i>>k)&1 == 0 {
					all = append(all, p.spec(fmt.Sprintf("30%02d-3099", i%50)))
				}
			}
			w.becomes(func(c *sip.Config) {
				if c.Subscribe = all; i%5 == 0 {
					c.Listen = []string{"127.0.0.1:0", "localhost:0"}[i/5%2]
				}
			})
			if i%10 == 0 {
				if r := dial(t, "tcp", w.addr()).say("PUBLISH", uri2001, isPresence, offHook); r.code != 200 {
					t.Errorf("%+v", r)
				}
			}
		}
		w.becomes(func(c *sip.Config) { c.Subscribe = nil })
		w.until("no target is left", func() bool { return goroutinesIn("(*target).run") == 0 && goroutinesIn("(*Source).serveOne") == 2 })
	})
	// With a source that has ended nothing is to be opened.
	ctx, cancel := context.WithCancel(t.Context())
	s, err := sip.New(sip.Config{Listen: "127.0.0.1:0", TCP: true, Lines: owners{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Run(ctx, nil); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	cfg := *s.Config()
	cfg.Listen = "localhost:0"
	c, err := s.Prepare(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Commit()
	if _, tcp, _ := s.Addrs(); tcp != nil {
		if _, err := net.Dial("tcp", tcp.String()); err == nil {
			t.Error("a port is open")
		}
	}
}

// goroutinesIn counts those in a function. The test must not be parallel.
func goroutinesIn(function string) int {
	buf := make([]byte, 16<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), function+"(")
}
