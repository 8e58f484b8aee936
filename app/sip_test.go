package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/certs"
	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

type allLines struct{}

func (allLines) Users(string) []jid.JID { return []jid.JID{jid.MustParse("alice@localhost")} }

// TestTelephones makes the source of a configuration and publishes to it over TLS.
func TestTelephones(t *testing.T) {
	cfg, err := configs.Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	keeper, err := certs.New(certs.Config{Source: certs.Source{Hosts: []string{"localhost"}}, Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := telephoneConfig(cfg.SIP, keeper, allLines{}, nil, log); c != nil || err != nil {
		t.Fatalf("by itself: %v, %v", c, err)
	}
	cfg.SIP.Listen, cfg.SIP.TLSListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.SIP.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	cfg.SIP.UsersFile = filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(cfg.SIP.UsersFile, []byte("cucm:deskline:0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := telephoneConfig(cfg.SIP, keeper, allLines{}, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openSource(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(chan presence.Evidence, 10), make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	_, _, secure := s.Addrs()
	conn, err := tls.Dial("tcp", secure.String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // made by the keeper
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:2001@pbx"><tuple id="a"><status><basic>open</basic></status></tuple></presence>`
	fmt.Fprintf(conn, "PUBLISH sip:2001@pbx SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKa\r\nFrom: <sip:2001@pbx>;tag=a\r\nTo: <sip:2001@pbx>\r\nCall-ID: a\r\nCSeq: 1 PUBLISH\r\n"+
		"Event: presence\r\nContent-Type: application/pidf+xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 200 ") {
		t.Fatalf("%q, %v", line, err)
	}
	select {
	case e := <-out:
		if e.User.String() != "alice@localhost" || e.Line != presence.LineIdle || e.Item != "sip:2001@pbx" {
			t.Errorf("%+v", e)
		}
	case <-time.After(time.Minute):
		t.Error("nothing told")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
