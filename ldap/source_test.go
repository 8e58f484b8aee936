package ldap_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/ldap"
	"github.com/deskline/deskline/xmpp/jid"
)

func TestPerson(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{})
	s.Load(person("alice", "displayName: Alice Ärcher", "givenName: Alice", "mail: alice@example.com", "mail: a@example.com", "telephoneNumber: +49 30 1",
		"mobile: +49 170 2", "title: Agent", "departmentNumber: 7", "o: Example", "jpegPhoto:: /9j/4AAQ") +
		person("bob", "mail: no control\u0001") + "dn: cn=nameless," + ldaptest.People + "\nobjectClass: person\ncn: nameless\nsn: x\n\n" +
		groupOf("agents", dnOf("alice")) + groupOf("all", groupDN("agents"), dnOf("bob")))
	_, all := run(t, config(s))
	p, _ := all.get("alice")
	if p.Name != "Alice Ärcher" || p.Given != "Alice" || p.Family != "alice" || fmt.Sprint(p.Mail) != "[alice@example.com a@example.com]" ||
		fmt.Sprint(p.Phones) != "[+49 30 1 +49 170 2]" || p.Title != "Agent" || p.Department != "7" || p.Company != "Example" ||
		p.Unit != ldaptest.People || fmt.Sprint(p.Groups) != fmt.Sprint([]string{groupDN("agents"), groupDN("all")}) || !p.Photo || !p.Enabled || len(p.ID) != 36 {
		t.Errorf("%+v", p)
	}
	if p, _ := all.get("bob"); p.Name != "bob" || p.Photo || fmt.Sprint(p.Groups) != fmt.Sprint([]string{groupDN("all")}) {
		t.Errorf("%+v", p)
	}
	if all.len() != 2 {
		t.Errorf("%d people", all.len())
	}
}

// TestChanges makes changes while the directory is followed, by each of the ways
// that OpenLDAP has.
func TestChanges(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"as they happen": false, "by time": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.Start(t, ldaptest.Config{Plain: plain})
			var ldif strings.Builder
			for i := range 10 {
				ldif.WriteString(person(fmt.Sprint("user", i), "employeeType: agent"))
			}
			s.Load(ldif.String() + groupOf("chat", groupDN("inner"), dnOf("user9")) + groupOf("inner", dnOf("user1"), dnOf("user2")) + groupOf("other", dnOf("user5")))
			cfg := config(s)
			cfg.Enabled = ldap.Enabled{Groups: []string{groupDN("chat")}, Filter: "(employeeType=agent)"}
			d, all := run(t, cfg)
			enabled := func(name string, want bool) {
				t.Helper()
				eventually(t, fmt.Sprint(name, " enabled: ", want), func() bool {
					p, ok := all.get(name)
					_, withdrawn := d.Withdrawn(user(name))
					return ok && p.Enabled == want && withdrawn != want
				})
			}
			enabled("user1", true)
			enabled("user3", false)
			s.Modify("dn: " + dnOf("user1") + "\nchangetype: modify\nreplace: displayName\ndisplayName: New\n")
			eventually(t, "a new name", func() bool { p, _ := all.get("user1"); return p.Name == "New" })
			s.Modify("dn: " + groupDN("inner") + "\nchangetype: modify\ndelete: member\nmember: " + dnOf("user1") + "\n")
			enabled("user1", false)
			s.Modify("dn: " + groupDN("chat") + "\nchangetype: modify\nadd: member\nmember: " + groupDN("other") + "\n")
			enabled("user5", true)
			s.Modify("dn: " + dnOf("user5") + "\nchangetype: modify\nreplace: employeeType\nemployeeType: guest\n")
			enabled("user5", false)
			s.Load(person("new", "employeeType: agent"))
			eventually(t, "somebody new", func() bool { _, ok := all.get("new"); return ok })
			s.Delete(dnOf("user2"))
			eventually(t, "somebody gone", func() bool { _, ok := all.get("user2"); return !ok })
			if _, withdrawn := d.Withdrawn(user("user2")); !withdrawn {
				t.Error("somebody gone may chat")
			}
			s.Modify("dn: " + dnOf("user9") + "\nchangetype: modrdn\nnewrdn: uid=renamed\ndeleteoldrdn: 1\n")
			eventually(t, "somebody renamed", func() bool {
				_, old := all.get("user9")
				_, now := all.get("renamed")
				return !old && now
			})
			// Before or after a restart of the server.
			s.Kill()
			s.Start()
			s.Delete(dnOf("user7"))
			s.Modify("dn: " + dnOf("user8") + "\nchangetype: modify\nreplace: displayName\ndisplayName: Later\n")
			eventually(t, "changes after a restart", func() bool {
				_, ok := all.get("user7")
				p, _ := all.get("user8")
				return !ok && p.Name == "Later"
			})
			if got := all.reads(); got > 1 {
				t.Errorf("everybody was read %d times", got)
			}
		})
	}
}

