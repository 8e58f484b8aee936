//go:build asterisk

package ari_test

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/asterisktest"
	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/ari"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

// at says where a real Asterisk is, and that its devices without endpoints are to be told of.
func at(p *asterisktest.PBX) ari.Config {
	return ari.Config{
		URL: p.ARI(), Password: asterisktest.Secret, Technologies: []string{"PJSIP", "Custom"},
		Devices: []string{"Local/2001@phones", "Custom:2002", "Custom:2003", "Custom:2004"}, Ping: 400 * time.Millisecond,
	}
}

// TestAsterisk has a real Asterisk tell of calls, die, come back and hang.
func TestAsterisk(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]string{"device states": asterisktest.User, "all events": asterisktest.Modest} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := asterisktest.Start(t, asterisktest.Config{ARI: true})
			pbxtest.Before(p)
			cfg := at(p)
			cfg.User = user
			w, _ := pbxtest.Run(t, source(t, cfg))
			w.Life(p, "2001@phones")
		})
	}
}

// TestAsteriskTelephone has a real telephone call at a real Asterisk, over TLS.
func TestAsteriskTelephone(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	p := asterisktest.Start(t, asterisktest.Config{ARI: true, SIP: true, CertFile: ca.Joined(t, "localhost")})
	cfg := at(p)
	cfg.URL, cfg.TLS = p.ARITLS(), &tls.Config{RootCAs: ca.Roots(), MinVersion: tls.VersionTLS12}
	w, _ := pbxtest.Run(t, source(t, cfg))
	w.Await("sipp", presence.LineIdle)
	p.Dial(2 * time.Second)
	w.Await("sipp", presence.LineInCall)
	w.Await("sipp", presence.LineIdle)
}

// TestAsteriskHold has a real telephone hold its call, which all events tell and device states do not.
func TestAsteriskHold(t *testing.T) {
	t.Parallel()
	p := asterisktest.Start(t, asterisktest.Config{ARI: true, SIP: true})
	cfg := at(p)
	cfg.User = asterisktest.Modest
	w, _ := pbxtest.Run(t, source(t, cfg))
	w.Await("sipp", presence.LineIdle)
	p.DialAndHold(2 * time.Second)
	for _, state := range []presence.Line{presence.LineInCall, presence.LineHeld, presence.LineInCall, presence.LineIdle} {
		w.Await("sipp", state)
	}
}

// TestAsteriskRefuses holds what is said of a wrong password and address, and that another of the same app is noticed.
func TestAsteriskRefuses(t *testing.T) {
	t.Parallel()
	p := asterisktest.Start(t, asterisktest.Config{ARI: true})
	for name, tt := range map[string]struct {
		change  func(*ari.Config)
		refused bool
		want    string
	}{
		"password": {func(c *ari.Config) { c.Password = "wrong" }, true, "look at the user and the password in ari.conf: 401 Unauthorized: Authentication required"},
		"user":     {func(c *ari.Config) { c.User = "nobody" }, true, "401 Unauthorized"},
		"path":     {func(c *ari.Config) { c.URL = strings.TrimSuffix(c.URL, "ari") + "asterisk/ari" }, false, "look at enabled in ari.conf, at prefix in http.conf"},
		"scheme":   {func(c *ari.Config) { c.URL = strings.Replace(c.URL, "http:", "https:", 1) }, false, "gave HTTP response to HTTPS client"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := at(p)
			tt.change(&cfg)
			err := client(t, cfg).Talk(t.Context(), pbx.NewBoard(10))
			if err == nil || errors.Is(err, pbx.ErrRefused) != tt.refused || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	p.Device("2002", "INUSE")
	first := source(t, at(p))
	w, _ := pbxtest.Run(t, first)
	w.Await("2002", presence.LineInCall)
	second, _ := pbxtest.Run(t, source(t, at(p)))
	second.Await("2002", presence.LineInCall)
	w.Await("2002", presence.LineUnknown)
	if err := first.Status().Err; !strings.Contains(err, "signed in as the app deskline") {
		t.Error(err)
	}
	// A look does not disturb, and leaves nothing behind.
	cfg := at(p)
	cfg.App, cfg.Quiet = "deskline-check", true
	if n, err := pbx.Try(t.Context(), client(t, cfg).Talk, 10); n != 2 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	second.Renewed(second.Await("2002", presence.LineInCall))
	if out := p.Command("ari show apps"); !slices.Contains(strings.Fields(out), "deskline") || strings.Contains(out, "check") {
		t.Error(out)
	}
}
