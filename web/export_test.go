package web

import (
	"net"
	"net/http"
)

// ServeHTTP answers a request that no connection of ours brought.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.serve(w, r) }

// RefuseRelay lets the fuzz target at the parser.
func RefuseRelay(c net.Conn, first []byte) error { return refuseRelay(c, first) }

// ParseOrigins lets the fuzz target at the parser.
func ParseOrigins(list []string) error {
	_, err := parseOrigins(list)
	return err
}
