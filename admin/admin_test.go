package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deskline/deskline/admin"
	"github.com/deskline/deskline/xmpp/stanza"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func ask(s *admin.Server, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:1000", "localhost:5281"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		switch name {
		case "Remote":
			r.RemoteAddr = value
		case "Host":
			r.Host = value
		default:
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestRoutes(t *testing.T) {
	s := admin.New(admin.Config{Metrics: admin.NewMetrics("1.2.3", quiet()), Level: new(slog.LevelVar), Log: quiet()})
	s.Handle("GET /extra", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "more") }))
	cases := []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/", "", 200, "/metrics"},
		{"GET", "/healthz", "", 200, "ok"},
		{"GET", "/readyz", "", 200, "ready"},
		{"GET", "/metrics", "", 200, `deskline_build_info{go="go1.`},
		{"GET", "/debug/pprof/", "", 200, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", "", 200, "TestRoutes"},
		{"GET", "/extra", "", 200, "more"},
		{"GET", "/none", "", 404, ""},
		{"POST", "/healthz", "", 405, ""},
		{"GET", "/loglevel", "", 200, "info"},
		{"PUT", "/loglevel", "debug\n", 200, "debug"},
		{"GET", "/loglevel", "", 200, "debug"},
		{"PUT", "/loglevel", "loud", 400, "debug, info, warn or error"},
		{"PUT", "/loglevel", strings.Repeat("x", 100), 400, ""},
		{"GET", "/loglevel", "", 200, "debug"},
	}
	for _, c := range cases {
		if w := ask(s, c.method, c.path, c.body); w.Code != c.status || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s %s %s: %d %.200s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
}

func TestWhoIsAnswered(t *testing.T) {
	cases := []struct {
		name         string
		remote       bool
		host, client string
		status       int
	}{
		{"this machine", false, "localhost:5281", "127.0.0.1:1", 200},
		{"this machine by address", false, "127.0.0.1:5281", "127.0.0.1:1", 200},
		{"this machine by IPv6", false, "[::1]:5281", "[::1]:1", 200},
		{"mapped", false, "127.0.0.1", "[::ffff:127.0.0.1]:1", 200},
		{"another machine", false, "localhost:5281", "192.0.2.1:1", 403},
		{"a page with a name turned here", false, "evil.example:5281", "127.0.0.1:1", 403},
		{"another machine, allowed", true, "n1.example.com:5281", "192.0.2.1:1", 200},
	}
	for _, c := range cases {
		s := admin.New(admin.Config{Remote: c.remote, Log: quiet()})
		if w := ask(s, "GET", "/healthz", "", "Remote: "+c.client, "Host: "+c.host); w.Code != c.status {
			t.Errorf("%s: %d", c.name, w.Code)
		}
	}
}

func TestReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := admin.New(admin.Config{Log: quiet()})
		var failure error
		s.Check("store", func(context.Context) error { return failure })
		s.Check("slow", func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil })
		if w := ask(s, "GET", "/readyz", ""); w.Code != 200 || w.Body.String() != "ready\nstore: ok (0 ms)\nslow: ok (20 ms)\n" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		failure = errors.New("disk full\nvery")
		if w := ask(s, "GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "not ready\nstore: disk full very (0 ms)\n") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		w := ask(s, "GET", "/readyz", "", "Accept: application/json")
		var doc struct {
			Ready  bool
			Checks []struct {
				Name, Error string
				OK          bool
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.Ready || len(doc.Checks) != 2 || doc.Checks[0].OK || doc.Checks[0].Error != failure.Error() || !doc.Checks[1].OK {
			t.Errorf("%v %s", err, w.Body)
		}
		failure = fmt.Errorf("half of it: %w", admin.Degraded("away"))
		if w := ask(s, "GET", "/readyz", ""); w.Code != 200 || !strings.HasPrefix(w.Body.String(), "ready, degraded\nstore: degraded: half of it: away (0 ms)\n") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := ask(s, "GET", "/readyz?format=json", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"ok":true,"degraded":true,"error":"half of it: away"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		failure = nil
		s.Drain()
		if w := ask(s, "GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "stopping") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestReadinessOfTheStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := admin.New(admin.Config{Log: quiet()})
		let := make(chan struct{})
		var runs atomic.Int32
		s.Check("stuck", func(context.Context) error { runs.Add(1); <-let; return nil })
		began := time.Now()
		if w := ask(s, "GET", "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "stuck: no answer within 3s") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("took %v", d)
		}
		ask(s, "GET", "/readyz", "")
		if runs.Load() != 1 {
			t.Errorf("%d runs of a check that hangs", runs.Load())
		}
		close(let)
		synctest.Wait()
		if w := ask(s, "GET", "/readyz", ""); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestMetrics(t *testing.T) {
	m := admin.NewMetrics("1.2.3", quiet())
	s := admin.New(admin.Config{Metrics: m, Log: quiet()})
	m.Received(stanza.KindMessage)
	m.Received(stanza.KindMessage)
	m.Received(0)
	m.Sent(stanza.KindPresence)
	m.Sent(99)
	m.Delivered(2 * time.Millisecond)
	m.Login("PLAIN", "success")
	m.Login("SCRAM-SHA-1", "not-authorized")
	for i := range 1000 {
		m.Login(fmt.Sprint("INVENTED-", i), "invalid-mechanism")
		m.Ended("bosh", fmt.Sprint("reason ", i))
	}
	m.Store("read")(time.Millisecond, nil)
	m.Store("commit")(time.Millisecond, errors.New("locked"))
	err := m.Watch(admin.Sources{
		Sessions: map[string]func() int{"bosh": func() int { return 7 }, "websocket": func() int { return 2 }},
		Held:     func() int { return 5 },
		Queued:   func() (int, int64) { return 11, 2222 },
		Refused:  func() uint64 { return 3 }, Connections: func() int { return 20 },
		CertificateExpiry: func() time.Time { return time.Unix(1900000000, 0) },
		Gauges:            map[string]func() float64{"deskline_accounts": func() float64 { return 4 }},
		GaugeHelp:         map[string]string{"deskline_accounts": "Accounts."},
	})
	if err != nil {
		t.Fatal(err)
	}
	body := ask(s, "GET", "/metrics", "").Body.String()
	for _, want := range []string{
		`deskline_stanzas_total{direction="in",kind="message"} 2`,
		`deskline_stanzas_total{direction="out",kind="presence"} 1`,
		`deskline_stanzas_total{direction="out",kind="iq"} 0`,
		`deskline_delivery_seconds_bucket{le="0.0025"} 1`,
		`deskline_logins_total{mechanism="PLAIN",result="success"} 1`,
		`deskline_logins_total{mechanism="SCRAM-SHA-1",result="not-authorized"} 1`,
		`deskline_logins_total{mechanism="other",result="invalid-mechanism"} 1000`,
		`deskline_sessions_ended_total{reason="reason 0",transport="bosh"} 1`,
		`deskline_sessions_ended_total{reason="other",transport="bosh"} 950`,
		`deskline_store_seconds_count{operation="read"} 1`,
		`deskline_store_errors_total{operation="commit"} 1`,
		`deskline_sessions{transport="bosh"} 7`,
		`deskline_sessions{transport="websocket"} 2`,
		`deskline_requests_held 5`,
		`deskline_queue_stanzas 11`,
		`deskline_queue_bytes 2222`,
		`deskline_connections 20`,
		`deskline_connections_refused_total 3`,
		`deskline_certificate_expiry_timestamp_seconds 1.9e+09`,
		`deskline_accounts 4`,
		`version="1.2.3"`,
		`go_goroutines`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(body, "deskline_unused") {
		t.Error("the counter for nothing is shown")
	}
	if err := m.Watch(admin.Sources{}); err == nil {
		t.Error("watched twice")
	}
}

func TestServe(t *testing.T) {
	s := admin.New(admin.Config{Log: quiet()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	res, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil || res.StatusCode != 200 {
		t.Errorf("%v, status %d", err, res.StatusCode)
	}
}

func BenchmarkReceived(b *testing.B) {
	m := admin.NewMetrics("", quiet())
	b.ReportAllocs()
	for b.Loop() {
		m.Received(stanza.KindMessage)
	}
}

func BenchmarkStore(b *testing.B) {
	note := admin.NewMetrics("", quiet()).Store("read")
	b.ReportAllocs()
	for b.Loop() {
		note(time.Millisecond, nil)
	}
}

func BenchmarkDelivered(b *testing.B) {
	m := admin.NewMetrics("", quiet())
	b.ReportAllocs()
	for b.Loop() {
		m.Delivered(time.Millisecond)
	}
}
