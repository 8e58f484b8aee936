package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/ldaptest"
)

// found searches as somebody types, and returns the answer.
func (c *client) found(text string) string {
	c.s.t.Helper()
	return c.ask("<iq xmlns='jabber:client' type='set' id='s' to='example.com'><query xmlns='jabber:iq:search'>" +
		"<x xmlns='jabber:x:data' type='submit'><field var='search'><value>" + text + "</value></field></x></query></iq>")
}

// TestDirectoryPeople has people of a directory find each other, with what it
// says of them, and those of one group be contacts, also while it hangs.
func TestDirectoryPeople(t *testing.T) {
	t.Parallel()
	d := ldaptest.Start(t, ldaptest.Config{})
	group := "dn: cn=agents," + ldaptest.Groups + "\nobjectClass: groupOfNames\ncn: agents\n"
	for _, name := range []string{"anna", "ben"} {
		group += fmt.Sprintf("member: uid=%s,%s\n", name, ldaptest.People)
	}
	d.Load(inLDAP("anna", "employeeType: agent") +
		inLDAP("ben", "employeeType: agent", "displayName: Bén Öztürk", "telephoneNumber: +49 30 1234-56", "title: Expert", "mail: ben.o@corp.example", "jpegPhoto:: /9j/4AAQ") +
		inLDAP("guest", "displayName: Benno") + group + "\n")
	s := start(t, func(c *configs.Config) {
		withLDAP(d)(c)
		c.LDAP.Enabled.Filter = "(employeeType=agent)"
		c.Groups.Authorised = []string{"agents"}
	})
	eventually(t, "everybody is read", func() bool { _, text := s.readyz(); return strings.Contains(text, "3 people, 2 enabled") })
	anna, ben := s.loginAt("anna"), s.loginAt("ben")
	want(t, "ben comes", ben.ask("<presence xmlns='jabber:client'/>"), "type='result'")

	for _, text := range []string{"ozt", "be", "030 1234", "ben.o", "EXPERT b"} {
		got := anna.found(text)
		want(t, "search "+text, got, "<value>ben@example.com</value>", "<value>Bén Öztürk</value>")
		if strings.Contains(got, "guest@") {
			t.Errorf("%s finds who may not chat: %s", text, got)
		}
	}
	card := "<iq xmlns='jabber:client' type='get' id='v' to='ben@example.com'><vCard xmlns='vcard-temp'/></iq>"
	want(t, "vCard", anna.ask(card), "<FN>Bén Öztürk</FN>", "+49 30 1234-56", "<TITLE>Expert</TITLE>", "<PHOTO><TYPE>image/jpeg</TYPE><BINVAL>/9j/4AAQ</BINVAL></PHOTO>")
	want(t, "own vCard", ben.ask("<iq xmlns='jabber:client' type='set' id='v'><vCard xmlns='vcard-temp'><FN>Boss</FN></vCard></iq>"), "<not-allowed")

	want(t, "roster", anna.ask("<iq xmlns='jabber:client' type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"),
		"jid='ben@example.com'", "subscription='both'", "<group>agents</group>")
	want(t, "presence", anna.ask("<presence xmlns='jabber:client'/>"), "from='ben@example.com/desk'")

	// Search needs no directory; with it what changes is found.
	d.Freeze()
	want(t, "search without the directory", anna.found("ozt"), "<value>ben@example.com</value>")
	d.Thaw()
	d.Load(inLDAP("cora", "employeeType: agent", "displayName: Cora Zuse"))
	eventually(t, "somebody new", func() bool { return strings.Contains(anna.found("zus"), "cora@example.com") })
	d.Modify(modify("ben", "replace: employeeType\nemployeeType: guest"))
	want(t, "withdrawn", ben.over(), "not-authorized")
	eventually(t, "nobody finds him any more", func() bool { return !strings.Contains(anna.found("ozt"), "ben@example.com") })
}
