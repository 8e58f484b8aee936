package account

import "github.com/deskline/deskline/xmpp/mux"

// Handlers returns what Register registers.
func Handlers(cfg Config) (get, set mux.Handler) {
	s := service{cfg}
	return s.get, s.set
}
