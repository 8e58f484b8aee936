//go:build asterisk

package sip_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/asterisktest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/sip"
)

// resourceLists are lists of Asterisk, one of which is within another, for whoever
// subscribes from this machine.
func resourceLists(event, full string) string {
	var b strings.Builder
	b.WriteString("[watcher]\ntype=endpoint\ncontext=hints\nsubscribe_context=hints\nallow_subscribe=yes\ndisallow=all\nallow=ulaw\n" +
		"[watcher]\ntype=identify\nendpoint=watcher\nmatch=127.0.0.1\n")
	list := func(name string, items ...string) {
		fmt.Fprintf(&b, "[%s]\ntype=resource_list\nevent=%s\nfull_state=%s\nnotification_batch_interval=50\n", name, event, full)
		for _, i := range items {
			fmt.Fprintf(&b, "list_item=%s\n", i)
		}
	}
	list("team", "2003", "2004")
	list("agents", "2002", "2006", "2007", "team")
	return b.String()
}

// TestAsteriskList subscribes to a list with another in it at a real Asterisk, which
// tells of changes or of all, as it is set up.
func TestAsteriskList(t *testing.T) {
	for _, tt := range []struct{ event, full, transport string }{
		{"dialog", "no", "tcp"}, {"dialog", "yes", "udp"}, {"presence", "no", "udp"},
	} {
		t.Run(tt.event+" full="+tt.full, func(t *testing.T) {
			p := asterisktest.Start(t, asterisktest.Config{SIP: true, Watcher: resourceLists(tt.event, tt.full)})
			lines := []string{"2002", "2003", "2004", "2006", "2007"}
			for _, l := range lines {
				p.Device(l, "NOT_INUSE")
			}
			w := start(t, sip.Config{Subscribe: []sip.Subscription{{
				Server: "sip:" + p.SIPAddr() + ";transport=" + tt.transport, Event: tt.event, Lists: []string{"agents"}, Expires: 10 * time.Second,
			}}})
			w.until("all are idle", func() bool { return w.countOf(presence.LineIdle) == len(lines) })
			if s := onlyList(w); s.Trouble != "" || s.Members != len(lines)+1 {
				t.Errorf("%+v", s)
			}
			for range 3 {
				for _, l := range lines {
					line := "sip:" + l + "@127.0.0.1"
					p.Device(l, "RINGING")
					w.await(line, presence.LineRinging)
					p.Device(l, "INUSE")
					w.await(line, presence.LineInCall)
					p.Device(l, "NOT_INUSE")
					w.await(line, presence.LineIdle)
				}
			}
			p.Device("2003", "INUSE")
			w.await("sip:2003@127.0.0.1", presence.LineInCall)
			p.Kill()
			w.await("sip:2003@127.0.0.1", presence.LineUnknown)
			p.Start()
			p.Device("2003", "RINGING")
			w.await("sip:2003@127.0.0.1", presence.LineRinging)
		})
	}
}

// TestAsteriskNoList names an extension where a list is meant.
func TestAsteriskNoList(t *testing.T) {
	p := asterisktest.Start(t, asterisktest.Config{SIP: true, Watcher: resourceLists("dialog", "no")})
	w := start(t, sip.Config{Subscribe: []sip.Subscription{{Server: "sip:" + p.SIPAddr(), Event: "dialog", Lists: []string{"2002"}, Expires: 10 * time.Second}}})
	w.until("the trouble is reported", func() bool { return strings.Contains(onlyList(w).Trouble, "does not know lists") })
}
