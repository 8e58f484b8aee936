package router_test

import (
	"fmt"
	"testing"

	"github.com/deskline/deskline/router"
	"github.com/deskline/deskline/xmpp/jid"
)

func TestReaches(t *testing.T) {
	for _, n := range []int{3, 100} {
		var domains []jid.JID
		for i := range n {
			domains = append(domains, jid.MustParse(fmt.Sprintf("d%d.example", i)))
		}
		apart := func(a, b string) bool { return a != "d1.example" && b != "d1.example" }
		open, scoped := router.New(router.Config{Domains: domains}), router.New(router.Config{Domains: domains, Scope: apart})
		for _, tt := range []struct {
			from, to     string
			open, scoped bool
		}{
			{"a@d0.example/x", "b@d0.example", true, true},
			{"a@d0.example/x", "b@d2.example", true, true},
			{"a@d0.example/x", "b@d1.example", true, false},
			{"a@d1.example/x", "b@d1.example/y", true, true},
			{"a@d0.example/x", "d1.example", true, false},
			{"a@d0.example/x", "b@elsewhere.example", false, false},
		} {
			from, to := jid.MustParse(tt.from), jid.MustParse(tt.to)
			if got := open.Reaches(from, to); got != tt.open {
				t.Errorf("%d domains, open, %s to %s: %v", n, tt.from, tt.to, got)
			}
			if got := scoped.Reaches(from, to); got != tt.scoped {
				t.Errorf("%d domains, scoped, %s to %s: %v", n, tt.from, tt.to, got)
			}
		}
	}
}

func BenchmarkReaches(b *testing.B) {
	domains := []jid.JID{jid.MustParse("example.com"), jid.MustParse("sales.example.com")}
	from, to := jid.MustParse("a@example.com/x"), jid.MustParse("b@example.com")
	r := router.New(router.Config{Domains: domains, Scope: func(a, b string) bool { return a == b }})
	b.ReportAllocs()
	for b.Loop() {
		if !r.Reaches(from, to) {
			b.Fatal("no")
		}
	}
}
