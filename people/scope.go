package people

import (
	"strings"

	"github.com/deskline/deskline/xmpp/jid"
)

// Mode says who may talk to whom within a tenant.
type Mode string

// The modes.
const (
	Open   Mode = "open"   // everybody with everybody
	Tree   Mode = "tree"   // a domain with itself and those below it
	Domain Mode = "domain" // each domain with itself
)

// Scope says who may talk to whom, by the domains of the two: a user's domain and
// those below it in the tree of names, and never beyond the tenant. Whoever is
// written to from above may answer, so talking goes up and down one line of the
// tree, and not to a domain beside; finding people goes down alone. All pairs are
// worked out beforehand. A nil Scope separates nobody.
type Scope struct {
	index   map[string]int
	names   []string
	tenants []string // of each domain
	talk    []bool   // pairs, row by row
	mode    Mode
}

// NewScope makes a Scope of the served domains. Each tenant lists domains that
// belong together; those below one of them belong to it too. What is in no tenant
// stands for itself: as one more tenant in mode open, else by its tree. The
// answer is nil if nobody is separated from anybody.
func NewScope(mode Mode, domains []string, tenants [][]string) *Scope {
	if mode == "" {
		mode = Open
	}
	if mode == Open && len(tenants) == 0 {
		return nil
	}
	s := &Scope{index: make(map[string]int, len(domains)), names: domains, mode: mode}
	for i, d := range domains {
		s.index[d] = i
	}
	for _, d := range domains {
		s.tenants = append(s.tenants, s.tenant(d, tenants))
	}
	s.talk = make([]bool, len(domains)*len(domains))
	for i, a := range domains {
		for j, b := range domains {
			s.talk[i*len(domains)+j] = s.tenants[i] == s.tenants[j] &&
				(a == b || mode == Open || mode == Tree && (isBelow(b, a) || isBelow(a, b)))
		}
	}
	return s
}

// isBelow reports whether a domain stands below another.
func isBelow(d, above string) bool {
	return len(d) > len(above) && strings.HasSuffix(d, above) && d[len(d)-len(above)-1] == '.'
}

// tenant names the tenant of a domain by its first domain: the one that lists it
// or, of those that list a domain above, the nearest.
func (s *Scope) tenant(d string, tenants [][]string) string {
	name, nearest := "", -1
	for _, t := range tenants {
		for _, listed := range t {
			if (listed == d || isBelow(d, listed)) && len(listed) > nearest {
				name, nearest = t[0], len(listed)
			}
		}
	}
	if nearest >= 0 || s.mode == Open {
		return name
	}
	top := d
	for _, other := range s.names {
		if isBelow(top, other) {
			top = other
		}
	}
	return top
}

// Related reports whether users of two domains may talk to each other. A domain
// that is not served is related to none.
func (s *Scope) Related(a, b string) bool {
	if s == nil {
		return true
	}
	i, ok := s.index[a]
	if !ok {
		return false
	}
	j, ok := s.index[b]
	return ok && s.talk[i*len(s.names)+j]
}

// MaySee reports whether a user may find another one, as search does: one of the
// own domain or, by the mode, of a lower one or any of the tenant.
func (s *Scope) MaySee(searcher, contact jid.JID) bool {
	if s == nil {
		return true
	}
	a, b := searcher.Domain(), contact.Domain()
	return s.Related(a, b) && (a == b || s.mode != Tree || isBelow(b, a))
}

// Domains returns those whose people a user may find, of the served ones.
func (s *Scope) Domains(searcher jid.JID, served []string) []string {
	if s == nil {
		return served
	}
	var list []string
	for _, d := range s.names {
		if a := searcher.Domain(); s.Related(a, d) && (a == d || s.mode != Tree || isBelow(d, a)) {
			list = append(list, d)
		}
	}
	return list
}

// Tenant names what a domain belongs to, beyond which nobody sees anybody: a
// domain of the tenant, or "" for all that are in none.
func (s *Scope) Tenant(domain string) string {
	if s == nil {
		return ""
	}
	i, ok := s.index[domain]
	switch {
	case !ok, s.mode == Domain:
		return domain
	}
	return s.tenants[i]
}

// place is the number of a domain, -1 if it is not served.
func (s *Scope) place(domain string) int32 {
	if s == nil {
		return 0
	}
	if i, ok := s.index[domain]; ok {
		return int32(i)
	}
	return -1
}

// relatedPlaces is Related for numbers of domains.
func (s *Scope) relatedPlaces(a, b int32) bool {
	return s == nil || a >= 0 && b >= 0 && s.talk[int(a)*len(s.names)+int(b)]
}
