package vcard

import "github.com/deskline/deskline/xmpp/mux"

// Handlers returns what Register registers.
func Handlers(store Store) (get, set mux.Handler) {
	s := New(Config{Store: store, MaxBytes: 1000})
	return s.get, s.set
}

// HandlersOf returns what a Service registers.
func HandlersOf(s *Service) (get, set mux.Handler) { return s.get, s.set }
