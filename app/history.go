package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/deskline/deskline/presence"
	"github.com/deskline/deskline/xmpp/jid"
)

// Bounds of one answer about history.
const (
	historyPeople  = 500
	historyChanges = 10000 // after so many nobody is added
)

// histories is what an administrator is told of a group.
type histories struct {
	People []presence.History `json:"people"`
	Next   string             `json:"next,omitempty"` // ask again with after=
}

// handleHistory lets administrators see what users were:
// GET /presence/history?user=alice@example.com, or group=Agents, with from= and until=
func (n *node) handleHistory() {
	n.admin.Handle("GET /presence/history", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		from, until, err := presence.Window(q.Get("from"), q.Get("until"), time.Now())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
		defer cancel()
		var answer any
		if group := q.Get("group"); group != "" {
			answer, err = n.historyOf(ctx, n.composing.teams.All(group), q.Get("after"), from, until)
		} else {
			user, e := jid.Parse(q.Get("user"))
			if e != nil || user.Local() == "" || !n.router.Local(user) {
				http.Error(w, "user=alice@example.com or group=Agents is missing, or of no domain here", http.StatusBadRequest)
				return
			}
			answer, err = n.presence.History(ctx, user.Bare(), from, until, presence.MaxChanges)
		}
		switch {
		case errors.Is(err, presence.ErrNoHistory):
			http.Error(w, "presence.history is 0s: no history is kept", http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer) // the client may be gone
		}
	}))
}

// historyOf tells of people in the order of their names, from behind one on, as many as fit.
func (n *node) historyOf(ctx context.Context, people []jid.JID, after string, from, until time.Time) (histories, error) {
	all := histories{People: []presence.History{}}
	changes, last := 0, ""
	for _, user := range people {
		if user.String() <= after {
			continue
		}
		if len(all.People) == historyPeople || changes >= historyChanges {
			all.Next = last
			break
		}
		h, err := n.presence.History(ctx, user, from, until, presence.MaxChanges)
		if err != nil {
			return all, err
		}
		all.People = append(all.People, h)
		changes += len(h.Changes)
		last = user.String()
	}
	return all, nil
}
