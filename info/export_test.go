package info

import "github.com/deskline/deskline/xmpp/mux"

// Handlers returns what Register registers, by namespace.
func (s *Service) Handlers() map[string]mux.Handler {
	return map[string]mux.Handler{NSLast: s.last, NSVersion: s.version, NSTime: s.time, NSPing: s.ping}
}
