package bosh_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
	"github.com/deskline/deskline/session"
	"github.com/deskline/deskline/xmpp/stanza"
)

// The time a message took is noted once for the response that carries it.
func TestDelivered(t *testing.T) {
	took := make(chan time.Duration, 10)
	b := newBench(t, bosh.Config{Delivered: func(d time.Duration) { took <- d }})
	f := b.create("")
	held := b.later(t.Context(), f.body(101, "", ""))
	waitFor(t, func() bool { return b.h.Stats().Held == 1 })
	frame := session.Frame{Bytes: []byte("<message/>"), Stanza: &stanza.Stanza{Arrived: time.Now().Add(-time.Minute)}}
	if err := f.conn.Write(frame, frame, session.Frame{Bytes: []byte("<iq/>")}); err != nil {
		t.Fatal(err)
	}
	wantIn(t, "response", <-held, "<message/><message/><iq/>")
	if d := <-took; d < time.Minute || d > 2*time.Minute {
		t.Errorf("noted %v", d)
	}
	select {
	case d := <-took:
		t.Errorf("noted %v as well", d)
	default:
	}
}

// A changed configuration is for the sessions to come, but for what bounds all.
func TestSetConfig(t *testing.T) {
	b := newBench(t, bosh.Config{})
	old := b.create("")
	cfg := b.h.Config()
	cfg.Wait, cfg.MaxPause, cfg.Limits.Bytes, cfg.QueueBytes = 12*time.Second, 3*time.Second, 1000, 100
	b.h.SetConfig(cfg)
	_, body := b.post(t.Context(), "<body rid='7' to='example.com' ver='1.6' wait='60' xmlns='http://jabber.org/protocol/httpbind'/>")
	wantIn(t, "new session", body, "wait='12'", "maxpause='3'", "hold='1'")
	<-b.sess
	held := b.later(t.Context(), old.body(101, "", ""))
	_, body = b.post(t.Context(), old.body(102, "pause='200'", ""))
	if strings.Contains(body, "terminate") {
		t.Errorf("the old session may not pause as it was told: %s", body)
	}
	<-held
	if status, _ := b.post(t.Context(), old.body(103, "", echo(strings.Repeat("x", 1000)))); status != 413 {
		t.Errorf("a request above the limit gets %d", status)
	}
	_, body = b.post(t.Context(), old.body(103, "", echo(strings.Repeat("x", 100))))
	wantIn(t, "queue above its limit", body, "terminate")
}

// A body that is announced and does not come takes no memory for what is missing.
func TestAnnouncedBody(t *testing.T) {
	b := newBench(t, bosh.Config{Limits: stanza.Limits{Bytes: 64 << 20, StanzaBytes: 64 << 20}})
	large := strings.Repeat("x", 300<<10)
	_, got := b.post(t.Context(), b.create("").body(101, "", echo(large)))
	wantIn(t, "large body", got, large)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read, write := io.Pipe()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", read)
	req.ContentLength = 60 << 20
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		b.h.ServeHTTP(w, req)
		done <- w.Code
	}()
	if _, err := io.WriteString(write, strings.Repeat(" ", 20<<10)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes for 20 KiB of 60 MiB", n)
	}
	_ = write.CloseWithError(io.ErrUnexpectedEOF)
	if code := <-done; code != http.StatusBadRequest {
		t.Errorf("status %d", code)
	}
}
