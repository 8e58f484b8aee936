package sip_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// rls is a resource list server that does what a test says, over TCP.
type rls struct {
	t        testing.TB
	listener net.Listener
	requests chan request // SUBSCRIBEs
	answers  chan string  // first lines of responses
	conn     net.Conn     // of the SUBSCRIBE that was taken last
	conns    chan net.Conn
	seq      int
}

func newRLS(t testing.TB) *rls {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &rls{t: t, listener: l, requests: make(chan request, 100), answers: make(chan string, 1_000_000), conns: make(chan net.Conn, 100)}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.read(c)
		}
	}()
	return p
}

func (p *rls) read(c net.Conn) {
	p.t.Cleanup(func() { _ = c.Close() })
	r := bufio.NewReader(c)
	for {
		one := request{headers: map[string]string{}}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimRight(line, "\r\n")
			if line == "" {
				break
			}
			if one.first == "" {
				one.first = line
			} else if name, value, ok := strings.Cut(line, ":"); ok {
				one.headers[strings.ToLower(name)] = strings.TrimSpace(value)
			}
		}
		n, _ := strconv.Atoi(one.headers["content-length"])
		body, err := io.ReadAll(io.LimitReader(r, int64(n)))
		if err != nil {
			return
		}
		one.body = string(body)
		if strings.HasPrefix(one.first, "SIP/2.0") {
			p.answers <- one.first
			continue
		}
		p.requests <- one
		p.conns <- c
	}
}

func (p *rls) next() request {
	p.t.Helper()
	select {
	case r := <-p.requests:
		p.conn = <-p.conns
		return r
	case <-time.After(patience):
		p.t.Fatal("no SUBSCRIBE")
		return request{}
	}
}

func (p *rls) answered(want int) {
	p.t.Helper()
	select {
	case first := <-p.answers:
		if !strings.HasPrefix(first, "SIP/2.0 "+strconv.Itoa(want)+" ") {
			p.t.Errorf("answered %q, want %d", first, want)
		}
	case <-time.After(patience):
		p.t.Fatal("no answer to a NOTIFY")
	}
}

func (p *rls) answer(r request, code int, headers string) {
	to := r.headers["to"]
	if !strings.Contains(to, "tag=") {
		to += ";tag=rls"
	}
	p.write(fmt.Sprintf("SIP/2.0 %d X\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <sip:%s;transport=tcp>\r\nRequire: eventlist\r\n%sContent-Length: 0\r\n\r\n",
		code, r.headers["via"], r.headers["from"], to, r.headers["call-id"], r.headers["cseq"], p.listener.Addr(), headers))
}

// notify sends a NOTIFY within the dialog of a SUBSCRIBE.
func (p *rls) notify(r request, state, contentType, body string) {
	p.t.Helper()
	p.write(p.message(r, state, contentType, body))
}

func (p *rls) message(r request, state, contentType, body string) string {
	p.seq++
	n := strconv.Itoa(p.seq)
	text := "NOTIFY sip:deskline@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP " + p.listener.Addr().String() + ";branch=z9hG4bKn" + n + "\r\nMax-Forwards: 70\r\nFrom: " +
		strings.Split(r.headers["to"], ";tag=")[0] + ";tag=rls\r\nTo: " + r.headers["from"] + "\r\nCall-ID: " + r.headers["call-id"] + "\r\nCSeq: " + n + " NOTIFY\r\nEvent: " + r.headers["event"] +
		"\r\nRequire: eventlist\r\nSubscription-State: " + state + "\r\n"
	if contentType != "" {
		text += "Content-Type: " + contentType + "\r\n"
	}
	return text + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func (p *rls) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Error(err)
	}
}

func (p *rls) list(r request, root string, parts ...part) {
	p.t.Helper()
	kind, body := related(root, parts...)
	p.notify(r, "active;expires=3600", kind, body)
}

func (p *rls) watch(event string) *world {
	return start(p.t, sip.Config{Rate: 1_000_000, Subscribe: []sip.Subscription{{
		Server: "sip:" + p.listener.Addr().String() + ";transport=tcp", Event: event, Lists: []string{"sip:agents@pbx"}, Expires: time.Hour,
	}}})
}

const (
	line2001 = "sip:2001@pbx"
	line2002 = "sip:2002@pbx"
)

