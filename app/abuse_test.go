package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/configs"
)

// raw opens a connection, says something and nothing more.
func (s *server) raw(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

const post = "POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"

// Clients that dawdle are let go, each in the time set for what they do not do.
func TestDawdlers(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *configs.Config) {
		c.HTTP.ReadHeaderTimeout, c.HTTP.ReadTimeout, c.HTTP.IdleTimeout = time.Second, time.Second, time.Second
		c.Limits.Unauthenticated = 5 * time.Second
	})
	for _, tt := range []struct{ name, say, drip, want string }{
		{name: "silent"},
		{name: "half a header", say: post},
		{name: "a header that never ends", say: post, drip: "X-A: b\r\n"},
		{name: "half a handshake", say: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"},
		{name: "a handshake that never ends", say: "\x16\x03\x01\x40\x00\x01", drip: "\x00"},
		{name: "half a body", say: post + "Content-Length: 100000\r\n\r\n<body", want: "HTTP/1.1 408 "},
		{name: "a body that never ends", say: post + "Content-Length: 100000\r\n\r\n<body", drip: " ", want: "HTTP/1.1 408 "},
		{name: "a chunk that never ends", say: post + "Transfer-Encoding: chunked\r\n\r\n10000\r\n<body", drip: " ", want: "HTTP/1.1 408 "},
		{name: "idle", say: "GET /http-bind HTTP/1.1\r\nHost: localhost\r\n\r\n", want: "HTTP/1.1 200 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := s.raw(t, tt.say)
			if tt.drip != "" {
				stop := make(chan struct{})
				defer close(stop)
				go drip(conn, tt.drip, stop)
			}
			begun := time.Now()
			got, err := io.ReadAll(conn)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("still connected after %v", time.Since(begun))
			}
			if !strings.HasPrefix(string(got), tt.want) || tt.want == "" && strings.Contains(string(got), "HTTP/1.1") {
				t.Errorf("got %.200q, want %q", got, tt.want)
			}
		})
	}
	t.Run("session without a login", func(t *testing.T) {
		t.Parallel()
		c := s.open()
		want(t, "nothing said", c.body("", ""), "/>") // held until the wait is over
		eventually(t, "end", func() bool { return strings.Contains(s.log.String(), "session ended") })
		want(t, "log", s.log.String(), "not authenticated in time")
		want(t, "afterwards", c.send(""), "type='terminate'")
	})
}

// drip goes on saying a little until it is told to stop or nobody listens.
func drip(conn net.Conn, text string, stop <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

func TestConnectionsCap(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *configs.Config) { c.HTTP.MaxConnections = 3 })
	var open []net.Conn
	for range 3 {
		conn := s.raw(t, "GET /http-bind HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	if n, err := s.raw(t, "").Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one too many got %d bytes, %v", n, err)
	}
	_ = open[0].Close()
	eventually(t, "room again", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(conn, "GET /http-bind HTTP/1.1\r\nHost: localhost\r\n\r\n") // closed if there is no room yet
		_, err = conn.Read(make([]byte, 1))
		return err == nil
	})
}

func TestRequestTooLarge(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *configs.Config) { c.Limits.Body, c.Limits.Stanza = 16<<10, 10000 })
	large := "<body>" + strings.Repeat(" ", 20<<10) + "</body>"
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 1 << 10 {
		_, _ = z.Write(make([]byte, 10<<10)) // a buffer takes all
	}
	_ = z.Close()
	for _, tt := range []struct{ name, request string }{
		{"declared", post + "Content-Length: 1000000000\r\n\r\n"},
		{"sent", post + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(large), large)},
		{"in chunks", post + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large)},
		{"compressed", post + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String())},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := io.ReadAll(s.raw(t, tt.request))
			if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413 ") {
				t.Errorf("got %.200q, %v", got, err)
			}
		})
	}
}

// What no XMPP client says is refused before it costs anything, and nobody's
// session suffers by it.
func TestBadXML(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	c := s.login("alice")
	inMessage := func(x string) string { return "<message xmlns='jabber:client'>" + x + "</message>" }
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, " a%d='x'", i)
	}
	for _, tt := range []struct{ name, before, elements, condition string }{
		{"document type", "<!DOCTYPE body [<!ELEMENT body ANY>]>", "", "bad-request"},
		{"external entity", "<!DOCTYPE body [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>", inMessage("&x;"), "bad-request"},
		{"growing entities", "<!DOCTYPE body [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]>", inMessage("&b;"), "bad-request"},
		{"unknown entity", "", inMessage("&nbsp;"), "bad-request"},
		{"comment", "", inMessage("<!-- x -->"), "bad-request"},
		{"comment before", "<!-- x -->", "", "bad-request"},
		{"processing instruction", "", inMessage("<?php x ?>"), "bad-request"},
		{"character that XML has not", "", inMessage("&#0;"), "bad-request"},
		{"not well-formed", "", "<message xmlns='jabber:client'>", "bad-request"},
		{"prefix without a namespace", "", "<x:message/>", "bad-request"},
		{"deep", "", inMessage(strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)), "policy-violation"},
		{"very deep", "", strings.Repeat("<a>", 10000), "policy-violation"},
		{"many attributes", "", "<message xmlns='jabber:client'" + many.String() + "/>", "policy-violation"},
		{"many children", "", inMessage(strings.Repeat("<a/>", 1001)), "policy-violation"},
		{"large stanza", "", inMessage("<body>" + strings.Repeat("x", 65<<10) + "</body>"), "policy-violation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, got := s.post(tt.before + fmt.Sprintf("<body xmlns='http://jabber.org/protocol/httpbind' rid='%d' sid='%s'>%s</body>", c.rid+1, c.sid, tt.elements))
			want(t, "response", got, "type='terminate'", "condition='"+tt.condition+"'")
			want(t, "session goes on", c.ask(""), "type='result'")
		})
	}
}

