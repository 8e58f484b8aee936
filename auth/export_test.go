package auth

import "github.com/deskline/deskline/xmpp/sasl"

// Occupy takes all places for deriving until free is called.
func (s *Service) Occupy() (free func()) {
	for range cap(s.deriving) {
		s.deriving <- struct{}{}
	}
	return func() {
		for range cap(s.deriving) {
			<-s.deriving
		}
	}
}

// Verifier is what an exchange of the mechanism asks.
func (s *Service) Verifier(mech, domain string) sasl.Verifier {
	return &attempt{service: s, mech: mech, domain: domain}
}
