package sip_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/siptest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// numbers writes a file of SIPp that names n lines.
func numbers(t testing.TB, first, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("SEQUENTIAL\n")
	for i := range n {
		fmt.Fprintf(&b, "%d\n", first+i)
	}
	file := filepath.Join(t.TempDir(), "lines.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// heard is how often anything was told.
func (w *world) heard() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func (w *world) countOf(state presence.Line) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.latest {
		if e.Line == state {
			n++
		}
	}
	return n
}

// TestSIPp has a real publisher begin, refresh, change and remove.
func TestSIPp(t *testing.T) {
	t.Parallel()
	const lines = 100
	for _, transport := range []string{"u1", "t1"} {
		t.Run(transport, func(t *testing.T) {
			w := start(t, sip.Config{Trusted: loopback})
			file := numbers(t, 2000, lines)
			siptest.SIPp(t, w.addr(), "testdata/publish.xml", "-t", transport, "-inf", file, "-m", "100", "-r", "100")
			// One that comes and goes before its turn is not told of at all.
			w.until("all taken back", func() bool {
				return w.source.Status().Lines == 0 && w.countOf(presence.LineIdle)+w.countOf(presence.LineInCall) == 0
			})
			siptest.SIPp(t, w.addr(), "testdata/offhook.xml", "-t", transport, "-inf", file, "-m", "100", "-r", "100")
			w.until("all in a call", func() bool { return w.countOf(presence.LineInCall) == lines })
		})
	}
	t.Run("many", func(t *testing.T) {
		const many = 5000
		w := start(t, sip.Config{Trusted: loopback, Rate: 1_000_000})
		siptest.SIPp(t, w.addr(), "testdata/offhook.xml", "-t", "t1", "-inf", numbers(t, 10000, many), "-m", strconv.Itoa(many), "-r", "2000", "-l", "500")
		w.until("all in a call", func() bool { return w.countOf(presence.LineInCall) == many })
	})
}

func kamailioLine(k *siptest.Server, transport, event string, lines ...string) sip.Config {
	return sip.Config{Subscribe: []sip.Subscription{{
		Server: "sip:" + k.Addr() + ";transport=" + transport, Event: event, Lines: lines, Expires: 4 * time.Second,
	}}}
}

const line3001 = "sip:3001@127.0.0.1"

// TestKamailio subscribes to lines of which others publish.
func TestKamailio(t *testing.T) {
	t.Parallel()
	k := siptest.Kamailio(t)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			w := start(t, kamailioLine(k, transport, "dialog", "3001", "3010-3029"))
			p := dial(t, "tcp", k.Addr())
			body := func(state string) string {
				return strings.ReplaceAll(info("0", "full", call(transport+"x", state)), "sip:2001@pbx", line3001)
			}
			first := p.say("PUBLISH", line3001, isDialog+"Expires: 60\r\n", body("early"))
			if first.code != 200 {
				t.Fatalf("%+v", first)
			}
			w.await(line3001, presence.LineRinging)
			second := p.say("PUBLISH", line3001, isDialog+"Expires: 60\r\nSIP-If-Match: "+first.get("SIP-ETag")+"\r\n", body("confirmed"))
			w.await(line3001, presence.LineInCall)
			third := p.say("PUBLISH", line3001, isDialog+"Expires: 60\r\nSIP-If-Match: "+second.get("SIP-ETag")+"\r\n", body("terminated"))
			if third.code != 200 {
				t.Fatalf("%+v", third)
			}
			w.await(line3001, presence.LineIdle)
			siptest.SIPp(t, k.Addr(), "testdata/dialog.xml", "-t", "u1", "-inf", numbers(t, 3010, 20), "-m", "20", "-r", "50")
			w.until("20 in a call", func() bool { return w.countOf(presence.LineInCall) == 20 })
		})
	}
}

// TestKamailioPresence subscribes to the other event.
func TestKamailioPresence(t *testing.T) {
	t.Parallel()
	k := siptest.Kamailio(t)
	w := start(t, kamailioLine(k, "udp", "presence", "3001"))
	p := dial(t, "tcp", k.Addr())
	if r := p.say("PUBLISH", line3001, isPresence+"Expires: 60\r\n", strings.ReplaceAll(offHook, "sip:2001@pbx.example.com", line3001)); r.code != 200 {
		t.Fatalf("%+v", r)
	}
	w.await(line3001, presence.LineInCall)
}

// TestKamailioLost has the server end, and come back knowing nothing.
func TestKamailioLost(t *testing.T) {
	t.Parallel()
	k := siptest.Kamailio(t)
	w := start(t, kamailioLine(k, "udp", "dialog", "3001"))
	publish := func() {
		t.Helper()
		siptest.SIPp(t, k.Addr(), "testdata/dialog.xml", "-t", "u1", "-inf", numbers(t, 3001, 1), "-m", "1")
	}
	publish()
	w.await(line3001, presence.LineInCall)
	k.Kill()
	w.await(line3001, presence.LineUnknown) // when the subscription expires, not for ever
	w.until("the loss is reported", func() bool { return len(w.source.Status().Away) == 1 })
	k.Start()
	publish()
	w.await(line3001, presence.LineInCall)
	k.Freeze()
	w.await(line3001, presence.LineUnknown)
	k.Thaw()
	w.await(line3001, presence.LineInCall) // its publication was not over
	w.until("the return is reported", func() bool { s := w.source.Status(); return len(s.Away) == 0 && s.Lines == 1 })
}
