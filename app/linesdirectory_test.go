package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/deskline/deskline/configs"
	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/presence/esl/esltest"
)

// TestLinesOfDirectory has lines of a FreeSWITCH be those of people in a real directory, by an attribute of its own
// and by numbers that are written in another way, and follow what changes there.
func TestLinesOfDirectory(t *testing.T) {
	t.Parallel()
	d := ldaptest.Start(t, ldaptest.Config{})
	group := "dn: cn=agents," + ldaptest.Groups + "\nobjectClass: groupOfNames\ncn: agents\n"
	for _, name := range []string{"anna", "ben", "cora"} {
		group += fmt.Sprintf("member: uid=%s,%s\n", name, ldaptest.People)
	}
	d.Load(inLDAP("anna", "telephoneNumber: +49 30 123-2001") + inLDAP("ben", "employeeNumber: (030) 123-2001") + inLDAP("cora", "employeeNumber: sip:cora@pbx") + group + "\n")
	p := esltest.Start(t, clueCon)
	s := start(t, func(c *configs.Config) {
		withLDAP(d)(c)
		withFreeSWITCH(t, p, func(f *configs.FreeSWITCH) { f.Prefix = "+4930123" })(c)
		c.Presence.Lines = nil
		c.Presence.Numbers.Country = "49"
		c.LDAP.Attributes.Lines = []string{"employeeNumber"}
		c.Groups.Authorised = []string{"agents"}
	})
	eventually(t, "everybody is read", func() bool { _, text := s.readyz(); return strings.Contains(text, "3 people") })
	anna, ben, cora := s.loginAt("anna"), s.loginAt("ben"), s.loginAt("cora")
	for _, c := range []*client{anna, ben, cora} {
		c.ask("<presence xmlns='jabber:client'/>")
	}
	p.Call("u1", "2001@pbx.example.com", "outbound", "ACTIVE")
	cora.told("ben", onThePhone)

	// Another gets the number, and while that is so both have it.
	d.Modify(modify("cora", "replace: employeeNumber\nemployeeNumber: +49301232001"))
	anna.told("cora", onThePhone)
	d.Modify(modify("ben", "replace: employeeNumber\nemployeeNumber: 999"))
	anna.told("ben", free)
	p.Hangup("u1")
	anna.told("cora", free)
	if got := cora.ask("<iq xmlns='jabber:client' type='get' id='why'><composed xmlns='urn:deskline:presence:1'/></iq>"); !strings.Contains(got, "item='+49301232001@pbx.example.com' state='idle'") {
		t.Errorf("cora's sources: %s", got)
	}
}
