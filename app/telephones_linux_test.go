package app_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/deskline/deskline/internal/redistest"
	"github.com/deskline/deskline/internal/xmpptest"
)

// telephones writes what two nodes need for listening to telephones of this
// machine, and returns where they do.
func telephones(t *testing.T, pair stages) []string {
	t.Helper()
	ports, host := freePorts(t, len(pair)), pairHost()
	var addrs []string
	for i, s := range pair {
		c := &s.cfg.SIP
		c.Listen, c.Transports = net.JoinHostPort(host, ports[i]), []string{"udp", "tcp"}
		c.Trusted, c.MinExpires = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, time.Second
		addrs = append(addrs, c.Listen)
	}
	return addrs
}

// calls counts the requests of all call managers.
var calls atomic.Int64

// lineStates are documents, as Unified CM and telephones write them.
var lineStates = map[string]string{
	"idle":    "<tuple id='a'><status><basic>open</basic></status></tuple>",
	"ringing": "<tuple id='a'><status><basic>open</basic></status></tuple><dm:person id='p'><r:activities><r:other>ringing</r:other></r:activities><dm:note>Ringing</dm:note></dm:person>",
	"in-call": "<tuple id='a'><status><basic>closed</basic></status></tuple><dm:person id='p'><r:activities><r:busy/></r:activities></dm:person>",
}

// publish tells a node what a line does, in a publication of its own.
func publish(ctx context.Context, addr, line, state string, expires time.Duration) error {
	body := "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:" +
		line + "@pbx.example.com'>" + lineStates[state] + "</presence>"
	if lineStates[state] == "" {
		return fmt.Errorf("no line is %q", state)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	id := "call" + strconv.FormatInt(calls.Add(1), 10)
	_, err = fmt.Fprintf(conn, "PUBLISH sip:%[1]s@pbx.example.com SIP/2.0\r\nVia: SIP/2.0/TCP %[2]s;branch=z9hG4bK%[3]s\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[1]s@pbx.example.com>;tag=%[3]s\r\nTo: <sip:%[1]s@pbx.example.com>\r\nCall-ID: %[3]s\r\nCSeq: 1 PUBLISH\r\nEvent: presence\r\nExpires: %[4]d\r\n"+
		"Content-Type: application/pidf+xml\r\nContent-Length: %[5]d\r\n\r\n%[6]s", line, conn.LocalAddr(), id, int(expires.Seconds()), len(body), body)
	if err != nil {
		return err
	}
	answer, err := textproto.NewReader(bufio.NewReader(conn)).ReadLine()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !strings.Contains(answer, " 200 ") {
		return fmt.Errorf("PUBLISH: %s", answer)
	}
	return nil
}

// switchboard carries out "publishes LINE STATE NODE" of a script.
func switchboard(addrs []string) func(context.Context, string) error {
	return func(ctx context.Context, order string) error {
		var line, state string
		var node int
		if _, err := fmt.Sscanf(order, "publishes %s %s %d", &line, &state, &node); err != nil {
			return err
		}
		return publish(ctx, addrs[node-1], line, state, time.Minute)
	}
}

// TestTelephonesOnPair has call managers tell one node or the other what lines do; the
// contact is on the node that was not told.
func TestTelephonesOnPair(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, "--appendfsync", "no")
	pair := newPair(t, &txtar.Archive{}, filledStore(t, begin{contacts: "alice bob\n"}), r, "telephones:")
	addrs := telephones(t, pair)
	for _, s := range pair {
		s.cfg.Presence.Lines = []string{"2001=alice@example.com"}
	}
	if err := pair.start(); err != nil {
		t.Fatal(err)
	}
	defer pair.stop()
	script, err := xmpptest.Parse(t.Name(), `
bob/desk comes online
alice/desk comes online
bob/desk gets <presence from='alice@example.com/desk'/>
alice/desk gets <presence from='bob@example.com/desk'/>

# Off hook is told to the node of the contact, and to the other one.
the administrator publishes 2001 ringing 2
the administrator publishes 2001 in-call 2
bob/desk gets <presence from='alice@example.com/desk'><show>dnd</show><status>On the phone</status>
  <composed xmlns='urn:deskline:presence:1' state='on-the-phone' .../></presence>
alice/desk gets <presence from='alice@example.com/desk'>
  <composed xmlns='urn:deskline:presence:1' state='on-the-phone' ...><source name='sip' item='sip:2001@pbx.example.com' state='in-call' .../></composed></presence>

# The call manager goes to the other node, which knows nothing of the publication
# before. What came last counts, on both.
the administrator publishes 2001 idle 1
bob/desk gets <presence from='alice@example.com/desk'><composed xmlns='urn:deskline:presence:1' state='available' .../></presence>
alice/desk gets <presence from='alice@example.com/desk'><composed xmlns='urn:deskline:presence:1' state='available' ...><source name='sip' item='sip:2001@pbx.example.com' state='idle' .../></composed></presence>

# Do Not Disturb that alice chose stays what it is, through a call and after it.
alice/desk sends <presence><show>dnd</show></presence>
bob/desk gets <presence from='alice@example.com/desk'><show>dnd</show><composed xmlns='urn:deskline:presence:1' state='dnd' .../></presence>
alice/desk gets <presence from='alice@example.com/desk'><show>dnd</show>...</presence>
the administrator publishes 2001 in-call 1
bob/desk gets nothing
the administrator publishes 2001 idle 1
bob/desk gets nothing
alice/desk gets nothing
`)
	if err != nil {
		t.Fatal(err)
	}
	err = xmpptest.Play(t.Context(), xmpptest.Config{
		Domain: domain, Password: secret, Door: xmpptest.WebSocket, URL: pair.apart, Administer: switchboard(addrs),
	}, script)
	if err != nil {
		t.Error(err)
	}
}

