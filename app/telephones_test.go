package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence/sip"
)

func init() {
	for path, probe := range map[string]func(c *sip.Config) any{
		"sip.listen":           func(c *sip.Config) any { return c.Listen },
		"sip.tls_listen":       func(c *sip.Config) any { return c.TLSListen },
		"sip.transports":       func(c *sip.Config) any { return [3]bool{c.UDP, c.TCP, c.TLSListen != ""} },
		"sip.trusted":          func(c *sip.Config) any { return c.Trusted },
		"sip.domains":          func(c *sip.Config) any { return c.Domains },
		"sip.realm":            func(c *sip.Config) any { return c.Realm },
		"sip.users_file":       func(c *sip.Config) any { return len(c.Users) },
		"sip.min_expires":      func(c *sip.Config) any { return c.MinExpires },
		"sip.max_expires":      func(c *sip.Config) any { return c.MaxExpires },
		"sip.max_publications": func(c *sip.Config) any { return c.MaxPublications },
		"sip.rate":             func(c *sip.Config) any { return c.Rate },
		"sip.subscribe":        func(c *sip.Config) any { return c.Subscribe },
	} {
		probes[path] = func(n *node) any { return probe(n.composing.phones.now().Config()) }
	}
}

// TestTelephonesEnd changes what listens while it begins and ends, and leaves nothing behind.
func TestTelephonesEnd(t *testing.T) {
	r, base := newReloading(t)
	phones := r.composing.phones
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- phones.run(ctx) }()
	base.SIP.Transports, base.Presence.Lines = []string{"udp", "tcp"}, []string{"2001=alice"}
	port := ""
	for i := range 60 {
		next := base
		switch i % 6 {
		case 1: // the port of the one before
			_, tcp, _ := phones.now().Addrs()
			port = tcp.String()
			next.SIP.Listen = "localhost:0"
		case 2:
			next.SIP.Trusted = nil
		case 3:
			next.SIP.Listen = port
		case 4:
			one := configs.SIPServer{Server: "sip:127.0.0.1:9", Event: "dialog", Lines: []string{fmt.Sprint(2000+i, "-2099")}, Expires: base.SIP.MaxExpires}
			next.SIP.Subscribe = []configs.SIPServer{one}
		case 5:
			next.SIP.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}
		change, err := phones.prepare(t.Context(), next)
		if errors.Is(err, syscall.EADDRINUSE) && i%6 == 3 {
			continue // somebody else was faster
		}
		if err != nil {
			t.Fatal(i, err)
		}
		if i%7 == 6 {
			change.abort()
		} else {
			change.commit()
		}
	}
	last := base
	last.SIP.Trusted = nil
	change, err := phones.prepare(t.Context(), last)
	if err != nil {
		t.Fatal(err)
	}
	change.commit()
	ends(t, "nothing listens", func() bool {
		c, err := net.Dial("tcp", port)
		if err == nil {
			_ = c.Close()
		}
		return err != nil && goroutinesIn("(*telephones).begin.func") == 0 && goroutinesIn("(*Source).serveOne") == 0
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestTelephonesAgain has a source end by itself, which is opened again by what is in force then.
func TestTelephonesAgain(t *testing.T) {
	r, base := newReloading(t)
	phones := r.composing.phones
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- phones.run(ctx) }()
	before := phones.now()
	ends(t, "it runs", func() bool { return goroutinesIn("(*Source).serveOne") == 3 })
	base.SIP.Realm = "other"
	change, err := phones.prepare(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	before.Close() // as if its sockets had failed
	ends(t, "it has ended", func() bool { return phones.now() != before })
	change.commit()
	ends(t, "another one runs", func() bool {
		now := phones.now()
		return now != nil && now != before && now.Config().Realm == "other" && goroutinesIn("(*Source).serveOne") == 3
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
