package sip_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// TestSubscriptionTLS checks the server's name, and takes the NOTIFY over the
// connection of the SUBSCRIBE.
func TestSubscriptionTLS(t *testing.T) {
	config := certificate(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	leaf, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	w := start(t, sip.Config{
		Listen: "127.0.0.1:0", UDP: true, TCP: true, TLSListen: "127.0.0.1:0", TLS: config, TLSClient: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Subscribe: []sip.Subscription{{Server: "sips:localhost:" + port, Event: "dialog", Lines: []string{"3001"}}},
	})
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	h := map[string]string{}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			h[strings.ToLower(name)] = strings.TrimSpace(value)
		}
	}
	fmt.Fprintf(c, "SIP/2.0 200 OK\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=pbx\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <sip:localhost>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n",
		h["via"], h["from"], h["to"], h["call-id"], h["cseq"])
	body := info("0", "full", call("a", "confirmed"))
	fmt.Fprintf(c, "NOTIFY sip:deskline@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS localhost;branch=z9hG4bKx\r\nFrom: %s;tag=pbx\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 NOTIFY\r\n"+
		"Event: dialog\r\nSubscription-State: active\r\nContent-Type: application/dialog-info+xml\r\nContent-Length: %d\r\n\r\n%s", h["to"], h["from"], h["call-id"], len(body), body)
	w.await("sip:3001@localhost", presence.LineInCall)
}

// TestEveryAddress listens as the configuration does by itself.
func TestEveryAddress(t *testing.T) {
	p := newPBX(t)
	w := start(t, sip.Config{
		Listen: ":0", UDP: true, TCP: true, Trusted: loopback,
		Subscribe: []sip.Subscription{{Server: "sip:" + p.conn.LocalAddr().String(), Event: "dialog", Lines: []string{"3001"}}},
	})
	udp, _, _ := w.source.Addrs()
	_, port, _ := net.SplitHostPort(udp.String())
	r := p.next()
	if _, from, _ := net.SplitHostPort(r.from.String()); from != port || !strings.Contains(r.headers["contact"], "127.0.0.1:"+port) {
		t.Errorf("from %v, contact %s, want port %s", r.from, r.headers["contact"], port)
	}
	p.answer(r, 200, granted)
	p.notify(r, "active", info("0", "full", call("a", "confirmed")))
	w.await(line3001, presence.LineInCall)
	for _, network := range []string{"udp", "tcp"} {
		if r := dial(t, network, "127.0.0.1:"+port).say("PUBLISH", uri2001, isPresence, onHook); r.code != 200 {
			t.Errorf("%s: %+v", network, r)
		}
	}
}
