package people

import "github.com/deskline/deskline/xmpp/jid"

// Visibility says who may find whom and read what a source knows of them.
type Visibility interface {
	// MaySee is asked for each person that fits what somebody types, so it must
	// neither wait nor take long. Both addresses are bare.
	MaySee(searcher, person jid.JID) bool
}

// Reach is a Visibility that knows beforehand which domains are searched in
// vain.
type Reach interface {
	// Domains returns those whose people the searcher may see at all, perhaps not
	// each of them.
	Domains(searcher jid.JID) []string
}

// SameDomain lets everybody see the people of their own domain.
type SameDomain struct{}

// MaySee implements Visibility.
func (SameDomain) MaySee(searcher, person jid.JID) bool { return searcher.Domain() == person.Domain() }

// Domains implements Reach.
func (SameDomain) Domains(searcher jid.JID) []string { return []string{searcher.Domain()} }
