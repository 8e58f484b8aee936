package sip_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// pbx is a server that does what a test says, over UDP.
type pbx struct {
	t        *testing.T
	conn     net.PacketConn
	requests chan request

	mu  sync.Mutex
	seq int
}

type request struct {
	from    net.Addr
	first   string
	headers map[string]string
	body    string
}

func newPBX(t *testing.T) *pbx {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pbx{t: t, conn: c, requests: make(chan request, 100)}
	t.Cleanup(func() { _ = c.Close() })
	go p.read()
	return p
}

func (p *pbx) read() {
	seen := map[string]bool{} // retransmissions
	buf := make([]byte, 65536)
	for {
		n, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		first, rest, _ := strings.Cut(string(buf[:n]), "\r\n")
		r := request{from: from, first: first, headers: map[string]string{}}
		for line := range strings.SplitSeq(rest, "\r\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				r.headers[strings.ToLower(name)] = strings.TrimSpace(value)
			}
		}
		if strings.HasPrefix(first, "SUBSCRIBE ") && !seen[r.headers["via"]] {
			seen[r.headers["via"]] = true
			p.requests <- r
		}
	}
}

func (p *pbx) next() request {
	p.t.Helper()
	select {
	case r := <-p.requests:
		return r
	case <-time.After(patience):
		p.t.Fatal("no SUBSCRIBE")
		return request{}
	}
}

// answer responds with code and more headers, each with \r\n.
func (p *pbx) answer(r request, code int, headers string) {
	p.t.Helper()
	to := r.headers["to"]
	if !strings.Contains(to, "tag=") {
		to += ";tag=pbx"
	}
	p.write(r.from, fmt.Sprintf("SIP/2.0 %d X\r\nVia: %s\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\nContact: <sip:%s>\r\n%sContent-Length: 0\r\n\r\n",
		code, r.headers["via"], r.headers["from"], to, r.headers["call-id"], r.headers["cseq"], p.conn.LocalAddr(), headers))
}

// notify sends a NOTIFY within the dialog of a SUBSCRIBE.
func (p *pbx) notify(r request, state, body string) {
	p.t.Helper()
	p.mu.Lock()
	p.seq++
	n := p.seq
	p.mu.Unlock()
	p.notifyAs(n, r, state, body)
}

