package people_test

import (
	"testing"

	"github.com/deskline/deskline/people"
)

func TestBelowUnit(t *testing.T) {
	for _, tt := range []struct {
		dn, base string
		want     bool
	}{
		{"OU=Sales,DC=example", "ou = sales , dc=EXAMPLE", true},
		{"CN=A, OU=Sales,DC=example", "OU=Sales,DC=example", true},
		{"OU=Sales;DC=example", "OU=Sales,DC=example", true},
		{"OU=Vertrieb München,DC=example", "OU=vertrieb munchen,dc=example", true},
		{"OU=Presales,DC=example", "Sales,DC=example", false},
		{"OU=PreOU=Sales,DC=example", "OU=Sales,DC=example", false},
		{`OU=a\\,OU=Sales,DC=example`, "OU=Sales,DC=example", true},
		{`OU=a\,OU=Sales,DC=example`, "OU=Sales,DC=example", false},
		{"DC=example", "OU=Sales,DC=example", false},
		{"", "DC=example", false},
		{"DC=example", "", true},
	} {
		if got := people.BelowUnit(tt.dn, tt.base); got != tt.want {
			t.Errorf("%q below %q: %t", tt.dn, tt.base, got)
		}
	}
}

func FuzzBelowUnit(f *testing.F) {
	f.Add("OU=a  b\\\\,DC=x", "DC=x")
	f.Fuzz(func(t *testing.T, dn, base string) {
		if !people.BelowUnit(dn, dn) {
			t.Errorf("%q is not below itself", dn)
		}
		people.BelowUnit(dn, base)
	})
}
