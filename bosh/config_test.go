package bosh_test

import (
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/bosh"
)

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