func TestList(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := p.watch("dialog")
	first := p.next()
	if first.headers["supported"] != "eventlist" || first.headers["accept"] != "application/dialog-info+xml, multipart/related, application/rlmi+xml" ||
		!strings.HasPrefix(first.first, "SUBSCRIBE sip:agents@pbx ") || first.headers["to"] != "<sip:agents@pbx>" {
		t.Errorf("%+v", first)
	}
	p.answer(first, 200, granted)
	both := resource("2001", active("a", "c1")) + resource("2002", active("a", "c2"))
	p.list(first, rlmi(0, true, both), busy("c1", "0"), idle("c2", "0"))
	w.await(line2001, presence.LineInCall)
	w.await(line2002, presence.LineIdle)
	p.list(first, rlmi(1, false, resource("2002", active("a", "x"))), busy("x", "1"))
	w.await(line2002, presence.LineInCall)

	p.list(first, rlmi(3, false, resource("2002", active("a", "x"))), idle("x", "2")) // 2 is missing
	gap := p.next()
	if gap.headers["call-id"] != first.headers["call-id"] || !strings.Contains(gap.headers["to"], ";tag=rls") || gap.headers["supported"] != "eventlist" {
		t.Errorf("asked in another dialog: %+v", gap)
	}
	p.answer(gap, 481, "")
	anew := p.next()
	p.answer(anew, 200, granted)
	p.list(anew, rlmi(0, true, resource("2001", active("a", "c1"))), idle("c1", "0")) // 2002 is no member any more
	w.await(line2001, presence.LineIdle)
	w.await(line2002, presence.LineUnknown)
	p.notify(anew, "terminated;reason=noresource", "", "")
	w.await(line2001, presence.LineUnknown)
	w.until("the end is reported", func() bool { return strings.Contains(onlyList(w).Trouble, "noresource") })
	for range 5 {
		p.answered(200)
	}
}

// TestListOvertaken has NOTIFYs come at once: in whatever order they are handled,
// none is refused, and nothing is asked for again.
func TestListOvertaken(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := p.watch("dialog")
	r := p.next()
	p.answer(r, 200, granted)
	const count = 300
	kind, body := related(rlmi(0, true, resource("2001", active("a", "c"))), idle("c", "0"))
	all := p.message(r, "active", kind, body)
	for version := 1; version <= count; version++ {
		last := busy("c", strconv.Itoa(version))
		if version%2 == 1 {
			last = idle("c", strconv.Itoa(version))
		}
		last.body = strings.ReplaceAll(last.body, `id="c"`, `id="c`+strconv.Itoa(version)+`"`)
		kind, body = related(rlmi(version, false, resource("2001", active("a", "c"))), last)
		all += p.message(r, "active", kind, body)
	}
	p.write(all)
	for range count + 1 {
		p.answered(200)
	}
	w.await(line2001, presence.LineInCall)
	if len(p.requests) > 0 {
		t.Error("asked again")
	}
}

// TestListLarge has a full NOTIFY of 5,000 members, more than 64 KiB by far.
func TestListLarge(t *testing.T) {
	t.Parallel()
	const count = 5000
	p := newRLS(t)
	w := p.watch("presence")
	r := p.next()
	p.answer(r, 200, granted)
	root, parts := large(count, 0)
	p.list(r, rlmi(0, true, root), parts...)
	w.until("all are known", func() bool {
		return w.heard() >= count && w.countOf(presence.LineIdle) == count && onlyList(w).Members == count
	})
	p.list(r, rlmi(1, false, resource("12345", active("a", "x"))), part{"x", "application/pidf+xml", offHook})
	w.await("sip:12345@pbx", presence.LineInCall)
	if n := w.countOf(presence.LineIdle); n != count-1 {
		t.Errorf("%d are idle", n)
	}
}

// large makes a list of members that are idle.
func large(count, version int) (root string, parts []part) {
	var b strings.Builder
	for i := range count {
		cid := fmt.Sprintf("c%d.%d", i, version)
		b.WriteString(resource(strconv.Itoa(10000+i), active("a", cid)))
		parts = append(parts, part{cid, "application/pidf+xml", onHook})
	}
	return b.String(), parts
}

func TestListRefused(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := p.watch("dialog")
	p.answer(p.next(), 404, "")
	w.until("the refusal is reported", func() bool { return strings.Contains(onlyList(w).Trouble, "refused: 404") })
}

// TestListMalformed goes on after what it cannot read.
func TestListMalformed(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := p.watch("dialog")
	r := p.next()
	p.answer(r, 200, granted)
	kind, body := related(rlmi(0, true, ""))
	p.notify(r, "active", kind, body[:len(body)-10])
	p.answered(200)
	w.until("it is reported", func() bool { return strings.Contains(onlyList(w).Trouble, "malformed") })
	p.list(r, rlmi(1, true, resource("2001", active("a", "c1"))), busy("c1", "0"))
	w.await(line2001, presence.LineInCall)
	if s := onlyList(w); s.Trouble != "" {
		t.Errorf("%+v", s)
	}
}

