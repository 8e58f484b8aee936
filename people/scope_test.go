package people_test

import (
	"fmt"
	"testing"

	"github.com/deskline/deskline/people"
)

func TestScope(t *testing.T) {
	domains := []string{"example.com", "sales.example.com", "eu.sales.example.com", "hr.example.com", "other.org", "example.de", "badexample.com"}
	for _, tt := range []struct {
		name    string
		mode    people.Mode
		tenants [][]string
		a, b    string
		related bool
		sees    bool // a finds b
	}{
		{"itself", people.Tree, nil, "example.com", "example.com", true, true},
		{"below", people.Tree, nil, "example.com", "sales.example.com", true, true},
		{"far below", people.Tree, nil, "example.com", "eu.sales.example.com", true, true},
		{"above", people.Tree, nil, "eu.sales.example.com", "example.com", true, false},
		{"beside", people.Tree, nil, "hr.example.com", "sales.example.com", false, false},
		{"another tree", people.Tree, nil, "example.com", "other.org", false, false},
		{"a name that ends alike", people.Tree, nil, "example.com", "badexample.com", false, false},
		{"not served", people.Tree, nil, "example.com", "x.example.com", false, false},
		{"itself alone", people.Domain, nil, "example.com", "example.com", true, true},
		{"domain alone", people.Domain, nil, "example.com", "sales.example.com", false, false},
		{"open within a tenant", people.Open, [][]string{{"example.com", "example.de"}, {"other.org"}}, "example.de", "hr.example.com", true, true},
		{"open to another tenant", people.Open, [][]string{{"example.com", "example.de"}, {"other.org"}}, "example.de", "other.org", false, false},
		{"open to those in none", people.Open, [][]string{{"example.com"}}, "example.com", "other.org", false, false},
		{"open among those in none", people.Open, [][]string{{"example.com"}}, "example.de", "other.org", true, true},
		{"a lower one listed apart", people.Tree, [][]string{{"example.com"}, {"sales.example.com"}}, "example.com", "eu.sales.example.com", false, false},
		{"tree within a tenant", people.Tree, [][]string{{"example.com", "example.de"}}, "example.com", "example.de", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := people.NewScope(tt.mode, domains, tt.tenants)
			if got := s.Related(tt.a, tt.b); got != tt.related || s.Related(tt.b, tt.a) != got {
				t.Errorf("related: %v", got)
			}
			if got := s.MaySee(who("x@"+tt.a), who("y@"+tt.b)); got != tt.sees {
				t.Errorf("sees: %v", got)
			}
		})
	}
	if s := people.NewScope(people.Open, domains, nil); s != nil || !s.Related("a", "b") || s.Tenant("a") != "" {
		t.Error("open is not nil")
	}
}

// BenchmarkRelated_1000Domains asks about two of a thousand tenants.
func BenchmarkRelated_1000Domains(b *testing.B) {
	var domains []string
	for i := range 1000 {
		domains = append(domains, fmt.Sprintf("tenant%03d.example", i))
	}
	s := people.NewScope(people.Tree, domains, nil)
	b.ReportAllocs()
	for b.Loop() {
		if s.Related("tenant007.example", "tenant993.example") {
			b.Fatal("related")
		}
	}
}
