package ldaptest_test

import (
	"net"
	"testing"

	"github.com/deskline/deskline/internal/ldaptest"
)

func TestServer(t *testing.T) {
	d := ldaptest.Start(t, ldaptest.Config{TLS: ldaptest.NewCA(t)})
	alice := "dn: uid=alice," + ldaptest.People + "\nobjectClass: inetOrgPerson\nuid: alice\ncn: Alice\nsn: A\n"
	d.Load(alice)
	d.Freeze()
	d.Thaw()
	d.Kill()
	if c, err := net.Dial("tcp", d.Addr()); err == nil {
		_ = c.Close()
		t.Fatal("it still takes connections")
	}
	d.Start()
	d.Delete("uid=alice," + ldaptest.People) // which the kill did not lose
	d.LoadOffline(alice)
	d.Modify("dn: uid=alice," + ldaptest.People + "\nchangetype: modify\nreplace: cn\ncn: Alicia\n")
}
