package admin

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
)

// pages refuses what a page of another site sends.
var pages = http.NewCrossOriginProtection()

// readOrder reads the JSON body of a POST into in, or answers why not.
func readOrder(w http.ResponseWriter, r *http.Request, in any) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if pages.Check(r) != nil || kind != "application/json" {
		// What a page of some site can send by itself is not JSON.
		answer(w, http.StatusForbidden, clusterError{"an order is JSON (Content-Type: application/json), and not sent by a page of another site"})
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		answer(w, http.StatusBadRequest, clusterError{"the body cannot be read: " + err.Error()})
		return false
	}
	return true
}

// SyncRequest asks for a synchronisation of people and groups.
type SyncRequest struct {
	DryRun bool `json:"dry_run"`
}

// SyncResult is what a synchronisation did, or would do.
type SyncResult struct {
	Added   []string `json:"added"`   // people let into chat
	Changed []string `json:"changed"` // people whose groups are others
	Gone    int      `json:"gone"`    // people no source tells of any more
	Groups  []string `json:"groups"`  // groups let into chat
	People  int      `json:"people"`  // in chat afterwards
	DryRun  bool     `json:"dry_run"`
}

// HandleSync has POST /people/sync carried out, before Serve.
func (s *Server) HandleSync(sync func(ctx context.Context, in SyncRequest) (SyncResult, error)) {
	s.mux.HandleFunc("POST /people/sync", func(w http.ResponseWriter, r *http.Request) {
		var in SyncRequest
		if !readOrder(w, r, &in) {
			return
		}
		out, err := sync(r.Context(), in)
		if err != nil {
			s.cfg.Log.ErrorContext(r.Context(), "synchronise people", "err", err)
			answer(w, http.StatusInternalServerError, clusterError{err.Error()})
			return
		}
		s.cfg.Log.InfoContext(r.Context(), "people synchronised", "dry_run", in.DryRun, "added", len(out.Added), "changed", len(out.Changed),
			"gone", out.Gone, "groups", len(out.Groups), "remote", r.RemoteAddr)
		answer(w, http.StatusOK, out)
	})
}
