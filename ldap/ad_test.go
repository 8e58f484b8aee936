//go:build samba

package ldap_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deskline/deskline/internal/ldaptest"
	"github.com/deskline/deskline/ldap"
)

// TestActiveDirectory is against Samba's controller, which takes half a minute to
// make: make test-ad.
func TestActiveDirectory(t *testing.T) {
	ad := ldaptest.StartAD(t)
	const secret = "Passw0rd!user"
	for _, name := range []string{"anna", "ben", "cora", "dirk", "emil"} {
		ad.Tool("user", "create", name, secret, "--given-name="+name, "--surname=Test", "--department=Sales", "--company=Example", "--mail-address="+name+"@example.com", "--telephone-number=+49 1")
	}
	for _, name := range []string{"chat", "agents", "loop", "big"} {
		ad.Tool("group", "add", name)
	}
	ad.Tool("group", "addmembers", "chat", "agents")
	ad.Tool("group", "addmembers", "agents", "loop,anna,dirk")
	ad.Tool("group", "addmembers", "loop", "agents,ben")
	ad.Tool("user", "disable", "dirk")
	cfg := ldap.Config{
		URLs: []string{ad.URL()}, Domains: []string{"example.com"}, Schema: "ad", Base: ldaptest.ADBase,
		BindDN: ldaptest.ADAdmin, BindPassword: ldaptest.ADAdminPassword,
		Settings: ldap.Settings{Refresh: 500 * time.Millisecond, PageSize: 10, Enabled: ldap.Enabled{Groups: []string{"CN=chat,CN=Users," + ldaptest.ADBase}}},
	}
	d, all := run(t, cfg)
	for name, want := range map[string]string{"anna": "", "ben": "", "cora": "not in the group", "dirk": "disabled", "emil": "not in the group"} {
		p, ok := all.get(name)
		if !ok || p.Enabled != (want == "") || !strings.Contains(p.Why, want) || p.Department != "Sales" || p.Company != "Example" || len(p.ID) != 32 {
			t.Errorf("%s: %+v", name, p)
		}
		err := d.Login(t.Context(), user(name), secret, nil)
		no, disabled := errors.AsType[*ldap.DisabledError](err)
		if (want == "") != (err == nil) || want != "" && (!disabled || !strings.Contains(no.Why, want)) {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Login(t.Context(), user(name), "wrong", nil); !errors.Is(err, ldap.ErrPassword) {
			t.Errorf("%s, wrong: %v", name, err)
		}
	}
	if p, _ := all.get("ben"); fmt.Sprint(p.Groups) != "[agents chat loop]" {
		t.Errorf("groups of ben: %v", p.Groups)
	}
	if got := d.Inspect(t.Context())[0]; got.Err != nil || got.Vendor != "Active Directory" || got.Changes != "usn" || !got.Nested || got.Enabled != 2 {
		t.Errorf("%+v", got)
	}
	enabled := func(name string, want bool) {
		t.Helper()
		eventually(t, fmt.Sprint(name, " enabled: ", want), func() bool {
			p, ok := all.get(name)
			_, withdrawn := d.Withdrawn(user(name))
			return ok && p.Enabled == want && withdrawn != want
		})
	}
	ad.Tool("group", "addmembers", "loop", "cora")
	enabled("cora", true)
	ad.Tool("group", "removemembers", "agents", "anna")
	enabled("anna", false)
	ad.Tool("user", "disable", "ben")
	enabled("ben", false)
	ad.Tool("user", "enable", "ben")
	enabled("ben", true)
	ad.Modify("dn: CN=cora Test,CN=Users," + ldaptest.ADBase + "\nchangetype: modify\nreplace: displayName\ndisplayName: New\n")
	eventually(t, "a new name", func() bool { p, _ := all.get("cora"); return p.Name == "New" })
	ad.Tool("user", "delete", "cora")
	eventually(t, "somebody gone", func() bool { _, ok := all.get("cora"); return !ok })
	ad.Tool("user", "create", "nora", secret)
	eventually(t, "somebody new", func() bool { _, ok := all.get("nora"); return ok })
	if got := all.reads(); got != 1 {
		t.Errorf("everybody was read %d times", got)
	}
	// A locked account is told of as little as a wrong password.
	ad.Tool("domain", "passwordsettings", "set", "--account-lockout-threshold=3")
	for range 4 {
		if err := d.Login(t.Context(), user("ben"), "wrong", nil); !errors.Is(err, ldap.ErrPassword) {
			t.Errorf("guess: %v", err)
		}
	}
	if err := d.Login(t.Context(), user("ben"), secret, nil); !errors.Is(err, ldap.ErrPassword) {
		t.Errorf("locked: %v", err)
	}
	enabled("ben", true) // who guesses ends nobody's chats
	ad.Tool("user", "unlock", "ben")
	if err := d.Login(t.Context(), user("ben"), secret, nil); err != nil {
		t.Errorf("unlocked: %v", err)
	}
}
