package private

import "github.com/deskline/deskline/xmpp/mux"

// Handlers returns what Register registers.
func Handlers(store Store) (get, set mux.Handler) {
	s := New(Config{Store: store, Limits: Limits{Bytes: 1000, Elements: 3}, MaxNames: 2})
	return s.get, s.set
}