// notifyAs does so with a CSeq of its own.
func (p *pbx) notifyAs(seq int, r request, state, body string) {
	p.t.Helper()
	n := strconv.Itoa(seq)
	from := strings.Split(r.headers["to"], ";tag=")[0] + ";tag=pbx"
	text := "NOTIFY sip:deskline@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP " + p.conn.LocalAddr().String() + ";branch=z9hG4bKn" + n + ";rport\r\nMax-Forwards: 70\r\nFrom: " + from +
		"\r\nTo: " + r.headers["from"] + "\r\nCall-ID: " + r.headers["call-id"] + "\r\nCSeq: " + n + " NOTIFY\r\nEvent: dialog\r\nSubscription-State: " + state + "\r\n"
	if body != "" {
		text += "Content-Type: application/dialog-info+xml\r\n"
	}
	p.write(r.from, text+"Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
}

func (p *pbx) write(to net.Addr, text string) {
	p.t.Helper()
	if _, err := p.conn.WriteTo([]byte(text), to); err != nil {
		p.t.Error(err)
	}
}

func (p *pbx) watch(user string) *world {
	return start(p.t, sip.Config{Subscribe: []sip.Subscription{{
		Server: "sip:" + p.conn.LocalAddr().String(), Event: "dialog", Lines: []string{"3001"}, User: user, Password: "secret", Expires: time.Hour,
	}}})
}

const granted = "Expires: 3600\r\n"

func TestSubscription(t *testing.T) {
	t.Parallel()
	p := newPBX(t)
	w := p.watch("")
	first := p.next()
	if first.headers["event"] != "dialog" || first.headers["expires"] != "3600" || first.headers["accept"] != "application/dialog-info+xml" ||
		!strings.Contains(first.headers["contact"], "sip:deskline@127.0.0.1:") {
		t.Errorf("%+v", first)
	}
	p.answer(first, 200, granted)
	p.notify(first, "active;expires=3600", info("0", "full", call("a", "early")))
	w.await(line3001, presence.LineRinging)
	p.notify(first, "active;expires=3600", info("1", "partial", call("a", "confirmed")))
	w.await(line3001, presence.LineInCall)

	p.notify(first, "active;expires=3600", info("3", "partial", call("b", "early"))) // 2 is missing
	gap := p.next()
	if gap.headers["call-id"] != first.headers["call-id"] || !strings.Contains(gap.headers["to"], ";tag=pbx") {
		t.Errorf("asked in another dialog: %+v", gap)
	}
	p.answer(gap, 481, "")
	anew := p.next()
	if anew.headers["call-id"] == first.headers["call-id"] || strings.Contains(anew.headers["to"], ";tag=") {
		t.Errorf("asked in the old dialog: %+v", anew)
	}
	p.answer(anew, 200, granted)
	p.notify(first, "active", info("4", "full", call("z", "early"))) // of a dialog that is over
	p.notify(anew, "active;expires=3600", info("0", "full", ""))
	w.await(line3001, presence.LineIdle)

	p.notify(anew, "terminated;reason=deactivated", "")
	again := p.next()
	p.answer(again, 423, "Min-Expires: 7200\r\n")
	longer := p.next()
	if longer.headers["expires"] != "7200" {
		t.Errorf("%+v", longer)
	}
	p.answer(longer, 200, "Expires: 7200\r\n")
	p.notify(longer, "active;expires=7200", info("0", "full", asteriskHold))
	w.await(line3001, presence.LineHeld)
	p.notify(longer, "terminated;reason=rejected", "")
	w.await(line3001, presence.LineUnknown)
}

// TestSubscriptionDisorder has workers of a server overtake each other: what came last by its
// number is not what holds, so it is asked again.
func TestSubscriptionDisorder(t *testing.T) {
	t.Parallel()
	p := newPBX(t)
	w := p.watch("")
	first := p.next()
	p.answer(first, 200, granted)
	p.notifyAs(12, first, "active;expires=3600", info("12", "full", call("a", "early")))
	w.await(line3001, presence.LineRinging)
	p.notifyAs(11, first, "active;expires=3600", info("11", "full", call("a", "confirmed")))
	again := p.next()
	if again.headers["call-id"] != first.headers["call-id"] || !strings.Contains(again.headers["to"], ";tag=pbx") {
		t.Errorf("asked in another dialog: %+v", again)
	}
	p.answer(again, 200, granted)
	p.notifyAs(13, again, "active;expires=3600", info("13", "full", call("a", "confirmed")))
	w.await(line3001, presence.LineInCall)
}

// TestSubscriptionSignsIn answers a challenge.
func TestSubscriptionSignsIn(t *testing.T) {
	p := newPBX(t)
	w := p.watch("desk")
	r := p.next()
	p.answer(r, 401, `WWW-Authenticate: Digest realm="pbx", nonce="abc", algorithm=MD5, qop="auth"`+"\r\n")
	r = p.next()
	if auth := r.headers["authorization"]; !strings.Contains(auth, `username="desk"`) || strings.Contains(auth, "secret") {
		t.Errorf("%q", auth)
	}
	p.answer(r, 200, granted)
	p.notify(r, "active", info("0", "full", call("a", "confirmed")))
	w.await(line3001, presence.LineInCall)
}

// TestSubscriptionRetryAfter is told to wait, by a response and by a NOTIFY.
func TestSubscriptionRetryAfter(t *testing.T) {
	t.Parallel()
	p := newPBX(t)
	p.watch("")
	r := p.next()
	asked := time.Now()
	p.answer(r, 503, "Retry-After: 2\r\n")
	r = p.next()
	if waited := time.Since(asked); waited < 1900*time.Millisecond {
		t.Errorf("asked after %v", waited)
	}
	p.answer(r, 200, granted)
	asked = time.Now()
	p.notify(r, "terminated;reason=probation;retry-after=2", "")
	p.next()
	if waited := time.Since(asked); waited < 1900*time.Millisecond {
		t.Errorf("asked after %v", waited)
	}
}

// TestGoodbye ends the subscription with the source.
func TestGoodbye(t *testing.T) {
	p := newPBX(t)
	t.Run("life", func(t *testing.T) {
		w := start(t, sip.Config{Subscribe: []sip.Subscription{{Server: "sip:" + p.conn.LocalAddr().String(), Event: "dialog", Lines: []string{"3001"}}}})
		r := p.next()
		p.answer(r, 200, granted)
		p.notify(r, "active", info("0", "full", call("a", "confirmed")))
		w.await(line3001, presence.LineInCall)
	})
	if r := p.next(); r.headers["expires"] != "0" {
		t.Errorf("%+v", r)
	}
}
