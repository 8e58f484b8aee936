package app_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/app"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/pebbletest"
)

// TestACME gets a certificate in each way.
func TestACME(t *testing.T) {
	for _, challenge := range []string{"tls-alpn", "http"} {
		t.Run(challenge, func(t *testing.T) {
			port := freePorts(t, 1)[0]
			p := pebbletest.Start(t, port, port, time.Hour)
			s := start(t, func(c *configs.Config) {
				c.HTTP.Listen = net.JoinHostPort("127.0.0.1", port)
				c.Certs.ACME = configs.ACME{
					Enabled: true, Agree: true, Directory: p.Directory, CAFile: p.CAFile, Email: "admin@example.com", Challenge: challenge,
					Hosts: []string{"chat.example.com", "n1.example.com"},
				}
			})
			roots := p.Root(t)
			for _, host := range s.cfg.Certs.ACME.Hosts {
				eventually(t, "a certificate of the authority for "+host, func() bool {
					conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: host}}).DialContext(t.Context(), "tcp", s.addr)
					if err == nil {
						_ = conn.Close()
					}
					return err == nil
				})
			}
			if list := get(t, "http://"+s.ops+"/certificates"); !strings.Contains(list, `"problems":[]`) || !strings.Contains(list, "Pebble") {
				t.Errorf("certificates: %s", list)
			}
			for _, r := range app.Check(t.Context(), s.cfg) {
				if (r.Name == "acme" || r.Name == "certs") && (r.Err != nil || r.Warning != "" && r.Name == "acme") {
					t.Errorf("check: %+v", r)
				}
			}
		})
	}
}

// TestACMERefused tells why there is no certificate, and serves the self-signed
// one meanwhile.
func TestACMERefused(t *testing.T) {
	ports := freePorts(t, 2)
	p := pebbletest.Start(t, ports[1], ports[1], time.Hour) // nobody is there
	s := start(t, func(c *configs.Config) {
		c.HTTP.Listen = net.JoinHostPort("127.0.0.1", ports[0])
		c.Certs.ACME = configs.ACME{
			Enabled: true, Agree: true, Directory: p.Directory, CAFile: p.CAFile, Challenge: "tls-alpn", Hosts: []string{"chat.example.com"},
		}
	})
	eventually(t, "a reason", func() bool {
		return strings.Contains(get(t, "http://"+s.ops+"/certificates"), `"file":"acme: chat.example.com"`)
	})
	if !strings.Contains(s.log.String(), "ACME: no certificate, it is tried again later") {
		t.Error("the log does not tell")
	}
	state, _ := secureGet(t, s.addr, "/certificate", &tls.Config{InsecureSkipVerify: true, ServerName: "chat.example.com"})
	if name := fmt.Sprint(state.PeerCertificates[0].Issuer); !strings.Contains(name, "self-signed") {
		t.Errorf("in service: %s", name)
	}
	results := app.Check(t.Context(), s.cfg)
	told := false
	for _, r := range results {
		told = told || r.Name == "acme" && r.Err == nil && strings.Contains(r.Warning, "no certificate yet for chat.example.com")
	}
	if !told {
		t.Errorf("check: %+v", results)
	}
}