// TestMany reads more people than the server gives out at a time.
func TestMany(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{Extra: "sizelimit size.soft=500 size.hard=500 size.pr=500 size.prtotal=unlimited"})
	var ldif strings.Builder
	const many = 1500
	for i := range many {
		ldif.WriteString(strings.ReplaceAll(person(fmt.Sprint("user", i)), "userPassword: "+fmt.Sprint("user", i)+"'s secret\n", ""))
	}
	s.LoadOffline(ldif.String())
	_, all := run(t, config(s))
	if all.len() != many {
		t.Errorf("%d people", all.len())
	}
	s.Modify("dn: " + dnOf("user1499") + "\nchangetype: modify\nreplace: displayName\ndisplayName: New\n")
	eventually(t, "a change", func() bool { p, _ := all.get("user1499"); return p.Name == "New" })
}

// TestShrunkGroup has a group be empty at once.
func TestShrunkGroup(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{})
	var ldif strings.Builder
	var members []string
	for i := range 10 {
		ldif.WriteString(person(fmt.Sprint("user", i)))
		members = append(members, dnOf(fmt.Sprint("user", i)))
	}
	s.Load(ldif.String() + groupOf("inner", members...) + groupOf("chat", groupDN("inner")))
	cfg := config(s)
	log := &logWriter{t: t}
	cfg.Log, cfg.Enabled.Groups = slog.New(slog.NewTextHandler(log, nil)), []string{groupDN("chat")}
	d, _ := run(t, cfg)
	s.Modify("dn: " + groupDN("inner") + "\nchangetype: modify\nreplace: member\nmember: " + dnOf("user1") + "\n")
	eventually(t, "confirmation", func() bool { return d.Stats().Enabled == 1 })
	if !log.has("1 of 10 who may chat") {
		t.Error("nothing was suspected")
	}
}

// TestShrunk has most people vanish at once, which has to be read twice.
func TestShrunk(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{Plain: true})
	var ldif strings.Builder
	var dns []string
	for i := range 10 {
		ldif.WriteString(person(fmt.Sprint("user", i)))
		dns = append(dns, dnOf(fmt.Sprint("user", i)))
	}
	s.Load(ldif.String())
	cfg := config(s)
	log := &logWriter{t: t}
	cfg.Log, cfg.Refresh = slog.New(slog.NewTextHandler(log, nil)), time.Hour // so that they are missed all at once
	d, all := run(t, cfg)
	s.Kill()
	if _, withdrawn := d.Withdrawn(user("user1")); withdrawn || all.len() != 10 {
		t.Error("people are gone with the server")
	}
	s.Start()
	s.Delete(dns[:9]...)
	often := d.Settings()
	often.Refresh = 100 * time.Millisecond
	if err := d.SetSettings(often); err != nil {
		t.Fatal(err)
	}
	eventually(t, "confirmation", func() bool { return all.len() == 1 })
	if !log.has("1 of 10 are left") {
		t.Error("nothing was suspected")
	}
}

// TestPresent has very many people, of whom those who are signed in are looked at
// more often.
func TestPresent(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.Config{Plain: true, Extra: "sizelimit unlimited"})
	s.LoadOffline(crowd(5100))
	cfg := config(s)
	cfg.PageSize, cfg.Refresh = 2000, 4*time.Second
	cfg.Enabled.Filter = "(sn=*)"
	cfg.Present = func() []jid.JID { return []jid.JID{user("user1"), user("user2"), user("nobody")} }
	d, all := run(t, cfg)
	s.Delete(dnOf("user1"), dnOf("user3"))
	eventually(t, "somebody who is signed in is gone", func() bool { _, ok := all.get("user1"); return !ok })
	if _, withdrawn := d.Withdrawn(user("user1")); !withdrawn {
		t.Error("somebody gone may chat")
	}
	if _, ok := all.get("user3"); !ok || all.reads() != 1 {
		t.Errorf("everybody was compared, or read %d times", all.reads())
	}
}