// fail tries a wrong password once and returns the condition.
func (s *server) fail(t *testing.T, user string) string {
	t.Helper()
	got := s.open().auth(user, "wrong")
	for _, condition := range []string{"not-authorized", "temporary-auth-failure"} {
		if strings.Contains(got, "<"+condition+"/>") {
			return condition
		}
	}
	t.Fatalf("answer to a wrong password: %s", got)
	return ""
}

// Guessing is slowed down, then refused, for those who exist and those who do
// not alike, and who is at home at the address is not kept out.
func TestGuessing(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *configs.Config) { c.Auth.FailedLoginsPerMinute, c.Auth.MaxDelay = 2, time.Second })
	s.login("bob")
	var conditions []string
	for i := range 6 {
		conditions = append(conditions, s.fail(t, []string{"alice", "nobody"}[i%2]))
	}
	all := strings.Join(conditions, " ")
	if !strings.HasPrefix(all, "not-authorized not-authorized ") {
		t.Errorf("answers %s", all)
	}
	if _, ok := s.failAtOnce(t, 10)["temporary-auth-failure"]; !ok {
		t.Errorf("ten at once are not refused")
	}
	want(t, "log", s.log.String(), "too many failed logins, delaying more of them")
	s.login("bob")
	c := s.open()
	for i := range 5 {
		got := c.auth("bob", fmt.Sprint("wrong", i))
		if i == 4 {
			want(t, "fifth failure on one stream", got, "policy-violation", "type='terminate'")
		}
	}
	if log := s.log.String(); strings.Contains(log, "wrong") || strings.Contains(log, password) || strings.Contains(log, base64.StdEncoding.EncodeToString([]byte("\x00bob\x00"+password))) {
		t.Error("a password is in the log")
	}
}

// failAtOnce counts the conditions of wrong passwords tried at the same time.
func (s *server) failAtOnce(t *testing.T, n int) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answers := make(chan string, n)
	for range n {
		c := s.open()
		token := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00wrong"))
		body := fmt.Sprintf("<body xmlns='http://jabber.org/protocol/httpbind' rid='%d' sid='%s'><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth></body>", c.rid+1, c.sid, token)
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/http-bind", strings.NewReader(body))
			if err != nil {
				answers <- err.Error()
				return
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				answers <- err.Error()
				return
			}
			defer resp.Body.Close()
			data, _ := io.ReadAll(resp.Body) // what is missing is no answer
			answers <- string(data)
		}()
	}
	counts := map[string]int{}
	for range n {
		answer := <-answers
		switch {
		case strings.Contains(answer, "<not-authorized/>"):
			counts["not-authorized"]++
		case strings.Contains(answer, "<temporary-auth-failure"):
			counts["temporary-auth-failure"]++
		default:
			t.Errorf("answer %s", answer)
		}
	}
	return counts
}

func TestSessionsCap(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *configs.Config) { c.Limits.Sessions, c.Limits.Resources = 3, 1 })
	const create = "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' ver='1.11' wait='5' hold='1'/>"
	first := s.login("alice")
	c := s.open()
	s.open()
	_, got := s.post(create)
	want(t, "one session too many", got, "type='terminate'", "resource-constraint")
	want(t, "auth", c.auth("alice", password), "<success")
	want(t, "restart", c.body("xmpp:restart='true' to='localhost'", ""), "urn:ietf:params:xml:ns:xmpp-bind")
	want(t, "bind", c.send("<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>home</resource></bind></iq>"), "/home")
	want(t, "the resource that was idle longest makes room", first.send(""), "type='terminate'", "resource-constraint")
	eventually(t, "room again", func() bool {
		_, got := s.post(create)
		return strings.Contains(got, " sid='")
	})
}

// A client that takes nothing of what it is sent is ended, and loses nothing.
func TestClientThatTakesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *configs.Config) { c.Limits.Queue = 16 })
	alice, bob := s.login("alice"), s.login("bob")
	bob.ask("<presence xmlns='jabber:client'/>")
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprintf("m%d-", i))
		toDesk := strings.Replace(message("bob", ids[i]), "bob@localhost", "bob@localhost/desk", 1)
		if got := alice.ask(toDesk); strings.Contains(got, "type='error'") {
			t.Fatalf("message %d: %s", i, got)
		}
	}
	want(t, "log", s.log.String(), "the client does not take what it is sent")
	back := s.login("bob")
	text := back.ask("<presence xmlns='jabber:client'/>")
	eventually(t, "all messages", func() bool {
		got := bodies(text)
		text += back.ask("") // what the ended session left is kept about now
		return len(got) >= len(ids)
	})
	got := bodies(text)
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("bob got\n%s\nwant\n%s", got, ids)
	}
}
