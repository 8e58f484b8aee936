package web

import "net/http"

// ServeHTTP answers a request that no connection of ours brought.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.serve(w, r) }

// ParseOrigins lets the fuzz target at the parser.
func ParseOrigins(list []string) error {
	_, err := parseOrigins(list)
	return err
}
