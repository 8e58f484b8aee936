package caldav_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/radicaletest"
	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/presence/calendar"
	"github.com/deskline/deskline/presence/calendar/caldav"
	"github.com/deskline/deskline/xmpp/jid"
)

const patience = 60 * time.Second

func meeting(uid string, begin time.Time, lines string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:test\r\nBEGIN:VEVENT\r\nUID:" + uid + "\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:Secret\r\nDTSTART:" +
		begin.UTC().Format("20060102T150405Z") + "\r\nDURATION:PT1H\r\n" + lines + "END:VEVENT\r\nEND:VCALENDAR\r\n"
}

// counter is a proxy that notes what is asked.
type counter struct {
	mu    sync.Mutex
	asked []string
	*httptest.Server
}

func (c *counter) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.asked
	c.asked = nil
	return list
}

func watch(t *testing.T, target string) *counter {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{}
	proxy := httputil.NewSingleHostReverseProxy(u)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked = append(c.asked, r.Method)
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func source(t *testing.T, c caldav.Config) *caldav.Source {
	t.Helper()
	if c.Username == "" {
		c.Username, c.Password = "alice", "secret"
	}
	s, err := caldav.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var alice = jid.MustParse("alice@example.com")

func TestRadicale(t *testing.T) {
	r := radicaletest.Start(t, "alice:secret")
	r.MakeCalendar("alice", "secret", "/alice/work/")
	hour := time.Now().UTC().Truncate(time.Hour)
	r.Put("alice", "secret", "/alice/work/a.ics", meeting("a", hour.Add(2*time.Hour), ""))
	r.Put("alice", "secret", "/alice/work/b.ics", meeting("b", hour.AddDate(-1, 0, 0).Add(5*time.Hour), "RRULE:FREQ=DAILY\r\n"))
	r.Put("alice", "secret", "/alice/work/c.ics", meeting("c", hour.Add(8*time.Hour), "TRANSP:TRANSPARENT\r\n"))
	proxy := watch(t, r.URL())
	s := source(t, caldav.Config{ClientConfig: calendar.ClientConfig{URL: proxy.URL + "/{user}/work/"}})
	ask := calendar.Ask{User: alice, From: hour, Until: hour.Add(24 * time.Hour)}

	first, err := s.Fetch(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	busy := func(hours ...int) []presence.Period {
		var list []presence.Period
		for _, h := range hours {
			list = append(list, presence.Period{From: hour.Add(time.Duration(h) * time.Hour), Until: hour.Add(time.Duration(h+1) * time.Hour), Slot: presence.SlotBusy})
		}
		return list
	}
	if !slices.Equal(first.Periods, busy(2, 5)) {
		t.Errorf("got %v", first.Periods)
	}
	proxy.take()
	ask.Tag = first.Tag
	same, err := s.Fetch(t.Context(), ask)
	if asked := proxy.take(); err != nil || !same.Same || !slices.Equal(asked, []string{"PROPFIND"}) {
		t.Errorf("an unchanged one: %+v %v, asked %v", same, err, asked)
	}
	r.Delete("alice", "secret", "/alice/work/b.ics")
	changed, err := s.Fetch(t.Context(), ask)
	if err != nil || changed.Same || !slices.Equal(changed.Periods, busy(2)) {
		t.Errorf("a changed one: %+v %v", changed, err)
	}
	for name, c := range map[string]calendar.ClientConfig{
		"wrong password": {URL: r.URL() + "/{user}/work/", Username: "{user}", Password: "wr0ng-one"},
		"no calendar":    {URL: r.URL() + "/{user}/gone/"},
	} {
		if answer, err := source(t, caldav.Config{ClientConfig: c}).Fetch(t.Context(), calendar.Ask{User: alice, From: hour, Until: hour.Add(time.Hour)}); err == nil || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("%s: %+v %v", name, answer, err)
		}
	}
}

// The server dies, hangs and comes back: what it said counts until it expires, and
// what has changed meanwhile is known without anybody's help.
func TestTrouble(t *testing.T) {
	r := radicaletest.Start(t, "alice:secret")
	r.MakeCalendar("alice", "secret", "/alice/work/")
	hour := time.Now().UTC().Truncate(time.Hour)
	s := source(t, caldav.Config{ClientConfig: calendar.ClientConfig{URL: r.URL() + "/{user}/work/", AtOnce: 2}})
	p := calendar.New(calendar.Config{
		Name: "work", Users: func() []jid.JID { return []jid.JID{alice} }, Fetch: s.Fetch, Refresh: 200 * time.Millisecond,
		Window: 48 * time.Hour, Keep: time.Minute, Timeout: 3 * time.Second, AtOnce: 2, Log: slog.New(slog.DiscardHandler),
	})
	out := make(chan presence.Evidence)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, out) }()
	t.Cleanup(func() { cancel(); <-ended })
	var last presence.Evidence
	await := func(n int) {
		t.Helper()
		for limit := time.After(patience); ; {
			select {
			case e := <-out:
				if e.Seq <= last.Seq || !e.Expires.After(time.Now()) || e.User != alice || e.Source != "work" {
					t.Fatalf("%+v after %+v", e, last)
				}
				if last = e; len(e.Periods) == n {
					return
				}
			case <-limit:
				t.Fatalf("never %d periods, but %+v", n, last)
			}
		}
	}
	failures := func() {
		t.Helper()
		before := p.Stats().Failed
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for limit := time.After(patience); p.Stats().Failed == before; {
			select {
			case e := <-out: // on its way
				last = e
			case <-tick.C:
			case <-limit:
				t.Fatal("nobody notices that the server does not answer")
			}
		}
		if !p.Stats().Down {
			t.Error("the server does not count as down")
		}
	}
	await(0)
	r.Put("alice", "secret", "/alice/work/1.ics", meeting("1", hour.Add(2*time.Hour), ""))
	await(1)
	r.Kill()
	failures()
	if len(last.Periods) != 1 {
		t.Errorf("a dead server takes back: %+v", last)
	}
	r.Start()
	r.Put("alice", "secret", "/alice/work/2.ics", meeting("2", hour.Add(4*time.Hour), ""))
	await(2)
	r.Freeze()
	failures()
	r.Thaw()
	r.Put("alice", "secret", "/alice/work/3.ics", meeting("3", hour.Add(6*time.Hour), ""))
	await(3)
}