// stay takes what comes, and asks for something now and then: a client whose requests are
// answered after a second and empty is taken for one that spins.
func (c *chatter) stay(ctx context.Context) {
	for n := 0; ; n++ {
		what := ""
		if n%8 == 7 {
			what = "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
		}
		if _, err := c.request(ctx, "", what); err != nil {
			return
		}
	}
}

// TestKilledInCall kills the node of somebody who is on the phone, and which was told so. The
// state stays for the contact, and ends when nobody says it again.
func TestKilledInCall(t *testing.T) {
	t.Parallel()
	ports, host := freePorts(t, 2), pairHost()
	var more, addrs []string
	folder := t.TempDir()
	plan := func(event string) {
		t.Helper()
		text := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\n" + event + "END:VCALENDAR\r\n"
		if err := os.WriteFile(filepath.Join(folder, "user0.ics"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plan("")
	for _, port := range ports {
		addrs = append(addrs, net.JoinHostPort(host, port))
		more = append(more, fmt.Sprintf("sip: {listen: %q, transports: [tcp], trusted: [127.0.0.0/8], min_expires: 1s}\n"+
			"presence: {lines: [2001=user0], calendars: [{name: files, kind: ics, file: '%s/{user}.ics', refresh: 1s, keep: 1m}]}\ngroups: {authorised: [crew]}\n",
			addrs[len(addrs)-1], folder))
	}
	c := startCluster(t, more...)
	doors := []string{c.nodes[0].door, c.nodes[1].door}
	alice, bob := newChatter(chatName(0), 0, doors), newChatter(chatName(1), 1, doors)
	for _, one := range []*chatter{bob, alice} {
		if err := one.login(t.Context()); err != nil {
			t.Fatal(err)
		}
		go one.stay(t.Context())
	}
	shows := func() (all []string) {
		bob.mu.Lock()
		defer bob.mu.Unlock()
		for _, p := range bob.shown {
			if p.From == alice.full() {
				all = append(all, p.Type+p.Show)
			}
		}
		return all
	}
	eventually(t, "bob sees alice", func() bool { return slices.Equal(shows(), []string{""}) })
	if err := publish(t.Context(), addrs[0], "2001", "in-call", time.Minute); err != nil {
		t.Fatal(err)
	}
	eventually(t, "bob sees her on the phone", func() bool { return slices.Equal(shows(), []string{"", "dnd"}) })
	c.nodes[0].end(t, syscall.SIGKILL)
	state := func() string { return get(t, c.nodes[1].admin+"/presence?user=user0@localhost") }
	eventually(t, "alice goes on at the other node", func() bool { return strings.Contains(c.nodes[1].log.String(), "session taken up") })
	want(t, "of her the other node", state(), `"state":"on-the-phone"`, `"state":"in-call"`)
	// The call manager says it again, to the node that is left, and then falls silent.
	if err := publish(t.Context(), addrs[1], "2001", "in-call", 3*time.Second); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the call is over", func() bool { return strings.Contains(state(), `"state":"available"`) })
	eventually(t, "bob sees that", func() bool { s := shows(); return s[len(s)-1] == "" })
	if got := slices.Compact(shows()); !slices.Equal(got, []string{"", "dnd", ""}) || len(shows()) > 4 {
		t.Errorf("bob saw %q", shows())
	}
	// Her calendar, which the other node asked for, is asked for by this one.
	plan("BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:" + time.Now().UTC().Add(-time.Minute).Format("20060102T150405Z") +
		"\r\nDURATION:PT1H\r\nEND:VEVENT\r\n")
	eventually(t, "she is in a meeting", func() bool { return strings.Contains(state(), `"state":"in-a-meeting"`) })
}
