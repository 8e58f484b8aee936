package ldap_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/ldap"
	"github.com/deskline/deskline/people"
	"github.com/deskline/deskline/xmpp/jid"
)

// crowd is people in groups of 50, all of which are within one.
func crowd(count int) string {
	var b strings.Builder
	groups := []string{}
	for i := 0; i < count; i += 50 {
		var members []string
		for k := i; k < min(i+50, count); k++ {
			fmt.Fprintf(&b, "dn: uid=user%[1]d,%[2]s\nobjectClass: inetOrgPerson\nuid: user%[1]d\ncn: User %[1]d\nsn: %[1]d\ngivenName: User\nmail: user%[1]d@example.com\ntelephoneNumber: +49 30 %[1]d\ntitle: Agent\ndepartmentNumber: %[3]d\no: Example\nuserPassword: secret\n\n",
				k, ldaptest.People, k%100)
			members = append(members, dnOf(fmt.Sprint("user", k)))
		}
		name := fmt.Sprint("team", i/50)
		b.WriteString(groupOf(name, members...))
		groups = append(groups, groupDN(name))
	}
	b.WriteString(groupOf("chat", groups...))
	return b.String()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// quiet is a sink that keeps nothing.
type quiet struct{}

func (quiet) Replace(_ context.Context, all iter.Seq2[people.Person, error]) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func (quiet) Change(context.Context, []people.Person, []jid.JID) error { return nil }

// BenchmarkRead_100000People reads everybody; the heap is what stays of them.
func BenchmarkRead_100000People(b *testing.B) {
	const count = 100_000
	s := ldaptest.Start(b, ldaptest.Config{Plain: true, Extra: "sizelimit unlimited"})
	s.LoadOffline(crowd(count))
	cfg := config(s)
	cfg.Enabled.Groups = []string{groupDN("chat")}
	cfg.Refresh = time.Hour
	before := heap()
	var d *ldap.Directory
	for b.Loop() {
		var err error
		if d, err = ldap.New(cfg); err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx, quiet{}) }()
		for !d.Stats().Complete {
			select {
			case <-done:
				b.Fatal("it ended")
			case <-time.After(10 * time.Millisecond):
			}
		}
		cancel()
		<-done
		d.Close()
	}
	b.ReportMetric(float64(heap()-before)/count, "B/person")
	if got := d.Stats(); got.People != count || got.Enabled != count {
		b.Errorf("%+v", got)
	}
}

// BenchmarkLogin signs one person in after another.
func BenchmarkLogin(b *testing.B) {
	s := ldaptest.Start(b, ldaptest.Config{})
	s.Load(person("alice") + groupOf("agents", dnOf("alice")) + groupOf("chat", groupDN("agents")))
	cfg := config(s)
	cfg.Enabled.Groups = []string{groupDN("chat")}
	d, err := ldap.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Login(b.Context(), user("alice"), "alice's secret", nil); err != nil {
			b.Fatal(err)
		}
	}
}
