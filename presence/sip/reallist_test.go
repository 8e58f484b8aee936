package sip_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/siptest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// members are users 3001 and so on.
func members(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strconv.Itoa(3001 + i)
	}
	return all
}

func kamailioList(k *siptest.Server, transport, event string) sip.Config {
	return sip.Config{Subscribe: []sip.Subscription{{
		Server: "sip:" + k.Addr() + ";transport=" + transport, Event: event, Lists: []string{"agents"}, Expires: 10 * time.Second,
	}}}
}

func onlyList(w *world) sip.ListStatus {
	for _, l := range w.source.Status().Lists {
		return l
	}
	return sip.ListStatus{}
}

// TestKamailioList subscribes to one list in place of its lines: over UDP in NOTIFYs
// that Kamailio cuts to fit, over TCP in one.
func TestKamailioList(t *testing.T) {
	t.Parallel()
	const lines = 60
	for _, tt := range []struct {
		transport, event string
		most             int
	}{{"udp", "dialog", 8000}, {"tcp", "presence", 0}} {
		t.Run(tt.transport+" "+tt.event, func(t *testing.T) {
			t.Parallel()
			k := siptest.KamailioLists(t, "deskline", map[string][]string{"agents": members(lines)}, tt.most)
			p := dial(t, "tcp", k.Addr())
			tags, calls := map[string]string{}, 0
			publish := func(line string, busy bool) {
				t.Helper()
				headers, body := isPresence, strings.ReplaceAll(offHook, "sip:2001@pbx.example.com", line)
				if !busy {
					body = strings.ReplaceAll(onHook, "sip:2001@pbx.example.com", line)
				}
				if tt.event == "dialog" {
					state := map[bool]string{true: "confirmed", false: "terminated"}[busy]
					if busy {
						calls++ // one that has ended does not come back
					}
					headers, body = isDialog, strings.ReplaceAll(info("0", "full", call(strconv.Itoa(calls), state)), "sip:2001@pbx", line)
				}
				if tag := tags[line]; tag != "" && (tt.event == "presence" || !busy) { // a call is another publication
					headers += "SIP-If-Match: " + tag + "\r\n"
				}
				r := p.say("PUBLISH", line, headers+"Expires: 120\r\n", body)
				if r.code != 200 {
					t.Fatalf("%+v", r)
				}
				tags[line] = r.get("SIP-ETag")
			}
			for _, m := range members(lines) { // before anybody subscribes
				publish("sip:"+m+"@127.0.0.1", true)
			}
			w := start(t, kamailioList(k, tt.transport, tt.event))
			w.until("all in a call", func() bool { return w.countOf(presence.LineInCall) == lines && onlyList(w).Members == lines })
			if s := onlyList(w); s.Trouble != "" {
				t.Errorf("%+v", s)
			}
			publish(line3001, false)
			w.await(line3001, presence.LineIdle)
			publish(line3001, true)
			w.await(line3001, presence.LineInCall)
			if n := w.countOf(presence.LineInCall); n != lines {
				t.Errorf("%d are in a call after the change of one", n)
			}
		})
	}
}

// TestKamailioListLost has the server end, and come back knowing nothing but another
// list.
func TestKamailioListLost(t *testing.T) {
	t.Parallel()
	k := siptest.KamailioLists(t, "deskline", map[string][]string{"agents": {"3001"}}, 0)
	w := start(t, sip.Config{Subscribe: []sip.Subscription{{Server: "sip:" + k.Addr() + ";transport=tcp", Event: "dialog", Lists: []string{"agents"}, Expires: 4 * time.Second}}})
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
}

// TestKamailioNoList names a line where a list is meant, and a user without lists.
func TestKamailioNoList(t *testing.T) {
	t.Parallel()
	k := siptest.Kamailio(t)
	quiet := start(t, kamailioList(k, "udp", "dialog"))
	quiet.until("the trouble is reported, before anything is told", func() bool { return strings.Contains(onlyList(quiet).Trouble, "does not know lists (RFC 4662)") })
	w := start(t, kamailioList(k, "udp", "presence"))
	p := dial(t, "tcp", k.Addr())
	agents := "sip:agents@127.0.0.1"
	if r := p.say("PUBLISH", agents, isPresence+"Expires: 60\r\n", strings.ReplaceAll(offHook, "sip:2001@pbx.example.com", agents)); r.code != 200 {
		t.Fatalf("%+v", r)
	}
	w.until("the trouble is reported", func() bool { return strings.Contains(onlyList(w).Trouble, "does not know lists (RFC 4662)") })
	if e := w.state(agents); e.Line != presence.LineUnknown {
		t.Errorf("a document that is of no list was used: %+v", e)
	}
}