// TestListBrought has the server take the lines in the request (RFC 5367), once it
// knows who asks; renewals leave it at that.
func TestListBrought(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := start(t, sip.Config{Subscribe: []sip.Subscription{{
		Server: "sip:" + p.listener.Addr().String() + ";transport=tcp", Event: "dialog", Lines: []string{"sip:2001@pbx", "sip:2002@pbx", "3001-3003"},
		LinesTo: "rls", User: "desk", Password: "secret", Expires: time.Hour,
	}}})
	check := func(r request) {
		t.Helper()
		if r.headers["require"] != "recipient-list-subscribe" || r.headers["supported"] != "eventlist" || r.headers["content-type"] != "application/resource-lists+xml" ||
			r.headers["content-disposition"] != "recipient-list" || !strings.HasPrefix(r.first, "SUBSCRIBE sip:rls@127.0.0.1 ") {
			t.Errorf("%+v", r)
		}
		for _, line := range []string{"sip:2001@pbx", "sip:2002@pbx", "sip:3001@127.0.0.1", "sip:3003@127.0.0.1"} {
			if !strings.Contains(r.body, `<entry uri="`+line+`"/>`) {
				t.Errorf("%s is not in %s", line, r.body)
			}
		}
	}
	r := p.next()
	check(r)
	p.answer(r, 401, `WWW-Authenticate: Digest realm="pbx", nonce="abc", algorithm=MD5, qop="auth"`+"\r\n")
	r = p.next()
	check(r)
	p.answer(r, 200, granted)
	p.list(r, rlmi(0, true, resource("2001", active("a", "c1"))+resource("2002")), busy("c1", "0"))
	w.await(line2001, presence.LineInCall)
	p.list(r, rlmi(2, false, "")) // 1 is missing
	if again := p.next(); again.body != "" || again.headers["require"] != "" || again.headers["call-id"] != r.headers["call-id"] {
		t.Errorf("%+v", again)
	}
}

func TestListBroughtRefused(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := start(t, sip.Config{Subscribe: []sip.Subscription{{
		Server: "sip:" + p.listener.Addr().String() + ";transport=tcp", Event: "dialog", Lines: []string{"2001"}, LinesTo: "rls",
	}}})
	p.answer(p.next(), 420, "Unsupported: recipient-list-subscribe\r\n")
	w.until("the refusal is reported", func() bool { return strings.Contains(onlyList(w).Trouble, "refused: 420") })
}

// TestListSkipped has a request that is never sent: the next is let in all the same.
func TestListSkipped(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := p.watch("dialog")
	r := p.next()
	p.answer(r, 200, granted)
	p.list(r, rlmi(0, true, resource("2001", active("a", "c1"))), idle("c1", "0"))
	w.await(line2001, presence.LineIdle)
	p.seq++
	p.list(r, rlmi(1, false, resource("2001", active("a", "c1"))), busy("c1", "1"))
	w.await(line2001, presence.LineInCall)
	for range 2 {
		p.answered(200)
	}
}

// TestChangeOfLists has a line join a list, which goes on undisturbed, and then the list go.
func TestChangeOfLists(t *testing.T) {
	t.Parallel()
	p := newRLS(t)
	w := p.watch("dialog")
	r := p.next()
	p.answer(r, 200, granted)
	p.list(r, rlmi(0, true, resource("2001", active("a", "c"))), busy("c", "0"))
	w.await(line2001, presence.LineInCall)

	w.becomes(func(c *sip.Config) {
		one := c.Subscribe[0]
		one.Lines = []string{"sip:2003@pbx"}
		c.Subscribe = []sip.Subscription{one}
	})
	if joined := p.next(); !strings.HasPrefix(joined.first, "SUBSCRIBE sip:2003@pbx ") {
		t.Fatalf("%+v", joined)
	}
	p.list(r, rlmi(1, false, resource("2001", active("a", "c"))+resource("2002", active("a", "x"))), idle("c", "1"), busy("x", "0"))
	w.await(line2001, presence.LineIdle)
	w.await(line2002, presence.LineInCall)

	w.becomes(func(c *sip.Config) {
		one := c.Subscribe[0]
		one.Lists = nil
		c.Subscribe = []sip.Subscription{one}
	})
	w.await(line2001, presence.LineUnknown)
	w.await(line2002, presence.LineUnknown)
	if s := w.source.Status(); len(s.Lists) != 0 {
		t.Errorf("%+v", s)
	}

	plain := start(t, sip.Config{Trusted: loopback})
	cfg := *plain.source.Config()
	cfg.Subscribe = w.source.Config().Subscribe
	cfg.Subscribe[0].Lists = []string{"agents"}
	if _, err := plain.source.Prepare(t.Context(), cfg); !errors.Is(err, sip.ErrLists) {
		t.Errorf("the first list: %v", err)
	}
}
