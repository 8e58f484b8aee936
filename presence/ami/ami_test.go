//go:build asterisk

package ami_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/asterisktest"
	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/ami"
	"github.com/deskline/deskline/presence/pbx"
	"github.com/deskline/deskline/presence/pbx/pbxtest"
)

func source(t *testing.T, cfg ami.Config) *pbx.Source {
	t.Helper()
	return pbx.New(pbx.Config{
		Name: "asterisk:test", Talk: client(t, cfg).Talk, Lines: pbxtest.Everyone{}, Expires: time.Second, Retry: 50 * time.Millisecond, Log: discard,
	})
}

// TestAsterisk has a real Asterisk tell of calls, die, come back and hang.
func TestAsterisk(t *testing.T) {
	t.Parallel()
	p := asterisktest.Start(t, asterisktest.Config{})
	pbxtest.Before(p)
	w, _ := pbxtest.Run(t, source(t, ami.Config{Address: p.AMI(), Ping: 400 * time.Millisecond}))
	w.Life(p, "2001")
}

// TestAsteriskTLS has devices told over TLS, to a user who may do no more than needed.
func TestAsteriskTLS(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewCA(t)
	p := asterisktest.Start(t, asterisktest.Config{CertFile: ca.Joined(t, "localhost")})
	var log bytes.Buffer
	w, stop := pbxtest.Run(t, source(t, ami.Config{
		Address: p.AMITLS(), TLS: &tls.Config{RootCAs: ca.Roots(), ServerName: "localhost", MinVersion: tls.VersionTLS12}, User: asterisktest.Modest,
		Devices: true, Technologies: []string{"local", "Custom"}, Resync: 300 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
	}))
	p.Device("2002", "BUSY")
	w.Await("2002", presence.LineInCall)
	p.Call("2001")
	w.Await("2001@phones", presence.LineInCall)
	p.Device("2002", "NOT_INUSE")
	w.Await("2002", presence.LineIdle)
	p.Hangup()
	w.Await("2001@phones", presence.LineIdle)
	stop()
	if !strings.Contains(log.String(), "write=system") {
		t.Errorf("log: %s", &log)
	}
}

// TestAsteriskTelephone has a real telephone call at a real Asterisk, seen by its hint and as a device.
func TestAsteriskTelephone(t *testing.T) {
	t.Parallel()
	p := asterisktest.Start(t, asterisktest.Config{SIP: true})
	hints, _ := pbxtest.Run(t, source(t, ami.Config{Address: p.AMI()}))
	devices, _ := pbxtest.Run(t, source(t, ami.Config{Address: p.AMI(), Devices: true, Technologies: []string{"PJSIP"}}))
	hints.Await("2010", presence.LineIdle)
	devices.Await("sipp", presence.LineIdle)
	p.Dial(2 * time.Second)
	hints.Await("2010", presence.LineInCall)
	devices.Await("sipp", presence.LineInCall)
	hints.Await("2010", presence.LineIdle)
	devices.Await("sipp", presence.LineIdle)
}

// TestAsteriskRefuses holds what is said of a wrong secret, and of a user who may not do what is needed.
func TestAsteriskRefuses(t *testing.T) {
	t.Parallel()
	p := asterisktest.Start(t, asterisktest.Config{})
	for name, tt := range map[string]struct {
		user, secret, want string
	}{
		"secret": {asterisktest.User, "wrong", "Authentication failed"},
		"user":   {"nobody", asterisktest.Secret, "Authentication failed"},
		"rights": {asterisktest.Useless, asterisktest.Secret, "Permission denied; the user needs read=call"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, ami.Config{Address: p.AMI(), User: tt.user, Secret: tt.secret})
			err := c.Talk(t.Context(), pbx.NewBoard(10))
			if !errors.Is(err, pbx.ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