// Free-busy is asked for where it is offered, which Radicale's older releases do not.
func TestFreeBusy(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PROPFIND" {
			w.WriteHeader(http.StatusMultiStatus)
			_, _ = fmt.Fprint(w, `<D:multistatus xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:response><D:href>/</D:href><D:propstat><D:prop><D:sync-token>t1</D:sync-token>
<D:supported-report-set><D:supported-report><D:report><C:calendar-query/></D:report></D:supported-report><D:supported-report><D:report><C:free-busy-query/></D:report></D:supported-report></D:supported-report-set>
</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>`)
			return
		}
		body := make([]byte, 4096)
		n, _ := r.Body.Read(body)
		asked = r.Method + string(body[:n])
		_, _ = fmt.Fprint(w, "BEGIN:VCALENDAR\r\nBEGIN:VFREEBUSY\r\nFREEBUSY;FBTYPE=BUSY-UNAVAILABLE:20260302T090000Z/PT1H\r\nEND:VFREEBUSY\r\nEND:VCALENDAR\r\n")
	}))
	defer server.Close()
	from := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	answer, err := source(t, caldav.Config{ClientConfig: calendar.ClientConfig{URL: server.URL}}).Fetch(t.Context(), calendar.Ask{User: alice, From: from, Until: from.AddDate(0, 0, 1)})
	if err != nil || len(answer.Periods) != 1 || answer.Periods[0].Slot != presence.SlotOutOfOffice || answer.Tag != "t1" || !strings.Contains(asked, "free-busy-query") {
		t.Errorf("%+v %v, asked %s", answer, err, asked)
	}
}
